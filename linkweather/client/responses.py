"""What an HTTP response of the collector says: the answer, or the error that it stands for; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from linkweather.client.requests import Answer, Question
from linkweather.errors import CollectorUnavailableError, LinkweatherError, NoPathError, NotFoundError, OperatorError
from linkweather.models.state import ErrorAnswer

_REFUSALS: Mapping[int, type[LinkweatherError]] = {404: NotFoundError, 409: NoPathError}


def away(api: str, error: httpx.HTTPError) -> CollectorUnavailableError:
    """Nobody answered."""
    return CollectorUnavailableError(f"the collector at {api} does not answer ({str(error) or type(error).__name__})")


def stranger(api: str) -> CollectorUnavailableError:
    """Somebody else answered."""
    return CollectorUnavailableError(f"what answers at {api} is no linkweather collector")


def check(api: str, response: httpx.Response) -> None:
    """Raise the error that a response stands for, below LinkweatherError; return where it is an answer."""
    if response.is_client_error:
        raise _refusal(api, response)
    if not response.is_success:
        raise CollectorUnavailableError(f"the collector at {api} failed with HTTP status {response.status_code}")


def read(api: str, question: Question[Answer], response: httpx.Response) -> Answer:
    """The answer. Raises as `check`, and CollectorUnavailableError for a document that no collector gives."""
    check(api, response)
    try:
        return question.form.validate_json(response.content)
    except ValidationError:
        raise stranger(api) from None


def _refusal(api: str, response: httpx.Response) -> LinkweatherError:
    try:
        sentence = ErrorAnswer.model_validate_json(response.content).error
    except ValidationError:
        return stranger(api)
    return _REFUSALS.get(response.status_code, OperatorError)(sentence)


def as_json(answers: BaseModel | list[Any]) -> Any:
    """Answers as plain JSON values, as the API gave them."""
    if isinstance(answers, BaseModel):
        return answers.model_dump(mode="json")
    return [as_json(answer) for answer in answers]
