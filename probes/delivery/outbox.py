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
stay) and is counted as damaged. A file that is damaged itself is set aside; a new one takes over the
reports that are whole, each under the boot that it was written under (see `outbox_tables`).

**Rooms.** Here is the outbox as its callers see it: one transaction per call, what the disk does not take, a damaged
file. What happens to the reports within a transaction is in `outbox_reports`, the file's tables in `outbox_tables`.
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

from linkweather.atomicfile import DurableNumber
from linkweather.errors import OperatorError
from linkweather.wire import BootCount
from probes.delivery.outbox_reports import WaitingReports
from probes.delivery.outbox_tables import OUTBOX, boot_counts, prepare, take_over
from probes.site_database import Damage, DamageError, DiskError, is_damage, open_database, set_aside

log = logging.getLogger(__name__)

DEFAULT_MAX_BYTES: Final = 64 * 2**20

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class StoredReport:
    """A report that waits to be committed."""

    seq: int
    kind: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class OutboxDepth:
    """How full the outbox is, what of it is too long for the broker, and what it has lost since it was made.

    `damaged_reports` were lost with damaged files, or did not fit their checksums.
    """

    reports: int
    dropped_reports: int
    refused_reports: int
    oversized_reports: int = 0
    damaged_reports: int = 0


class Outbox:
    """One site's reports that wait, by number, bounded by `max_bytes` of payload. Any thread may call.

    A damaged file is set aside under another name, never overwritten, and what is whole in it is taken over. Raises
    OperatorError when the folder cannot be written, or another process holds the outbox.
    """

    def __init__(self, path: Path, *, new_boot: Callable[[], str], max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._path = path
        self._reports = WaitingReports(path, new_boot=new_boot, max_bytes=max_bytes)
        self._using = threading.Lock()
        self._counting = threading.Lock()
        self._failing = False  # the disk takes nothing: said once
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db, damage = open_database(path, OUTBOX)
            self._begin(damage)
            self._count_file = DurableNumber(path.with_name(f"{path.name}.unstored"))
        except (OSError, DiskError) as error:
            raise OperatorError(f"the outbox {path} cannot be used: {error}") from None
        *_, stored = self._reports.counts()
        self._unstored = max(stored, self._count_file.read() or 0)  # what the disk did not take, ever
        self._note_unstored()
        self._depth, self._boots = self._read_depth(), boot_counts(self._db)

    @property
    def boot(self) -> str:
        """The id under which reports are written now."""
        return self._reports.boot

    def add(self, kind: str, encode: Callable[[str, int], bytes]) -> int | None:
        """Number and store one report, `encode(boot, seq)`; it is on the disk when this returns its number.

        One that is too long for the broker is stored as several, of which this is the first. A report that the disk
        does not take is dropped and counted, without a number: None.
        """
        try:
            number = self._do(lambda: self._reports.add(kind, encode, unstored=self._unstored))
        except DiskError as error:
            self._drop_unstored(error)
            return None
        self._reports.prepared = True
        if self._failing:
            self._failing = False
            log.warning("the outbox %s takes reports again; %d were dropped so far", self._path, self._unstored)
        return number

    def limit(self, max_report_bytes: int | None) -> None:
        """Split what waits and is longer, and what will be; None is no limit. Raises DiskError.

        The rows become reports of their own, as what waits may have been sent whole: see `split_from`.
        """
        with self._using:
            self._reports.limit(max_report_bytes)
        self._do(self._reports.split_waiting)
        if self._reports.oversized:
            log.warning(
                "the broker takes reports of %d bytes at most: %d, each of a single row, are longer, and wait",
                *(max_report_bytes, len(self._reports.oversized)),
            )

    def oldest(self, limit: int) -> list[int]:
        """The numbers of up to `limit` waiting reports that the broker takes, oldest first. Raises DiskError."""
        return self._do(lambda: self._reports.oldest(limit))

    def newest(self, limit: int) -> list[int]:
        """The numbers of the up to `limit` newest reports that the broker takes, oldest first. Raises DiskError."""
        return self._do(lambda: self._reports.newest(limit))

    def reports(self, seqs: Iterable[int]) -> list[StoredReport]:
        """Those of the reports with these numbers that wait; damaged ones are put aside. Raises DiskError."""
        return self._do(
            lambda: [StoredReport(seq, kind, payload) for seq, kind, payload, *_ in self._reports.whole(seqs)]
        )

    def committed(self, boot: str, seqs: Iterable[int]) -> int:
        """Delete what is in the journal; how many of them waited here. Those of another outbox are ignored.

        Raises DiskError.
        """
        return self._do(lambda: self._reports.delete(boot, seqs))

    def refused(self, boot: str, seqs: Iterable[int]) -> int:
        """Delete and count what the collector refuses for good; how many of them waited here. Raises DiskError."""
        return self._do(lambda: self._reports.refuse(boot, seqs))

    def refile(self, boot: str, seqs: Iterable[int]) -> int:
        """Number reports again whose numbers belong to others in the journal; how many waited here. Raises DiskError.

        Where they were written under the present boot, a new one begins, as its further numbers may be taken, too.
        """
        return self._do(lambda: self._reports.refile(boot, seqs))

    def note_dropped(self) -> None:
        """Count a report that was dropped before it came here; the next write keeps the count."""
        with self._counting:  # not `_using`, which a slow disk holds
            self._unstored += 1
            self._depth = replace(self._depth, dropped_reports=self._depth.dropped_reports + 1)

    def depth(self) -> OutboxDepth:
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
        self._reports.begin(self._db)
        self._db.text_factory = lambda raw: raw.decode(errors="replace")
        try:
            self._prepare(damage)
        except DiskError as error:
            if damage is not None or self._db.execute("SELECT 1 FROM state").fetchone() is None:
                raise
            # What waits can be sent all the same.
            log.warning("the outbox %s cannot be written (%s): what waits in it is sent", self._path, error)
            self._reports.prepared = False

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

    def _read_depth(self) -> OutboxDepth:
        waiting, dropped, refused, damaged, _ = self._reports.counts()
        return OutboxDepth(waiting, dropped + self._unstored, refused, len(self._reports.oversized), damaged)

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
