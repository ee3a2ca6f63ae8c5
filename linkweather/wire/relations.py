"""Relations between the fields of one row, as a table: what must hold, written as it is read. Pure.

A relation is a text such as `lost_forward + lost_back <= sent - received`, or a chain `a <= b <= c`. Of a chain the
fields that are set are compared; another expression with a field that is not set says nothing. The check runs for
every row that is decoded, so all relations are compiled into one expression; only where that fails are they looked at
one by one, with a tolerance for what rounding does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from types import CodeType
from typing import Any, Final

# Three figures rounded to a nanosecond each, as in p95 - p50.
_SLACK: Final = 2e-9
_SLACK_SHARE: Final = 1e-9
_FIELD = re.compile(r"\b[a-z_]\w*")
_NOTHING: Final[dict[str, Any]] = {"__builtins__": {}}


class Relations:
    """The relations of one kind of rows."""

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
