"""InfluxDB's line protocol: the journal's rows as lines. Pure logic, and the one place that knows the format.

A line is `measurement,tag=value… field=value… time`. The measurement is the row's kind, the tags are `src`, `dst`
and `method`, the fields have the contract's names; a field that was not set is absent, and of a path's hops the
number goes out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from operator import is_, itemgetter
from typing import Any

from collector.columns import TABLES

TAGS = ("src", "dst", "method")
# SQL type → how % writes a value: integers are marked, strings come quoted already.
_FORMATS: Mapping[str, str] = {"BIGINT": "%di", "DOUBLE": "%r", "BOOLEAN": "%s", "VARCHAR": "%s"}
# A tag has no escape for a line's end, nor for a backslash before a separator: both are replaced.
_TAG_ESCAPES = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ ", "\\": "/", "\n": r"\ ", "\r": r"\ "})
# Servers split at a line's end before they look at quotes.
_TEXT_ESCAPES = str.maketrans({'"': r"\"", "\\": r"\\", "\n": " ", "\r": " "})


def lines(kind: str, rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Lines for rows as `backlog.Batch` has them; a row without any field is no point, and has no line."""
    changes = _changes(kind)
    for row in rows:
        values = list(row)
        for place, change in changes:
            if values[place] is not None:
                values[place] = change(values[place])
        template, pick = _shape(kind, tuple(map(is_, values, repeat(None))))
        if template:
            yield template % pick((_tags(kind, *values[1:4]), *values))


def _columns(kind: str) -> list[tuple[str, str]]:
    """Name and SQL type of a batch's values: the time, the message's fields, what the collector adds."""
    table = TABLES[kind]
    fields = [(name, field.sql) for name, field in table.fields.items()]
    return [("time", "BIGINT"), *fields, *table.extra.items()]


def _changes(kind: str) -> list[tuple[int, Callable[[str], Any]]]:
    return [
        (place, _hop_count if name == "hops" else _quoted)
        for place, (name, sql) in enumerate(_columns(kind))
        if sql == "VARCHAR" and name not in TAGS
    ]


@lru_cache(maxsize=1024)
def _shape(kind: str, missing: tuple[bool, ...]) -> tuple[str, Callable[[Sequence[Any]], tuple[Any, ...]]]:
    """Template and values' places (after the tags, which are first) for rows that miss the same values."""
    present = [
        (place, name, "%di" if name == "hops" else _FORMATS[sql])
        for place, (name, sql) in enumerate(_columns(kind))
        if place and name not in TAGS and not missing[place]
    ]
    if not present:
        return "", itemgetter(0, 0)
    fields = ",".join(f"{name}={how}" for _, name, how in present)
    return f"%s {fields} %d", itemgetter(0, *(place + 1 for place, _, _ in present), 1)


@lru_cache(maxsize=100_000)
def _tags(kind: str, src: str, dst: str, method: str) -> str:
    values = zip(TAGS, (src, dst, method), strict=True)
    return ",".join([kind, *(f"{name}={value.translate(_TAG_ESCAPES)}" for name, value in values)])


@lru_cache(maxsize=10_000)
def _quoted(text: str) -> str:
    return f'"{text.translate(_TEXT_ESCAPES)}"'


def _hop_count(hops: str) -> int:
    return len(json.loads(hops))
