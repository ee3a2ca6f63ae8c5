"""Time of a commit while rows are rolled up, old ones deleted, and the file written anew; what is given back.

Run: python -m tests.bench.pruning [--rows 6000000]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

from collector.store.columns import Entry, naive
from collector.store.compaction import Compaction
from collector.store.journal import Journal
from collector.store.retention import with_rests
from collector.store.roll_ups import RollUps
from linkweather.wire import LatencyReport, LatencyRow
from tests.bench.reports import START

SITES = 8
ALONE_S = 10.0
ROLLED_UP = 500_000
_MB = 2**20


class CommitClock:
    """Commits a report of a site every 20 ms in a thread of its own, and times each."""

    def __init__(self, journal: Journal, now: datetime) -> None:
        self._journal = journal
        self._now = now
        self._numbers = count()

    def during(self, work: Callable[[], object]) -> list[float]:
        """How long each commit took, in seconds, while `work` ran."""
        took: list[float] = []
        ended = threading.Event()

        def commit() -> None:
            while not ended.is_set():
                started = time.perf_counter()
                self._journal.commit([self._entry(next(self._numbers))])
                took.append(time.perf_counter() - started)
                ended.wait(0.02)

        thread = threading.Thread(target=commit)
        thread.start()
        work()
        ended.set()
        thread.join()
        return took

    def _entry(self, seq: int) -> Entry:
        rows = tuple(
            LatencyRow(src="s0", dst=f"s{peer}", method="stamp", sent=50, received=50, rtt_p50_s=0.01)
            for peer in range(1, SITES)
        )
        return Entry("s0", LatencyReport(boot="live", seq=seq, at=self._now, links=rows), self._now)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6_000_000, help="two thirds of them too old")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        took = _run(Path(folder) / "journal.duckdb", rows)
    print(f"a commit of {SITES - 1} rows, in ms: p50, p99, longest; how many; p99 to that of commits alone")
    alone = _figures(took["alone"])
    for name, times in took.items():
        figures = _figures(times)
        shown = ", ".join(f"{1e3 * value:.1f}" for value in figures)
        print(f"  {name}: {shown}; {len(times)}; {figures[1] / alone[1]:.1f}")


def _figures(times: list[float]) -> tuple[float, float, float]:
    quantiles = statistics.quantiles(times, n=100)
    return quantiles[49], quantiles[98], max(times)


def _run(path: Path, rows: int) -> dict[str, list[float]]:
    now = START + timedelta(days=10)
    journal = _filled(path, rows, now)
    clock = CommitClock(journal, now)
    roll_ups, compaction = RollUps(journal.database, 90), Compaction(journal.database, least_bytes=0)
    took = {"alone": clock.during(lambda: time.sleep(ALONE_S))}
    for name, work in (
        ("rolling up", roll_ups.roll),
        ("pruning", journal.prune),
        ("compacting", compaction.steps),
    ):
        began = time.perf_counter()
        took[name] = clock.during(lambda work=work: asyncio.run(with_rests(work(now))))  # type: ignore[misc]
        journal.database.rows("CHECKPOINT")
        ((free,),) = journal.database.rows("SELECT free_blocks * block_size FROM pragma_database_size()")
        size = path.stat().st_size
        print(
            f"{name}: {time.perf_counter() - began:.0f} s; the file has then {size / _MB:.0f} MB, {free / _MB:.0f} free"
        )
    journal.close()
    return took


def _filled(path: Path, rows: int, now: datetime) -> Journal:
    """Two thirds of the rows too old; all but ROLLED_UP rows are marked as rolled up."""
    journal = Journal(path, keep_days=1)
    old = rows * 2 // 3
    _fill(journal, old, now - timedelta(days=5), 0)
    _fill(journal, rows - old, now - timedelta(hours=2), old)
    with journal.database.transaction() as connection:
        connection.execute("UPDATE rolled SET number = ? WHERE kind = 'latency'", [rows - ROLLED_UP])
    journal.close()
    return Journal(path, keep_days=1)  # numbers are read again


def _fill(journal: Journal, rows: int, at: datetime, first: int) -> None:
    with journal.database.transaction() as connection:
        connection.execute(
            f"""INSERT INTO latency_rows BY NAME
                    SELECT i + $first + 1 AS number, 's' || i % {SITES} AS site, 'old' AS boot,
                    (i + $first) // {SITES * SITES} AS seq, $at::TIMESTAMP AS "at", $at::TIMESTAMP AS received_at,
                    's' || i % {SITES} AS src, 's' || (i // {SITES}) % {SITES} AS dst, 'stamp' AS method, 50 AS sent,
                    50 AS received, random() AS rtt_min_s, random() AS rtt_mean_s, random() AS rtt_p50_s,
                    random() AS rtt_p95_s, random() AS rtt_p99_s, random() AS rtt_max_s, random() AS rtt_stdev_s
                FROM range($rows) t(i)""",  # noqa: S608
            {"first": first, "rows": rows, "at": naive(at)},
        )


if __name__ == "__main__":
    main()
