"""Rolls rows up into minutes and hours, sorts old roll-ups by link, and deletes minutes that are too old.

Everything is done in slices, between which commits come: `roll`, `sort` and `prune` give one at each step. What a
slice adds is worked out beside the commits; its transaction, of some milliseconds, only puts it in its place.

*Exactly the rows of the record.* Rows are taken by their numbers, a stretch at a time, and the transaction that adds
the parts of some sources also says in `rolled` that they are added: a crash at any moment costs nothing, and adds
nothing twice. A row that comes late has a new number, and adds a part to its old minute. Retention deletes no row that
is not rolled up.

*Sorted by link.* A stretch is an hour of rows, or fewer, so that a link's minutes lie in as many places. Once three
days, or a month of hours, are over, their lines are written anew, sorted by link and added up: DuckDB then reads one
link of any span by few blocks, and packs it well. The old lines fill whole row groups, which a checkpoint frees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from collector.store import roll_up_tables
from collector.store.columns import naive
from collector.store.database import Database
from collector.store.roll_up_tables import FIGURES, MINUTES, RESOLUTIONS, Resolution

STRETCH_ROWS: Final = 2_000_000
SLICE_ROWS: Final = 10_000  # of the journal, in one transaction
SLICE_LINES: Final = 20_000  # of a roll-up
LATE: Final = timedelta(hours=2)  # a period is sorted so long after its end: what comes later stays as further parts

# The links from one to another, by their order; by the sources alone DuckDB knows which blocks hold them.
_BETWEEN: Final = "src BETWEEN ? AND ? AND (src > ? OR dst >= ?) AND (src < ? OR dst <= ?)"


class _RowRange(NamedTuple):
    """Rows that are being rolled up: their first and last number, and up to which source that is done."""

    first: int
    last: int
    src: str


class RollUps:
    """The roll-ups in a journal's database. One caller at a time; raises duckdb.Error when the disk fails."""

    def __init__(self, database: Database, minute_days: float) -> None:
        self._database = database
        self._minute_days = minute_days

    def steps(self, now: datetime) -> Iterator[int]:
        """All that is to be done now, a slice at each step, which says how many lines it deleted for good."""
        yield from self.roll(now)
        yield from self.sort(now)
        yield from self.prune(now)

    def roll(self, now: datetime) -> Iterator[int]:
        """Roll up the rows that arrived before this hour, and before that whole stretches of rows."""
        hour = naive(now).replace(minute=0, second=0, microsecond=0)
        for kind in FIGURES:
            while (stretch := self._stretch(kind, hour)) is not None:
                for slice_ in self._slices(kind, stretch):
                    self._roll(kind, stretch, *slice_)
                    yield 0
                with self._database.transaction() as connection:
                    connection.execute(
                        "UPDATE rolled SET number = upto, upto = NULL, src = NULL WHERE kind = ?", [kind]
                    )

    def sort(self, now: datetime) -> Iterator[int]:
        """Sort the lines of the periods that are over."""
        for kind in FIGURES:
            for resolution in RESOLUTIONS:
                yield from self._sort(kind, resolution, naive(now) - LATE)

    def prune(self, now: datetime) -> Iterator[int]:
        """Delete the minutes that are too old; with infinite `minute_days`, none."""
        if math.isinf(self._minute_days):
            return
        before = naive(now) - timedelta(days=self._minute_days)
        for table in map(MINUTES.table, FIGURES):
            for link in self._chunks(table, '"at" < ?', [before]):
                which = f'"at" < ? AND {_BETWEEN}'
                with self._database.transaction() as connection:
                    statement = f"DELETE FROM {table} WHERE {which}"  # noqa: S608 - names of our own
                    ((deleted,),) = connection.execute(statement, [before, *link]).fetchall()
                yield deleted

    def _stretch(self, kind: str, hour: datetime) -> _RowRange | None:
        """The stretch that was begun, or the next one; None where too few rows wait."""
        ((number, upto, src),) = self._database.rows("SELECT number, upto, src FROM rolled WHERE kind = ?", [kind])
        if upto is None:
            upto = self._next_end(kind, number, hour)
            if upto is None:
                return None
            with self._database.transaction() as connection:
                connection.execute("UPDATE rolled SET upto = ?, src = '' WHERE kind = ?", [upto, kind])
        return _RowRange(number + 1, upto, src or "")

    def _next_end(self, kind: str, number: int, hour: datetime) -> int | None:
        # Numbers are dense but where retention has deleted.
        ((first,),) = self._database.rows(f"SELECT min(number) FROM {kind} WHERE number > ?", [number])  # noqa: S608
        if first is None:
            return None
        ((sources,),) = self._database.rows(
            f"SELECT count(DISTINCT src) FROM {kind} WHERE number BETWEEN ? AND ?",  # noqa: S608 - names of our own
            [first, first + SLICE_ROWS - 1],
        )
        most = min(STRETCH_ROWS, SLICE_ROWS * sources)  # a source's rows of a stretch are one slice at least
        ((newest, over),) = self._database.rows(
            f"SELECT max(number), max(number) FILTER (received_at < ?) FROM {kind} WHERE number BETWEEN ? AND ?",  # noqa: S608
            [hour, first, first + most - 1],
        )
        end: int | None = newest if newest - first == most - 1 else over
        return end

    def _slices(self, kind: str, stretch: _RowRange) -> Iterator[tuple[str, str]]:
        """The first and the last source of each slice."""
        found = self._database.rows(
            f"""SELECT src, count(*) FROM {kind} WHERE number BETWEEN ? AND ? AND src > ?
                GROUP BY src ORDER BY src""",  # noqa: S608 - names of our own
            list(stretch),
        )
        for (first,), (last,) in _chunked(found, SLICE_ROWS):
            yield first, last

    def _roll(self, kind: str, stretch: _RowRange, first: str, last: str) -> None:
        which = "number BETWEEN ? AND ? AND src BETWEEN ? AND ?"
        parts = {f"new_{each.name}": roll_up_tables.parts_of_rows(kind, each.step_s, which) for each in RESOLUTIONS}
        with self._database.prepared(parts, [stretch.first, stretch.last, first, last]) as connection:
            for each in RESOLUTIONS:
                connection.execute(f"INSERT INTO {each.table(kind)} BY NAME FROM new_{each.name}")
            connection.execute("UPDATE rolled SET src = ? WHERE kind = ?", [last, kind])

    def _sort(self, kind: str, resolution: Resolution, over: datetime) -> Iterator[int]:
        table, period = resolution.table(kind), timedelta(seconds=resolution.sorted_by_s)
        while (place := self._unsorted(table, period)) is not None and place[0] + period <= over:
            since, *done = place
            within = '"at" >= ? AND "at" < ?'
            limits = [since, since + period]
            for link in self._chunks(
                table, f"{within} AND (src > ? OR src = ? AND dst > ?)", [*limits, done[0], *done]
            ):
                self._sort_slice(kind, table, f"{within} AND {_BETWEEN}", [*limits, *link])
                yield 0
            with self._database.transaction() as connection:
                connection.execute(
                    "UPDATE sorted SET before = ?, src = '', dst = '' WHERE name = ?", [since + period, table]
                )

    def _unsorted(self, table: str, period: timedelta) -> tuple[datetime, str, str] | None:
        """The beginning of the first period that is not sorted, and the link up to which it is."""
        found = self._database.rows("SELECT before, src, dst FROM sorted WHERE name = ?", [table])
        before = found[0][0] if found else datetime.min  # noqa: DTZ901 - compared in DuckDB, without a zone
        ((oldest,),) = self._database.rows(f'SELECT min("at") FROM {table} WHERE "at" >= ?', [before])  # noqa: S608
        if oldest is None:
            return None
        epoch = datetime(1970, 1, 1)  # noqa: DTZ001 - as DuckDB has it
        since = epoch + (oldest - epoch) // period * period
        if found and since == before:
            return since, found[0][1], found[0][2]
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM sorted WHERE name = ?", [table])
            connection.execute("INSERT INTO sorted VALUES (?, ?, '', '')", [table, since])
        return since, "", ""

    def _sort_slice(self, kind: str, table: str, which: str, values: Sequence[Any]) -> None:
        lines = f"SELECT * FROM {table} WHERE {which}"  # noqa: S608 - names of our own
        sorted_ = roll_up_tables.added_up(kind, lines, 'src, dst, "at"')
        with self._database.prepared({"sorting": sorted_}, values) as connection:
            connection.execute(f"DELETE FROM {table} WHERE {which}", values)  # noqa: S608
            connection.execute(f"INSERT INTO {table} BY NAME FROM sorting")
            connection.execute("UPDATE sorted SET src = ?, dst = ? WHERE name = ?", [*values[-2:], table])

    def _chunks(self, table: str, which: str, values: Sequence[Any]) -> Iterator[tuple[str, ...]]:
        """Each slice of the lines for which `which` holds, as the values of _BETWEEN."""
        found = self._database.rows(
            f"SELECT src, dst, count(*) FROM {table} WHERE {which} GROUP BY ALL ORDER BY ALL",  # noqa: S608
            values,
        )
        for (src, dst), (last_src, last_dst) in _chunked(found, SLICE_LINES):
            yield src, last_src, src, dst, last_src, last_dst


def _chunked(counts: Sequence[tuple[Any, ...]], most: int) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Keys with their counts, in order, as ranges (first, last) of at most so many together, or of one key."""
    first, last, sum_ = (), (), 0
    for *key, count in counts:
        if last and sum_ + count > most:
            yield first, last
            last, sum_ = (), 0
        first, last, sum_ = (first if last else tuple(key)), tuple(key), sum_ + count
    if last:
        yield first, last
