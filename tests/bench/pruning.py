"""Time of a commit while old rows are deleted: beside none, by slices, and at once; what the file gives back.

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
from collector.store.decision_log import DecisionLog
from collector.store.journal import Journal
from collector.store.retention import Retention
from linkweather.wire import LatencyReport, LatencyRow
from tests.bench.reports import START

SITES = 8
ALONE_S = 5.0
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
    parser.add_argument("--rows", type=int, default=6_000_000, help="half of them too old")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        alone, sliced, once = _run(Path(folder), rows)
    print(f"{rows} rows, half of them deleted; a commit of {SITES - 1} rows, in ms: p50, p99, longest; how many")
    for name, took in (("alone", alone), ("beside slices", sliced), ("beside one transaction", once)):
        quantiles = statistics.quantiles(took, n=100) if len(took) > 1 else took * 99
        figures = (quantiles[49], quantiles[98], max(took))
        print(f"  {name}: {', '.join(f'{1e3 * value:.1f}' for value in figures)}; {len(took)}")
    print(f"longest, one transaction to slices: {max(once) / max(sliced):.1f}")


def _run(folder: Path, rows: int) -> tuple[list[float], list[float], list[float]]:
    sliced_path, once_path = folder / "sliced.duckdb", folder / "once.duckdb"
    now = START + timedelta(days=10)
    journal = _filled(sliced_path, rows, now)
    before_mb = sliced_path.stat().st_size / _MB
    clock = CommitClock(journal, now)
    alone = clock.during(lambda: time.sleep(ALONE_S))
    retention = Retention(journal, DecisionLog(journal.database), 1, now=lambda: now)
    sliced = clock.during(lambda: asyncio.run(retention.prune()))
    journal.database.rows("CHECKPOINT")
    after_mb = sliced_path.stat().st_size / _MB
    free = journal.database.rows("SELECT free_blocks * block_size FROM pragma_database_size()")[0][0] / _MB
    _fill(journal, rows // 2, now, rows)
    journal.database.rows("CHECKPOINT")
    print(
        f"file: {before_mb:.0f} MB; {after_mb:.0f} MB after pruning, {free:.0f} MB of it free; "
        f"{sliced_path.stat().st_size / _MB:.0f} MB once as many rows have come again"
    )
    journal.close()
    journal = _filled(once_path, rows, now)
    once = CommitClock(journal, now).during(lambda: _at_once(journal, now))
    journal.close()
    return alone, sliced, once


def _at_once(journal: Journal, now: datetime) -> None:
    with journal.database.transaction() as connection:
        before = naive(now - timedelta(days=1))
        connection.execute("DELETE FROM latency WHERE received_at < ?", [before]).fetchall()


def _filled(path: Path, rows: int, now: datetime) -> Journal:
    journal = Journal(path, keep_days=1)
    _fill(journal, rows // 2, now - timedelta(days=5), 0)
    _fill(journal, rows // 2, now, rows // 2)
    journal.close()
    return Journal(path, keep_days=1)  # numbers are read again


def _fill(journal: Journal, rows: int, at: datetime, first: int) -> None:
    with journal.database.transaction() as connection:
        connection.execute(
            f"""INSERT INTO latency BY NAME SELECT i + $first + 1 AS number, 's' || i % {SITES} AS site, 'old' AS boot,
                    (i + $first) // {SITES * SITES} AS seq, $at::TIMESTAMP AS "at", $at::TIMESTAMP AS received_at,
                    's' || i % {SITES} AS src, 's' || (i // {SITES}) % {SITES} AS dst, 'stamp' AS method, 50 AS sent,
                    50 AS received, random() AS rtt_min_s, random() AS rtt_mean_s, random() AS rtt_p50_s,
                    random() AS rtt_p95_s, random() AS rtt_p99_s, random() AS rtt_max_s, random() AS rtt_stdev_s
                FROM range($rows) t(i)""",  # noqa: S608
            {"first": first, "rows": rows, "at": naive(at)},
        )


if __name__ == "__main__":
    main()
