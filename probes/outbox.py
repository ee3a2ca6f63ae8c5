"""Reports kept until the collector has committed them: an SQLite file that survives a crash at any moment.

**A report's life.** The outbox holds a report from before it is sent until after it is in the collector's record.

    written ───────▶ sent ───────▶ committed ──────────▶ deleted
    to the outbox    to the broker  to the journal        from the outbox

1. *written*: `add` numbers the report and commits it to the disk, in one transaction with the counter. A crash before
   that costs one window, and no number.
2. *sent*: the publisher sends what waits, by MQTT with QoS 1. A report stays in the outbox while it is in flight.
3. *committed*: the collector writes a batch to its journal, in one transaction, and only then publishes `committed`
   with the outbox's id and the numbers. It has each (site, boot, seq) once: one that comes again is acknowledged again,
   and not stored again.
4. *deleted*: the outbox deletes what is acknowledged. What the collector refuses for good (`refused`) is deleted as
   well, and counted.

**What a crash does.** At any moment either the outbox or the journal has the report, most of the time both:

| It dies | when a report is | then |
|---|---|---|
| the site | written, not sent | it is sent after the restart |
| the site | sent, not deleted | it is sent again, and the journal has it already |
| the broker | in its queue | no `committed` comes: it is sent again |
| the collector | received, not in the journal | it is sent again after the collector's mesh message, or after a while |
| the collector | in the journal, not acknowledged | it is sent again, and acknowledged |

So delivery is at least once, and the record is exactly once, because `boot` names this file for ever and `seq` only
grows. An outbox that is lost with its disk is another one, with another `boot`: its numbers cannot collide.

**What is lost, and how it shows.** The file is bounded: where it is full the oldest reports are dropped. A disk that
takes no report drops the new one. Both are counted as dropped, and the site's status says how many.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from linkweather.errors import OperatorError

log = logging.getLogger(__name__)

DEFAULT_MAX_BYTES: Final = 64 * 2**20
# The disk is full or fails: the transaction did not take place.
DiskError = sqlite3.OperationalError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS report (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    boot TEXT NOT NULL,
    next_seq INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0
);
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """A report that waits to be committed."""

    seq: int
    kind: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Depth:
    """How full the outbox is, and what it has lost since it was made."""

    reports: int
    dropped_reports: int
    refused_reports: int


class Outbox:
    """One site's reports that wait, oldest first, bounded by `max_bytes` of payload.

    `boot` is the id of this file, made once. A file that is no outbox is set aside under another name, never
    overwritten. Raises OperatorError when the folder cannot be written, or another process holds the outbox.
    """

    def __init__(self, path: Path, *, new_boot: Callable[[], str], max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._path = path
        self._unstored = 0  # dropped since the last report that the disk took
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open(new_boot)
        except (OSError, sqlite3.OperationalError) as error:
            raise OperatorError(f"the outbox {path} cannot be used: {error}") from None
        self.boot: str = self._db.execute("SELECT boot FROM state").fetchone()[0]

    def add(self, kind: str, encode: Callable[[str, int], bytes]) -> int | None:
        """Number and store one report, `encode(boot, seq)`; it is on the disk when this returns its number.

        A report that the disk does not take is dropped and counted, without a number: None.
        """
        try:
            number = self._add(kind, encode)
        except DiskError as error:
            self._unstored += 1
            log.warning("the outbox %s cannot be written (%s): a report is dropped", self._path, error)
            return None
        self._unstored = 0
        return number

    def _add(self, kind: str, encode: Callable[[str, int], bytes]) -> int:
        with self._db:
            (seq,) = self._db.execute("UPDATE state SET next_seq = next_seq + 1 RETURNING next_seq - 1").fetchone()
            payload = encode(self.boot, seq)
            self._db.execute("INSERT INTO report VALUES (?, ?, ?)", (seq, kind, payload))
            self._db.execute(
                "UPDATE state SET stored_bytes = stored_bytes + ?, dropped = dropped + ?",
                (len(payload), self._unstored),
            )
            self._drop_oldest(keep=seq)
        number: int = seq
        return number

    def oldest(self, limit: int) -> list[Stored]:
        """Up to `limit` waiting reports, oldest first."""
        rows = self._db.execute("SELECT seq, kind, payload FROM report ORDER BY seq LIMIT ?", (limit,))
        return [Stored(*row) for row in rows]

    def committed(self, boot: str, seqs: Iterable[int]) -> int:
        """Delete what is in the journal; how many of them waited here. Those of another outbox are ignored.

        Raises DiskError.
        """
        if boot != self.boot:
            return 0
        with self._db:
            return self._delete(seqs)

    def refused(self, boot: str, seqs: Iterable[int]) -> int:
        """Delete and count what the collector refuses for good; how many of them waited here. Raises DiskError."""
        if boot != self.boot:
            return 0
        with self._db:
            count = self._delete(seqs)
            self._db.execute("UPDATE state SET refused = refused + ?", (count,))
        return count

    def depth(self) -> Depth:
        """How many reports wait, and how many were lost."""
        (reports,) = self._db.execute("SELECT count(*) FROM report").fetchone()
        dropped, refused = self._db.execute("SELECT dropped, refused FROM state").fetchone()
        return Depth(reports, dropped + self._unstored, refused)

    def close(self) -> None:
        """Close the file; its reports stay in it."""
        self._db.close()

    def _open(self, new_boot: Callable[[], str]) -> sqlite3.Connection:
        try:
            return _connect(self._path, new_boot)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            aside = _free_name(self._path)
            self._path.rename(aside)
            log.error(
                "%s is no outbox (%s): it is set aside as %s, and a new one begins", self._path, error, aside.name
            )
            return _connect(self._path, new_boot)

    def _drop_oldest(self, keep: int) -> None:
        (stored_bytes,) = self._db.execute("SELECT stored_bytes FROM state").fetchone()
        excess = stored_bytes - self._max_bytes
        gone: list[int] = []
        for seq, size in self._db.execute("SELECT seq, length(payload) FROM report ORDER BY seq"):
            if excess <= 0 or seq == keep:
                break
            gone.append(seq)
            excess -= size
        if gone:
            count = self._delete(gone)
            self._db.execute("UPDATE state SET dropped = dropped + ?", (count,))
            log.warning("the outbox is full: the oldest %d reports are dropped", count)

    def _delete(self, seqs: Iterable[int]) -> int:
        count = 0
        for seq in seqs:
            row = self._db.execute("DELETE FROM report WHERE seq = ? RETURNING length(payload)", (seq,)).fetchone()
            if row:
                count += 1
                self._db.execute("UPDATE state SET stored_bytes = stored_bytes - ?", row)
        return count


def _connect(path: Path, new_boot: Callable[[], str]) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=1)
    try:
        # One process per outbox; FULL: a report is on the disk before it is on the wire.
        db.executescript("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        db.executescript(_SCHEMA)
        with db:
            db.execute("INSERT OR IGNORE INTO state (only, boot, next_seq) VALUES (1, ?, 0)", (new_boot(),))
    except BaseException:
        db.close()
        raise
    return db


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.unreadable-{number}") for number in range(1, 1_000_000))
    return next(name for name in names if not name.exists())
