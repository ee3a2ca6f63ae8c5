"""Events about changed links and routes: made for listeners alone, a few at a time, and once a link or pair."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Protocol

from linkweather.containment import contained, note_overflow
from linkweather.models.events import LinkEvent, RouteEvent
from linkweather.models.routes import NoRoute, Objective, RouteAnswer
from linkweather.models.state import LinkAnswer

# So many wait at most, as many as a listener may have waiting; of more the oldest are skipped, and listeners learn so.
WAITING_MAX = 1000
# A few milliseconds' work: others on this event loop have their turn in between.
EVENTS_PER_TURN = 20

Pair = tuple[str, str]
RouteKey = tuple[Objective, str, str]


class Listeners(Protocol):
    """Where events go: the event feed."""

    @property
    def wanted(self) -> bool:
        """Whether anybody listens, or may come back soon."""

    def emit(self, event: LinkEvent | RouteEvent) -> None:
        """Send an event."""

    def skip(self, count: int) -> None:
        """Note that so many events are not sent."""


class RouteEvents:
    """The events that wait to be made. `link` and `route` answer for now; None is for what is in the mesh no more."""

    def __init__(
        self,
        listeners: Listeners,
        *,
        link: Callable[[str, str, float], LinkAnswer | None],
        route: Callable[[RouteKey], RouteAnswer | NoRoute | None],
        now: Callable[[], float],
    ) -> None:
        self._listeners = listeners
        self._link = link
        self._route = route
        self._now = now
        self._waiting: dict[Pair | RouteKey, None] = {}
        self._news = asyncio.Event()

    def add(self, count: int, subjects: Iterable[Pair | RouteKey]) -> None:
        """So many links, as (src, dst), or routes, as (objective, src, dst), have changed."""
        if not self._listeners.wanted:
            self._listeners.skip(count)
            return
        self._waiting.update(dict.fromkeys(islice(subjects, WAITING_MAX)))
        oldest = list(self._waiting)[: max(0, len(self._waiting) - WAITING_MAX)]
        for subject in oldest:
            del self._waiting[subject]
        skipped = len(oldest) + max(0, count - WAITING_MAX)
        if skipped:
            note_overflow("event changes", skipped)
            self._listeners.skip(skipped)
        self._news.set()

    async def run(self) -> None:
        """Make and emit what waits, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                for subject in list(self._waiting)[:EVENTS_PER_TURN]:
                    del self._waiting[subject]
                    with contained("events"):
                        self._emit(subject)
                await asyncio.sleep(0)

    def _emit(self, subject: Pair | RouteKey) -> None:
        now = self._now()
        at = datetime.fromtimestamp(now, UTC)
        if len(subject) == 2:
            link = self._link(*subject, now)
            if link is not None:
                self._listeners.emit(LinkEvent(at=at, link=link))
            return
        found = self._route(subject)
        if isinstance(found, RouteAnswer):
            self._listeners.emit(RouteEvent(at=at, route=found))
        elif found is not None:
            self._listeners.emit(RouteEvent(at=at, no_route=found))
