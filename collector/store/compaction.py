"""Gives space back to the disk beside commits: a journal of which most is free is written anew, and takes its place.

DuckDB fills the blocks of deleted rows with later ones, and never returns them. So where much is free, all tables are
copied into another file:

1. The large tables, which are only appended to, by slices outside any lock, and then what was committed meanwhile.
2. With readers and writers held up, the rest: rows since, the small tables whole, and a count of every table.
3. The old file is closed, the copy moved in its place (`Database.exchange`), and opened.

A crash before the move leaves the old file as it was, and a copy that the next start removes; one after it, the new
file. The copy is whole and synced before it is moved, and what is acknowledged is in both.

Only retention deletes rows of the large tables: the two take turns, see `Retention`.
"""

# ruff: noqa: S608 - the names in the queries are from our tables

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Generator, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from collector.store.columns import TABLES, naive
from collector.store.database import Database, transaction_of
from collector.store.decision_log import DECISION_TABLES
from collector.store.journal_repair import copy_of, copy_views, log_of, quoted, remove_copy
from collector.store.packed_delays import stored_in
from collector.store.roll_up_tables import FIGURES, RESOLUTIONS
from linkweather.errors import RecordError

log = logging.getLogger(__name__)

FREE_BYTES: Final = 256 * 2**20
FREE_SHARE: Final = 0.5
SLICE_ROWS: Final = 122_880  # a row group of DuckDB
FEW_ROWS: Final = 20_000  # that came meanwhile, and may be copied while commits wait
TRIES: Final = 300  # to find a moment without a reader
_WRITTEN: Final = timedelta(hours=1)  # after which decisions are in the log, also where its disk failed for a while
_ROW_TABLES: Final = tuple(map(stored_in, TABLES))
MB: Final = 2**20


class _Parting(NamedTuple):
    """Which rows of a table are copied now, and which of them later. SQL."""

    now: str
    later: str


class Compaction:
    """Writes a journal's file anew where at least so many bytes, and FREE_SHARE of it, are free."""

    def __init__(self, database: Database, *, least_bytes: int = FREE_BYTES) -> None:
        self._database = database
        self._least_bytes = least_bytes

    def steps(self, now: datetime) -> Iterator[int]:
        """All that is to be done now, a slice at each step, which deletes no row.

        Raises duckdb.Error, OSError, and RecordError where the copy is not whole: the file stays as it was.
        """
        path = self._database.path
        ((free, size),) = self._database.rows(
            """SELECT free_blocks * block_size, total_blocks * block_size FROM pragma_database_size()
               WHERE database_name = current_database()"""
        )
        if free < self._least_bytes or free < FREE_SHARE * size:
            return
        if shutil.disk_usage(path.parent).free < 1.5 * (size - free):
            log.warning(
                "%d of %d MB of the journal %s are free; its disk cannot hold a copy", free // MB, size // MB, path
            )
            return
        log.info("%d of %d MB of the journal %s are free: it is written anew", free // MB, size // MB, path)
        try:
            if (yield from self._compact(now)):
                log.info("the journal %s was written anew: it has %d MB", path, path.stat().st_size // MB)
            else:
                log.warning("the journal %s is read all the time, and was not written anew", path)
        finally:
            self._clean()

    def _compact(self, now: datetime) -> Generator[int, None, bool]:
        remove_copy(self._database.path)
        copied: dict[str, _Parting] = {}
        with self._database.cursor() as cursor:
            cursor.execute(f"ATTACH '{quoted(copy_of(self._database.path))}' AS compacted")
            for table in _tables(cursor):
                if (parting := _parting(cursor, table, now)) is not None:
                    yield from _copy(cursor, table, parting.now)
                    copied[table] = parting
        for _ in range(TRIES):
            with self._database.cursor() as cursor:
                yield from _catch_up(cursor, copied, now)
            if self._database.exchange(lambda connection: _finish(connection, copied, self._database.path)):
                return True
        return False

    def _clean(self) -> None:
        # One that is closed meanwhile is cleaned by its next start.
        with contextlib.suppress(duckdb.Error, OSError), self._database.cursor() as cursor:
            cursor.execute("DETACH DATABASE IF EXISTS compacted")
            remove_copy(self._database.path)


def _tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    tables = "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() AND NOT temporary"
    return [name for (name,) in connection.execute(f"{tables} ORDER BY ALL").fetchall()]


def _parting(connection: duckdb.DuckDBPyConnection, table: str, now: datetime) -> _Parting | None:
    """None for a table that is small, or in which rows are changed."""
    if table in _ROW_TABLES:
        ((last,),) = connection.execute(f"SELECT coalesce(max(number), 0) FROM {table}").fetchall()
        return _Parting(f"number <= {last} OR number IS NULL", f"number > {last}")
    if table in DECISION_TABLES:
        written = f"TIMESTAMP '{naive(now) - _WRITTEN}'"
        return _Parting(f'"at" < {written} OR "at" IS NULL', f'"at" >= {written}')
    rolled_up = {resolution.table(kind) for kind in FIGURES for resolution in RESOLUTIONS}
    return _Parting("true", "false") if table in rolled_up else None


def _copy(connection: duckdb.DuckDBPyConnection, table: str, which: str) -> Iterator[int]:
    with transaction_of(connection):  # of one moment, in which no row changes its place
        connection.execute(f'CREATE TABLE compacted."{table}" AS FROM "{table}" LIMIT 0')
        ((last,),) = connection.execute(f'SELECT coalesce(max(rowid), -1) FROM "{table}"').fetchall()
        for first in range(0, last + 1, SLICE_ROWS):
            rows = f"rowid >= {first} AND rowid < {first + SLICE_ROWS}"
            connection.execute(f'INSERT INTO compacted."{table}" FROM "{table}" WHERE ({which}) AND {rows}')
            yield 0


def _catch_up(connection: duckdb.DuckDBPyConnection, copied: dict[str, _Parting], now: datetime) -> Iterator[int]:
    """Copy the rows that were committed meanwhile, until few are left."""
    for table in _ROW_TABLES:
        rows = FEW_ROWS
        while rows >= FEW_ROWS:
            newer = _parting(connection, table, now)
            assert newer is not None, "the table has numbers"  # noqa: S101
            which = f"{copied[table].later} AND ({newer.now})"
            ((rows,),) = connection.execute(f"INSERT INTO compacted.{table} FROM {table} WHERE {which}").fetchall()
            copied[table] = newer
            yield 0


def _finish(connection: duckdb.DuckDBPyConnection, copied: Mapping[str, _Parting], path: Path) -> None:
    with transaction_of(connection):
        for table in _tables(connection):
            if table in copied:
                connection.execute(f'INSERT INTO compacted."{table}" FROM "{table}" WHERE {copied[table].later}')
            else:
                connection.execute(f'CREATE TABLE compacted."{table}" AS FROM "{table}"')
            counts = f'(SELECT count(*) FROM "{table}"), (SELECT count(*) FROM compacted."{table}")'
            ((old, new),) = connection.execute(f"SELECT {counts}").fetchall()
            if old != new:
                raise RecordError(f"journal {path}: the copy of {table} has {new} of {old} rows: it stays as it is")
        copy_views(connection, connection.execute("SELECT current_database()").fetchall()[0][0], "compacted")
    connection.execute("CHECKPOINT compacted")
    connection.execute("DETACH compacted")
    if log_of(copy_of(path)).exists():
        raise RecordError(f"journal {path}: its copy cannot be written whole: it stays as it is")
