"""The base of every message, row and report, their encoding, and the relations that must hold between fields. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from types import CodeType
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from linkweather.errors import MessageError
from linkweather.mesh import SiteId
from linkweather.wire.fields import Moment, Name, ReportNumber, Text

# Three figures rounded to a nanosecond each, as in p95 - p50.
_SLACK: Final = 2e-9
_SLACK_SHARE: Final = 1e-9
_FIELD = re.compile(r"\b[a-z_]\w*")
_NOTHING: Final[dict[str, Any]] = {"__builtins__": {}}


class Relations:
    """The relations of one kind of rows: what must hold, written as it is read.

    A relation is a text such as `lost_forward + lost_back <= sent - received`, or a chain `a <= b <= c`. Of a chain the
    fields that are set are compared; another expression with a field that is not set says nothing. The check runs for
    every row that is decoded, so all relations are compiled into one expression; only where that fails are they looked
    at one by one, with a tolerance for what rounding does.
    """

    def __init__(self, *relations: str) -> None:
        whole = " and ".join(_FIELD.sub(r"row['\g<0>']", text) for text in relations)
        self._all_hold: Callable[[Mapping[str, Any]], bool] = eval(f"lambda row: {whole}", _NOTHING)  # noqa: S307
        self._each = [(text, [compile(part.strip(), text, "eval") for part in text.split("<=")]) for text in relations]

    def __iter__(self) -> Iterator[str]:
        """The relations as they are written."""
        return iter(text for text, _ in self._each)

    def check(self, row: Mapping[str, Any]) -> None:
        """Raise ValueError that names the first relation that does not hold, with the values of its sides."""
        try:
            if self._all_hold(row):
                return
        except TypeError:
            pass  # a field that is not set
        for text, parts in self._each:
            _check(text, parts, row)


def _check(text: str, parts: list[CodeType], row: Mapping[str, Any]) -> None:
    known = [value for part in parts if (value := _value(part, row)) is not None]
    for low, high in pairwise(known):
        if low > high + max(_SLACK, _SLACK_SHARE * abs(high)):
            raise ValueError(f"{text} does not hold: {low:.12g} > {high:.12g}")


def _value(part: CodeType, row: Mapping[str, Any]) -> float | None:
    try:
        value: float | None = eval(part, _NOTHING, dict(row))  # noqa: S307 - compiled from our own tables
    except TypeError:
        return None
    return value


# Of one report: more peers than any site has, and a bound on what one message may cost.
MAX_ROWS = 10_000
MANY = Field(max_length=MAX_ROWS)

AnyMessage = TypeVar("AnyMessage", bound="Message")


class Message(BaseModel):
    """A frozen message; strict, so that "5" is not a number and NaN is no measurement."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


def encode(message: BaseModel) -> bytes:
    """Compact UTF-8 JSON without the fields that are not set."""
    return message.model_dump_json(exclude_none=True).encode()


def decode(model: type[AnyMessage], payload: bytes | str) -> AnyMessage:
    """Decode one message. Raises MessageError: `malformed` for no JSON, `impossible` for a bad value."""
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        raise refusal(error) from None


def refusal(error: ValidationError) -> MessageError:
    """Why a message is refused: its first fault."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    reason = "malformed" if first["type"] == "json_invalid" else "impossible"
    return MessageError(reason, f"{where}: {first['msg']}" if where else first["msg"])


class Row(Message):
    """One link's result, or its failure and the reason: never a zero, never silence."""

    src: SiteId
    dst: SiteId
    method: Name
    failure: Name | None = None
    detail: Text | None = None


def check_says_something(row: Row, results: Iterable[str]) -> None:
    """Raise ValueError for a row that has neither a failure nor any of the `results`."""
    if row.failure is None and all(getattr(row, name) is None for name in results):
        raise ValueError("neither a result nor a failure")


class SplitFrom(Message):
    """The key of a report that was split by its rows, and that may have been sent whole; the keys of its parts."""

    boot: Name
    seq: ReportNumber
    parts_boot: Name
    first: ReportNumber
    last: ReportNumber

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not self.first <= self.last < self.first + MAX_ROWS:
            raise ValueError("the numbers of the parts cannot be")
        return self


class Report(Message):
    """What a probe publishes: one message, many rows. Its key is (site, boot, seq); the topic names the site.

    `boot` is the id of the run of the outbox that numbered it; `at` is when the measurement ended. A part of a report
    that was split after it may have been sent says which: the record takes either the whole or its parts.
    """

    v: Literal[1] = 1
    boot: Name
    seq: ReportNumber
    at: Moment
    kind: str
    split_from: SplitFrom | None = None

    @property
    def rows(self) -> Sequence[Message]:
        """Its rows, under whichever name its kind has for them."""
        raise NotImplementedError


class LinkReport(Report):
    """A report about links of the publishing site: `publisher` is the end of each link that publishes its rows."""

    publisher: ClassVar[Literal["src", "dst"]]

    links: Annotated[tuple[Row, ...], MANY]

    @property
    def rows(self) -> Sequence[Row]:
        """A row for each link."""
        return self.links
