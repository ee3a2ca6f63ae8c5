"""A cluster is broken on purpose: each Kafka broker and each collector is killed in turn, and nothing is lost.

    make test-cluster    (or: python -m tests.cluster [--sites 60] [--rounds 2])

Prints what it saw, and ends with status 1 where the ledger is not at zero, or decisions did not come back.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import duckdb

from collector.settings import RoutingSettings
from tests import servers
from tests.bench.fleet_map import Fleet
from tests.cluster.cluster_stack import LIMIT_S, ClusterStack, OneCollector

BACK_LIMIT_S = 15.0
BACKLOG_S = 60.0
TABLES = ("latency", "throughput", "path")
# A path may differ from a single collector's by what its rules leave undecided between two. They weigh smoothed means,
# and compared is the p50 that each collector expects of its own path: the played RTTs scatter by 0.4 %.
SCATTER = 1.005
UNDECIDED = RoutingSettings().latency_margin * RoutingSettings().latency_hysteresis * SCATTER


class Run:
    """One run: its steps in order, and what failed."""

    def __init__(self, stack: ClusterStack, fleet: Fleet) -> None:
        self._stack, self._fleet = stack, fleet
        self.failed: list[str] = []

    def say(self, text: str, *, holds: bool = True) -> None:
        """Print a line; one that does not hold fails the run."""
        print(f"{'' if holds else 'FAILED: '}{text}", flush=True)
        if not holds:
            self.failed.append(text)

    def grow(self) -> None:
        """Start the collectors one by one, and see how many rows each processor-second of the busiest takes in."""
        rates: list[float] = []
        for number, collector in enumerate(self._stack.collectors, start=1):
            collector.start()
            if number == 1:
                self._stack.start_sites()
            self._until_heard(time.time(), collector)
            rates.append(self._rate(self._stack.collectors[:number]))
            self.say(f"{number} collectors: {rates[-1]:.0f} rows per processor-second of the busiest")
        self.say("rows per processor-second grow with the collectors", holds=rates[0] < rates[-1])

    def kill_brokers(self) -> None:
        """SIGKILL each Kafka broker in turn; reports go on being committed without it."""
        for number in range(3):
            self._stack.kafka.kill(number)
            killed, before = time.monotonic(), self._stack.played().counts["committed"]
            enough = before + self._fleet.sites
            servers.wait_until(
                lambda enough=enough: self._stack.played().counts["committed"] >= enough,  # type: ignore[misc]
                "reports are committed",
                LIMIT_S,
            )
            self.say(f"broker {number} killed: a report of each site committed {time.monotonic() - killed:.1f} s later")
            self._stack.kafka.start([number])
            servers.wait_until(self._stack.in_sync, "the log is on all brokers", LIMIT_S)

    def kill_collectors(self) -> None:
        """SIGKILL each collector in turn: the others take its sites over."""
        for number, collector in enumerate(self._stack.collectors):
            collector.stop(signal.SIGKILL)
            asked = self._stack.collectors[(number + 1) % len(self._stack.collectors)]
            took_s = self._until_heard(time.time(), asked)
            text = f"{collector.name} killed: all decisions rest on what was measured since, after {took_s:.1f} s"
            self.say(text, holds=took_s <= BACK_LIMIT_S)
            collector.start()

    def compare(self) -> None:
        """Every collector's routes beside those of the single collector."""
        truth = _routes(self._stack.single)
        for collector in self._stack.collectors:
            found = _routes(collector)
            others = [pair for pair in truth if found.get(pair, ((), 0.0))[0] != truth[pair][0]]
            worse = max((found[pair][1] / truth[pair][1] for pair in others if pair in found), default=1.0)
            relayed = sum(len(path) > 2 for path, _ in truth.values())
            text = (
                f"{collector.name}: {len(truth) - len(others)} of {len(truth)} routes are the single collector's "
                f"({relayed} relayed); of the others none is more than {worse - 1:.1%} longer"
            )
            self.say(text, holds=len(found) == len(truth) and worse <= UNDECIDED and relayed > 0)

    def settle(self) -> None:
        """The sites rest; everything they wrote is in the record of each site's owner, once."""
        self._stack.ask_sites("rest")
        servers.wait_until(lambda: self._stack.played().waiting == 0, "all reports are committed", LIMIT_S)
        played, written = self._stack.played(), self._stack.written()
        owners = {collector.name: collector for collector in self._stack.collectors}
        servers.wait_until(lambda: self._caught_up(owners, written), "the owners have read the log", LIMIT_S)
        by_site = self._stack.owners()
        for collector in self._stack.collectors:
            collector.stop(signal.SIGTERM)
        rows = missing = 0
        for name, collector in owners.items():
            sites = [site for site, owner in by_site.items() if owner == name]
            found_rows, lacking = _recorded(collector.data / "journal.duckdb", {site: written[site] for site in sites})
            rows, missing = rows + found_rows, missing + lacking
        total = sum(count for _, count in written.values())
        text = f"{total} reports written, {missing} missing; {played.counts['rows']} rows written, {rows} in the record"
        self.say(text, holds=missing == 0 and rows == played.counts["rows"])

    def _caught_up(self, owners: Mapping[str, OneCollector], written: Mapping[str, tuple[str, int]]) -> bool:
        by_site = self._stack.owners()
        committed: dict[str, int] = {}
        for name, collector in owners.items():
            for line in collector.get("/api/v1/ledger?limit=1000")["outboxes"]:
                if by_site.get(line["site"]) == name and line["boot"] == written[line["site"]][0]:
                    committed[line["site"]] = line["committed"]
        return committed == {site: count for site, (_, count) in written.items()}

    def _until_heard(self, since: float, collector: OneCollector) -> float:
        """Wait until the collector knows of every site something measured since then; how long that took."""

        def heard() -> bool:
            asked_at = time.time()
            ages = [site["report_age_s"] for site in collector.get("/api/v1/sites")]
            return all(age is not None and asked_at - age >= since for age in ages)

        started = time.monotonic()
        servers.wait_until(heard, "every site is heard of", LIMIT_S)
        return time.monotonic() - started

    def _rate(self, collectors: list[OneCollector]) -> float:
        before = [collector.processor_s() for collector in collectors]
        rows = self._stack.played().counts["committed_rows"]
        self._stack.ask_sites("backlog", BACKLOG_S)
        time.sleep(1)
        few = 2 * self._fleet.sites
        servers.wait_until(lambda: self._stack.played().waiting < few, "the backlog is committed", LIMIT_S)
        rows = self._stack.played().counts["committed_rows"] - rows
        self._until_heard(time.time(), collectors[-1])  # the owners have read it, too
        return rows / max(now.processor_s() - then for now, then in zip(collectors, before, strict=True))


def _routes(collector: OneCollector) -> dict[tuple[str, str], tuple[tuple[str, ...], float]]:
    """Each pair's path for latency, and its expected RTT."""
    return {
        (one["src"], one["dst"]): (tuple(one["path"]["sites"]), one["path"]["rtt_p50_s"])
        for one in collector.get("/api/v1/routes?objective=latency")["routes"]
    }


def _recorded(file: Path, written: Mapping[str, tuple[str, int]]) -> tuple[int, int]:
    """How many rows a record has of these sites, and how many of their reports it lacks."""
    with duckdb.connect(str(file), read_only=True) as connection:
        rows = missing = 0
        for site, (boot, count) in written.items():
            for table in TABLES:
                query = f"SELECT count(*) FROM {table} WHERE site = ? AND boot = ?"  # noqa: S608 - our tables
                rows += (connection.execute(query, [site, boot]).fetchone() or (0,))[0]
            query = "SELECT coalesce(sum(last - first + 1), 0) FROM received WHERE site = ? AND boot = ?"
            missing += count - int((connection.execute(query, [site, boot]).fetchone() or (0,))[0])
    return rows, missing


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    fleet = Fleet(options.sites, 5.0)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder, ClusterStack(fleet, Path(folder), 3) as stack:
        run = Run(stack, fleet)
        stack.single.start()
        run.grow()
        for _ in range(options.rounds):
            run.kill_brokers()
            run.kill_collectors()
        run.compare()
        run.settle()
    passed = 8 + 3 * options.rounds - len(run.failed)
    print(f"after {time.monotonic() - started:.0f} s")
    print(f"{passed} passed, {len(run.failed)} failed")
    sys.exit(bool(run.failed))


if __name__ == "__main__":
    main()
