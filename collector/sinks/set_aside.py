"""The rows that a sink refused for good: named by their numbers, with the reason, until sent again or dropped.

The rows themselves are in the journal, for as long as its retention keeps them. What is kept here is bounded; beyond
that the oldest entries go, and are counted as dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import duckdb

from collector.store.columns import naive
from collector.store.database import Database
from linkweather.models.sink_state import SetAsideAnswer
from linkweather.sink import RowRefusal

KEPT_ENTRIES = 10_000
_REASON_CHARACTERS = 500
_AGAIN_ENTRIES = 500  # at once: a batch of so many single rows is still one short question to DuckDB


class SetAside:
    """One sink's refused rows. Any thread may call; raises duckdb.Error when the disk fails."""

    def __init__(self, database: Database, sink: str) -> None:
        self._database = database
        self._sink = sink
        with database.transaction() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS set_aside_rows (entry BIGINT, sink VARCHAR, kind VARCHAR, first BIGINT, "
                "last BIGINT, rows BIGINT, reason VARCHAR, set_aside_at TIMESTAMP, waiting BOOLEAN)"
            )
            connection.execute("CREATE TABLE IF NOT EXISTS sink_drops (sink VARCHAR, rows BIGINT)")

    def add(
        self, connection: duckdb.DuckDBPyConnection, kind: str, refusals: Sequence[RowRefusal], at: datetime
    ) -> None:
        """Keep these, within a transaction of the caller's."""
        if not refusals:
            return
        last = connection.execute("SELECT coalesce(max(entry), 0) FROM set_aside_rows").fetchone()
        entry = last[0] if last else 0
        connection.executemany(
            "INSERT INTO set_aside_rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, false)",
            [
                (number, self._sink, kind, one.first, one.last, one.rows, one.reason[:_REASON_CHARACTERS], naive(at))
                for number, one in enumerate(refusals, entry + 1)
            ],
        )
        self._bound(connection)

    def rows(self) -> int:
        """How many rows are set aside."""
        return self._sum("SELECT sum(rows) FROM set_aside_rows WHERE sink = ?")

    def dropped_rows(self) -> int:
        """How many rows were set aside once, and let go of since: on request, or beyond the bound."""
        return self._sum("SELECT sum(rows) FROM sink_drops WHERE sink = ?")

    def latest(self, limit: int) -> list[SetAsideAnswer]:
        """What was set aside last, the newest first."""
        found = self._database.rows(
            "SELECT kind, first, last, rows, reason, set_aside_at, waiting FROM set_aside_rows WHERE sink = ? "
            "ORDER BY entry DESC LIMIT ?",
            [self._sink, limit],
        )
        return [
            SetAsideAnswer(
                kind=kind, first=first, last=last, rows=rows, reason=reason, at=at.replace(tzinfo=UTC), waiting=waiting
            )
            for kind, first, last, rows, reason, at, waiting in found
        ]

    def want_again(self) -> None:
        """Have everything sent again; what is refused again is set aside again."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE set_aside_rows SET waiting = true WHERE sink = ?", [self._sink])

    def wanted(self, limit: int) -> tuple[str, tuple[tuple[int, int], ...], list[int]] | None:
        """What is to be sent again next: a kind, ranges of its numbers, about `limit` of them, and their entries."""
        found = self._database.rows(
            "SELECT kind, first, last, entry FROM set_aside_rows WHERE sink = ? AND waiting "
            "ORDER BY kind, first LIMIT ?",
            [self._sink, _AGAIN_ENTRIES],
        )
        if not found:
            return None
        kind, numbers = found[0][0], 0
        ranges: list[tuple[int, int]] = []
        entries: list[int] = []
        for _, first, last, entry in (one for one in found if one[0] == kind):
            if entries and numbers + last - first + 1 > limit:
                break
            numbers += last - first + 1
            ranges.append((first, last))
            entries.append(entry)
        return kind, tuple(_joined(ranges)), entries

    def settle(self, kind: str, entries: Sequence[int], refusals: Sequence[RowRefusal], at: datetime) -> None:
        """Replace entries that were sent again by what was refused again."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM set_aside_rows WHERE list_contains($entries, entry)", {"entries": entries})
            self.add(connection, kind, refusals, at)

    def keep(self, entries: Sequence[int], reason: str) -> None:
        """Leave entries set aside, for this reason now: nothing of them was taken."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE set_aside_rows SET waiting = false, reason = $reason WHERE list_contains($entries, entry)",
                {"entries": entries, "reason": reason[:_REASON_CHARACTERS]},
            )

    def drop(self) -> int:
        """Let go of everything; returns how many rows that were."""
        with self._database.transaction() as connection:
            rows = self.rows()
            connection.execute("DELETE FROM set_aside_rows WHERE sink = ?", [self._sink])
            connection.execute("INSERT INTO sink_drops VALUES (?, ?)", [self._sink, rows])
        return rows

    def _bound(self, connection: duckdb.DuckDBPyConnection) -> None:
        oldest = "SELECT entry FROM set_aside_rows WHERE sink = $sink ORDER BY entry DESC OFFSET $kept"
        named = {"sink": self._sink, "kept": KEPT_ENTRIES}
        connection.execute(
            f"INSERT INTO sink_drops SELECT $sink, sum(rows) FROM set_aside_rows WHERE entry IN ({oldest}) "  # noqa: S608
            "HAVING count(*) > 0",
            named,
        )
        connection.execute(f"DELETE FROM set_aside_rows WHERE entry IN ({oldest})", named)  # noqa: S608

    def _sum(self, sql: str) -> int:
        return int(self._database.rows(sql, [self._sink])[0][0] or 0)


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, those that touch or overlap made one."""
    joined: list[tuple[int, int]] = []
    for first, last in ranges:
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return joined
