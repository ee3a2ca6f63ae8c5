"""Columns as text, row by row, by DuckDB: without the interpreter's lock, so that the event loop goes on meanwhile.

A room of its own, as what it writes is links, routes and metrics. It keeps no data: a database in memory is the writer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import duckdb
import numpy.typing as npt

_ROWS: Final = 250  # in a piece
_MEMORY_MB: Final = 256

Columns = Mapping[str, npt.NDArray[Any]]


def number(name: str, kind: str = "DOUBLE") -> str:
    """The SQL of a number as JSON; NULL where the column has NaN or infinity."""
    return f'to_json((CASE WHEN isfinite("{name}") THEN "{name}" END)::{kind})'


def text(name: str) -> str:
    """The SQL of a text as JSON; NULL where the column has None."""
    return f'to_json("{name}")'


def json_object(fields: Mapping[str, str | None]) -> str:
    """The SQL of an object of these fields, in order: what each is as SQL of its JSON, or None where no row has any."""
    parts, constant = [], "{"
    for place, (name, sql) in enumerate(fields.items()):
        constant += f'{"," if place else ""}"{name}":'
        if sql is None:  # written once, with what stands beside it
            constant += "null"
            continue
        parts += [f"'{constant}'", f"coalesce(({sql})::VARCHAR, 'null')"]
        constant = ""
    parts.append(f"'{constant}}}'")
    return f"concat({', '.join(parts)})"


def row_texts(columns: Columns, sql: str, between: bytes = b"") -> Iterator[bytes]:
    """The text that each row is by `sql` over the columns, in order, some rows at a time, with `between` all of them.

    Columns are numbers, or objects that are texts and None. Blocks. Raises duckdb.Error.
    """
    with _database().cursor() as connection:
        connection.register("given", dict(columns))
        found = connection.execute(f"SELECT encode({sql}) FROM given")  # noqa: S608 - ours
        before = b""
        while rows := found.fetchmany(_ROWS):
            yield before + between.join([row for (row,) in rows])
            before = between


@cache
def _database() -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    database.execute("SET threads = 1")  # the one that asks: rows keep their order
    database.execute(f"SET memory_limit = '{_MEMORY_MB}MB'")
    return database
