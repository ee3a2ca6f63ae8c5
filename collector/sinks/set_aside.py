"""The rows that a sink refused for good: named by their numbers, with the reason, until sent again or dropped.

The rows themselves are in the journal, for as long as its retention keeps them. What is kept here is bounded; beyond
that the oldest entries go, and are counted as dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

import duckdb

from collector.store.columns import naive
from collector.store.database import Database
from collector.store.outbox_ledger import add_counts
from linkweather.models.ledger import SetAsideAnswer
from linkweather.sink import RowRefusal

KEPT_ENTRIES = 10_000
_REASON_CHARACTERS = 500
_AGAIN_ENTRIES = 500  # at once: a batch of so many single rows is still one short question to DuckDB


@dataclass(frozen=True, slots=True)
class SentAgain:
    """Entries of one kind that are sent again together: their numbers as ranges, how many rows were refused of them."""

    kind: str
    ranges: tuple[tuple[int, int], ...]
    rows: int
    entries: list[int]


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
        self._wanted, self._none_at = 1, 0  # how often entries were wanted again, and when none was found last

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
        self._wanted += 1

    def wanted(self, limit: int) -> SentAgain | None:
        """What is to be sent again next, about `limit` rows of one kind; None when there is nothing."""
        wanted = self._wanted
        if wanted == self._none_at:
            return None
        found = self._database.rows(
            "SELECT kind, first, last, rows, entry FROM set_aside_rows WHERE sink = ? AND waiting "
            "ORDER BY kind, first LIMIT ?",
            [self._sink, _AGAIN_ENTRIES],
        )
        if not found:
            self._none_at = wanted
            return None
        numbers = accumulate(last - first + 1 for _, first, last, _, _ in found)
        taken = [one for one, sent in zip(found, numbers, strict=True) if one is found[0] or sent <= limit]
        taken = [one for one in taken if one[0] == found[0][0]]
        ranges = _joined((first, last) for _, first, last, _, _ in taken)
        return SentAgain(found[0][0], tuple(ranges), sum(one[3] for one in taken), [one[4] for one in taken])

    def settle(self, sent: SentAgain, refusals: Sequence[RowRefusal], at: datetime) -> None:
        """Replace entries that were sent again by what was refused again."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM set_aside_rows WHERE list_contains($entries, entry)", {"entries": sent.entries}
            )
            self.add(connection, sent.kind, refusals, at)

    def keep(self, entries: Sequence[int], reason: str) -> None:
        """Leave entries set aside, for this reason now: nothing of them was taken."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE set_aside_rows SET waiting = false, reason = $reason WHERE list_contains($entries, entry)",
                {"entries": entries, "reason": reason[:_REASON_CHARACTERS]},
            )

    def drop(self, entries: Sequence[int] | None = None) -> None:
        """Let go of these entries, or of all; their rows are counted as dropped."""
        with self._database.transaction() as connection:
            chosen = "sink = $sink" if entries is None else "list_contains($entries, entry)"
            named = {"sink": self._sink} | ({} if entries is None else {"entries": entries})
            self._let_go(connection, chosen, named)

    def _bound(self, connection: duckdb.DuckDBPyConnection) -> None:
        oldest = "SELECT entry FROM set_aside_rows WHERE sink = $sink ORDER BY entry DESC OFFSET $kept"
        self._let_go(connection, f"entry IN ({oldest})", {"sink": self._sink, "kept": KEPT_ENTRIES})

    @staticmethod
    def _let_go(connection: duckdb.DuckDBPyConnection, chosen: str, named: Mapping[str, Any]) -> None:
        used = {name: value for name, value in named.items() if f"${name}" in chosen}
        dropped = f"SELECT coalesce(sum(rows), 0)::BIGINT FROM set_aside_rows WHERE {chosen}"  # noqa: S608
        ((rows,),) = connection.execute(dropped, used).fetchall()
        add_counts(connection, "sink_drops", ("sink",), {(named["sink"],): rows} if rows else {})
        connection.execute(f"DELETE FROM set_aside_rows WHERE {chosen}", used)  # noqa: S608 - names of our own

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
