"""Working latency: the RTT of our own probes to a peer while a throughput test loads the link. Pure."""

from __future__ import annotations

from collections import deque
from statistics import median

# A minute at a hundred probes a second: more than the longest test.
REMEMBERED = 6000


class WorkingLatency:
    """The RTTs to the peer under test; probes to others are not looked at."""

    def __init__(self) -> None:
        self.peer: str | None = None
        self._rtts: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)

    def follow(self, peer: str | None) -> None:
        """A test with this peer begins; None: it is over."""
        self.peer = peer
        self._rtts.clear()

    def take(self, peer: str, rtt_s: float | None, now: float) -> None:
        """A probe settled at `now`, on any clock that does not jump; None: without an RTT."""
        if peer == self.peer and rtt_s is not None:
            self._rtts.append((now, rtt_s))

    def p50(self, peer: str, last_s: float, now: float) -> float | None:
        """The median RTT to the peer over the last seconds; None where no reply came."""
        found = [rtt_s for at, rtt_s in self._rtts if peer == self.peer and at > now - last_s]
        return median(found) if found else None
