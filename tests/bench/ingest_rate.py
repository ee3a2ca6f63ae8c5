"""Rows per second through decode, commit and committed on one core, by stage, and beside SQLite.

Run: python -m tests.bench.ingest_rate [--rounds 40] [--synchronised]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from collector.ingest.admission import IncomingMessage, admit, receipts
from collector.ingest.ingest import Ingest
from collector.interpreter import garbage_collection_paused
from collector.store.columns import TABLES, Entry
from collector.store.journal import Journal
from linkweather.wire import Committed, decode, encode, topics
from tests.bench.reports import START, payloads

SITES = 50
ROWS = 100
BATCH_ROWS = SITES * ROWS

Round = list[tuple[str, bytes]]
Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--synchronised", action="store_true", help="with one-way delays: 25 fields a row")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rounds = list(islice(payloads(SITES, ROWS, synchronised=options.synchronised), options.rounds))
    size = sum(len(payload) for _, payload in rounds[0]) / BATCH_ROWS
    print(f"{options.rounds} batches of {SITES} reports of {ROWS} rows, {size:.0f} bytes a row, one core")
    stages, peer = _in_a_folder(_stages, rounds), _in_a_folder(_sqlite, rounds)
    whole = [_in_a_folder(_whole, rounds) for _ in range(options.repeats)]
    for name, seconds in stages.items():
        _print(f"  stage: {name}", seconds, BATCH_ROWS)
    _print("peer: sqlite3 executemany of the decoded rows, nothing else", peer, BATCH_ROWS)
    rows = BATCH_ROWS * len(rounds)
    _print("decode + commit + committed, through Ingest", [wall for wall, _ in whole], rows)
    _print("… by processor time", [processor for _, processor in whole], rows)
    ratio = statistics.median(peer) / BATCH_ROWS / (statistics.median(wall for wall, _ in whole) / rows)
    print(f"ratio of the whole to the peer: {ratio:.2f}")


def _in_a_folder(measured: Callable[[Path, Sequence[Round]], Result], rounds: Sequence[Round]) -> Result:
    """In an empty folder each time: a journal finds what was acknowledged before in files beside it."""
    with tempfile.TemporaryDirectory() as folder:
        return measured(Path(folder), rounds)


def _print(name: str, seconds: Sequence[float], rows: int) -> None:
    rates = sorted(rows / value for value in seconds)
    low, middle, high = statistics.quantiles(rates, n=4)
    spread = f"quartiles {low:,.0f} to {high:,.0f}, n = {len(rates)}"
    print(f"{name}: {middle:,.0f} rows/s ({spread}), {1e6 / middle:.2f} µs a row")


def _whole(folder: Path, rounds: Sequence[Round]) -> tuple[float, float]:
    """Seconds and processor seconds through `Ingest` itself, from the first message to the last acknowledged."""
    journal = Journal(folder / "whole.duckdb")
    acknowledged = asyncio.Event()
    seqs = {site: len(rounds) for site, _ in rounds[0]}

    async def publish(topic: str, payload: bytes) -> bool:
        found = topics.parse(topic)
        if found is not None:
            seqs[found.site] -= len(decode(Committed, payload).seqs)
        if not any(seqs.values()):
            acknowledged.set()
        return True

    async def feed() -> tuple[float, float]:
        ingest = Ingest(journal, publish=publish)
        task = asyncio.create_task(ingest.run(), name="ingest")
        started, processor = time.perf_counter(), time.process_time()
        for site, payload in chain.from_iterable(rounds):
            ingest.handle(topics.report(site, "latency"), payload)
        await acknowledged.wait()
        seconds = time.perf_counter() - started, time.process_time() - processor
        task.cancel()
        return seconds

    seconds = asyncio.run(feed())
    journal.close()
    return seconds


def _stages(folder: Path, rounds: Sequence[Round]) -> dict[str, list[float]]:
    journal = Journal(folder / "stages.duckdb")
    stages: dict[str, list[float]] = {"decode and check": [], "commit": [], "committed": []}
    for batch in rounds:
        started = time.perf_counter()
        with garbage_collection_paused():
            entries = _decoded(batch)
            decoded = time.perf_counter()
            journal.commit(entries)
        committed = time.perf_counter()
        for _, told in receipts(
            journal.id, [(entry.site, entry.report.boot, entry.report.seq) for entry in entries], []
        ):
            encode(told)
        stages["decode and check"].append(decoded - started)
        stages["commit"].append(committed - decoded)
        stages["committed"].append(time.perf_counter() - committed)
    journal.close()
    return stages


def _decoded(batch: Round) -> list[Entry]:
    found = [admit(IncomingMessage(topics.report(site, "latency"), payload, START), None) for site, payload in batch]
    return [entry for entry in found if isinstance(entry, Entry)]


def _sqlite(folder: Path, rounds: Sequence[Round]) -> list[float]:
    """The same decoded rows by executemany, a transaction per batch, with a WAL that is synced at every commit."""
    names = ["site", "boot", "seq", '"at"', *TABLES["latency"].fields]
    insert = f"INSERT INTO latency VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - question marks
    seconds: list[float] = []
    with contextlib.closing(sqlite3.connect(folder / "peer.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"CREATE TABLE latency ({', '.join(names)})")
        for batch in rounds:
            entries = _decoded(batch)
            started = time.perf_counter()
            _insert(connection, insert, entries)
            seconds.append(time.perf_counter() - started)
    return seconds


def _insert(connection: sqlite3.Connection, insert: str, entries: Sequence[Entry]) -> None:
    connection.executemany(
        insert,
        (
            (entry.site, entry.report.boot, entry.report.seq, entry.report.at.timestamp(), *vars(row).values())
            for entry in entries
            for row in entry.report.rows
        ),
    )
    connection.commit()


if __name__ == "__main__":
    main()
