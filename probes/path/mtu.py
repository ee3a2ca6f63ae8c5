"""The path MTU: the largest packet that arrives whole. Pure: which size to try next.

Packets that must not be fragmented go to the destination, which answers those that arrive. A router that says
how much it can carry (RFC 1191, RFC 8201) saves most of the search; one that only swallows what is too big, a
black hole, is found by silence, so that the answer never rests on what routers say. The kernel's own idea
(IP_MTU) does: it is the first size that we would try, and stays wrong behind a black hole.
"""

from __future__ import annotations

# Usual sizes, for where nobody says which: Ethernet and its jumbo frames, PPPoE, and tunnels in both.
PLATEAUS_BYTES = (
    *(65535, 16384, 9216, 9000, 8950, 8000, 4352, 2048, 1500, 1492, 1480, 1476, 1460, 1450),
    *(1440, 1436, 1420, 1400, 1380, 1350, 1300, 1280, 1006, 576, 296, 68),
)
SILENCES = 2


class MtuSearch:
    """Tries sizes from `first_bytes` down to `least_bytes`. `size_bytes` is the next to send, None when it is over."""

    def __init__(self, first_bytes: int, least_bytes: int) -> None:
        self._least = least_bytes
        self._silences = 0
        self.size_bytes: int | None = first_bytes
        self.found_bytes: int | None = None

    def passed(self) -> None:
        """The destination has answered."""
        self.found_bytes, self.size_bytes = self.size_bytes, None

    def too_big(self, mtu_bytes: int) -> None:
        """Somebody on the way says so, and which size would do (0: does not say, RFC 1191 §5)."""
        if self.size_bytes is None or not self._least <= mtu_bytes < self.size_bytes:
            self._step_down()
        else:
            self._try(mtu_bytes)

    def silent(self) -> None:
        """Nothing came: lost by chance, or swallowed."""
        self._silences += 1
        if self._silences == SILENCES:
            self._step_down()

    def _step_down(self) -> None:
        below = (size for size in PLATEAUS_BYTES if self._least <= size < (self.size_bytes or 0))
        self._try(next(below, None))

    def _try(self, size_bytes: int | None) -> None:
        self.size_bytes = size_bytes
        self._silences = 0
