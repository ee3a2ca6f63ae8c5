"""Reads the stream of events: lines go in, typed events come out. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from linkweather.backoff import Backoff
from linkweather.errors import MessageError
from linkweather.models.events import EVENTS, Event
from linkweather.wire import decode
from linkweather.wire.server_sent_events import KEEP_ALIVE_S, EventParser, ServerSentEvent

# The collector writes at least a comment every KEEP_ALIVE_S; a stream that is silent for longer is dead.
SILENCE_LIMIT_S = 3 * KEEP_ALIVE_S


@dataclass(slots=True)
class Reader:
    """Follows one watch over its connections: `last_id` is where the next one goes on."""

    last_id: str | None = None
    backoff: Backoff = field(default_factory=Backoff)
    _parser: EventParser = field(default_factory=EventParser)

    def connected(self) -> None:
        """Start a new stream; an incomplete event of the previous one is dropped."""
        self._parser = EventParser()

    def line(self, text: str) -> Event | None:
        """Take one line without its end; return the event that it completes, if this version knows its kind."""
        received = self._parser.line(text)
        return None if received is None else self._event(received)

    def wait_s(self) -> float:
        """How long to wait before the next connection: longer each time, until an event arrives."""
        return self.backoff.next_s()

    def _event(self, received: ServerSentEvent) -> Event | None:
        if received.id is not None:
            self.last_id = received.id
        form = EVENTS.get(received.kind)
        if form is None or not received.data:
            return None
        self.backoff.reset()
        try:
            return decode(form, received.data)
        except MessageError:
            return None  # a newer collector's event: this program skips what it cannot read
