"""Reads what outboxes were given, what the journal has and what InfluxDB has, for `balance` to compare."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import duckdb
import httpx

from collector.store.columns import TABLES, microseconds
from probes.delivery.outbox import Outbox
from tests.chaos.balance import JournalRecord, Key, OutboxRecord, Point, WrittenReport

INFLUX_DATABASE = "linkweather"
KINDS = ("latency", "throughput", "path")
TAGS = ("src", "dst", "method")
# In the outbox's own file and transaction: what is noted was written, and the reverse. A note outlives its report.
_NOTED = """
    SELECT json_extract(text, '$.boot'), json_extract(text, '$.seq'), json_extract(text, '$.at'),
           json_array_length(text, '$.links')
"""
_SIDE_TABLE = f"""
CREATE TABLE chaos_written (boot TEXT, seq INTEGER, at TEXT, links INTEGER);
INSERT INTO chaos_written {_NOTED} FROM (SELECT CAST(payload AS TEXT) AS text FROM report);
CREATE TRIGGER chaos_note AFTER INSERT ON report BEGIN
    INSERT INTO chaos_written {_NOTED} FROM (SELECT CAST(new.payload AS TEXT) AS text);
END;
"""  # noqa: S608 - all of it is here


def watch(path: Path, boot: str) -> None:
    """Make an outbox whose every report is noted in a table beside."""
    Outbox(path, new_boot=lambda: boot).close()
    watch_again(path)


def watch_again(path: Path) -> None:
    """Note the reports of an outbox that nobody has open: those that wait in it, and all that come."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'chaos_written'").fetchone():
            db.executescript(_SIDE_TABLE)


def read_outbox(path: Path, site: str, *, may_drop: bool) -> OutboxRecord:
    """What an outbox was given and what is left of it; its probe may run, for a copy is read."""
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(_copied(path, Path(folder))) as db:
        noted = db.execute("SELECT boot, seq, at, links FROM chaos_written").fetchall()
        waiting = db.execute("SELECT boot, seq FROM report").fetchall()
        dropped, refused = db.execute("SELECT dropped + damaged + unstored, refused FROM state").fetchone()
    written = {
        (site, boot, seq): WrittenReport(microseconds(datetime.fromisoformat(at)), links)
        for boot, seq, at, links in noted
    }
    return OutboxRecord(site, written, frozenset((site, *key) for key in waiting), dropped, refused, may_drop)


def boots_waiting(path: Path) -> set[str]:
    """The boots of the reports that wait in an outbox; of a file that cannot be read now, none."""
    with (
        contextlib.suppress(sqlite3.DatabaseError),
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(_copied(path, Path(folder))) as db,
    ):
        return {boot for (boot,) in db.execute("SELECT DISTINCT boot FROM report")}
    return set()


def joined(earlier: OutboxRecord, now: OutboxRecord) -> OutboxRecord:
    """One record of an outbox whose file was changed: what it was given before as well, and what was destroyed."""
    return replace(now, written={**earlier.written, **now.written}, destroyed=now.destroyed | earlier.destroyed)


def _copied(path: Path, folder: Path) -> sqlite3.Connection:
    for ending in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):  # a WAL is there only while the file is open
            shutil.copy(f"{path}{ending}", folder)
    return sqlite3.connect(folder / path.name)


def read_journal(path: Path, *, damaged: bool = False) -> JournalRecord:
    """All of the journal of a collector that does not run."""
    with duckdb.connect(str(path), read_only=True) as db:
        ranges = db.execute("SELECT site, boot, first, last FROM received").fetchall()
        tables = {kind: _dictionaries(db.execute(f"SELECT * FROM {kind}")) for kind in KINDS}  # noqa: S608
        aside = db.execute("SELECT kind, first, last FROM set_aside_rows WHERE sink = 'influx'").fetchall()
    received: Counter[Key] = Counter(
        (site, boot, seq) for site, boot, first, last in ranges for seq in range(first, last + 1)
    )
    points = {
        kind: [(row, _point(kind, row, _us(row["at"]), joined=not damaged)) for row in rows]
        for kind, rows in tables.items()
    }
    set_aside = Counter(
        point for kind, first, last in aside for row, point in points[kind] if first <= row["number"] <= last
    )
    rows = [(point, _key(row)) for found in points.values() for row, point in found]
    return JournalRecord(received, rows, set_aside, damaged)


def read_archive(port: int, *, damaged: bool = False) -> Counter[Point]:
    """All of InfluxDB's points; of a damaged journal without what the collector joined, which it may not know again."""
    points: Counter[Point] = Counter()
    for kind in KINDS:
        query = {"db": INFLUX_DATABASE, "epoch": "ns", "q": f"SELECT * FROM {kind}"}  # noqa: S608
        (result,) = httpx.get(f"http://127.0.0.1:{port}/query", params=query, timeout=60).json()["results"]
        for series in result.get("series", ()):
            rows = (dict(zip(series["columns"], row, strict=True)) for row in series["values"])
            points.update(_point(kind, row, row["time"] // 1000, joined=not damaged) for row in rows)
    return points


def _dictionaries(answer: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in answer.description or ()]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def _point(kind: str, row: Mapping[str, Any], at_us: int, *, joined: bool) -> Point:
    return kind, row["src"], row["dst"], row["method"], _checksum(_values(kind, row, joined=joined)), at_us


def _values(kind: str, row: Mapping[str, Any], *, joined: bool) -> Iterator[tuple[str, Any]]:
    """The fields of a row as InfluxDB has them: of a list the length, and a prober's own figures by their names."""
    table = TABLES[kind]
    for name in (*table.fields, *(table.extra if joined else ())):
        value = row.get(name)
        if isinstance(value, str) and name in table.nested:
            value = len(json.loads(value))
        if value is not None and not isinstance(value, dict):
            yield name, float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        elif value is not None:
            yield from ((f"{name}.{figure}", float(number)) for figure, number in value.items())
    for name, value in row.items():  # InfluxDB's columns of figures
        if "." in name and value is not None:
            yield name, float(value)


def _checksum(values: Iterable[tuple[str, Any]]) -> int:
    return int.from_bytes(blake2b(json.dumps(sorted(values)).encode(), digest_size=8).digest(), "big")


def _key(row: Mapping[str, Any]) -> Key:
    return row["site"], row["boot"], row["seq"]


def _us(naive: datetime) -> int:
    return microseconds(naive.replace(tzinfo=UTC))
