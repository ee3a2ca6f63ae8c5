"""What a sink has still to write: the journal's rows after its cursor, as batches."""

from __future__ import annotations

import secrets
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import duckdb

from collector.sinks import sink_ledger
from collector.sinks.set_aside import SentAgain, SetAside
from collector.store.columns import TABLES, Column, recorded, sound
from collector.store.database import Database
from collector.store.outbox_ledger import Outbox
from collector.store.packed_delays import stored_in
from linkweather.containment import contained
from linkweather.sink import ExportedRow, RowRefusal

Numbers = tuple[int, int]  # the first row and the last


@dataclass(frozen=True)
class JournalBatch:
    """A RowBatch of the journal: one kind's rows in `ranges`, of which not every number need exist."""

    database: Database
    kind: str
    stream: str
    ranges: tuple[Numbers, ...]
    checked_from: int  # rows from this number on were checked as they arrived

    @property
    def first(self) -> int:
        """The first row's number."""
        return self.ranges[0][0]

    @property
    def last(self) -> int:
        """The last row's number."""
        return self.ranges[-1][1]

    @property
    def span(self) -> int:
        """How many numbers these are; at least as many as rows."""
        return sum(last - first + 1 for first, last in self.ranges)

    @cached_property
    def outboxes(self) -> Mapping[Outbox, int]:
        """How many of the rows each outbox wrote."""
        found = self.sql(f"SELECT site, boot, count(*) FROM {self.source} GROUP BY ALL")  # noqa: S608 - our own names
        return {(site, boot): rows for site, boot, rows in found}

    def __len__(self) -> int:
        return sum(self.outboxes.values())

    def unsound(self) -> int:
        """How many of these rows no message could have: `source` leaves them out."""
        found: int = self.sql(f"SELECT count(*) FROM {self.kind} WHERE {self._among}")[0][0]  # noqa: S608 - our own names
        return found - len(self)

    @property
    def _among(self) -> str:
        # A bound on both sides reads these rows alone, however long the table is.
        return " OR ".join(f"number BETWEEN {first} AND {last}" for first, last in self.ranges)

    @property
    def source(self) -> str:
        """The rows as a table for `sql`."""
        condition = f"({self._among})"
        if self.first < self.checked_from:  # a condition of 3 ms, whatever it finds
            condition += f" AND {sound(self.kind)}"
        return f"(SELECT * FROM {self.kind} WHERE {condition})"  # noqa: S608 - names of our own

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """What DuckDB answers. Raises duckdb.Error."""
        return self.database.rows(statement)

    def rows(self) -> list[ExportedRow]:
        """The rows, typed."""
        rows = []
        for values in self.sql(self._all):
            with contained("journal row"):
                rows.append(self._row(values))
        return rows

    def columns(self) -> dict[str, Column]:
        """The rows as numpy columns, masked where a field is not set."""
        return self.database.columns(self._all, {})

    @property
    def _all(self) -> str:
        columns = ", ".join(f'"{name}"' for name in TABLES[self.kind].columns)
        return f"SELECT {columns} FROM {self.source} ORDER BY number"  # noqa: S608 - names of our own

    def part(self, start: int, stop: int) -> JournalBatch:
        """The numbers from place `start` to before place `stop`, of `span` places."""
        ranges, place = [], 0
        for first, last in self.ranges:
            inside = max(first, first + start - place), min(last, first + stop - place - 1)
            if inside[0] <= inside[1]:
                ranges.append(inside)
            place += last - first + 1
        return replace(self, ranges=tuple(ranges))

    def _row(self, values: Sequence[Any]) -> ExportedRow:
        table = TABLES[self.kind]
        number, *rest = values
        width = len(rest) - len(table.extra)
        one = recorded(table, rest[:width])
        extra = dict(zip(table.extra, rest[width:], strict=True))
        return ExportedRow(number, one.site, one.boot, one.seq, one.at, one.received_at, one.row, **extra)


class Backlog:
    """One sink's place in the journal. Any thread may call; raises duckdb.Error when the disk fails."""

    def __init__(self, database: Database, sink: str) -> None:
        self._database = database
        self._sink = sink
        with database.transaction() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS sink_streams (sink VARCHAR, stream VARCHAR)")
            self._stream = _stream(connection, sink)
            for kind in TABLES:
                # From now on retention keeps what this sink has still to write.
                connection.execute(
                    "INSERT INTO cursors SELECT $sink, $kind, 0 WHERE NOT EXISTS "
                    "(FROM cursors WHERE exporter = $sink AND kind = $kind)",
                    {"sink": sink, "kind": kind},
                )
            sink_ledger.create(connection, sink)
        # Rows of before may be another version's; those that come are of messages that were checked.
        self._checked_from = {
            kind: 1 + (database.rows(f"SELECT max(number) FROM {kind}")[0][0] or 0)  # noqa: S608 - names of our own
            for kind in TABLES
        }
        self._waiting: dict[str, Numbers] = {}  # the first row after a cursor of before, and the newest
        database.remember(self._read_cursors)  # again where a failed write may be in the file after all
        self.set_aside = SetAside(database, sink)

    def next(self, kind: str, limit: int) -> JournalBatch | None:
        """The next rows of this kind after the cursor, at most `limit`; None when there are none."""
        cursor = self._cursors[kind]
        first, newest = self._waiting.get(kind, (0, 0))
        if newest < cursor + limit:  # as far as is known
            sql = f"SELECT min(number), max(number) FROM {stored_in(kind)} WHERE number > ?"  # noqa: S608 - our own names
            first, newest = self._database.rows(sql, [cursor])[0]
            if first is None:
                return None
            self._waiting[kind] = first, newest
        # Numbers are dense but where retention has deleted.
        first = max(first, cursor + 1)
        return self._batch(kind, (first, min(newest, first + limit - 1)))

    def _batch(self, kind: str, *ranges: Numbers) -> JournalBatch:
        return JournalBatch(self._database, kind, self._stream, ranges, self._checked_from[kind])

    def cursor(self, kind: str) -> int:
        """The number of the last row of this kind that is written, or set aside; 0 at first."""
        return self._cursors[kind]

    def _read_cursors(self) -> None:
        found = self._database.rows("SELECT kind, number FROM cursors WHERE exporter = ?", [self._sink])
        self._cursors: dict[str, int] = dict(found)

    def advance(self, batch: JournalBatch, refusals: Sequence[RowRefusal], at: datetime) -> None:
        """Remember that a batch is written, but for these rows, which are set aside."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE cursors SET number = ? WHERE exporter = ? AND kind = ?", [batch.last, self._sink, batch.kind]
            )
            sink_ledger.count_passed(connection, self._sink, batch.outboxes)
            self.set_aside.add(connection, batch.kind, refusals, at)
        self._cursors[batch.kind] = batch.last

    def again(self, limit: int) -> tuple[JournalBatch, SentAgain] | None:
        """Rows that were set aside and are to be sent again, about `limit`, and what named them."""
        found = self.set_aside.wanted(limit)
        return None if found is None else (self._batch(found.kind, *found.ranges), found)

    def lag_rows(self) -> int:
        """How many rows wait to be written, of all kinds."""
        return sum(
            self._database.rows(f"SELECT count(*) FROM {kind} WHERE number > ?", [self.cursor(kind)])[0][0]  # noqa: S608
            for kind in TABLES
        )


def _stream(connection: duckdb.DuckDBPyConnection, sink: str) -> str:
    found = connection.execute("SELECT stream FROM sink_streams WHERE sink = ?", [sink]).fetchone()
    if found:
        return str(found[0])
    stream = secrets.token_hex(4)
    connection.execute("INSERT INTO sink_streams VALUES (?, ?)", [sink, stream])
    return stream


def removed_lags(database: Database, configured: Container[str]) -> dict[str, int]:
    """The rows that retention keeps for each sink that has a cursor and is no longer configured."""
    lags: dict[str, int] = {}
    for sink, kind, cursor in database.rows("SELECT exporter, kind, number FROM cursors ORDER BY exporter"):
        if sink not in configured and kind in TABLES:
            lag_rows = database.rows(f"SELECT count(*) FROM {kind} WHERE number > ?", [cursor])[0][0]  # noqa: S608
            lags[sink] = lags.get(sink, 0) + lag_rows
    return lags


def forget(database: Database, sink: str) -> None:
    """Let go of a removed sink's cursors, and of all that is kept for it."""
    with database.transaction() as connection:
        connection.execute("DELETE FROM cursors WHERE exporter = ?", [sink])
        for table in ("sink_streams", "set_aside_rows", "sink_drops", "sink_passed", "sink_missed", "sink_begun"):
            connection.execute(f"DELETE FROM {table} WHERE sink = ?", [sink])  # noqa: S608 - names of our own
