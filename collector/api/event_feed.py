"""Server-sent events: sends what happens to every listener, and keeps the latest for those who reconnect."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import StreamingResponse

from collector.api.api_requests import ApiError, site_id
from linkweather.containment import note_overflow
from linkweather.mesh import Mesh
from linkweather.models.events import EVENTS, Event, EventKind, Gap, IncidentEvent, LinkEvent, RouteEvent
from linkweather.wire import encode
from linkweather.wire.server_sent_events import KEEP_ALIVE, KEEP_ALIVE_S, MEDIA_TYPE, event_bytes

KEPT_EVENTS = 2000
WAITING_EVENTS = 1000  # of one listener; a slower one is disconnected, and reconnects with its last id
MAX_LISTENERS = 200
COMES_BACK_S = 60.0  # so long after the last listener left, events are made for its return

_KINDS = {form: kind for kind, form in EVENTS.items()}


@dataclass(frozen=True, slots=True)
class _NumberedEvent:
    number: int
    kind: str
    sites: tuple[str, ...]
    text: bytes


@dataclass(eq=False, slots=True)
class _Listener:
    kinds: Collection[str]
    site: str | None
    client: str | None = None
    waiting: asyncio.Queue[_NumberedEvent | None] = field(default_factory=lambda: asyncio.Queue(WAITING_EVENTS))

    def wants(self, event: _NumberedEvent) -> bool:
        return (not self.kinds or event.kind in self.kinds) and (self.site is None or self.site in event.sites)

    def offer(self, event: _NumberedEvent | None) -> bool:
        """Queue an event; False where the listener reads too slowly."""
        try:
            self.waiting.put_nowait(event)
        except asyncio.QueueFull:
            return False
        return True


class EventFeed:
    """Every event, numbered; `boot` distinguishes one run of the collector from the next. Belongs to one event loop."""

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._kept: deque[_NumberedEvent] = deque(maxlen=KEPT_EVENTS)
        self._listeners: set[_Listener] = set()
        self._last = 0
        self._closed = False
        self._left_at = -math.inf

    @property
    def listeners(self) -> int:
        """The number of listeners."""
        return len(self._listeners)

    def listeners_of(self, client: str | None) -> int:
        """How many of them one client has; those of our own socket are no client's."""
        return 0 if client is None else sum(listener.client == client for listener in self._listeners)

    @property
    def wanted(self) -> bool:
        """Whether there are listeners, or one has left lately and may come back for what it missed."""
        return bool(self._listeners) or asyncio.get_running_loop().time() - self._left_at < COMES_BACK_S

    @property
    def closed(self) -> bool:
        """Whether the collector is ending."""
        return self._closed

    def emit(self, event: LinkEvent | RouteEvent | IncidentEvent) -> None:
        """Send an event to every listener, without waiting for any."""
        self._last += 1
        numbered = _NumberedEvent(self._last, _KINDS[type(event)], _sites(event), self._text(event, self._last))
        self._kept.append(numbered)
        for listener in [listener for listener in self._listeners if listener.wants(numbered)]:
            if not listener.offer(numbered):
                self._cut_off(listener)

    def skip(self, count: int) -> None:
        """Leave out so many events: every listener learns of the gap, and whoever comes back for one of them, too."""
        self._last += count
        self._kept.clear()
        gap = _NumberedEvent(self._last, _KINDS[Gap], (), self._text(Gap(missed=count), self._last))
        for listener in [listener for listener in self._listeners if not listener.offer(gap)]:
            self._cut_off(listener)

    def close(self) -> None:
        """End every stream, so that a server which waits for its answers can stop."""
        self._closed = True
        for listener in list(self._listeners):
            self._disconnect(listener)

    async def listen(
        self, kinds: Collection[str], site: str | None, after: str | None, client: str | None = None
    ) -> AsyncIterator[bytes]:
        """A stream of the events after that id, or from now on; ends at `close`, or when the listener is too slow."""
        listener = _Listener(kinds, site, client)
        if self._closed:
            return
        self._listeners.add(listener)
        try:
            yield b": linkweather events\n\n"
            missed = self._missed(listener, after)
            if missed:
                yield b"".join(missed)  # in one piece: a client that has left is noticed once, not two thousand times
            async for text in _stream(listener):
                yield text
        finally:
            self._listeners.discard(listener)
            self._left_at = asyncio.get_running_loop().time()

    def _missed(self, listener: _Listener, after: str | None) -> list[bytes]:
        """The kept events after that id; a Gap first where some are no longer kept."""
        if after is None:
            return []
        boot, _, number = after.rpartition(".")
        if boot != self._boot or not number.isdecimal():
            return [self._text(Gap(), self._last)]
        first_kept = self._kept[0].number if self._kept else self._last + 1
        missed = first_kept - 1 - int(number)
        gap = [self._text(Gap(missed=missed), first_kept - 1)] if missed > 0 else []
        return gap + [event.text for event in self._kept if event.number > int(number) and listener.wants(event)]

    def _cut_off(self, listener: _Listener) -> None:
        note_overflow("events of a listener", 1 + self._disconnect(listener))

    def _disconnect(self, listener: _Listener) -> int:
        """End its stream; returns how many events of its queue gave way to the end."""
        self._listeners.discard(listener)
        dropped = 0
        while not listener.offer(None):
            listener.waiting.get_nowait()
            dropped += 1
        return dropped

    def _text(self, event: Event, number: int) -> bytes:
        return event_bytes(_KINDS[type(event)], encode(event), f"{self._boot}.{number}")


async def _stream(listener: _Listener) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(KEEP_ALIVE_S):
                event = await listener.waiting.get()
        except TimeoutError:
            yield KEEP_ALIVE
            continue
        if event is None:
            return
        yield event.text


def _sites(event: LinkEvent | RouteEvent | IncidentEvent) -> tuple[str, ...]:
    if isinstance(event, IncidentEvent):
        found = {site for one in event.incident.findings for site in (one.src, one.dst) if site is not None}
        return tuple(found)
    subject = event.link if isinstance(event, LinkEvent) else event.route or event.no_route
    return () if subject is None else (subject.src, subject.dst)


def add_events(app: FastAPI, feed: EventFeed, mesh: Callable[[], Mesh], most_per_client: int = MAX_LISTENERS) -> None:
    """Add the stream at /api/v1/events; `site` is looked up in the current mesh."""

    @app.get(
        "/api/v1/events",
        response_class=StreamingResponse,
        responses={200: {"content": {MEDIA_TYPE: {}}}, 503: {"description": "Too many listeners"}},
    )
    async def events(
        request: Request,
        *,
        kind: Annotated[list[EventKind] | None, Query(description="Only these kinds")] = None,
        site: Annotated[
            str | None, Query(description="Only events about this site's links, paths and incidents")
        ] = None,
        last_event_id: Annotated[str | None, Header(description="Resume after this event")] = None,
    ) -> StreamingResponse:
        """Changed links, routes and incidents as they happen, as server-sent events."""
        if feed.listeners >= MAX_LISTENERS:
            note_overflow("event listeners")
            raise ApiError(503, f"{MAX_LISTENERS} programs listen already; try again later")
        client = request.client.host if request.client else None
        if feed.listeners_of(client) >= most_per_client:
            note_overflow("event listeners")
            raise ApiError(429, f"{most_per_client} programs of your address listen already")
        named = None if site is None else site_id(mesh(), "site", site, 422)
        stream = feed.listen(kind or (), named, last_event_id, client)
        return StreamingResponse(stream, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})
