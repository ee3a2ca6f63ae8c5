"""When probes are due and windows end. Pure: one heap for all peers, so that one timer serves them all.

A window is timed on the monotonic clock and labelled by the wall clock: its row ends at a multiple of the report
interval for the reader, and a stepped clock moves the label and never the measurement. A window in which the clock was
stepped is labelled by what the clock shows at its end, as the next window may end at the same multiple once more.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from probes.latency.clocks import NS_PER_S

Peer = TypeVar("Peer", bound=Hashable)

# Multiples of the golden ratio spread any number of phases evenly, and a new peer moves no old one.
_GOLDEN = (math.sqrt(5) - 1) / 2


_SHORTEST = 0.1  # of an interval: what is left of a shorter one joins the next
_STEPPED = 0.01  # of an interval: a clock that is slewed, by 500 ppm at most, strays less in one


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
        """End with a peer; an unknown one has ended already."""
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


@dataclass(slots=True, eq=False)
class Window:
    """A stretch of time; every probe belongs to the window in which it was sent.

    `at` is its end by the wall clock; `start_s` and `end_s` are monotonic; `unsettled` counts its probes that are
    still out.
    """

    at: datetime
    start_s: float
    end_s: float
    unsettled: int = 0


def open_window(now: float, wall_ns: int, interval_s: float) -> Window:
    """The window that begins now and ends at a multiple of the interval.

    Each window reads the wall clock anew: a stepped clock moves `at`, and never stops the windows.
    """
    interval_ns = round(interval_s * NS_PER_S)
    at_ns = (wall_ns // interval_ns + 1) * interval_ns
    if at_ns - wall_ns < _SHORTEST * interval_ns:
        at_ns += interval_ns
    return Window(_moment(at_ns), now, now + (at_ns - wall_ns) / NS_PER_S)


def _moment(wall_ns: int) -> datetime:
    return datetime.fromtimestamp(wall_ns // NS_PER_S, UTC).replace(microsecond=wall_ns % NS_PER_S // 1000)


class Windows:
    """The open window, and those before it that wait for their last probes."""

    def __init__(self) -> None:
        self._waiting: deque[Window] = deque()
        self.current: Window | None = None

    @property
    def next_s(self) -> float:
        """When `roll` opens a window; at once when none is open."""
        return self.current.end_s if self.current else -math.inf

    @property
    def unsettled(self) -> bool:
        """Whether a probe of any window is still out."""
        return any(window.unsettled for window in self._waiting)

    def roll(self, now: float, wall_ns: int, interval_s: float) -> Window | None:
        """The window that opens now, where the last one is over."""
        if now < self.next_s:
            return None
        if self.current:
            end = _moment(wall_ns - round((now - self.current.end_s) * NS_PER_S))
            if abs((end - self.current.at).total_seconds()) > _STEPPED * interval_s:
                self.current.at = end
        self.current = open_window(now, wall_ns, interval_s)
        self._waiting.append(self.current)
        return self.current

    def end(self, now: float, wall_ns: int) -> None:
        """End the open window now, and open no other."""
        if self.current and now < self.current.end_s:
            self.current.end_s = now
            self.current.at = _moment(wall_ns)
        self.current = None

    def settled(self) -> Iterator[Window]:
        """Take out, in their order, the windows that are over and whose probes are settled."""
        while self._waiting and self._waiting[0] is not self.current and not self._waiting[0].unsettled:
            yield self._waiting.popleft()
