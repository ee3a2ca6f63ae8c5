"""The notes that wait for each target, on the disk: who was not told before a restart is told after it."""

from __future__ import annotations

from collections.abc import Sequence

from collector.store.database import Database
from linkweather.errors import MessageError
from linkweather.models.incidents import IncidentAnswer
from linkweather.wire import decode, encode


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
