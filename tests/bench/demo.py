"""The demo against its lab: RTT, goodput, and how soon a measurement is in the journal.

    .venv/bin/python -m tests.bench.demo [--lab FILE] [--for SECONDS]

Runs `linkweather demo`, then reads the journal. For every link: the median of its idle rows' p50
against twice the lab's one-way delay, the median goodput against the lab's rate. For every report:
when the broker carried `committed`, after the end of its measurement.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from linkweather import settings
from linkweather import wire as messages
from linkweather.broker import parse_broker
from linkweather.lab.labfile import Behaviour, LabFile, Pair, shipped
from linkweather.mqtt import Connection
from linkweather.wire import decode, topics
from tests import servers

RTT_SLACK = 0.03
RTT_SLACK_S = 0.5e-3
GOODPUT_SLACK = 0.1
COMMIT_LIMIT_S = 2.0

_ROWS = """
SELECT src, dst, median(rtt_p50_s) FILTER (NOT during_throughput), count(rtt_p50_s) FROM latency GROUP BY ALL
"""
_TESTS = "SELECT src, dst, median(goodput_bps), count(goodput_bps), count(*) FROM throughput GROUP BY ALL"
_REPORTS = """
SELECT DISTINCT site, boot, seq, epoch("at") FROM latency
UNION SELECT DISTINCT site, boot, seq, epoch("at") FROM throughput
"""
Committed = dict[tuple[str, str, int], float]


def main() -> int:
    """Run the demo, print the tables, and exit 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lab", type=Path, default=shipped("labs/triangle.toml"))
    parser.add_argument("--for", dest="for_s", type=int, default=60)
    options = parser.parse_args()
    lab = settings.load(options.lab, LabFile)
    with tempfile.TemporaryDirectory() as folder:
        outcome, committed = run_demo(options.lab, options.for_s, Path(folder))
        with duckdb.connect(str(Path(folder) / "collector" / "journal.duckdb"), read_only=True) as journal:
            good = print_links(journal, dict(lab.behaviours()))
            good &= print_ages(journal, committed)
    print(f"engine: {outcome['engine']}")
    return 0 if good else 1


def run_demo(lab: Path, for_s: int, folder: Path) -> tuple[dict[str, Any], Committed]:
    """Run the command as a user would, and note when each report was said to be in the journal."""
    port = str(servers.free_port())
    command = [sys.executable, "-m", "linkweather", "demo", "--quiet", "--lab", str(lab), "--for", f"{for_s}s"]
    with subprocess.Popen(
        [*command, "--port", port, "--data-dir", str(folder), "--json"], stdout=subprocess.PIPE
    ) as demo:
        committed = asyncio.run(listen(folder / "mqtt", demo))
        output, _ = demo.communicate()
    outcome: dict[str, Any] = json.loads(output)
    return outcome, committed


async def listen(socket: Path, demo: subprocess.Popen[bytes]) -> Committed:
    """Note the time of every `committed` while the demo runs."""
    committed: Committed = {}

    def note(topic: str, payload: bytes) -> None:
        now, parsed = time.time(), topics.parse(topic)
        message = decode(messages.Committed, payload)
        if parsed is not None:
            committed.update({(parsed.site, message.boot, seq): now for seq in message.seqs})

    servers.wait_until(socket.exists, "the demo's broker listens")
    connection = Connection(
        parse_broker(f"unix://{socket}"), "bench", subscriptions=(topics.committed("+"),), handle=note
    )
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(connection.run(), name="listen")
        # The document is short enough for the pipe: the demo ends without being read.
        await asyncio.to_thread(demo.wait)
        listening.cancel()
    return committed


def print_links(journal: duckdb.DuckDBPyConnection, configured: dict[Pair, Behaviour]) -> bool:
    """A line per link, measured against configured; whether every link is within its limits."""
    tests = {(src, dst): rest for src, dst, *rest in journal.execute(_TESTS).fetchall()}
    good = True
    print("link        RTT p50 ms  lab ms   error ms  n    Mbit/s  lab    error %  n (failed)")
    for src, dst, rtt_s, rows in sorted(journal.execute(_ROWS).fetchall()):
        there, back = configured[src, dst], configured[dst, src]
        wanted_s = there.delay_s + back.delay_s
        goodput_bps, measured, tried = tests.get((src, dst), (None, 0, 0))
        error = None if goodput_bps is None else goodput_bps / there.rate_bps - 1
        within = abs(rtt_s - wanted_s) <= max(RTT_SLACK * wanted_s, RTT_SLACK_S)
        within &= error is not None and abs(error) <= GOODPUT_SLACK
        good &= within
        print(
            f"{src:>4} → {dst:<4} {rtt_s * 1e3:10.3f} {wanted_s * 1e3:7.2f} {(rtt_s - wanted_s) * 1e3:9.3f} {rows:4}"
            f" {(goodput_bps or 0) / 1e6:8.1f} {there.rate_bps / 1e6:6.0f} {100 * (error or 0):8.1f}"
            f"  {measured} ({tried - measured}){'' if within else '  ← outside'}"
        )
    return good


def print_ages(journal: duckdb.DuckDBPyConnection, committed: Committed) -> bool:
    """How long reports took from the end of their measurement to the journal; whether p99 is within the limit."""
    reports = journal.execute(_REPORTS).fetchall()
    ages = np.array([committed[key] - at for *rest, at in reports if (key := (rest[0], rest[1], rest[2])) in committed])
    p50, p90, p99 = np.percentile(ages, [50, 90, 99])
    print(f"into the journal, s: p50 {p50:.3f}  p90 {p90:.3f}  p99 {p99:.3f}  max {ages.max():.3f}  n {len(ages)}")
    return bool(p99 <= COMMIT_LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
