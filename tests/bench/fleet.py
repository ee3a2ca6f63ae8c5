"""A fleet against one collector: N played sites, a real mosquitto and a real `linkweather collector`, in figures.

    python -m tests.bench.fleet -n 100 [--hubs 20] --interval 5 --for 180 [--after kill,outage,broker] [--ask]

The first third of `--for`, a minute at most, is not measured. With `--ask` a client asks the big questions, one after
the other, all the time. After that the collector is killed and started again (`kill`), the sites come back from an
outage of ten minutes (`outage`), or the broker is started again (`broker`). A line says what each phase found; the
table at the end has everything.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from tests.bench.fleet_map import Fleet
from tests.bench.fleet_stack import LIMIT_S, CollectorWatch, Stack
from tests.bench.played_sites import Played

OUTAGE_S = 600.0


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed; NaN without any."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


@dataclass
class FleetFindings:
    """What was found: label → value, in order; and the line of each phase."""

    table: dict[str, str] = field(default_factory=dict)

    def phase(self, title: str, found: Mapping[str, str]) -> None:
        """Add a phase, and print its line."""
        self.table |= found
        print(f"{title}: " + ", ".join(f"{label} {value}" for label, value in found.items()), flush=True)

    def lines(self) -> list[str]:
        """The table."""
        width = max(map(len, self.table), default=0)
        return [f"{label:{width}}  {value}" for label, value in self.table.items()]


def throughput(before: Played, after: Played) -> dict[str, str]:
    """What was offered and committed between two looks at the sites, and what the newest waited."""
    span_s, counts = after.at - before.at, after.counts - before.counts
    share = counts["committed_rows"] / max(1, counts["rows"])
    return {
        "offered": f"{counts['rows'] / span_s:.0f} rows/s",
        "committed": f"{counts['committed_rows'] / span_s:.0f} rows/s ({share:.0%})",
        "sent again": sent_again(counts),
        "refused": str(counts["refused"]),
        "publish to committed p50, p99": f"{quantile(after.waits_s, 0.5):.2f}, {quantile(after.waits_s, 0.99):.2f} s",
        "the sites' own load": f"{(after.processor_s - before.processor_s) / span_s:.2f} of a core",
    }


def sent_again(counts: Counter[str]) -> str:
    """How often a report was sent beside the first time."""
    return f"{max(0.0, counts['sent'] / max(1, counts['made']) - 1):.2f} a report"


def spans(values: Sequence[float]) -> str:
    """Quantiles of times in seconds."""
    found = ", ".join(f"{1000 * quantile(values, share):.0f}" for share in (0.5, 0.99, 1))
    return f"p50, p99, max {found} ms (n {len(values)})"


def answers(found: Mapping[str, Sequence[tuple[float, int]]]) -> dict[str, str]:
    """The time and size of each big question's answers."""
    return {
        title: f"p50, max {quantile([s for s, _ in all_], 0.5):.2f}, {max(s for s, _ in all_):.2f} s, "
        f"{max(size for _, size in all_) / 1e6:.2f} MB (n {len(all_)})"
        for title, all_ in found.items()
    }


def killed(stack: Stack, watch: CollectorWatch) -> dict[str, str]:
    """SIGKILL, and start again."""
    stack.collector.kill()
    stack.collector.wait()
    ready_s = stack.start_collector()
    return {"after kill -9, ready": f"{ready_s:.1f} s", "after kill -9, resident": f"{watch.resident_mb():.0f} MB"}


def back_from_outage(stack: Stack, watch: CollectorWatch) -> dict[str, str]:
    """All sites come back with a backlog; the live reports go on."""
    before = stack.played()
    watch.forget()
    stack.ask_sites("backlog", OUTAGE_S)
    after, waits_s = _drained(stack, before.waiting + usual_waiting(before))
    span_s, counts = after.at - before.at, after.counts - before.counts
    share = counts["committed"] / max(1, counts["made"])
    return {
        f"after an outage of {OUTAGE_S:.0f} s, drained": f"{span_s:.0f} s ({share:.0%} of it)",
        "  rate": f"{counts['committed_rows'] / span_s:.0f} rows/s, {share * OUTAGE_S / span_s:.1f} × arrival",
        **{f"  {label}": value for label, value in watch.process(counts).items()},
        "  live reports meanwhile p50, p99": f"{quantile(waits_s, 0.5):.2f}, {quantile(waits_s, 0.99):.2f} s",
        "  sent again meanwhile": sent_again(counts),
    }


def broker_restarted(stack: Stack, _watch: CollectorWatch) -> dict[str, str]:
    """The broker starts again: all connect at once."""
    usual = usual_waiting(stack.played())
    stack.stop_broker()
    time.sleep(3.0)
    before = stack.played()
    stack.start_broker()
    stack.wait_for_sites()
    up_s = time.monotonic() - before.at
    after, _ = _drained(stack, usual)
    again = (after.counts["sent"] - before.counts["sent"]) / max(
        1, after.counts["committed"] - before.counts["committed"]
    )
    return {
        "after the broker's restart, all up": f"{up_s:.1f} s",
        "  all committed": f"{after.at - before.at:.1f} s, sent {again:.2f} times a report",
    }


def usual_waiting(played: Played) -> int:
    """So many reports wait while all is well."""
    return max(2, played.up // 4)


def _drained(stack: Stack, waiting: int) -> tuple[Played, list[float]]:
    """The sites once no more reports wait than that, or after LIMIT_S; what the live ones waited meanwhile."""
    waits_s: list[float] = []
    deadline = time.monotonic() + LIMIT_S
    while True:
        time.sleep(0.25)
        found = stack.played()
        waits_s += found.waits_s
        if found.waiting <= waiting or time.monotonic() > deadline:
            return found, waits_s


AFTER: Mapping[str, Callable[[Stack, CollectorWatch], dict[str, str]]] = {
    "kill": killed,
    "outage": back_from_outage,
    "broker": broker_restarted,
}


def decided(data: Path, started: float, pairs: int) -> dict[str, str]:
    """When the pairs were first decided, and how many are there for the judge; from the journal of an ended run."""
    (path,) = data.glob("*.duckdb")
    with duckdb.connect(str(path), read_only=True) as journal:
        firsts = journal.execute(
            """SELECT epoch(min("at")) - ? FROM decisions WHERE objective = 'latency' AND occasion = 'changed'
               GROUP BY src, dst ORDER BY 1""",
            [started],
        ).fetchall()
        sampled = journal.execute(
            """SELECT objective, count(DISTINCT (src, dst)) FROM decisions WHERE occasion = 'sampled'
               GROUP BY 1 ORDER BY 1"""
        ).fetchall()
    last_s = firsts[-1][0] if len(firsts) == pairs else math.inf
    return {
        "first decisions": f"of {len(firsts)} of {pairs} pairs, the last {last_s:.0f} s after the sites were up",
        "pairs sampled for the judge": ", ".join(f"{objective} {count}" for objective, count in sampled) or "none",
        "journal": f"{path.stat().st_size / 1e6:.0f} MB",
    }


def run(fleet: Fleet, for_s: float, after: Sequence[str], folder: Path, *, asking: bool) -> FleetFindings:
    """All phases."""
    found = FleetFindings()
    with Stack(fleet, folder) as stack:
        found.phase("start", {"ready": f"{stack.start_collector():.1f} s"})
        stack.start_sites()  # to make their reports takes half a minute for 500 sites
        started = time.time()
        with _watching(stack, asking=asking) as watch:
            warm_s = min(60.0, for_s / 3)
            time.sleep(warm_s)
            before = stack.played()
            watch.forget()
            time.sleep(for_s - warm_s)
            after_ = stack.played()
            found.phase("steady", throughput(before, after_) | watch.process(after_.counts - before.counts))
            found.phase("steady", {"/healthz": spans(watch.health_s)})
            for _ in range(0 if asking else 3):
                watch.ask_once()
            found.phase("questions", answers(watch.answers))
            for what in after:
                found.phase(what, AFTER[what](stack, watch))
    found.phase("decisions", decided(stack.data, started, fleet.sites * (fleet.sites - 1)))
    return found


@contextlib.contextmanager
def _watching(stack: Stack, *, asking: bool) -> Iterator[CollectorWatch]:
    watch = CollectorWatch(stack, asking=asking)
    try:
        yield watch
    finally:
        watch.end()


def _phases(text: str) -> list[str]:
    found = [what for what in text.split(",") if what]
    if unknown := set(found) - AFTER.keys():
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: there are {', '.join(AFTER)}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", dest="sites", type=int, default=100)
    parser.add_argument("--hubs", type=int, default=0, help="of the sites: others have links to these alone")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between a site's latency reports")
    parser.add_argument("--for", dest="for_s", type=float, default=180.0, help="seconds")
    parser.add_argument("--after", type=_phases, default=[], help=", ".join(AFTER))
    parser.add_argument("--ask", action="store_true", help="ask the big questions all the time")
    parser.add_argument("--folder", type=Path, help="keep settings, logs and the journal here")
    options = parser.parse_args()
    fleet = Fleet(options.sites, options.interval, hubs=options.hubs)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # with what it started
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        found = run(fleet, options.for_s, options.after, folder, asking=options.ask)
    print(f"\n{fleet.sites} sites, every {fleet.interval_s:g} s, {options.for_s:g} s", *found.lines(), sep="\n")


if __name__ == "__main__":
    main()
