r"""InfluxDB's line protocol, from columns of the journal's tables. Pure logic, and the one place that knows the format.

A line is `measurement,tag=value… field=value… time`. The measurement is the row's kind, the tags are `src`, `dst` and
`method`, of capacities `site` and `type`, the fields have the contract's names; a field that was not set is absent,
and of a list (a path's hops, outages) the length goes out. A prober's own figures are fields of the row, under the
names that the history has for them: `figures.connect_s`.

Lines are made column by column: that takes 2.5 µs a row, and reading the columns 2 more. DuckDB makes them of an
expression in 4.5 µs, but needs 16 ms to plan it each time, and most batches have few rows.

A server keeps one point for each series and time. Rows of two reports may have both in common: a clock was set back,
or two probes have one id. So the digits below the microsecond, which no row's time has, are a number from 0 to 999
that follows from the report's (boot, seq): a report that is sent again replaces itself, and no other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from pydantic_core import from_json, to_json

from collector.store.columns import FIGURES, LINK_TABLES, TABLES, Column

TAGS = ("src", "dst", "method")
_TAGS: Mapping[str, tuple[str, ...]] = {**dict.fromkeys(LINK_TABLES, TAGS), "capacity": ("site", "type")}
# A tag has no escape for a line's end, nor for a backslash before a separator: both are replaced.
_TAG = str.maketrans({"\n": r"\ ", "\r": r"\ ", "\\": "/", ",": r"\,", "=": r"\=", " ": r"\ "})
# A server splits at a line's end before it looks at quotes, so that there is no way to keep one.
_TEXT = str.maketrans({"\n": " ", "\r": " ", "\\": "\\\\", '"': '\\"'})


def lines(kind: str, columns: Mapping[str, Column], *, integers: bool = True) -> list[str | None]:
    """The line of each row of this kind's table, with its time in nanoseconds; `columns` are those of the table.

    It is None for a row without any field, which is no point. Without `integers`, counts are written as floats.
    """
    form, cells = "", []
    for name, sql in _fields(kind):
        more, texts = _field(name, sql, columns[name], integers=integers)
        form += more
        cells += texts
    tags = [_distinct(columns[name].tolist(), lambda value: value.translate(_TAG)) for name in _TAGS[kind]]
    heads = map((kind + "".join(f",{name}=%s" for name in _TAGS[kind])).__mod__, zip(*tags, strict=True))
    bodies = map(form.__mod__, zip(*cells, strict=True)) if cells else [form % ()] * len(tags[0])
    return [
        f"{head} {body[1:]} {time}" if body else None
        for head, body, time in zip(heads, bodies, _times(columns), strict=True)
    ]


def _field(name: str, sql: str, column: Column, *, integers: bool) -> tuple[str, list[Sequence[Any]]]:
    """A field's part of the form of all rows, and what each row puts in; nothing where no row has the field."""
    missing = np.ma.getmaskarray(column)
    if missing.all():
        return "", []
    unit = "" if sql not in _COUNTS else "i" if integers else ".0"
    values = np.ma.getdata(column).tolist()
    if not missing.any() and values.count(values[0]) == len(values) and sql != FIGURES:
        return f",{name}={_TEXTS[sql](values[:1])[0]}{unit}".replace("%", "%%"), []
    texts = _TEXTS[sql](values)
    if not missing.any() and sql != FIGURES:
        return f",{name}=%s{unit}", [texts]
    start = "" if sql == FIGURES else f",{name}="
    return "%s", [["" if no else f"{start}{text}{unit}" for no, text in zip(missing.tolist(), texts, strict=True)]]


def _reals(values: Sequence[float]) -> list[str]:
    return to_json(values).decode()[1:-1].split(",")  # Python itself takes six times as long for a number


def _truths(values: Sequence[bool]) -> list[str]:
    return ["true" if value else "false" for value in values]


def _texts(values: Sequence[str | None]) -> list[str]:
    return _distinct(values, lambda value: f'"{value.translate(_TEXT)}"')


def _figures(values: Sequence[Mapping[str, float] | None]) -> list[str]:
    return ["".join(f",figures.{name}={value!r}" for name, value in (one or {}).items()) for one in values]


def _lengths(values: Sequence[str | None]) -> list[int]:
    return [len(from_json(value)) if value else 0 for value in values]


def _distinct(values: Sequence[str | None], text: Callable[[str], str]) -> list[str]:
    """The text of each value; few are different."""
    made = {value: text(value) if value is not None else "" for value in set(values)}
    return [made[value] for value in values]


_LENGTH = "length of a list"
_COUNTS = ("BIGINT", _LENGTH)
# SQL type → the texts of a field's values, and whatever where there is none.
_TEXTS: Mapping[str, Callable[[Sequence[Any]], Sequence[Any]]] = {
    "BIGINT": lambda values: values,
    _LENGTH: _lengths,
    "DOUBLE": _reals,
    "BOOLEAN": _truths,
    "VARCHAR": _texts,
    FIGURES: _figures,
}


def _times(columns: Mapping[str, Column]) -> Iterator[int]:
    """Nanoseconds since 1970. Times beyond the year 2262 are for the server to refuse."""
    microseconds = columns["at"].astype("datetime64[us]").astype(np.int64).tolist()
    digits = cache(_digits)
    for at, boot, seq in zip(microseconds, columns["boot"].tolist(), columns["seq"].tolist(), strict=True):
        yield at * 1000 + digits(boot, seq)


def _digits(boot: str, seq: int) -> int:
    found = hashlib.md5(f"{boot}:{seq}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(found[8:], "little") % 1000


def _fields(kind: str) -> Iterator[tuple[str, str]]:
    """Each field's name and type."""
    table = TABLES[kind]
    types = {**{name: field.sql for name, field in table.fields.items()}, **table.extra}
    return ((name, _LENGTH if name in table.nested else sql) for name, sql in types.items() if name not in _TAGS[kind])
