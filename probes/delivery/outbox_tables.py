"""The outbox's tables: their shape, a report's checksum, and what is taken over from a file that was damaged.

A room of its own, so that the outbox itself reads as the life of a report.
"""

from __future__ import annotations

import sqlite3
import zlib
from operator import itemgetter
from typing import Final

from linkweather.wire import MAX_BOOTS, BootCount
from probes.site_database import Damage, Row, Shape

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS report (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, payload BLOB NOT NULL, boot TEXT, crc INTEGER
);
CREATE TABLE IF NOT EXISTS state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    boot TEXT NOT NULL,
    next_seq INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    waiting INTEGER NOT NULL DEFAULT 0,
    unstored INTEGER NOT NULL DEFAULT 0,
    damaged INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS damaged (seq INTEGER PRIMARY KEY, kind TEXT, payload BLOB, boot TEXT, crc INTEGER);
CREATE TABLE IF NOT EXISTS boots (
    number INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    next INTEGER NOT NULL,
    boot TEXT NOT NULL UNIQUE,
    waiting INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    refiled INTEGER NOT NULL DEFAULT 0,
    damaged INTEGER NOT NULL DEFAULT 0
);
CREATE TRIGGER IF NOT EXISTS boot_gains AFTER INSERT ON report BEGIN
    INSERT INTO boots (boot, first, next, waiting) VALUES (new.boot, new.seq, new.seq + 1, 1)
    ON CONFLICT (boot) DO UPDATE SET next = max(next, new.seq + 1), waiting = waiting + 1;
END;
CREATE TRIGGER IF NOT EXISTS boot_loses AFTER DELETE ON report BEGIN
    UPDATE boots SET waiting = waiting - 1 WHERE boot = old.boot;
END;
"""
# One process per outbox; FULL: a report is on the disk before it is on the wire.
_PRAGMAS: Final = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
# What files made before these columns were lack.
_ADDED: Final = {
    "report": {"boot": "TEXT", "crc": "INTEGER"},
    "state": dict.fromkeys(("waiting", "unstored", "damaged"), "INTEGER NOT NULL DEFAULT 0"),
    "boots": {"damaged": "INTEGER NOT NULL DEFAULT 0"},
}


def report_crc(boot: str, seq: int, kind: str, payload: bytes) -> int:
    """The checksum of one report and of what it is stored under."""
    return zlib.crc32(payload, zlib.crc32(f"{boot} {seq} {kind} ".encode(errors="replace")))


def is_whole(row: Row) -> bool:
    """Whether a row of `report` is one, as it was written."""
    seq, kind, payload, boot, crc = row
    if not (isinstance(kind, str) and isinstance(payload, bytes) and isinstance(boot, str)):
        return False
    return crc is None or crc == report_crc(boot, seq, kind, payload)  # NULL: written before checksums were


def _is_state(row: Row) -> bool:
    only, boot, *numbers = row
    return only == 1 and isinstance(boot, str) and all(isinstance(number, int) for number in numbers)


def _is_boot(row: Row) -> bool:
    # Rows of a damaged file are known by their shape alone: the name stands where `state` has a number.
    *numbers, boot, waiting, dropped, refused, refiled, damaged = row
    counts = (*numbers, waiting, dropped, refused, refiled, damaged)
    return isinstance(boot, str) and all(isinstance(one, int) for one in counts)


OUTBOX: Final = Shape(_TABLES, _PRAGMAS, {"report": is_whole, "state": _is_state, "boots": _is_boot})


def prepare(db: sqlite3.Connection, boot: str) -> None:
    """Begin a new file, or bring one of an older version up to this one."""
    missing = [
        f"ALTER TABLE {table} ADD COLUMN {name} {sql}"
        for table, columns in _ADDED.items()
        for name, sql in columns.items()
        if name not in {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
    ]
    for statement in missing:
        db.execute(statement)
    if missing:
        db.execute("UPDATE report SET boot = (SELECT boot FROM state) WHERE boot IS NULL")
        db.execute("UPDATE state SET waiting = (SELECT count(*) FROM report)")
    if db.execute("SELECT 1 FROM boots").fetchone() is None:
        db.execute(
            "INSERT INTO boots (boot, first, next, waiting) "
            "SELECT boot, min(seq), max(seq) + 1, count(*) FROM report WHERE boot IS NOT NULL GROUP BY boot"
        )
    # What became of the reports of older boots is known to the collector by now.
    db.execute(
        "DELETE FROM boots WHERE waiting = 0 AND number NOT IN (SELECT number FROM boots ORDER BY number DESC LIMIT ?)",
        (MAX_BOOTS,),
    )
    if db.execute("SELECT 1 FROM state").fetchone() is None:
        db.execute("INSERT INTO state (only, boot, next_seq) VALUES (1, ?, 0)", (boot,))


def boot_counts(db: sqlite3.Connection) -> tuple[BootCount, ...]:
    """What became of the reports of the newest boots, and of older ones of which some wait; the newest last."""
    rows = db.execute(
        "SELECT boot, first, next, waiting, dropped, refused, refiled, damaged, number FROM boots "
        "ORDER BY waiting > 0 DESC, number DESC LIMIT ?",
        (MAX_BOOTS,),
    )
    names = tuple(BootCount.model_fields)
    return tuple(
        BootCount.model_construct(**dict(zip(names, row, strict=False))) for row in sorted(rows, key=itemgetter(-1))
    )


def take_over(db: sqlite3.Connection, damage: Damage) -> str:
    """Take the whole reports and the counts of a damaged file into a new one; the sentence that says what was lost.

    Which numbers the old one gave last may be unknown.
    """
    reports = {row[0]: row for row in damage.rows["report"]}
    old = max(damage.rows["state"], key=lambda row: int(row[2]), default=None)
    next_seq, dropped, refused, waiting, unstored, damaged = (
        (old[2], *old[4:]) if old else (0, 0, 0, len(reports), 0, 0)
    )
    lost = max(0, waiting - len(reports))
    old_boots = {row[3]: row for row in damage.rows["boots"]}
    db.executemany(
        "INSERT INTO boots VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?)",
        [(*row[:4], *row[5:]) for row in sorted(old_boots.values())],
    )
    db.executemany("INSERT INTO report VALUES (?, ?, ?, ?, ?)", [reports[seq] for seq in sorted(reports)])
    db.execute(
        """UPDATE state SET next_seq = ?, dropped = ?, refused = ?, unstored = ?, damaged = ?, waiting = ?,
               stored_bytes = (SELECT coalesce(sum(length(payload)), 0) FROM report)""",
        (max([next_seq, *(seq + 1 for seq in reports)]), dropped, refused, unstored, damaged + lost, len(reports)),
    )
    db.executemany(
        "UPDATE boots SET damaged = damaged + max(0, ? - waiting) WHERE boot = ?",
        [(row[4], boot) for boot, row in old_boots.items()],
    )
    of = f"of {waiting}" if old else "of an unknown number of"
    counted = f", {lost} are lost and counted as damaged" if old else ""
    return f"{len(reports)} {of} waiting reports are kept{counted}"
