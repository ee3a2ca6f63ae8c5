"""What an HTTP response of the collector says: the answer, or the error that it stands for; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from linkweather.client.requests import Answer, Question
from linkweather.errors import OperatorError
from linkweather.models.state import ErrorAnswer


class CollectorAway(Exception):  # noqa: N818 – a state of the world and nobody's error
    """The collector does not answer, or not as a collector does; its text is one sentence."""


class NotFound(Exception):  # noqa: N818 – an answer
    """The mesh has no such site or link; its text is the collector's sentence."""


class NoPath(Exception):  # noqa: N818 – an answer
    """There is no usable path now; its text is the collector's sentence."""


_REFUSALS: Mapping[int, type[Exception]] = {404: NotFound, 409: NoPath}


def away(api: str, error: httpx.HTTPError) -> CollectorAway:
    """Nobody answered."""
    return CollectorAway(f"the collector at {api} does not answer ({str(error) or type(error).__name__})")


def stranger(api: str) -> CollectorAway:
    """Somebody else answered."""
    return CollectorAway(f"what answers at {api} is no linkweather collector")


def check(api: str, response: httpx.Response) -> None:
    """Raise what a response that is no answer stands for: NotFound, NoPath, OperatorError or CollectorAway."""
    if response.is_client_error:
        raise _refusal(api, response)
    if not response.is_success:
        raise CollectorAway(f"the collector at {api} failed with HTTP status {response.status_code}")


def read(api: str, question: Question[Answer], response: httpx.Response) -> Answer:
    """The answer. Raises as `check`, and CollectorAway for a document that no collector gives."""
    check(api, response)
    try:
        return question.form.validate_json(response.content)
    except ValidationError:
        raise stranger(api) from None


def _refusal(api: str, response: httpx.Response) -> Exception:
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
