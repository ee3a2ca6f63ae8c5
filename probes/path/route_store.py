"""The routes that a site knows of its links, in an SQLite file, so that a restart reports every change and no other."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from probes.path.traced_route import KnownRoute
from probes.site_database import Row, Shape, open_database

log = logging.getLogger(__name__)


def _is_route(row: Row) -> bool:
    return all(isinstance(value, str) for value in row)


_SHAPE = Shape(
    """CREATE TABLE IF NOT EXISTS route (
        peer TEXT, address TEXT, method TEXT, known TEXT NOT NULL, PRIMARY KEY (peer, address, method)
    );""",
    "PRAGMA synchronous = FULL;",
    {"route": _is_route},
)
_KNOWN = TypeAdapter(tuple[KnownRoute, ...])


class RouteStore:
    """The known routes to each peer, by its address and the method: another address is another link.

    After a power failure a route on the disk is the old one or the new one. A damaged file is set aside, and what is
    readable of it known. Where no file can be used, the routes are kept in memory only, and tracing goes on.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        try:
            self._db = _open(path) if path else _in_memory()
        except (OSError, sqlite3.Error) as error:
            log.warning("known routes cannot be kept in %s: %s", path, error)
            self._db = _in_memory()

    def recall(self, peer: str, address: str, method: str) -> tuple[KnownRoute, ...]:
        """The known routes, the one in use first."""
        query = "SELECT known FROM route WHERE (peer, address, method) = (?, ?, ?)"
        try:
            row = self._db.execute(query, (peer, address, method)).fetchone()
            return _KNOWN.validate_json(row[0]) if row else ()
        except (sqlite3.Error, ValidationError) as error:
            log.warning("the known routes to %s cannot be read from %s: %s", peer, self._path, error)
            return ()

    def keep(self, peer: str, address: str, method: str, known: tuple[KnownRoute, ...]) -> None:
        """Keep these in place of what was known."""
        try:
            self._db.execute(
                "INSERT OR REPLACE INTO route VALUES (?, ?, ?, ?)",
                (peer, address, method, _KNOWN.dump_json(known).decode()),
            )
        except sqlite3.Error as error:
            log.warning("the known routes to %s cannot be kept in %s: %s", peer, self._path, error)

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _open(path: Path) -> sqlite3.Connection:
    db, damage = open_database(path, _SHAPE)
    if damage is not None:
        rows = damage.rows["route"]
        db.executemany("INSERT OR REPLACE INTO route VALUES (?, ?, ?, ?)", rows)
        log.error(
            "the known routes in %s are damaged (%s): the file is set aside as %s; %d are kept",
            *(path, damage.reason, damage.aside.name, len(rows)),
        )
    return db


def _in_memory() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    db.executescript(_SHAPE.tables)
    return db
