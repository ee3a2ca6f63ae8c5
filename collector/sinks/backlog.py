"""What an exporter has still to write: the journal's rows after its cursor, and the rows that were refused for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from collector.sinks.line_protocol import line
from collector.store.columns import TABLES, naive
from collector.store.database import Database


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines for an exporter, and the cursor after their rows."""

    kind: str
    lines: list[str]
    cursor: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """One point that the server refused for good, with its reason."""

    line: str
    reason: str
    at: datetime


class Backlog:
    """One exporter's place in the journal. Any thread may call; raises duckdb.Error when the disk fails."""

    def __init__(self, database: Database, exporter: str) -> None:
        self._database = database
        self._exporter = exporter
        with database.transaction() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS set_aside "
                "(exporter VARCHAR, kind VARCHAR, line VARCHAR, reason VARCHAR, set_aside_at TIMESTAMP)"
            )
            for kind in TABLES:
                # From now on retention keeps what this exporter has still to write.
                connection.execute(
                    "INSERT INTO cursors SELECT $exporter, $kind, 0 WHERE NOT EXISTS "
                    "(FROM cursors WHERE exporter = $exporter AND kind = $kind)",
                    {"exporter": exporter, "kind": kind},
                )

    def after(self, kind: str, cursor: int, limit: int) -> Batch | None:
        """The next rows after `cursor`, at most `limit`, in the order of commit; None when there are none."""
        sql = f"SELECT number, {line(kind)} FROM {kind} WHERE number BETWEEN ? AND ? ORDER BY number"  # noqa: S608 - names of our own
        first = cursor + 1
        while True:
            # A bound on both sides reads these rows alone, however long the table is.
            rows = self._database.rows(sql, [first, first + limit - 1])
            if rows:
                return Batch(kind, [text for _, text in rows if text is not None], rows[-1][0])
            # Numbers are dense but where retention has deleted.
            first = self._database.rows(f"SELECT min(number) FROM {kind} WHERE number > ?", [cursor])[0][0]  # noqa: S608
            if first is None:
                return None

    def cursor(self, kind: str) -> int:
        """The number of the last row of this kind that is written, or set aside; 0 at first."""
        rows = self._database.rows("SELECT number FROM cursors WHERE exporter = ? AND kind = ?", [self._exporter, kind])
        number: int = rows[0][0]
        return number

    def advance(self, kind: str, cursor: int, refused: Sequence[SetAside] = ()) -> None:
        """Remember that everything up to `cursor` is written, but for these, which are kept aside."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE cursors SET number = ? WHERE exporter = ? AND kind = ?", [cursor, self._exporter, kind]
            )
            if refused:
                connection.executemany(
                    "INSERT INTO set_aside VALUES (?, ?, ?, ?, ?)",
                    [(self._exporter, kind, point.line, point.reason, naive(point.at)) for point in refused],
                )

    def lag_rows(self) -> int:
        """How many rows wait to be written, of all kinds."""
        return sum(
            self._database.rows(f"SELECT count(*) FROM {kind} WHERE number > ?", [self.cursor(kind)])[0][0]  # noqa: S608
            for kind in TABLES
        )

    def set_aside(self) -> int:
        """How many points this exporter's server has refused for good."""
        rows = self._database.rows("SELECT count(*) FROM set_aside WHERE exporter = ?", [self._exporter])
        number: int = rows[0][0]
        return number
