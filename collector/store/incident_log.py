"""The incident log: every incident as it was last, to be asked for later and to go on with after a restart.

And the notes about them that wait for each target: what was not sent before a restart is sent after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from collector.store.columns import naive
from collector.store.database import Database
from linkweather.errors import MessageError
from linkweather.models.incidents import IncidentAnswer, SilenceAnswer
from linkweather.wire import Message, decode, encode

Read = TypeVar("Read", bound=Message)

_CREATE = """CREATE TABLE IF NOT EXISTS incidents
             (id VARCHAR, since TIMESTAMP, until TIMESTAMP, subjects VARCHAR[], answer VARCHAR)"""


class IncidentLog:
    """The table of incidents. Any thread may call; raises duckdb.Error when the disk fails."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.transaction() as connection:
            connection.execute(_CREATE)
            connection.execute("CREATE TABLE IF NOT EXISTS silences (id VARCHAR, answer VARCHAR)")

    def put_silences(self, silences: Sequence[SilenceAnswer]) -> None:
        """These are the silences now, all or none."""
        rows = [(one.id, encode(one).decode()) for one in silences]
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM silences")
            if rows:
                connection.executemany("INSERT INTO silences VALUES (?, ?)", rows)

    def silences(self) -> list[SilenceAnswer]:
        """The silences that there were when the collector ended, the oldest first."""
        return _read(SilenceAnswer, self._database.rows("SELECT answer FROM silences ORDER BY rowid"))

    def put(self, incidents: Sequence[IncidentAnswer]) -> None:
        """Write these as they are now, in place of what was written of them before; all or none."""
        if not incidents:
            return
        rows = [
            (
                one.id,
                naive(one.since),
                None if one.until is None else naive(one.until),
                _sites(one),
                encode(one).decode(),
            )
            for one in incidents
        ]
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM incidents WHERE id IN (SELECT unnest(?))", [[one.id for one in incidents]])
            connection.executemany("INSERT INTO incidents VALUES (?, ?, ?, ?, ?)", rows)

    def lasting(self) -> list[IncidentAnswer]:
        """The incidents that lasted when the collector ended."""
        return _read(
            IncidentAnswer, self._database.rows("SELECT answer FROM incidents WHERE until IS NULL ORDER BY since")
        )

    def over(self, since: datetime, until: datetime, site: str | None, limit: int) -> list[IncidentAnswer]:
        """At most `limit` incidents that are over and lay in the span, or in part; of one site or all, newest first."""
        found = self._database.rows(
            """SELECT answer FROM incidents WHERE until >= ? AND since < ? AND (? IS NULL OR list_contains(subjects, ?))
               ORDER BY since DESC LIMIT ?""",
            [naive(since), naive(until), site, site, limit],
        )
        return _read(IncidentAnswer, found)

    def prune(self, before: datetime) -> None:
        """Delete the incidents that were over before."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM incidents WHERE until < ?", [naive(before)])


def _sites(incident: IncidentAnswer) -> list[str]:
    """What the incident can be found by: its cause's names, and the sites of its findings."""
    of_findings = {site for one in incident.findings for site in (one.src, one.dst) if site is not None}
    return sorted(of_findings.union(incident.subjects))


def _read(form: type[Read], rows: Sequence[tuple[str, ...]]) -> list[Read]:
    """The answers of these rows; one that another version wrote, and this one cannot read, is left out."""
    found = []
    for (text,) in rows:
        try:
            found.append(decode(form, text))
        except MessageError:
            continue
    return found


class NoteLog:
    """The table of notes. Any thread may call; raises duckdb.Error when the disk fails."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.transaction() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS notes (target VARCHAR, incident VARCHAR, answer VARCHAR)")

    def replace(self, target: str, notes: Sequence[IncidentAnswer]) -> None:
        """These are the notes that wait for the target now, all or none."""
        rows = [(target, one.id, encode(one).decode()) for one in notes]
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM notes WHERE target = ?", [target])
            if rows:
                connection.executemany("INSERT INTO notes VALUES (?, ?, ?)", rows)

    def waiting(self, target: str) -> list[IncidentAnswer]:
        """The notes that waited for the target when the collector ended; those of another version are left out."""
        found = []
        for (text,) in self._database.rows("SELECT answer FROM notes WHERE target = ? ORDER BY rowid", [target]):
            try:
                found.append(decode(IncidentAnswer, text))
            except MessageError:
                continue
        return found
