"""What happens to the outbox's reports in its file: numbered, split, filed again, dropped, deleted, each counted.

The outbox begins and ends the transactions (see `outbox`); every method here is a part of one, and raises DiskError or
DamageError as the file does.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from linkweather.wire import SplitFrom, renumbered, split
from probes.delivery.outbox_tables import is_whole, prepare, report_crc
from probes.site_database import Row

log = logging.getLogger(__name__)

UNLIMITED: Final = 2**63 - 1
KEPT_DAMAGED_REPORTS: Final = 1000


class WaitingReports:
    """The reports that wait in the file at `path`, bounded by `max_bytes` of payload. `begin` says which file is open.

    `boot` is the id under which reports are written now, `oversized` the numbers of single rows that are longer than
    the limit. `prepared` says whether the file knows this boot.
    """

    boot: str
    _db: sqlite3.Connection

    def __init__(self, path: Path, *, new_boot: Callable[[], str], max_bytes: int) -> None:
        self.prepared = True
        self.oversized: set[int] = set()
        self._path = path
        self._new_boot = new_boot
        self._max_bytes = max_bytes
        self._max_report_bytes = UNLIMITED

    def begin(self, db: sqlite3.Connection) -> None:
        """Begin a boot, in a file that was opened."""
        self._db = db
        self.boot = self._new_boot()

    def limit(self, max_report_bytes: int | None) -> None:
        """Take reports of so many bytes at most; None is no limit."""
        self._max_report_bytes = max_report_bytes or UNLIMITED

    def counts(self) -> tuple[int, int, int, int, int]:
        """How many reports wait, were dropped, were refused, were damaged, and were not taken by the disk."""
        waiting, dropped, refused, damaged, unstored = self._db.execute(
            "SELECT waiting, dropped, refused, damaged, unstored FROM state"
        ).fetchone()
        return waiting, dropped, refused, damaged, unstored

    def add(self, kind: str, encode: Callable[[str, int], bytes], *, unstored: int) -> int:
        """Store one report, as several where it is too long; the number of the first. The oldest give way to it.

        `unstored` is how many reports the disk has not taken, ever.
        """
        seq = self._number()
        first, *others = split(kind, encode(self.boot, seq), self._max_report_bytes)
        self._insert(seq, kind, first)
        for part in others:
            number = self._number()
            self._insert(number, kind, renumbered(part, self.boot, number))
        self._db.execute("UPDATE state SET unstored = ?", (unstored,))
        self._drop_oldest(keep=seq)
        return seq

    def oldest(self, limit: int) -> list[int]:
        """The numbers of up to `limit` reports that the broker takes, oldest first."""
        return self._numbers("ORDER BY seq LIMIT ?", limit)

    def newest(self, limit: int) -> list[int]:
        """The numbers of the up to `limit` newest reports that the broker takes, oldest first."""
        return self._numbers("ORDER BY seq DESC LIMIT ?", limit)[::-1]

    def whole(self, seqs: Iterable[int]) -> list[Row]:
        """The rows with these numbers that wait; damaged ones are put aside and counted."""
        select = "SELECT seq, kind, payload, boot, crc FROM report WHERE seq = ?"
        rows = [row for seq in seqs if (row := self._db.execute(select, (seq,)).fetchone())]
        damaged = [row for row in rows if not is_whole(row)]
        if damaged:
            self._put_aside(damaged)
        return [row for row in rows if row not in damaged]

    def split_waiting(self) -> None:
        """Split what is longer than the limit by its rows; a single row that is longer is one of `oversized`."""
        self.oversized.clear()
        long = self._db.execute("SELECT seq FROM report WHERE length(payload) > ?", (self._max_report_bytes,))
        for (seq,) in long.fetchall():
            for row in self.whole([seq]):
                self._split(row)

    def refile(self, boot: str, seqs: Iterable[int]) -> int:
        """Number reports again; how many of them waited. Those of the present boot begin a new one."""
        taken = [row for row in self.whole(seqs) if row[3] == boot]
        if taken and boot == self.boot:
            self.boot = self._new_boot()
        for _, kind, payload, *_ in taken:
            number = self._number()
            self._insert(number, kind, renumbered(payload, self.boot, number))
        return self._remove([row[0] for row in taken], "refiled")

    def refuse(self, boot: str, seqs: Iterable[int]) -> int:
        """Delete what the collector refuses for good; how many of them waited."""
        count = self.delete(boot, seqs, "refused")
        if count:  # a transaction that changes nothing costs no sync
            self._db.execute("UPDATE state SET refused = refused + ?", (count,))
        return count

    def delete(self, boot: str, seqs: Iterable[int], how: str | None = None) -> int:
        """Delete reports of this boot; how many of them waited. `how` names the count of those not committed."""
        held = "SELECT 1 FROM report WHERE seq = ? AND boot = ?"
        return self._remove([seq for seq in seqs if self._db.execute(held, (seq, boot)).fetchone()], how)

    def _number(self) -> int:
        if not self.prepared:
            prepare(self._db, self.boot)
        number: int
        (number,) = self._db.execute("UPDATE state SET next_seq = next_seq + 1 RETURNING next_seq - 1").fetchone()
        return number

    def _insert(self, seq: int, kind: str, payload: bytes) -> None:
        crc = report_crc(self.boot, seq, kind, payload)
        self._db.execute("INSERT INTO report VALUES (?, ?, ?, ?, ?)", (seq, kind, payload, self.boot, crc))
        self._db.execute("UPDATE state SET waiting = waiting + 1, stored_bytes = stored_bytes + ?", (len(payload),))
        if len(payload) > self._max_report_bytes:
            self.oversized.add(seq)

    def _numbers(self, order: str, limit: int) -> list[int]:
        found = self._db.execute(
            f"SELECT seq FROM report WHERE length(payload) <= ? {order}",  # noqa: S608 - one of ours
            (self._max_report_bytes, limit),
        )
        return [seq for (seq,) in found]

    def _split(self, row: Row) -> None:
        seq, kind, payload, boot, _ = row
        parts = split(kind, payload, 0)
        if len(parts) == 1:
            self.oversized.add(seq)
            return
        numbers = [self._number() for _ in parts]
        whole = SplitFrom(boot=boot, seq=seq, parts_boot=self.boot, first=numbers[0], last=numbers[-1])
        for number, part in zip(numbers, parts, strict=True):
            self._insert(number, kind, renumbered(part, self.boot, number, whole))
        self._remove([seq], "refiled")

    def _put_aside(self, damaged: list[Row]) -> None:
        gone = [row[0] for row in damaged]
        self._db.executemany(
            "INSERT OR REPLACE INTO damaged SELECT * FROM report WHERE seq = ?", [(seq,) for seq in gone]
        )
        self._db.execute(
            "DELETE FROM damaged WHERE seq NOT IN (SELECT seq FROM damaged ORDER BY seq DESC LIMIT ?)",
            (KEPT_DAMAGED_REPORTS,),
        )
        # One whose boot is what is damaged is of the boot that gave its number.
        self._db.executemany(
            """UPDATE report
               SET boot = (SELECT boot FROM boots WHERE first <= seq AND seq < next ORDER BY number LIMIT 1)
               WHERE seq = ? AND boot NOT IN (SELECT boot FROM boots)""",
            [(seq,) for seq in gone],
        )
        self._db.execute("UPDATE state SET damaged = damaged + ?", (self._remove(gone, "damaged"),))
        log.error(
            "%d waiting reports of the outbox %s are damaged: they are in its table `damaged` now, and counted so",
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

    def _remove(self, seqs: Iterable[int], how: str | None) -> int:
        """Delete reports, those that are not committed counted by how their boot let go of them."""
        count = 0
        delete = "DELETE FROM report WHERE seq = ? RETURNING length(payload), boot"
        for seq in seqs:
            row = self._db.execute(delete, (seq,)).fetchone()
            if row:
                count += 1
                self.oversized.discard(seq)
                self._db.execute("UPDATE state SET waiting = waiting - 1, stored_bytes = stored_bytes - ?", row[:1])
                if how:
                    self._db.execute(f"UPDATE boots SET {how} = {how} + 1 WHERE boot = ?", row[1:])  # noqa: S608
        return count
