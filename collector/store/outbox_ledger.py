"""The ledger of reports: what each boot of each site's outbox wrote, and what became of it.

The site says in its status how many numbers each boot gave, and how many reports of them wait, were dropped, refused or
filed again. The journal knows which numbers it has. The two are independent: numbers that neither speaks for are lost
reports, and `gaps` counts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from collector.store.columns import TABLES, Entry
from collector.store.database import Database, Query
from collector.store.report_keys import Range, ReportKeys
from linkweather.containment import note_overflow
from linkweather.models.ledger import OutboxLine, ReportCounts
from linkweather.wire import BootCount

Outbox = tuple[str, str]  # site, boot
# Refusals are counted for so many outboxes and reasons; those of further ones under no boot.
REFUSALS_KEPT = 10_000
REFUSALS_TABLE = "CREATE TABLE IF NOT EXISTS boot_refusals (site VARCHAR, boot VARCHAR, reason VARCHAR, rows BIGINT)"
_COUNTS = tuple(BootCount.model_fields)
_COLUMNS = ", ".join(f'"{name}"' for name in _COUNTS)
_GROWING = ("next", "dropped", "refused", "refiled", "damaged")
# What sites say of their boots is kept for so many a site; what was said last, and of what is not at rest, stays.
KEPT_BOOTS = 10_000
FEW_ROWS = 2
UNWRITTEN_BOOTS = 100_000
_DROP_BOOTS = """
    DELETE FROM boot_counts WHERE rowid IN (
        SELECT rowid FROM boot_counts QUALIFY row_number() OVER (
            PARTITION BY site ORDER BY waiting + dropped + refused + refiled + damaged > 0 DESC, rowid DESC) > ?)"""


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables; an older journal's rows are counted once."""
    known = connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'outbox_rows'").fetchall()
    connection.execute("CREATE TABLE IF NOT EXISTS outbox_rows (site VARCHAR, boot VARCHAR, rows BIGINT)")
    numbers = ", ".join(f'"{name}" BIGINT' for name in _COUNTS if name != "boot")
    connection.execute(f"CREATE TABLE IF NOT EXISTS boot_counts (site VARCHAR, boot VARCHAR, {numbers})")
    connection.execute("ALTER TABLE boot_counts ADD COLUMN IF NOT EXISTS damaged BIGINT DEFAULT 0")
    connection.execute(REFUSALS_TABLE)
    if known == [(0,)]:
        all_rows = " UNION ALL ".join(f"SELECT site, boot FROM {kind}" for kind in TABLES)  # noqa: S608
        connection.execute(f"INSERT INTO outbox_rows SELECT site, boot, count(*) FROM ({all_rows}) GROUP BY ALL")  # noqa: S608


def count_rows(connection: duckdb.DuckDBPyConnection, entries: Iterable[Entry]) -> None:
    """Count the rows of new reports, in the transaction that commits them."""
    rows: Counter[tuple[str, ...]] = Counter()
    for entry in entries:
        rows[entry.site, entry.report.boot] += len(entry.report.rows)
    add_counts(connection, "outbox_rows", ("site", "boot"), rows)


def count_refusals(connection: duckdb.DuckDBPyConnection, refusals: Iterable[tuple[str, str, str]]) -> None:
    """Count refusals by site, boot and reason, in a transaction of the caller's."""
    ((kept,),) = connection.execute("SELECT count(*) FROM boot_refusals").fetchall()
    full = kept >= REFUSALS_KEPT
    counts: Counter[tuple[str, ...]] = Counter((site, "" if full else boot, reason) for site, boot, reason in refusals)
    add_counts(connection, "boot_refusals", ("site", "boot", "reason"), counts)


def add_counts(
    connection: duckdb.DuckDBPyConnection, table: str, key: Sequence[str], counts: Mapping[tuple[str, ...], int]
) -> None:
    """Add `counts`, by the columns `key`, to the `rows` of a small table; a new key becomes a row."""
    if not counts:
        return
    columns = dict(zip(key, (np.array(column, dtype=object) for column in zip(*counts, strict=True)), strict=True))
    columns["rows"] = np.array(list(counts.values()), dtype=np.int64)
    if update_rows(connection, table, key, f"rows = {table}.rows + {{rows}}", columns) < len(counts):
        connection.register("batch", columns)
        connection.execute(f"INSERT INTO {table} BY NAME FROM batch ANTI JOIN {table} USING ({', '.join(key)})")


def update_rows(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    key: Sequence[str],
    change: str,
    columns: Mapping[str, NDArray[Any]],
) -> int:
    """Change the rows of a table that have the keys of `columns`; how many there are of them.

    `change` has the other columns' names in braces. Few rows are changed one by one: to plan a join takes as long as
    three of them.
    """

    def statement(value: str, source: str = "") -> str:
        same = " AND ".join(f"{table}.{name} = {value.format(name)}" for name in key)
        changed = change.format_map({name: value.format(name) for name in columns})
        return f"UPDATE {table} SET {changed} {source} WHERE {same}"  # noqa: S608 - names of our own

    if len(columns[key[0]]) <= FEW_ROWS:
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        each = [dict(zip(columns, row, strict=True)) for row in rows]
        return sum(connection.execute(statement("${}"), row).fetchall()[0][0] for row in each)
    connection.register("batch", dict(columns))
    ((changed,),) = connection.execute(statement("batch.{}", "FROM batch")).fetchall()
    return int(changed)


class OutboxLedger:
    """What the sites say, and the lines. `said` is called on the event loop; the others block, on any thread.

    What is said is in memory, and in the file as of the last `write`. Raises duckdb.Error when the disk fails.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._said: dict[Outbox, BootCount] = {}

    def said(self, site: str, counts: Sequence[BootCount]) -> None:
        """Take over what a site's status says of its boots; beyond UNWRITTEN_BOOTS new ones are dropped and counted."""
        for count in counts:
            before = self._said.get((site, count.boot))
            if before is not None or len(self._said) < UNWRITTEN_BOOTS:
                self._said[site, count.boot] = _since(before or count, count)
            else:
                note_overflow("ledger boots")

    def write(self) -> None:
        """Write what was said since the last time."""
        said = dict(self._said)
        if not said:
            return
        with self._database.transaction() as connection:
            for (site, boot), count in said.items():
                found = connection.execute(
                    f"DELETE FROM boot_counts WHERE site = ? AND boot = ? RETURNING {_COLUMNS}",  # noqa: S608
                    [site, boot],
                ).fetchall()
                values = _since(_count(found[0]) if found else count, count).model_dump()
                connection.execute(
                    f"INSERT INTO boot_counts VALUES (?, {', '.join('?' * len(_COUNTS))})",  # noqa: S608
                    [site, *(values[name] for name in _COUNTS)],
                )
            ((gone,),) = connection.execute(_DROP_BOOTS, [KEPT_BOOTS]).fetchall()
        if gone:
            note_overflow("ledger boots", gone)
        for outbox, count in said.items():
            if self._said.get(outbox) is count:
                del self._said[outbox]

    def lines(self, query: Query) -> list[OutboxLine]:
        """A line for each boot that is known of, by site and boot."""
        said = dict(self._said)
        for site, *values in query(f"SELECT site, {_COLUMNS} FROM boot_counts"):  # noqa: S608
            count = _count(values)
            said[site, count.boot] = _since(count, said.get((site, count.boot), count))
        ranges: dict[Outbox, list[Range]] = {}
        keys = query("SELECT site, boot, first, last FROM received ORDER BY ALL")
        for one in ReportKeys((site, boot, first, last) for site, boot, first, last in keys).ranges():
            ranges.setdefault(one[:2], []).append(one)
        rows = {(site, boot): count for site, boot, count in query("FROM outbox_rows")}
        reasons: dict[Outbox, dict[str, int]] = {}
        for site, boot, reason, reports in query("FROM boot_refusals"):
            reasons.setdefault((site, boot), {})[reason] = reports
        return [
            outbox_line(
                outbox,
                ranges.get(outbox, []),
                said.get(outbox),
                rows=rows.get(outbox, 0),
                refused=reasons.get(outbox, {}),
            )
            for outbox in sorted({*said, *ranges, *reasons})
        ]


def outbox_line(
    outbox: Outbox, ranges: Sequence[Range], said: BootCount | None, *, rows: int, refused: Mapping[str, int]
) -> OutboxLine:
    """Compare what the journal has of one boot, its ranges in order, with what the site says."""
    site, boot = outbox
    if said is None:
        first, end = (ranges[0][2], ranges[-1][3] + 1) if ranges else (0, 0)
        said = BootCount(boot=boot, first=first, next=end)
    first = min([said.first, *(one[2] for one in ranges[:1])])
    end = max([said.next, *(one[3] + 1 for one in ranges[-1:])])
    committed = _numbers(ranges, end)
    left = end - first - committed
    # A report that was dropped or refused may be in the journal all the same, where a receipt was lost.
    parts = {}
    for name in ("refused", "refiled", "damaged", "dropped"):
        parts[name] = min(getattr(said, name), left)
        left -= parts[name]
    # What is numbered since the status, and is not here yet, is on its way.
    unsaid = (end - said.next) - (committed - _numbers(ranges, said.next))
    waiting = min(left, said.waiting + unsaid)
    return OutboxLine(
        site=site,
        boot=boot,
        rows=rows,
        written=end - first,
        committed=committed,
        waiting=waiting,
        gaps=left - waiting,
        **parts,
        conflicts=refused.get("conflict", 0),
        refused_by_reason={reason: count for reason, count in refused.items() if reason != "conflict"},
    )


def total(lines: Sequence[OutboxLine]) -> ReportCounts:
    """The sum of all lines."""
    return ReportCounts(**{name: sum(getattr(line, name) for line in lines) for name in ReportCounts.model_fields})


def _count(values: Sequence[Any]) -> BootCount:
    return BootCount.model_validate(dict(zip(_COUNTS, values, strict=True)))


def _since(before: BootCount, now: BootCount) -> BootCount:
    """What is said now, with the numbers that were given by then, and what was let go of by then.

    An outbox that went back in time knows nothing of these; what of them is not in the journal is a gap.
    """
    return now.model_copy(update={name: max(getattr(before, name), getattr(now, name)) for name in _GROWING})


def _numbers(ranges: Iterable[Range], end: int) -> int:
    """How many numbers below `end` the ranges have."""
    return sum(min(last + 1, end) - first for _, _, first, last in ranges if first < end)
