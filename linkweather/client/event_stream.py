"""The stream of events, read: lines go in, typed events come out; when to connect again; no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from linkweather.backoff import Backoff
from linkweather.errors import MessageError
from linkweather.models.events import EVENTS, Event
from linkweather.wire import decode

# The collector writes at least a comment this often; a stream that is silent for longer is dead.
KEEP_ALIVE_S = 15.0
SILENCE_LIMIT_S = 3 * KEEP_ALIVE_S


@dataclass(slots=True)
class Reader:
    """Follows one watch over its connections: `last_id` is where the next one goes on."""

    last_id: str | None = None
    backoff: Backoff = field(default_factory=Backoff)
    _id: str | None = None
    _kind: str = ""
    _data: list[str] = field(default_factory=list)

    def connected(self) -> None:
        """A stream begins; what was left of the one before is incomplete."""
        self._clear()

    def line(self, text: str) -> Event | None:
        """Take one line without its end; returns an event when it completes one that is known here."""
        if not text:
            return self._event()
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id":
            self._id = value
        return None

    def wait_s(self) -> float:
        """How long to wait before the next connection: longer each time, until an event arrives."""
        return self.backoff.next_s()

    def _event(self) -> Event | None:
        kind, data, number = self._kind, "\n".join(self._data), self._id
        self._clear()
        if number is not None:
            self.last_id = number
        form = EVENTS.get(kind)
        if form is None or not data:
            return None
        self.backoff.reset()
        try:
            return decode(form, data)
        except MessageError:
            return None  # of a newer collector: this program cannot read it, and need not fail by it

    def _clear(self) -> None:
        self._id, self._kind, self._data = None, "", []
