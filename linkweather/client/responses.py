"""HTTP responses of the collector: the answer, or the error to raise. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from linkweather.client.requests import Answered, Request
from linkweather.errors import CollectorUnavailableError, LinkweatherError, NoPathError, NotFoundError, OperatorError
from linkweather.models.state import ErrorAnswer

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
