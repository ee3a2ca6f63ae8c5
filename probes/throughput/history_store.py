"""What the throughput tests of a site's links have found, in an SQLite file.

A restart neither tests them again nor forgets how much they vary. A room of its own, because what needs it is pure.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from probes.site_database import Row, Shape, open_database
from probes.throughput.past_tests import LinkHistory

log = logging.getLogger(__name__)

# A mesh has no more sites; of those that have left it the oldest go.
MOST_LINKS: Final = 10_000


def _is_history(row: Row) -> bool:
    return len(row) == 2 and isinstance(row[0], str) and _parsed(row[1]) is not None


def _parsed(text: object) -> LinkHistory | None:
    try:
        return LinkHistory.model_validate_json(str(text))
    except ValidationError:
        return None


_SHAPE: Final = Shape(
    "CREATE TABLE IF NOT EXISTS link_history (src TEXT PRIMARY KEY, history TEXT NOT NULL);",
    "PRAGMA synchronous = NORMAL;",
    {"link_history": _is_history},
)


class HistoryStore:
    """The histories of a site's incoming links, by their source. Where the file cannot be used, they are not kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._using = threading.Lock()  # a shutdown does not wait for the thread that keeps
        self._failing = False
        self._db: sqlite3.Connection | None = None
        try:
            self._db, damage = open_database(path, _SHAPE)
            if damage is not None:
                self._db.executemany("INSERT OR REPLACE INTO link_history VALUES (?, ?)", damage.rows["link_history"])
                log.error(
                    "what earlier throughput tests found, in %s, is damaged (%s): it is set aside as %s",
                    *(path, damage.reason, damage.aside.name),
                )
        except (OSError, sqlite3.DatabaseError) as error:
            log.warning("what earlier throughput tests found cannot be read from %s: %s", path, error)

    def load(self) -> dict[str, LinkHistory]:
        """The histories of the last run; none where there was none. A row that cannot be read is left out."""
        with self._using:
            rows = self._db.execute("SELECT src, history FROM link_history").fetchall() if self._db else []
        return {src: history for src, text in rows if (history := _parsed(text)) is not None}

    def keep(self, src: str, history: LinkHistory) -> None:
        """Keep this history of the link from `src`; a failure is logged once. Blocks; any thread may call."""
        try:
            self._write(src, history.model_dump_json())
        except sqlite3.DatabaseError as error:
            if not self._failing:
                log.warning("what throughput tests found cannot be kept in %s: %s", self._path, error)
            self._failing = True
        else:
            self._failing = False

    def _write(self, src: str, text: str) -> None:
        with self._using:
            if self._db is None:
                return
            self._db.execute("INSERT OR REPLACE INTO link_history VALUES (?, ?)", (src, text))
            self._db.execute(
                "DELETE FROM link_history WHERE rowid <= (SELECT max(rowid) FROM link_history) - ?", (MOST_LINKS,)
            )

    def close(self) -> None:
        """Close the file."""
        with self._using:
            if self._db is not None:
                self._db.close()
            self._db = None
