"""Reads what outboxes were given, what the journal has and what InfluxDB has, for `balance` to compare."""

from __future__ import annotations

import contextlib
import math
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx

from collector.store.columns import TABLES, microseconds
from probes.delivery.outbox import Outbox
from tests.chaos.balance import ArchiveRecord, Checksum, Column, JournalRecord, Key, OutboxRecord, Point, WrittenReport
from tests.chaos.mesh_of_processes import INFLUX_DATABASE

KINDS = ("latency", "throughput", "path")
TAGS = ("src", "dst", "method")
# In the outbox's own file and transaction: what is noted was written, and the reverse. A note outlives its report.
_WITNESS = """
CREATE TABLE chaos_written (boot TEXT, seq INTEGER, at TEXT, links INTEGER);
CREATE TRIGGER chaos_note AFTER INSERT ON report BEGIN
    INSERT INTO chaos_written
    SELECT json_extract(text, '$.boot'), json_extract(text, '$.seq'), json_extract(text, '$.at'),
           json_array_length(text, '$.links')
    FROM (SELECT CAST(new.payload AS TEXT) AS text);
END;
"""


def watch(path: Path, boot: str) -> None:
    """Make an outbox whose every report is noted in a table beside."""
    Outbox(path, new_boot=lambda: boot).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(_WITNESS)


def read_outbox(path: Path, site: str, *, limited: bool) -> OutboxRecord:
    """What an outbox was given and what is left of it; its probe may run, for a copy is read."""
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(_copied(path, Path(folder))) as db:
        noted = db.execute("SELECT boot, seq, at, links FROM chaos_written").fetchall()
        (waiting,) = db.execute("SELECT count(*) FROM report").fetchone()
        dropped, refused = db.execute("SELECT dropped + unstored, refused FROM state").fetchone()
    written = {
        (site, boot, seq): WrittenReport(microseconds(datetime.fromisoformat(at)), links)
        for boot, seq, at, links in noted
    }
    return OutboxRecord(site, written, waiting, dropped, refused, limited)


def _copied(path: Path, folder: Path) -> sqlite3.Connection:
    for ending in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):  # a WAL is there only while the file is open
            shutil.copy(f"{path}{ending}", folder)
    return sqlite3.connect(folder / path.name)


def read_journal(path: Path) -> JournalRecord:
    """All of the journal of a collector that does not run."""
    with duckdb.connect(str(path), read_only=True) as db:
        ranges = db.execute("SELECT site, boot, first, last FROM received").fetchall()
        tables = {kind: _dictionaries(db.execute(f"SELECT * FROM {kind}")) for kind in KINDS}  # noqa: S608
        aside = db.execute("SELECT kind, first, last FROM set_aside_rows WHERE sink = 'influx'").fetchall()
    received: Counter[Key] = Counter(
        (site, boot, seq) for site, boot, first, last in ranges for seq in range(first, last + 1)
    )
    rows = [(_point(kind, row, _us(row["at"])), _key(row)) for kind, found in tables.items() for row in found]
    values = ((kind, row) for kind, found in tables.items() for row in found)
    set_aside = Counter(
        _point(kind, row, _us(row["at"]))
        for kind, first, last in aside
        for row in tables[kind]
        if first <= row["number"] <= last
    )
    return JournalRecord(received, rows, set_aside, _checksums(values))


def read_archive(port: int) -> ArchiveRecord:
    """All of InfluxDB's points."""
    points: Counter[Point] = Counter()
    values: list[tuple[str, Mapping[str, Any]]] = []
    for kind in KINDS:
        query = {"db": INFLUX_DATABASE, "epoch": "ns", "q": f"SELECT * FROM {kind}"}  # noqa: S608
        (result,) = httpx.get(f"http://127.0.0.1:{port}/query", params=query, timeout=60).json()["results"]
        for series in result.get("series", ()):
            rows = [dict(zip(series["columns"], row, strict=True)) for row in series["values"]]
            points.update(_point(kind, row, row["time"] // 1000) for row in rows)
            values += [(kind, row) for row in rows]
    return ArchiveRecord(points, _checksums(values))


def _dictionaries(answer: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in answer.description or ()]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def _checksums(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[Column, Checksum]:
    """Per series and numeric field of the messages; exact, so that the order of rows does not count."""
    values: dict[Column, list[float]] = {}
    for kind, row in rows:
        for name, field in TABLES[kind].fields.items():
            if field.sql in {"BIGINT", "DOUBLE"} and row.get(name) is not None:
                values.setdefault((kind, row["src"], row["dst"], row["method"], name), []).append(row[name])
    return {column: (len(found), math.fsum(found)) for column, found in values.items()}


def _point(kind: str, row: Mapping[str, Any], at_us: int) -> Point:
    return kind, row["src"], row["dst"], row["method"], at_us


def _key(row: Mapping[str, Any]) -> Key:
    return row["site"], row["boot"], row["seq"]


def _us(naive: datetime) -> int:
    return microseconds(naive.replace(tzinfo=UTC))
