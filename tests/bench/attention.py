"""A simulated day of a mesh: three links change, and are found; against a fixed schedule of ten minutes.

    python -m tests.bench.attention [--sites N] [--seed S]

The scheduling is ours (tournament, attention, agenda); sites, links and the clock are made up. Every link has an
RTT, a loss ratio and a rate, all noisy; its latency window comes every 5 s, and a test moves what 0.5 s of its
rate are. The changes: a link's way becomes 3 ms longer and half as fast; a link begins to lose 4 % of its packets
and a third of its rate; a link's path changes to one of half the rate, which its next trace sees (one every
minute). A change of the rate alone, without any of these signs, is found by the next scheduled test only.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from linkweather.mesh import Mesh, Site, ThroughputTests
from linkweather.wire import LatencyRow, PathRow, ThroughputRow
from probes.throughput.agenda import Agenda, Planned
from probes.throughput.attention import Attention

DAY_S = 86_400.0
WINDOW_S = 5.0
TRACE_S = 60.0
TEST_S = 1.0
PROBES = 50
TEST_SHARE_S = 0.5 / 8  # bytes of a test, for each bit/s of rate


@dataclass
class Truth:
    """What a link is like."""

    rtt_s: float
    rate_bps: float
    loss_ratio: float = 0.0
    path: str = "first"


@dataclass(frozen=True)
class Change:
    """At `at_s` a link becomes another; `rtt_s` is added."""

    at_s: float
    src: str
    dst: str
    rtt_s: float = 0.0
    loss_ratio: float = 0.0
    rate_factor: float = 1.0
    path: str = "first"


@dataclass
class Day:
    """The links, the sites' scheduling, and what came of it."""

    mesh: Mesh
    rng: random.Random
    links: dict[tuple[str, str], Truth]
    changes: list[Change]
    attention: dict[str, Attention] = field(default_factory=dict)
    agendas: dict[str, Agenda] = field(default_factory=dict)
    tests: list[tuple[float, str, Planned]] = field(default_factory=list)
    traced: dict[tuple[str, str], str] = field(default_factory=dict)
    moved_bytes: float = 0.0
    busy_until: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for site in self.mesh.sites:
            self.agendas[site] = Agenda(self.mesh, site)
            self.attention[site] = Attention(random.Random(self.rng.random()))
            self.agendas[site].apply_to(self.attention[site])

    def run(self) -> None:
        """Windows and traces of all links, tests in between, in the order of time."""
        changes = sorted(self.changes, key=lambda change: change.at_s)
        planned: dict[str, Planned | None] = {}
        for number in range(int(DAY_S / WINDOW_S)):
            now_s = number * WINDOW_S
            while changes and changes[0].at_s <= now_s:
                self._change(changes.pop(0))
            self._observe(now_s)
            for site in self.mesh.sites:
                planned[site] = self.agendas[site].upcoming(now_s, self.attention[site])
            due = sorted(
                (each.start_s, site)
                for site, each in planned.items()
                if each is not None and each.start_s <= now_s + WINDOW_S
            )
            for start_s, site in due:
                self._test(start_s, site, planned[site])

    def _change(self, change: Change) -> None:
        link = self.links[change.src, change.dst]
        link.rtt_s += change.rtt_s
        link.loss_ratio = change.loss_ratio
        link.rate_bps *= change.rate_factor
        link.path = change.path

    def _observe(self, now_s: float) -> None:
        for (src, dst), link in self.links.items():
            # The destination's probes: their RTT is of both ways, and what is lost on the way back is this link's.
            rtt_s = (link.rtt_s + self.links[dst, src].rtt_s) / 2 + self.rng.gauss(0.0, 0.1e-3)
            lost = sum(self.rng.random() < link.loss_ratio for _ in range(PROBES)) if link.loss_ratio else 0
            self.attention[dst].latency(
                now_s,
                LatencyRow.model_construct(
                    src=dst, dst=src, method="stamp", sent=PROBES, lost_back=lost, rtt_p50_s=rtt_s, window_s=WINDOW_S
                ),
            )
            if now_s % TRACE_S == 0:
                changed = self.traced.get((dst, src), link.path) != link.path
                self.traced[dst, src] = link.path
                row = PathRow(src=dst, dst=src, method="udp", fingerprint=link.path, changed=changed)
                self.attention[dst].path(now_s, row)

    def _test(self, start_s: float, site: str, planned: Planned | None) -> None:
        assert planned is not None
        ends = (site, planned.src)
        if any(self.busy_until.get(end, 0.0) > start_s for end in ends):
            self.attention[site].postponed(planned.src, start_s + TEST_S, "leased")
            return
        self.busy_until |= dict.fromkeys(ends, start_s + TEST_S)
        rate_bps = self.links[planned.src, site].rate_bps * self.rng.gauss(1.0, 0.015)
        row = ThroughputRow(src=planned.src, dst=site, method="iperf3", goodput_bps=rate_bps)
        self.attention[site].tested(start_s + TEST_S, row)
        for end in ends:
            self.attention[end].mark_loaded(start_s + TEST_S)
        self.moved_bytes += rate_bps * TEST_SHARE_S
        self.tests.append((start_s, site, planned))


def day_of(count: int, seed: int, *, quiet_factor: int = 6) -> Day:
    """A mesh of `count` sites with a test of each link every ten minutes, and three changes."""
    rng = random.Random(seed)
    names = [f"s{number:02}" for number in range(count)]
    sites = {name: Site(address=f"10.0.0.{number + 1}") for number, name in enumerate(names)}
    mesh = Mesh(sites=sites, throughput=ThroughputTests(every_s=600.0, quiet_factor=quiet_factor))
    links = {pair: Truth(rng.uniform(5e-3, 80e-3), rng.uniform(50e6, 500e6)) for pair in mesh.pairs()}
    chosen = [(names[number], names[-1 - number]) for number in range(3)]
    at = [rng.uniform(4, 22) * 3600.0 for _ in chosen]
    changes = [
        Change(at[0], *chosen[0], rtt_s=6e-3, rate_factor=0.5),
        Change(at[1], *chosen[1], loss_ratio=0.04, rate_factor=0.67),
        Change(at[2], *chosen[2], path="second", rate_factor=0.5),
    ]
    return Day(mesh, rng, links, changes)


def fixed_bytes(day: Day) -> float:
    """What a test of every link every ten minutes moves."""
    links = {pair: truth.rate_bps for pair, truth in day.links.items()}
    for change in day.changes:
        before_share = change.at_s / DAY_S
        links[change.src, change.dst] *= before_share / change.rate_factor + 1 - before_share
    return sum(rate_bps * TEST_SHARE_S * DAY_S / 600.0 for rate_bps in links.values())


def found_after_s(day: Day, change: Change) -> float | None:
    """How long the change's link waited for a test."""
    later = [
        start_s - change.at_s
        for start_s, dst, planned in day.tests
        if (planned.src, dst) == (change.src, change.dst) and start_s >= change.at_s
    ]
    return min(later, default=None)


def overlaps(day: Day) -> int:
    """Tests in which a site was while it was in another."""
    starts: dict[str, list[float]] = {}
    for start_s, dst, planned in day.tests:
        for end in (dst, planned.src):
            starts.setdefault(end, []).append(start_s)
    return sum(second - first < TEST_S for each in starts.values() for first, second in pairwise(sorted(each)))


def main() -> None:
    """Print the day."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    day = day_of(given.sites, given.seed)
    day.run()
    reasons = Counter(planned.reason for _, _, planned in day.tests)
    print(f"{given.sites} sites, {len(day.links)} links, seed {given.seed}")
    for change in day.changes:
        after_s = found_after_s(day, change)
        print(f"  {change.src} → {change.dst} changed at {change.at_s / 3600:.2f} h: tested {after_s or 0:.0f} s later")
    print(f"  tests: {len(day.tests)}; " + ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()))
    print(f"  bytes: {day.moved_bytes / fixed_bytes(day):.1%} of a fixed ten-minute schedule's")
    print(f"  tests that overlapped at a site: {overlaps(day)}")


if __name__ == "__main__":
    main()
