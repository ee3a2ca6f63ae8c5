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

So delivery is at least once, and the record is exactly once, because no two reports have the same key: `boot` is a new
random id at every opening of the file, and `seq` grows within it. A file that went back in time (a restored backup, a
copy of the folder) goes on with numbers that it gave before, under a boot that never was; what waits keeps the boot
that it was written under. Where a running machine goes back (a snapshot with its memory), the collector finds another
report under the number and answers `conflict`: the report is filed again under a new boot (`refile`).

**Size.** A broker may limit the size of packets. `limit` says so: a report beyond it is split by its rows, as it is
written or while it waits, in one transaction. A part of a report that may have been sent whole names that report
(`split_from`), so that the journal takes either the whole or the parts. A report whose only row is too long waits, for
another limit or until it is the oldest of a full outbox, and is counted as oversized.

**What is lost, and how it shows.** The file is bounded: where it is full the oldest reports are dropped. A disk that
takes no report drops the new one. Both are counted as dropped, and the site's status says how many. What a full disk
did not take is counted in a file of fixed size beside the outbox, so that a kill forgets none of it; where that file
cannot be written either (a disk that is read-only, or fails), a kill forgets what was dropped since.

**Damage.** Each report has a checksum. A waiting one that does not fit it goes to the table `damaged` (the last 1,000
stay) and is counted as dropped. A file that is damaged itself is set aside; a new one takes over the
reports that are whole, each under the boot that it was written under (see `outbox_tables`).
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from linkweather.durable_number import DurableNumber
from linkweather.errors import OperatorError
from linkweather.wire import BootCount, SplitFrom, renumbered, split
from probes.outbox_tables import OUTBOX, boot_counts, is_whole, prepare, report_crc, take_over
from probes.site_database import Damage, DamageError, DiskError, Row, is_damage, open_database, set_aside

log = logging.getLogger(__name__)

DEFAULT_MAX_BYTES: Final = 64 * 2**20
UNLIMITED: Final = 2**63 - 1
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
    """How full the outbox is, what of it is too long for the broker, and what it has lost since it was made."""

    reports: int
    dropped_reports: int
    refused_reports: int
    oversized_reports: int = 0


class Outbox:
    """One site's reports that wait, by number, bounded by `max_bytes` of payload. Any thread may call.

    `boot` is the id under which reports are written now. A damaged file is set aside under another name, never
    overwritten, and what is whole in it is taken over. Raises OperatorError when the folder cannot be written, or
    another process holds the outbox.
    """

    def __init__(self, path: Path, *, new_boot: Callable[[], str], max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._path = path
        self._new_boot = new_boot
        self._using = threading.Lock()
        self._counting = threading.Lock()
        self._failing = False  # the disk takes nothing: said once
        self._prepared = True  # the file knows this boot
        self._max_report_bytes = UNLIMITED
        self._oversized: set[int] = set()  # the numbers of single rows that are longer
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
        self._depth, self._boots = self._read_depth(), boot_counts(self._db)

    def add(self, kind: str, encode: Callable[[str, int], bytes]) -> int | None:
        """Number and store one report, `encode(boot, seq)`; it is on the disk when this returns its number.

        One that is too long for the broker is stored as several, of which this is the first. A report that the disk
        does not take is dropped and counted, without a number: None.
        """
        try:
            number = self._do(lambda: self._add(kind, encode))
        except DiskError as error:
            self._drop_unstored(error)
            return None
        self._prepared = True
        if self._failing:
            self._failing = False
            log.warning("the outbox %s takes reports again; %d were dropped so far", self._path, self._unstored)
        return number

    def limit(self, max_report_bytes: int | None) -> None:
        """Split what waits and is longer, and what will be; None is no limit. Raises DiskError.

        The rows become reports of their own, as what waits may have been sent whole: see `split_from`.
        """
        with self._using:
            self._max_report_bytes = max_report_bytes or UNLIMITED
        self._do(self._split_waiting)
        if self._oversized:
            log.warning(
                "the broker takes reports of %d bytes at most: %d, each of a single row, are longer, and wait",
                *(self._max_report_bytes, len(self._oversized)),
            )

    def oldest(self, limit: int) -> list[int]:
        """The numbers of up to `limit` waiting reports that the broker takes, oldest first. Raises DiskError."""
        return self._do(lambda: self._numbers("ORDER BY seq LIMIT ?", limit))

    def newest(self, limit: int) -> list[int]:
        """The numbers of the up to `limit` newest reports that the broker takes, oldest first. Raises DiskError."""
        return self._do(lambda: self._numbers("ORDER BY seq DESC LIMIT ?", limit)[::-1])

    def reports(self, seqs: Iterable[int]) -> list[Stored]:
        """Those of the reports with these numbers that wait; damaged ones are put aside. Raises DiskError."""
        return self._do(lambda: [Stored(seq, kind, payload) for seq, kind, payload, *_ in self._whole(seqs)])

    def committed(self, boot: str, seqs: Iterable[int]) -> int:
        """Delete what is in the journal; how many of them waited here. Those of another outbox are ignored.

        Raises DiskError.
        """
        return self._do(lambda: self._delete(boot, seqs))

    def refused(self, boot: str, seqs: Iterable[int]) -> int:
        """Delete and count what the collector refuses for good; how many of them waited here. Raises DiskError."""
        return self._do(lambda: self._refuse(boot, seqs))

    def refile(self, boot: str, seqs: Iterable[int]) -> int:
        """Number reports again whose numbers belong to others in the journal; how many waited here. Raises DiskError.

        Where they were written under the present boot, a new one begins, as its further numbers may be taken, too.
        """
        return self._do(lambda: self._refile(boot, seqs))

    def note_dropped(self) -> None:
        """Count a report that was dropped before it came here; the next write keeps the count."""
        with self._counting:  # not `_using`, which a slow disk holds
            self._unstored += 1
            self._depth = replace(self._depth, dropped_reports=self._depth.dropped_reports + 1)

    def depth(self) -> Depth:
        """How many reports wait, and how many were lost, after the last change; waits for no disk."""
        return self._depth

    def boots(self) -> tuple[BootCount, ...]:
        """What became of the reports of the newest boots, after the last change; waits for no disk."""
        return self._boots

    def close(self) -> None:
        """Close the file; its reports stay in it."""
        with self._using:
            self._db.close()
            self._count_file.close()

    def _begin(self, damage: Damage | None) -> None:
        self.boot = self._new_boot()
        self._db.text_factory = lambda raw: raw.decode(errors="replace")
        try:
            self._prepare(damage)
        except DiskError as error:
            if damage is not None or self._db.execute("SELECT 1 FROM state").fetchone() is None:
                raise
            # What waits can be sent all the same.
            log.warning("the outbox %s cannot be written (%s): what waits in it is sent", self._path, error)
            self._prepared = False

    def _prepare(self, damage: Damage | None) -> None:
        with self._transaction():
            prepare(self._db, self.boot)
            if damage is not None:
                kept = take_over(self._db, damage)
                log.error(
                    "the outbox %s is damaged (%s): it is set aside as %s; %s",
                    *(self._path, damage.reason, damage.aside.name, kept),
                )

    def _do(self, work: Callable[[], Result]) -> Result:
        """Work in one transaction; once more with a new file where this one turns out to be damaged."""
        with self._using:
            try:
                return self._done(work)
            except DamageError as error:
                if not is_damage(error):
                    raise
                self._db.close()
                damage = set_aside(self._path, OUTBOX, str(error))
                self._db, _ = open_database(self._path, OUTBOX)
                self._begin(damage)
                return self._done(work)

    def _done(self, work: Callable[[], Result]) -> Result:
        with self._transaction():
            result = work()
            depth, boots = self._read_depth(), boot_counts(self._db)
        self._depth, self._boots = depth, boots
        return result

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # some errors have ended the transaction already
                self._db.execute("ROLLBACK")
            raise

    def _read_depth(self) -> Depth:
        waiting, dropped, refused = self._db.execute("SELECT waiting, dropped, refused FROM state").fetchone()
        return Depth(waiting, dropped + self._unstored, refused, len(self._oversized))

    def _add(self, kind: str, encode: Callable[[str, int], bytes]) -> int:
        seq = self._number()
        first, *others = split(kind, encode(self.boot, seq), self._max_report_bytes)
        self._insert(seq, kind, first)
        for part in others:
            number = self._number()
            self._insert(number, kind, renumbered(part, self.boot, number))
        self._db.execute("UPDATE state SET unstored = ?", (self._unstored,))
        self._drop_oldest(keep=seq)
        return seq

    def _number(self) -> int:
        if not self._prepared:
            prepare(self._db, self.boot)
        number: int
        (number,) = self._db.execute("UPDATE state SET next_seq = next_seq + 1 RETURNING next_seq - 1").fetchone()
        return number

    def _insert(self, seq: int, kind: str, payload: bytes) -> None:
        crc = report_crc(self.boot, seq, kind, payload)
        self._db.execute("INSERT INTO report VALUES (?, ?, ?, ?, ?)", (seq, kind, payload, self.boot, crc))
        self._db.execute("UPDATE state SET waiting = waiting + 1, stored_bytes = stored_bytes + ?", (len(payload),))
        if len(payload) > self._max_report_bytes:
            self._oversized.add(seq)

    def _drop_unstored(self, error: DiskError) -> None:
        self.note_dropped()
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

    def _numbers(self, order: str, limit: int) -> list[int]:
        found = self._db.execute(
            f"SELECT seq FROM report WHERE length(payload) <= ? {order}",  # noqa: S608 - one of ours
            (self._max_report_bytes, limit),
        )
        return [seq for (seq,) in found]

    def _whole(self, seqs: Iterable[int]) -> list[Row]:
        select = "SELECT seq, kind, payload, boot, crc FROM report WHERE seq = ?"
        rows = [row for seq in seqs if (row := self._db.execute(select, (seq,)).fetchone())]
        damaged = [row for row in rows if not is_whole(row)]
        if damaged:
            self._put_aside(damaged)
        return [row for row in rows if row not in damaged]

    def _split_waiting(self) -> None:
        self._oversized.clear()
        long = self._db.execute("SELECT seq FROM report WHERE length(payload) > ?", (self._max_report_bytes,))
        for (seq,) in long.fetchall():
            for row in self._whole([seq]):
                self._split(row)

    def _split(self, row: Row) -> None:
        seq, kind, payload, boot, _ = row
        parts = split(kind, payload, 0)
        if len(parts) == 1:
            self._oversized.add(seq)
            return
        numbers = [self._number() for _ in parts]
        whole = SplitFrom(boot=boot, seq=seq, parts_boot=self.boot, first=numbers[0], last=numbers[-1])
        for number, part in zip(numbers, parts, strict=True):
            self._insert(number, kind, renumbered(part, self.boot, number, whole))
        self._remove([seq], "refiled")

    def _refile(self, boot: str, seqs: Iterable[int]) -> int:
        taken = [row for row in self._whole(seqs) if row[3] == boot]
        if taken and boot == self.boot:
            self.boot = self._new_boot()
        for _, kind, payload, *_ in taken:
            number = self._number()
            self._insert(number, kind, renumbered(payload, self.boot, number))
        return self._remove([row[0] for row in taken], "refiled")

    def _put_aside(self, damaged: list[Row]) -> None:
        gone = [row[0] for row in damaged]
        self._db.executemany(
            "INSERT OR REPLACE INTO damaged SELECT * FROM report WHERE seq = ?", [(seq,) for seq in gone]
        )
        self._db.execute(
            "DELETE FROM damaged WHERE seq NOT IN (SELECT seq FROM damaged ORDER BY seq DESC LIMIT ?)",
            (KEPT_DAMAGED_REPORTS,),
        )
        self._db.execute("UPDATE state SET dropped = dropped + ?", (self._remove(gone, "dropped"),))
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
            count = self._remove(gone, "dropped")
            self._db.execute("UPDATE state SET dropped = dropped + ?", (count,))
            log.warning("the outbox is full: the oldest %d reports are dropped", count)

    def _refuse(self, boot: str, seqs: Iterable[int]) -> int:
        count = self._delete(boot, seqs, "refused")
        if count:  # a transaction that changes nothing costs no sync
            self._db.execute("UPDATE state SET refused = refused + ?", (count,))
        return count

    def _delete(self, boot: str, seqs: Iterable[int], how: str | None = None) -> int:
        held = "SELECT 1 FROM report WHERE seq = ? AND boot = ?"
        return self._remove([seq for seq in seqs if self._db.execute(held, (seq, boot)).fetchone()], how)

    def _remove(self, seqs: Iterable[int], how: str | None) -> int:
        """Delete reports, those that are not committed counted by how their boot let go of them."""
        count = 0
        delete = "DELETE FROM report WHERE seq = ? RETURNING length(payload), boot"
        for seq in seqs:
            row = self._db.execute(delete, (seq,)).fetchone()
            if row:
                count += 1
                self._oversized.discard(seq)
                self._db.execute("UPDATE state SET waiting = waiting - 1, stored_bytes = stored_bytes - ?", row[:1])
                if how:
                    self._db.execute(f"UPDATE boots SET {how} = {how} + 1 WHERE boot = ?", row[1:])  # noqa: S608
        return count
