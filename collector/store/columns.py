"""The journal's tables: their columns, and message rows as numpy columns. Pure.

A table follows its message: after the columns that every row has comes one per field, with the field's name and unit.
A nested field (a path's hops, outages) is kept as JSON text. NULL is a field that was not set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import itemgetter
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from linkweather.containment import contained
from linkweather.wire import (
    AnyReport,
    DeviceRow,
    LatencyRow,
    Message,
    PathRow,
    RefusedRow,
    ThroughputRow,
)
from linkweather.wire.fields import FIRST_MOMENT, LAST_MOMENT

Column = NDArray[Any]

FIGURES = "MAP(VARCHAR, DOUBLE)"  # a prober's own figures, by name

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One report of `site`, and when it arrived; `refused` are the rows that it came with and that cannot be."""

    site: str
    report: AnyReport
    received_at: datetime
    refused: tuple[RefusedRow, ...] = ()


AnyRow = TypeVar("AnyRow", bound=Message)


@dataclass(frozen=True, slots=True)
class Recorded(Generic[AnyRow]):
    """One row, read from the journal, and which report it came in."""

    site: str
    boot: str
    seq: int
    at: datetime
    received_at: datetime
    row: AnyRow


@dataclass(frozen=True, slots=True)
class FieldType:
    """How values of one Python type become a column; those of a nested one are read back by `nested`."""

    sql: str
    column: Callable[[Sequence[Any]], Column]
    nested: Callable[[str], Any] | None = None


def _integers(values: Sequence[int | None]) -> Column:
    try:
        return np.array(values, dtype=np.int64)
    except TypeError:  # some are None; through a float, counts above 2^53 would change
        missing = [value is None for value in values]
        return np.ma.masked_array(np.array([value or 0 for value in values], dtype=np.int64), mask=missing)


def _reals(values: Sequence[float | None]) -> Column:
    column = np.array(values, dtype=np.float64)
    missing = np.isnan(column)  # numpy turns None into NaN; messages hold no NaN
    return np.ma.masked_array(column, mask=missing) if missing.any() else column


def texts(values: Sequence[str | None]) -> Column:
    """A column of texts."""
    return np.array(values, dtype=object)


def _truths(values: Sequence[bool]) -> Column:
    return np.array(values, dtype=np.bool_)


def _figures(values: Sequence[Mapping[str, float] | None]) -> Column:
    """Maps in the text form that DuckDB reads as one; the names are such that none needs quotes."""
    texts = [
        None if value is None else f"{{{', '.join(f'{name}={number!r}' for name, number in value.items())}}}"
        for value in values
    ]
    return np.array(texts, dtype=object)


def _nested(annotation: Any) -> FieldType:
    adapter = TypeAdapter(annotation)

    def column(values: Sequence[Any]) -> Column:
        texts = [None if value is None else adapter.dump_json(value, exclude_none=True).decode() for value in values]
        return np.array(texts, dtype=object)

    return FieldType("VARCHAR", column, adapter.validate_json)


_TYPES: Mapping[Any, FieldType] = {
    int: FieldType("BIGINT", _integers),
    float: FieldType("DOUBLE", _reals),
    str: FieldType("VARCHAR", texts),
    Literal: FieldType("VARCHAR", texts),
    bool: FieldType("BOOLEAN", _truths),
    dict: FieldType(FIGURES, _figures),
}


def _field_type(annotation: Any) -> FieldType:
    """The type below `… | None` and `Annotated[…]`; a type without a column fails at import."""
    if get_origin(annotation) is tuple:
        return _nested(annotation)
    found = _TYPES.get(annotation) or _TYPES.get(get_origin(annotation))
    return found or _field_type(get_args(annotation)[0])


@dataclass(frozen=True, slots=True)
class JournalTable(Generic[AnyRow]):
    """One kind's table: its message and the types of the message's fields, in order."""

    kind: str
    row: type[AnyRow]
    fields: Mapping[str, FieldType]
    extra: Mapping[str, str]  # what the collector adds: column → SQL type
    nested: Mapping[str, Callable[[str], Any]]  # fields that are kept as JSON text, and how they are read

    @property
    def columns(self) -> dict[str, str]:
        """Every column with its SQL type, in order."""
        return {**_COMMON, **{name: kind.sql for name, kind in self.fields.items()}, **self.extra}


# `number` counts the rows of a table from 1, in the order of commit: cursors point at it.
_COMMON: Mapping[str, str] = {
    "number": "BIGINT",
    "site": "VARCHAR",
    "boot": "VARCHAR",
    "seq": "BIGINT",
    "at": "TIMESTAMP",
    "received_at": "TIMESTAMP",
}

# When a row's measurement ended, by a clock that is not ahead of ours: SQL.
MEASURED_AT = 'least("at", received_at)'
# Which report a row came in.
REPORT_COLUMNS = tuple(name for name in _COMMON if name != "number")


def _table(kind: str, row: type[AnyRow], **extra: str) -> JournalTable[AnyRow]:
    fields = {name: _field_type(field.annotation) for name, field in row.model_fields.items()}
    nested = {name: field.nested for name, field in fields.items() if field.nested}
    return JournalTable(kind, row, fields, extra, nested)


LINK_TABLES: Mapping[str, JournalTable[Any]] = {
    "latency": _table("latency", LatencyRow),
    # The fingerprint of the path at the time, if it was known when the row was committed.
    "throughput": _table("throughput", ThroughputRow, path_fingerprint="VARCHAR"),
    "path": _table("path", PathRow),
}
CAPACITY: JournalTable[DeviceRow] = _table("capacity", DeviceRow)
TABLES: Mapping[str, JournalTable[Any]] = {**LINK_TABLES, "capacity": CAPACITY}


@cache  # its text takes 30 ms to make
def sound(kind: str) -> str:
    """The SQL condition that holds for rows within the bounds of their message: what a journal holds may be older.

    It asks for what is required, for times, numbers and the lengths of texts, and looks into no text or list.
    """
    row = TABLES[kind].row
    required = [f'"{name}" IS NOT NULL' for name, field in row.model_fields.items() if field.is_required()]
    bounded: dict[str, Any] = row.model_json_schema()["properties"]
    conditions = [one for name, part in bounded.items() for one in _within(name, part)]
    envelope = [times("at"), times("received_at"), "site IS NOT NULL", "boot IS NOT NULL", "seq >= 0"]
    return " AND ".join([*envelope, *required, *conditions])


def times(name: str) -> str:
    """The SQL condition that holds where a column's time is one of a calendar in use."""
    return f"\"{name}\" BETWEEN '{FIRST_MOMENT:%Y-%m-%d}' AND '{LAST_MOMENT:%Y-%m-%d}'"


def _within(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    # NaN is above every number in DuckDB, and NULL above nothing.
    for one in schema.get("anyOf", [schema]):
        if "maximum" in one:
            yield f'coalesce("{name}" BETWEEN {one["minimum"]} AND {one["maximum"]}, true)'
        elif one.get("type") == "string" and "maxLength" in one:
            yield f'coalesce(length("{name}") <= {one["maxLength"]}, true)'
        elif "patternProperties" in one:
            ((least, most),) = ((one["minimum"], one["maximum"]) for one in one["patternProperties"].values())
            values = f'map_values("{name}")'
            yield f"coalesce(list_min({values}) >= {least} AND list_max({values}) <= {most}, true)"


def _report_columns(entries: Sequence[Entry]) -> dict[str, Column]:
    """The columns that all rows of a report share, one report per element."""
    return {
        "site": texts([entry.site for entry in entries]),
        "boot": texts([entry.report.boot for entry in entries]),
        "seq": _integers([entry.report.seq for entry in entries]),
        "at": moments(entry.report.at for entry in entries),
        "received_at": moments(entry.received_at for entry in entries),
    }


def row_columns(table: JournalTable[Any], entries: Sequence[Entry], first_number: int) -> dict[str, Column]:
    """The rows of reports of one kind. Fields that no row sets are left out."""
    # A model's own dictionary holds every field, and is read in half the time that attributes take.
    fields = [row.__dict__ for entry in entries for row in entry.report.rows]
    values = zip(*map(itemgetter(*table.fields), fields), strict=True)
    rows = [len(entry.report.rows) for entry in entries]
    return {
        "number": np.arange(first_number, first_number + len(fields)),
        **{name: np.repeat(column, rows) for name, column in _report_columns(entries).items()},
        **{
            name: kind.column(column)
            for (name, kind), column in zip(table.fields.items(), values, strict=True)
            if column[0] is not None or column.count(None) < len(column)
        },
    }


def readable(table: JournalTable[AnyRow], rows: Iterable[Sequence[Any]]) -> Iterator[Recorded[AnyRow]]:
    """The rows that can be read, of (site, at, fields in order); others are counted and left out."""
    for values in rows:
        with contained("journal row"):
            yield recorded(table, values)


def recorded(table: JournalTable[AnyRow], values: Sequence[Any]) -> Recorded[AnyRow]:
    """The message that a row (REPORT_COLUMNS, fields in order) was made from."""
    site, boot, seq, at, received_at, *fields = values
    given = {name: value for name, value in zip(table.fields, fields, strict=True) if value is not None}
    for name in table.nested.keys() & given.keys():
        given[name] = table.nested[name](given[name])
    # The row was validated on arrival: validating it again would take ten times as long.
    row: Any = table.row.model_construct(**given)
    return Recorded(site, boot, seq, at.replace(tzinfo=UTC), received_at.replace(tzinfo=UTC), row)


def microseconds(at: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def naive(at: datetime) -> datetime:
    """UTC without its zone, as the journal's TIMESTAMP columns hold it."""
    return at.astimezone(UTC).replace(tzinfo=None)


def moments(times: Iterable[datetime]) -> Column:
    """A column of times, in UTC to the microsecond."""
    return np.array([microseconds(at) for at in times], dtype=np.int64).view("datetime64[us]")
