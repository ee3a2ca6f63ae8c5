"""What the API answers about sinks: how each is, and what it refused. A room of its own: only operators read it."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from linkweather.wire import Message

SinkState = Literal["running", "failing", "removed"]


class SinkAnswer(Message):
    """One sink: `lag_rows` of the record wait to be written; `exported_rows` were since the collector's start.

    A `failing` one writes nothing now, or not every kind of rows: `reason` is a code (away, setup, refused, journal,
    fault), `error` a sentence. A `removed` one is no longer configured, and the record keeps its rows for it.
    `set_aside_rows` were refused for good; `dropped_rows` were, and are let go since, on request or beyond the bound.
    """

    sink: str
    kind: str | None = None
    state: SinkState
    reason: str | None = None
    error: str | None = None
    lag_rows: int
    exported_rows: int = 0
    set_aside_rows: int = 0
    dropped_rows: int = 0


class SetAsideAnswer(Message):
    """Of the rows numbered `first` to `last` of a kind, so many were refused; `waiting` ones are to be sent again."""

    kind: str
    first: int
    last: int
    rows: int
    reason: str
    at: AwareDatetime
    waiting: bool = False
