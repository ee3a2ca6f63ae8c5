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
takes no report drops the new one. Both are counted as dropped, and the site's status says how many. What a full disk
did not take is counted in a file of fixed size beside the outbox, so that a kill forgets none of it; where that file
cannot be written either (a disk that is read-only, or fails), a kill forgets what was dropped since.

**Damage.** Each report has a checksum. A waiting one that does not fit it goes to the table `damaged` (the last 1,000
stay) and is counted as dropped. A file that is damaged itself is set aside; a new one, with a new boot, takes over the
reports that are whole, each under the boot that it was written under (see `outbox_tables`).
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from linkweather.durable_number import DurableNumber
from linkweather.errors import OperatorError
from probes.outbox_tables import OUTBOX, is_whole, prepare, report_crc, take_over
from probes.site_database import Damage, DiskError, Row, open_database, set_aside

log = logging.getLogger(__name__)

DEFAULT_MAX_BYTES: Final = 64 * 2**20
KEPT_DAMAGED_REPORTS: Final = 1000

Result = TypeVar("Result")


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
    """One site's reports that wait, oldest first, bounded by `max_bytes` of payload. Any thread may call.

    `boot` is the id of this file, made once. A damaged file is set aside under another name, never overwritten, and
    what is whole in it is taken over. Raises OperatorError when the folder cannot be written, or another process holds
    the outbox.
    """

    def __init__(self, path: Path, *, new_boot: Callable[[], str], max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._path = path
        self._new_boot = new_boot
        self._using = threading.Lock()
        self._failing = False  # the disk takes nothing: said once
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db, damage = open_database(path, OUTBOX)
            self._begin(damage)
            self._count_file = DurableNumber(path.with_name(f"{path.name}.unstored"))
        except (OSError, DiskError) as error:
            raise OperatorError(f"the outbox {path} cannot be used: {error}") from None
        (stored,) = self._db.execute("SELECT unstored FROM state").fetchone()
        self._unstored = max(stored, self._count_file.read() or 0)  # what the disk did not take, ever
        self._note_unstored()
        self._depth = self._read_depth()

    def add(self, kind: str, encode: Callable[[str, int], bytes]) -> int | None:
        """Number and store one report, `encode(boot, seq)`; it is on the disk when this returns its number.

        A report that the disk does not take is dropped and counted, without a number: None.
        """
        try:
            number = self._do(lambda: self._add(kind, encode))
        except DiskError as error:
            self._drop_unstored(error)
            return None
        if self._failing:
            self._failing = False
            log.warning("the outbox %s takes reports again; %d were dropped so far", self._path, self._unstored)
        return number

    def oldest(self, limit: int) -> list[Stored]:
        """Up to `limit` waiting reports, oldest first; damaged ones are put aside. Raises DiskError."""
        return self._do(lambda: self._oldest(limit))

    def committed(self, boot: str, seqs: Iterable[int]) -> int:
        """Delete what is in the journal; how many of them waited here. Those of another outbox are ignored.

        Raises DiskError.
        """
        return self._do(lambda: self._delete(boot, seqs))

    def refused(self, boot: str, seqs: Iterable[int]) -> int:
        """Delete and count what the collector refuses for good; how many of them waited here. Raises DiskError."""
        return self._do(lambda: self._refuse(boot, seqs))

    def depth(self) -> Depth:
        """How many reports wait, and how many were lost, after the last change; waits for no disk."""
        return self._depth

    def close(self) -> None:
        """Close the file; its reports stay in it."""
        with self._using:
            self._db.close()
            self._count_file.close()

    def _begin(self, damage: Damage | None) -> None:
        self._db.text_factory = lambda raw: raw.decode(errors="replace")
        with self._transaction():
            prepare(self._db, self._new_boot)
            if damage is not None:
                kept = take_over(self._db, damage)
                log.error(
                    "the outbox %s is damaged (%s): it is set aside as %s; %s",
                    *(self._path, damage.reason, damage.aside.name, kept),
                )
        self.boot: str = self._db.execute("SELECT boot FROM state").fetchone()[0]

    def _do(self, work: Callable[[], Result]) -> Result:
        """Work in one transaction; once more with a new file where this one turns out to be damaged."""
        with self._using:
            try:
                return self._done(work)
            except DiskError:
                raise
            except sqlite3.DatabaseError as error:
                self._db.close()
                damage = set_aside(self._path, OUTBOX, str(error))
                self._db, _ = open_database(self._path, OUTBOX)
                self._begin(damage)
                return self._done(work)

    def _done(self, work: Callable[[], Result]) -> Result:
        with self._transaction():
            result = work()
            depth = self._read_depth()
        self._depth = depth
        return result

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # some errors have ended the transaction already
                self._db.execute("ROLLBACK")
            raise

    def _read_depth(self) -> Depth:
        waiting, dropped, refused = self._db.execute("SELECT waiting, dropped, refused FROM state").fetchone()
        return Depth(waiting, dropped + self._unstored, refused)

    def _add(self, kind: str, encode: Callable[[str, int], bytes]) -> int:
        (seq,) = self._db.execute("UPDATE state SET next_seq = next_seq + 1 RETURNING next_seq - 1").fetchone()
        payload = encode(self.boot, seq)
        crc = report_crc(self.boot, seq, kind, payload)
        self._db.execute("INSERT INTO report VALUES (?, ?, ?, ?, ?)", (seq, kind, payload, self.boot, crc))
        self._db.execute(
            "UPDATE state SET waiting = waiting + 1, stored_bytes = stored_bytes + ?, unstored = ?",
            (len(payload), self._unstored),
        )
        self._drop_oldest(keep=seq)
        number: int = seq
        return number

    def _drop_unstored(self, error: DiskError) -> None:
        self._unstored += 1
        self._depth = Depth(self._depth.reports, self._depth.dropped_reports + 1, self._depth.refused_reports)
        self._note_unstored()
        if not self._failing:
            self._failing = True
            log.warning(
                "the outbox %s cannot be written (%s): reports are dropped and counted until it can", self._path, error
            )

    def _note_unstored(self) -> None:
        # Where even this cannot be written, the next report that the disk takes carries the count.
        with contextlib.suppress(OSError):
            self._count_file.write(self._unstored, sync=True)

    def _oldest(self, limit: int) -> list[Stored]:
        while True:
            rows = self._db.execute(
                "SELECT seq, kind, payload, boot, crc FROM report ORDER BY seq LIMIT ?", (limit,)
            ).fetchall()
            damaged = [row for row in rows if not is_whole(row)]
            if not damaged:
                return [Stored(seq, kind, payload) for seq, kind, payload, *_ in rows]
            self._put_aside(damaged)

    def _put_aside(self, damaged: list[Row]) -> None:
        gone = [row[0] for row in damaged]
        self._db.executemany(
            "INSERT OR REPLACE INTO damaged SELECT * FROM report WHERE seq = ?", [(seq,) for seq in gone]
        )
        self._db.execute(
            "DELETE FROM damaged WHERE seq NOT IN (SELECT seq FROM damaged ORDER BY seq DESC LIMIT ?)",
            (KEPT_DAMAGED_REPORTS,),
        )
        self._db.execute("UPDATE state SET dropped = dropped + ?", (self._remove(gone),))
        log.error(
            "%d waiting reports of the outbox %s are damaged: they are in its table `damaged` now, counted as dropped",
            *(len(gone), self._path),
        )

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
            count = self._remove(gone)
            self._db.execute("UPDATE state SET dropped = dropped + ?", (count,))
            log.warning("the outbox is full: the oldest %d reports are dropped", count)

    def _refuse(self, boot: str, seqs: Iterable[int]) -> int:
        count = self._delete(boot, seqs)
        self._db.execute("UPDATE state SET refused = refused + ?", (count,))
        return count

    def _delete(self, boot: str, seqs: Iterable[int]) -> int:
        held = "SELECT 1 FROM report WHERE seq = ? AND boot = ?"
        return self._remove([seq for seq in seqs if self._db.execute(held, (seq, boot)).fetchone()])

    def _remove(self, seqs: Iterable[int]) -> int:
        count = 0
        for seq in seqs:
            row = self._db.execute("DELETE FROM report WHERE seq = ? RETURNING length(payload)", (seq,)).fetchone()
            if row:
                count += 1
                self._db.execute("UPDATE state SET waiting = waiting - 1, stored_bytes = stored_bytes - ?", row)
        return count
