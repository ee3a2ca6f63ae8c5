"""Windows: aligned to the wall clock for the reader, timed on the monotonic clock for us. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from probes.latency.timestamps import NS_PER_S

_SHORTEST = 0.1  # of an interval: what is left of a shorter one joins the next


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
    at = datetime.fromtimestamp(at_ns // NS_PER_S, UTC).replace(microsecond=at_ns % NS_PER_S // 1000)
    return Window(at, now, now + (at_ns - wall_ns) / NS_PER_S)


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
        self.current = open_window(now, wall_ns, interval_s)
        self._waiting.append(self.current)
        return self.current

    def end(self, now: float, wall_ns: int) -> None:
        """End the open window now, and open no other."""
        if self.current and now < self.current.end_s:
            self.current.end_s = now
            self.current.at = datetime.fromtimestamp(wall_ns / NS_PER_S, UTC)
        self.current = None

    def settled(self) -> Iterator[Window]:
        """Take out, in their order, the windows that are over and whose probes are settled."""
        while self._waiting and self._waiting[0] is not self.current and not self._waiting[0].unsettled:
            yield self._waiting.popleft()
