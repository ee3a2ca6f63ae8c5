"""When each peer's next probe is due. Pure: one heap for all peers, so that one timer serves them all."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from typing import Generic, TypeVar

Peer = TypeVar("Peer", bound=Hashable)

# Multiples of the golden ratio spread any number of phases evenly, and a new peer moves no old one.
_GOLDEN = (math.sqrt(5) - 1) / 2


class Pacer(Generic[Peer]):
    """Send times, `interval_s` apart for each peer, the peers' phases spread over the interval."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._heap: list[tuple[float, int, Peer]] = []
        self._peers: dict[Peer, int] = {}
        self._added = 0

    def add(self, peer: Peer, now: float) -> None:
        """Begin with a peer, within an interval from now."""
        self._added += 1
        self._peers[peer] = self._added
        phase_s = self._added * _GOLDEN % 1 * self.interval_s
        heapq.heappush(self._heap, (now + phase_s, self._added, peer))

    def remove(self, peer: Peer) -> None:
        """End with a peer; unknown ones are none of ours any more."""
        self._peers.pop(peer, None)

    def due(self, now: float, most: int) -> list[Peer]:
        """The peers whose time has come, `most` of them, at most once each, the longest overdue first.

        Slots missed meanwhile are skipped, not caught up.
        """
        peers: list[Peer] = []
        while self._heap and self._heap[0][0] <= now and len(peers) < most:
            at, number, peer = self._heap[0]
            if self._peers.get(peer) != number:
                heapq.heappop(self._heap)
                continue
            slots = math.floor((now - at) / self.interval_s) + 1
            # Rounding may leave the slot where it was.
            later = max(at + slots * self.interval_s, math.nextafter(now, math.inf))
            heapq.heapreplace(self._heap, (later, number, peer))
            peers.append(peer)
        return peers

    @property
    def next_s(self) -> float:
        """When `due` has something again; infinity without peers."""
        return self._heap[0][0] if self._heap else math.inf
