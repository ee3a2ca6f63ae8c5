"""The path MTU: the largest packet that arrives whole. Pure: which size to try next.

Packets that must not be fragmented go to the destination, which answers those that arrive. A router that names the
size that it can carry (RFC 1191, RFC 8201) saves most of the search. A black hole drops what is too big and says
nothing: it is found by silence, so the answer never depends on what routers say. The kernel's own figure (IP_MTU) does,
and stays wrong behind a black hole.
"""

from __future__ import annotations

# Common sizes, for where no router names one: Ethernet and its jumbo frames, PPPoE, and tunnels in both.
PLATEAUS_BYTES = (
    *(65535, 16384, 9216, 9000, 8950, 8000, 4352, 2048, 1500, 1492, 1480, 1476, 1460, 1450),
    *(1440, 1436, 1420, 1400, 1380, 1350, 1300, 1280, 1006, 576, 296, 68),
)
SILENCES = 2


class MtuSearch:
    """Tries sizes between `first_bytes` and `least_bytes`. `size_bytes` is the next to send, None when it is over."""

    def __init__(self, first_bytes: int, least_bytes: int) -> None:
        self._least = least_bytes
        self._failed = first_bytes + 1
        self._silences = 0
        # The size is the interface's own MTU, or named by a router: a larger one need not be tried.
        self._named = True
        self.size_bytes: int | None = first_bytes
        self.found_bytes: int | None = None

    def passed(self) -> None:
        """Note that the destination has answered."""
        self.found_bytes = self.size_bytes
        if self._named:
            self.size_bytes = None
        else:
            self._halve()

    def too_big(self, mtu_bytes: int) -> None:
        """Note that the packet was too big, and the size that would pass (0: not named, RFC 1191 §5)."""
        if self.size_bytes is None:
            return
        self._failed = self.size_bytes
        if self._lowest <= mtu_bytes < self._failed:
            self._named, self._silences, self.size_bytes = True, 0, mtu_bytes
        else:
            self._halve()

    def silent(self) -> None:
        """Note that no reply came: the packet was lost by chance, or dropped for its size."""
        self._silences += 1
        if self._silences == SILENCES and self.size_bytes is not None:
            self._failed = self.size_bytes
            self._halve()

    @property
    def _lowest(self) -> int:
        return self._least if self.found_bytes is None else self.found_bytes + 1

    def _halve(self) -> None:
        left = [size for size in PLATEAUS_BYTES if self._lowest <= size < self._failed]
        self._named, self._silences = False, 0
        self.size_bytes = left[len(left) // 2] if left else None
