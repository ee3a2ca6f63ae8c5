"""What the collector sends back: answers, errors to raise, events. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from linkweather.backoff import Backoff
from linkweather.client.requests import Answered, Request
from linkweather.errors import (
    CollectorUnavailableError,
    LinkweatherError,
    MessageError,
    NoPathError,
    NotFoundError,
    OperatorError,
)
from linkweather.models.events import EVENTS, Event, Gap
from linkweather.models.state import ErrorAnswer
from linkweather.wire import decode
from linkweather.wire.server_sent_events import KEEP_ALIVE_S, EventParser, ServerSentEvent

# The collector writes at least a comment every KEEP_ALIVE_S; a stream that is silent for longer is dead.
SILENCE_LIMIT_S = 3 * KEEP_ALIVE_S
_REFUSALS: Mapping[int, type[LinkweatherError]] = {404: NotFoundError, 409: NoPathError}


def away(api: str, error: httpx.HTTPError) -> CollectorUnavailableError:
    """The error for a collector that did not answer."""
    return CollectorUnavailableError(f"the collector at {api} does not answer ({str(error) or type(error).__name__})")


def stranger(api: str) -> CollectorUnavailableError:
    """The error for a server that is no collector."""
    return CollectorUnavailableError(f"what answers at {api} is no linkweather collector")


def check(api: str, response: httpx.Response) -> None:
    """Raise the LinkweatherError that a refusal or a failure stands for."""
    if response.is_client_error:
        raise _refusal(api, response)
    if not response.is_success:
        raise CollectorUnavailableError(f"the collector at {api} failed with HTTP status {response.status_code}")


def read(api: str, request: Request[Answered], response: httpx.Response) -> Answered:
    """The answer. Raises as `check` does, and CollectorUnavailableError for a document that no collector sends."""
    check(api, response)
    try:
        return request.form.validate_json(response.content)
    except ValidationError:
        raise stranger(api) from None


def next_page(request: Request[Answered], response: httpx.Response) -> Request[Answered] | None:
    """The request for the page after the one in `response`; None after the last."""
    query = response.links.get("next", {}).get("url")
    if query is None:
        return None
    # Its parameters alone: where to ask, and with which token, is not the answer's to say.
    return replace(request, more={**request.more, "params": httpx.QueryParams(query.partition("?")[2])})


def _refusal(api: str, response: httpx.Response) -> LinkweatherError:
    try:
        sentence = ErrorAnswer.model_validate_json(response.content).error
    except ValidationError:
        return stranger(api)
    return _REFUSALS.get(response.status_code, OperatorError)(sentence)


def as_json(answers: BaseModel | list[Any]) -> Any:
    """Answers as plain JSON values, as in the API's response."""
    if isinstance(answers, BaseModel):
        return answers.model_dump(mode="json")
    return [as_json(answer) for answer in answers]


@dataclass(slots=True)
class EventReader:
    """Follows one watch over its connections: `last_id` is where the next one goes on."""

    last_id: str | None = None
    backoff: Backoff = field(default_factory=Backoff)
    _parser: EventParser = field(default_factory=EventParser)

    def connected(self) -> None:
        """Start a new stream; an incomplete event of the previous one is dropped."""
        self._parser = EventParser()

    def line(self, text: str) -> Event | None:
        """Take one line without its end; return the event that it completes, if this version knows its kind.

        An event of a known kind that cannot be read is a gap of one.
        """
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
            # A newer collector's event, or a damaged one: the program learns that it missed something.
            return Gap(missed=1)
