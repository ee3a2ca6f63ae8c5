"""The damage that starts found in the journal, kept in the journal itself: for the ledger, /metrics and /readyz.

A room of its own: what finds damage works before the database opens, and what is known of it is asked long after.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import duckdb

from collector.store.columns import naive
from collector.store.database import Database

# Of damage the newest entries are kept; the counts by reason are of all.
KEPT_ENTRIES: Final = 1000
RECENT: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class JournalDamage:
    """What was found when, why in a sentence, and how many acknowledged reports are lost by it, as far as is known."""

    at: datetime
    reason: str
    detail: str
    lost_reports: int = 0


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables."""
    connection.execute(
        """CREATE TABLE IF NOT EXISTS journal_damage
           ("at" TIMESTAMP, reason VARCHAR, detail VARCHAR, lost_reports BIGINT)"""
    )
    connection.execute("CREATE TABLE IF NOT EXISTS journal_losses (reason VARCHAR, found BIGINT, lost_reports BIGINT)")


def note(connection: duckdb.DuckDBPyConnection, found: Iterable[JournalDamage]) -> None:
    """Keep what was found, in a transaction of the caller's."""
    for one in found:
        row = [naive(one.at), one.reason, one.detail, one.lost_reports]
        connection.execute("INSERT INTO journal_damage VALUES (?, ?, ?, ?)", row)
        connection.execute(
            """DELETE FROM journal_damage
               WHERE rowid NOT IN (SELECT rowid FROM journal_damage ORDER BY "at" DESC LIMIT ?)""",
            [KEPT_ENTRIES],
        )
        before = connection.execute(
            "SELECT found, lost_reports FROM journal_losses WHERE reason = ?", [one.reason]
        ).fetchone() or (0, 0)
        connection.execute("DELETE FROM journal_losses WHERE reason = ?", [one.reason])
        counts = [one.reason, before[0] + 1, before[1] + one.lost_reports]
        connection.execute("INSERT INTO journal_losses VALUES (?, ?, ?)", counts)


class DamageRecord:
    """The `newest` damage first, and by reason how often it was `found` and how many reports are `lost`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.remember(self._read)

    def recent(self, now: datetime) -> list[str]:
        """A sentence for each damage that a start of the last day found."""
        return [f"{one.detail} (found {one.at:%Y-%m-%d %H:%M} UTC)" for one in self.newest if now - one.at < RECENT]

    def _read(self) -> None:
        rows = self._database.rows('FROM journal_damage ORDER BY "at" DESC LIMIT 100')
        self.newest = [JournalDamage(at.replace(tzinfo=UTC), *rest) for at, *rest in rows]
        losses = self._database.rows("FROM journal_losses ORDER BY reason")
        self.found: dict[str, int] = {reason: found for reason, found, _ in losses}
        self.lost: dict[str, int] = {reason: lost for reason, _, lost in losses if lost}
