"""What the state of all links costs: a row observed, a snapshot, the list of links, and a restart; by processor time.

    python -m tests.bench.link_state [-n 100 200 500] [--rounds 121]

Every site reports every 5 s on all others, as messages; figures are of this process alone. The restart reads `rounds`
reports of every site from a journal that SQL has filled: its memory is that of the whole process, DuckDB's included.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from collector.api.link_documents import link_columns_json, link_rows_json
from collector.linkstate.link_answers import LinkTable
from collector.linkstate.link_states import LinkStates
from collector.linkstate.report_moments import ReportMoment
from collector.linkstate.site_devices import Capacities
from collector.linkstate.site_states import SiteStates
from collector.settings import CapacitySettings, StateSettings
from collector.state_rebuild import rebuild
from collector.store.journal import Journal
from linkweather.mesh import Mesh
from linkweather.wire import LatencyRow

STEP_S = 5.0
FRAMES = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, nargs="+", default=[100, 200, 500])
    parser.add_argument("--rounds", type=int, default=121, help="of the restart; 0: none")
    parser.add_argument("--restart", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.restart:
        restart(options.restart, options.n[0])
        return
    print(f"{'sites':>6} {'observe':>10} {'a link':>8} {'snapshot':>10} {'all anew':>9} {'rows':>14} {'columns':>14}")
    for count in options.n:
        print(measured(count), flush=True)
    for count in options.n if options.rounds else ():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "journal.duckdb"
            fill(path, count, options.rounds)
            command = [sys.executable, "-m", "tests.bench.link_state", "-n", str(count), "--restart", str(path)]
            print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


def mesh_of(count: int) -> Mesh:
    sites = {f"s{number:04d}": {"address": f"10.{number // 250}.{number % 250}.1"} for number in range(count)}
    return Mesh.model_validate({"sites": sites, "latency": {"report_interval_s": STEP_S}})


def measured(count: int) -> str:
    mesh, before_mb = mesh_of(count), resident_mb()
    links = LinkStates(mesh, StateSettings())
    observe_us = observed_us(links, mesh)
    now = FRAMES * STEP_S + 0.5
    all_s = cpu_s(lambda: links.snapshot(now))
    link_bytes = (resident_mb() - before_mb) * 1e6 / count / (count - 1)
    snapshot_s = cpu_s(lambda: links.snapshot(now + 0.1))
    table = links.table(now)
    documents = []
    for document in (link_rows_json, link_columns_json):
        sizes: list[int] = []
        took_s = cpu_s(partial(_sizes, document, table, sizes))
        documents.append(f"{took_s:5.2f} s {sum(sizes) / 1e6:4.1f} MB")
    figures = f"{observe_us:7.2f} µs {link_bytes:6.0f} B {snapshot_s * 1e3:7.1f} ms {all_s:7.2f} s"
    return f"{count:6} {figures} {documents[0]} {documents[1]}"


def _sizes(document: Callable[[LinkTable], Iterator[bytes]], table: LinkTable, sizes: list[int]) -> None:
    sizes += map(len, document(table))


def observed_us(links: LinkStates, mesh: Mesh) -> float:
    """Observe a history as columns, for the memory, and one more report of each site as messages, for the time."""
    numbers, chance = np.arange(len(links.index)), np.random.default_rng(1)
    known = {"rtt_p50_s": chance.lognormal(-4, 0.1, len(numbers)), "during_throughput": np.zeros(len(numbers))}
    for frame in range(FRAMES):
        noisy = known | {"rtt_p50_s": known["rtt_p50_s"] * chance.normal(1, 0.01, len(numbers))}
        links.observe_figures("latency", numbers, np.full(len(numbers), frame * STEP_S), noisy)
    took_s, rows = 0.0, 0
    for frame, sites in ((FRAMES - 1, list(mesh.sites)[:50]), (FRAMES, list(mesh.sites))):
        for site in sites:
            report = [row(site, peer) for peer in mesh.sites if peer != site]
            moment = ReportMoment(frame * STEP_S, "boot", frame)
            took_s += cpu_s(partial(links.observe, moment, report))
            rows += len(report)
    return took_s / rows * 1e6


def row(src: str, dst: str) -> LatencyRow:
    fields: dict[str, Any] = {"sent": 50, "received": 50, "lost_forward": 0, "lost_back": 0, "timestamp": "kernel"}
    fields |= {f"rtt_{name}_s": 0.02 for name in ("min", "mean", "p50", "p95", "p99", "max")}
    return LatencyRow.model_construct(src=src, dst=dst, method="stamp", **fields)


def cpu_s(do: Callable[[], object]) -> float:
    before_s = time.process_time()
    do()
    return time.process_time() - before_s


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def fill(path: Path, count: int, rounds: int) -> None:
    """Put the reports of all sites into a journal, the last of them now."""
    journal = Journal(path)
    last = datetime.now(UTC).replace(tzinfo=None)
    with journal.database.transaction() as connection:
        connection.execute(
            f"""INSERT INTO latency_rows (number, site, boot, seq, "at", received_at, src, dst, method, sent, received,
                                     rtt_min_s, rtt_p50_s, rtt_p95_s, rtt_max_s, "timestamp", during_throughput)
                SELECT row_number() OVER (), src, 'boot', frame, "at", "at", src, dst, 'stamp', 50, 50,
                       rtt_s, rtt_s, rtt_s, rtt_s, 'kernel', false
                FROM (SELECT frame, format('s{{:04d}}', i) AS src, format('s{{:04d}}', j) AS dst,
                             0.01 + hash(i, j, frame) % 100 / 1e5 AS rtt_s,
                             TIMESTAMP '{last}' - to_seconds({STEP_S} * ({rounds} - frame - i / {count})) AS "at"
                      FROM range({rounds}) a(frame), range({count}) b(i), range({count}) c(j) WHERE i <> j
                      ORDER BY frame, i, j)"""  # noqa: S608 - numbers of ours
        )
    journal.close()


def restart(path: Path, count: int) -> None:
    journal, mesh, now = Journal(path), mesh_of(count), datetime.now(UTC)
    links, sites = LinkStates(mesh, StateSettings()), SiteStates(mesh)
    before_mb = resident_mb()
    rebuild_s = cpu_s(lambda: rebuild(journal.database, links, sites, Capacities(mesh, CapacitySettings()), now))
    snapshot_s = cpu_s(lambda: links.snapshot(now.timestamp()))
    ((rows,),) = journal.database.rows("SELECT count(*) FROM latency")
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"restart of {count} sites, {rows:,} rows: {rebuild_s:.1f} s, {rebuild_s / rows * 1e6:.2f} µs a row; "
        f"first snapshot {snapshot_s:.1f} s; {before_mb:.0f} MB before, {most_mb:.0f} MB at most"
    )
    journal.close()


if __name__ == "__main__":
    main()
