"""Time and memory of opening a journal that has received very many reports, as it keeps their keys, and as it did.

Run: python -m tests.bench.restart [--reports 100000000] [--old-reports 5000000]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from collector.store.journal import Journal

SITES = 8
BOOTS = 1000  # of each site: some three restarts a day in a year


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=100_000_000)
    parser.add_argument("--old-reports", type=int, default=5_000_000, help="in the form with a row a report")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        _open(options.open)
        return
    with tempfile.TemporaryDirectory() as folder:
        empty, ranges, rows = (Path(folder) / f"{name}.duckdb" for name in ("empty", "ranges", "rows"))
        _make(empty, 0, "seq, seq")
        each = options.reports // SITES // BOOTS
        _make(ranges, SITES * BOOTS, f"seq // {SITES} * {each}, (seq // {SITES} + 1) * {each} - 1")
        _make(rows, options.old_reports, f"seq // {SITES}, seq // {SITES}")
        for name, path in (
            ("an empty journal", empty),
            (f"{options.reports:.0e} reports, as ranges", ranges),
            (f"{options.old_reports:.0e} reports, a row each (once)", rows),
            ("the same again", rows),
        ):
            print(f"{name}: {_measured(path)}")


def _make(path: Path, rows: int, numbers: str) -> None:
    journal = Journal(path)
    boots = f"'boot-' || seq // {SITES}" if rows == SITES * BOOTS else "'boot'"
    journal.database.rows(
        f"INSERT INTO received SELECT 's' || seq % {SITES}, {boots}, {numbers} FROM range({rows}) t(seq)"  # noqa: S608
    )
    journal.close()


def _measured(path: Path) -> str:
    command = [sys.executable, "-m", "tests.bench.restart", "--open", str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _open(path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    journal = Journal(path)
    took_s = time.perf_counter() - started
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"opened in {took_s:.2f} s with {more / 1024:.0f} MB more memory")
    journal.close()


if __name__ == "__main__":
    main()
