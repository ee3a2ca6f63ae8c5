"""Server-sent events (WHATWG HTML §9.2) as bytes and lines: the collector writes them, the client reads them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

MEDIA_TYPE: Final = "text/event-stream"
# A comment: the stream is alive and has nothing to send.
KEEP_ALIVE: Final = b": still here\n\n"
# A writer is silent for this long at most; a reader gives a stream up that is silent for three times as long.
KEEP_ALIVE_S: Final = 15.0


class ServerSentEvent(NamedTuple):
    """One event as it was read. Fields that were not sent are empty; an `id` that was not sent is None."""

    kind: str
    data: str
    id: str | None


def event_bytes(kind: str, data: bytes, event_id: str | None = None) -> bytes:
    """One event. `data` is one line, such as JSON without line breaks."""
    number = b"" if event_id is None else b"id: %s\n" % event_id.encode()
    return b"%sevent: %s\ndata: %s\n\n" % (number, kind.encode(), data)


@dataclass(slots=True)
class EventParser:
    """Lines without their ends go in, events come out; a new connection needs a new parser."""

    _id: str | None = None
    _kind: str = ""
    _data: list[str] = field(default_factory=list)

    def line(self, text: str) -> ServerSentEvent | None:
        """Take one line; returns the event that an empty line completes. Comments and unknown fields are ignored."""
        if not text:
            event = ServerSentEvent(self._kind, "\n".join(self._data), self._id)
            self._id, self._kind, self._data = None, "", []
            return event
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id":
            self._id = value
        return None
