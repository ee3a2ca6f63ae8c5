"""Columns as JSON objects, made by DuckDB: without the interpreter's lock, so that the event loop goes on meanwhile.

A room of its own, as what it encodes is links as well as routes. It keeps no data: a database in memory is the encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import duckdb
import numpy.typing as npt

_OBJECTS: Final = 250  # in a piece
_MEMORY_MB: Final = 256

Columns = Mapping[str, npt.NDArray[Any]]


def number(name: str, kind: str = "DOUBLE") -> str:
    """The SQL of a number that is null where the column has NaN or infinity."""
    return f'(CASE WHEN isfinite("{name}") THEN "{name}" END)::{kind}'


def json_objects(columns: Columns, fields: Mapping[str, str]) -> Iterator[bytes]:
    """An object a row, in order, some rows at a time, with a comma between all of them.

    `fields` are the objects' fields, in order, and what each is as SQL over `columns`: numbers, or objects that are
    texts and None. Blocks. Raises duckdb.Error.
    """
    struct = ", ".join(f'"{name}": {sql}' for name, sql in fields.items())
    with _database().cursor() as connection:
        connection.register("given", dict(columns))
        found = connection.execute(f"SELECT encode(to_json({{{struct}}})::VARCHAR) FROM given")  # noqa: S608 - ours
        comma = b""
        while rows := found.fetchmany(_OBJECTS):
            yield comma + b",".join(row for (row,) in rows)
            comma = b","


@cache
def _database() -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    database.execute("SET threads = 1")  # the one that asks: rows keep their order
    database.execute(f"SET memory_limit = '{_MEMORY_MB}MB'")
    return database
