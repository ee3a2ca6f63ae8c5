"""Rows per second from a filled journal into VictoriaMetrics, beside influxdb-client's own batching WriteApi.

Run: python -m tests.bench.export [--rows 200000]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import psutil
from influxdb_client import InfluxDBClient, Point, WriteOptions

from collector.sinks.backlog import Backlog, JournalBatch
from collector.sinks.builtin import InfluxSettings
from collector.sinks.exporter import Exporter
from collector.sinks.influx_sink import InfluxServer, InfluxSink
from collector.sinks.line_protocol import TAGS, lines
from collector.store.columns import TABLES, Entry, Recorded
from collector.store.journal import Journal
from linkweather.wire import Row, decode_report
from tests import servers
from tests.bench.reports import START, payloads
from tests.collector.report_samples import recorded_rows

SITES = 50
ROWS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, servers.victoria_metrics(Path(name)) as port:
        journal = Journal(Path(name) / "journal.duckdb")
        _fill(journal, options.rows)
        _warm(journal, port)
        ours, theirs = [], []
        for repeat in range(options.repeats):  # interleaved: the machine's moods hit both
            ours.append(_ours(journal, port, f"bench-{repeat}"))
            theirs.append(_theirs(journal, port, options.rows // 10))
        _print("journal → VictoriaMetrics", options.rows, ours)
        _print("peer: Point through the batching WriteApi, no journal", options.rows // 10, theirs)
        print(f"ratio: {statistics.median(theirs) * 10 / statistics.median(ours):.1f}")
        _ceiling(journal, port, options.rows)
        _formatting(journal, options.rows)
        print(f"latency_sent in VictoriaMetrics: {_stored(port)} of {options.rows} rows")
        journal.close()


def _print(name: str, rows: int, seconds: Sequence[float]) -> None:
    rates = [rows / value for value in seconds]
    middle = statistics.median(rates)
    print(f"{name}: {middle:,.0f} rows/s ({min(rates):,.0f} to {max(rates):,.0f}, n = {len(rates)} × {rows} rows)")


def _fill(journal: Journal, rows: int) -> None:
    for batch in islice(payloads(SITES, ROWS), rows // (SITES * ROWS)):
        journal.commit([Entry(site, decode_report(site, "latency", payload).report, START) for site, payload in batch])


def _warm(journal: Journal, port: int) -> None:
    """A first row of every link: to know a new series costs the server more than a day of its points."""
    first = Backlog(journal.database, "warm").next("latency", SITES * ROWS)
    server = InfluxServer(InfluxSettings(url=f"http://127.0.0.1:{port}", bucket="bench", timeout_s=60.0), "warm")
    server.write(_lines(first) if first else [])
    server.close()


def _ours(journal: Journal, port: int, name: str) -> float:
    settings = InfluxSettings(url=f"http://127.0.0.1:{port}", bucket="bench")
    exporter = Exporter(journal.database, name, settings, InfluxSink(settings, name))
    started = time.perf_counter()
    while exporter.step():
        pass
    seconds = time.perf_counter() - started
    exporter.close()
    return seconds


def _theirs(journal: Journal, port: int, rows: int) -> float:
    """The same rows, read beforehand: only Points and the writing are timed."""
    recorded = recorded_rows(journal.database)[:rows]
    options = WriteOptions(batch_size=5000, flush_interval=1000)
    started = time.perf_counter()
    with (
        InfluxDBClient(f"http://127.0.0.1:{port}", token="", org="") as client,
        client.write_api(write_options=options) as writer,
    ):
        for one in recorded:
            writer.write("bench", record=_point(one))
    return time.perf_counter() - started


def _point(one: Recorded[Row]) -> Point:
    point = Point("latency").time(one.at)
    values: dict[str, Any] = vars(one.row)
    for name in TAGS:
        point.tag(name, values[name])
    for name in TABLES["latency"].fields:
        if name not in TAGS and values[name] is not None:
            point.field(name, values[name])
    return point


def _formatting(journal: Journal, rows: int) -> None:
    started = time.perf_counter()
    for batch in _batches(journal, "formatting"):
        _lines(batch)
    print(f"reading and formatting alone: {(time.perf_counter() - started) / rows * 1e6:.2f} µs a row, n = {rows}")


def _ceiling(journal: Journal, port: int, rows: int) -> None:
    """What the server takes at most: the same lines, rendered beforehand, from two connections at once."""
    bodies = list(_bodies(journal))
    server = next(process for process in psutil.Process().children() if "victoria" in process.name())
    before, started = sum(server.cpu_times()[:2]), time.perf_counter()
    with ThreadPoolExecutor(2) as pool, httpx.Client() as client:
        url = f"http://127.0.0.1:{port}/api/v2/write"
        list(pool.map(lambda body: client.post(url, params={"precision": "ns"}, content=body), bodies))
    seconds, used = time.perf_counter() - started, sum(server.cpu_times()[:2]) - before
    print(f"ceiling, lines rendered beforehand, two connections: {rows / seconds:,.0f} rows/s (n = 1 × {rows} rows)")
    print(
        f"the server's own processor time: {used / rows * 1e6:.1f} µs a row of {len(TABLES['latency'].fields)} fields"
    )


def _bodies(journal: Journal) -> Iterator[bytes]:
    for batch in _batches(journal, "ceiling"):
        yield "\n".join(_lines(batch)).encode()


def _batches(journal: Journal, name: str) -> Iterator[JournalBatch]:
    backlog = Backlog(journal.database, name)
    while (batch := backlog.next("latency", 5000)) is not None:
        yield batch
        backlog.advance(batch, (), START)


def _lines(batch: JournalBatch) -> list[str]:
    return [text for text in lines("latency", batch.columns()) if text is not None]


def _stored(port: int) -> int:
    httpx.get(f"http://127.0.0.1:{port}/internal/force_flush")
    parameters = {"query": "sum(count_over_time(latency_sent[30d]))", "time": (START + timedelta(days=20)).isoformat()}
    answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params=parameters).json()
    return int(answer["data"]["result"][0]["value"][1])


if __name__ == "__main__":
    main()
