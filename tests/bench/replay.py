"""A live mesh replayed: grids of goodput as truth that flips between days, tested and decided on as the product does.

    python -m tests.bench.replay GRID GRID … [--sites N] [--days N] [--from DAY] [--noise S] [--budget GB …] [--every S]

Day k is as the k-th grid says, over and over; grids are files as `tests.bench.grids` says, and only sites that all of
them name take part, N of them drawn by the seed. The tournament, attention, agenda, budgets, forecasts, estimates and
the router are the product's; sites, their clock and tests are made up. A test moves what a second of the link's rate
is, or as much as the budget allows, and finds the goodput with a lognormal error of S. A budget is of all tests of the
mesh in a day, in 10⁹ bytes, the same share of it for every site. The mesh's `every_s` is what the budget pays for,
unless `--every` says otherwise: figures are stale by rounds.

Every hour from the second day on, or from a later one that leaves out the first rounds (`--from`), each policy is
scored by what is true then: the *speed-up* over direct is the geometric mean over all pairs, *worse* the share of
relays that are slower than direct. In brackets are 90 % intervals, by bootstrap over sources. Beside ours stand the
best relay of the first grid by a margin of 1.1, never tested again, and by the same margin on the mean of each link's
last eight tests. Exit status 2: wrong usage, or a bad file.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import sys
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from collector.linkstate.forecast_bank import ForecastBank
from collector.linkstate.link_states import pace
from collector.linkstate.snapshot import Snapshot
from collector.routing.arrays import DIRECT, Floats, Vias
from collector.routing.goodput_estimate import shrunk
from collector.routing.link_weights import rounds_between_tests, worths
from collector.routing.router import Router
from collector.settings import RoutingSettings, StateSettings
from linkweather.errors import OperatorError
from linkweather.mesh import Mesh
from linkweather.wire import ThroughputRow
from probes.throughput.agenda import Agenda, Planned
from probes.throughput.attention import Attention
from probes.throughput.budget import DAY_S, KEPT_SHARE, Allowance, LastTest, wanted_bytes
from probes.throughput.budget_queue import BudgetQueue
from tests.bench.grids import GridFile, matrix, operators, sites_of
from tests.bench.relays import RESAMPLES, Uses, plain, uses
from tests.collector.routing.deciding import decide_all

HOUR_S = 3600.0
TEST_S = 1.0
LEAST_EVERY_S = 600.0
SLOT_S = 20.0
MARGIN = 1.1
LAST_TESTS = 8
POLICIES = ("direct", "first grid", "mean of 8 tests", "ours")


@dataclass
class Replay:
    """Sites with their schedules and budgets, what was tested, and the product's view of it."""

    truths: Sequence[Floats]
    operators: Sequence[str | None]
    budget_bytes: float
    noise: float
    every_s: float | None
    rng: random.Random
    even: bool = False
    moved_bytes: float = 0.0
    tests: int = 0
    last: dict[tuple[int, int], LastTest] = field(default_factory=dict)
    found: dict[tuple[int, int], deque[float]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=LAST_TESTS))
    )

    def __post_init__(self) -> None:
        self.names = [f"s{number:02}" for number in range(len(self.operators))]
        of_site = int(2 * self.budget_bytes / len(self.names))  # a test is charged to both of its ends
        sites = {
            name: {"address": f"{name}.test", "operator": operator, "budget_bytes_per_day": of_site}
            for name, operator in zip(self.names, self.operators, strict=True)
        }
        round_bytes = float(np.nansum(self.truths)) / len(self.truths) * TEST_S / 8
        paid_s = max(LEAST_EVERY_S, DAY_S * round_bytes / self.budget_bytes)
        tests = {"every_s": self.every_s or paid_s, "slot_s": SLOT_S, "max_duration_s": 10.0}
        self.mesh = Mesh.model_validate({"sites": sites, "throughput": tests})
        self.limits, kinds = pace(self.mesh, StateSettings())
        self.bank = ForecastBank(len(sites) ** 2, kinds.kinds()["goodput"])
        self.router = Router(RoutingSettings(), self.mesh)
        self.agendas = {name: Agenda(self.mesh, name) for name in self.names}
        self.attention = {name: Attention(random.Random(self.rng.random())) for name in self.names}
        for name, agenda in self.agendas.items():
            agenda.apply_to(self.attention[name])
        self.buckets = {name: Allowance(of_site) for name in self.names}
        self.queues = {name: BudgetQueue() for name in self.names}
        for name, queue in self.queues.items():
            queue.apply_sites(frozenset(self.names), self.agendas[name].round_s)
        self.busy_until = dict.fromkeys(self.names, 0.0)

    def run(self, days: int, first_day: int = 2) -> dict[str, list[tuple[Vias, Floats]]]:
        """Each policy's relays at every hour from the `first_day` on, with what is true then."""
        decided: dict[str, list[tuple[Vias, Floats]]] = {name: [] for name in POLICIES}
        queue: list[tuple[float, str, Planned]] = []
        for name in self.names:
            self._plan(queue, name, 0.0)
        static = plain([self.truths[0]], MARGIN)
        for hour in range(1, 24 * days):
            while queue and queue[0][0] < hour * HOUR_S:
                now_s, site, planned = heapq.heappop(queue)
                self._test(now_s, site, planned)
                self._plan(queue, site, now_s + TEST_S)
            ours, truth = self._decide(hour * HOUR_S), self.truth(hour * HOUR_S)
            if hour >= 24 * (first_day - 1):
                chosen = (np.full(ours.shape, DIRECT, np.int32), static, plain([self._means()], MARGIN), ours)
                for name, vias in zip(POLICIES, chosen, strict=True):
                    decided[name].append((vias, truth))
        return decided

    def truth(self, at: float) -> Floats:
        """The goodputs of this day."""
        return self.truths[int(at // DAY_S) % len(self.truths)]

    def _plan(self, queue: list[tuple[float, str, Planned]], site: str, after_s: float) -> None:
        planned = self.agendas[site].upcoming(after_s, self.attention[site])
        if planned is not None:
            heapq.heappush(queue, (max(planned.start_s, after_s), site, planned))

    def _test(self, now_s: float, site: str, planned: Planned) -> None:
        ends, link = (site, planned.src), (self.names.index(planned.src), self.names.index(site))
        if max(self.busy_until[end] for end in ends) > now_s:
            self.attention[site].postponed(planned.src, now_s + TEST_S, "leased")
            return
        allowed = wanted_bytes(self.last.get(link), min(self.buckets[end].capacity_bytes for end in ends))
        if not all(self._has(now_s, end, (planned.src, site), allowed) for end in ends):
            self.attention[site].postponed(planned.src, now_s + SLOT_S, "budget")
            return
        self._measured(now_s, link, ends, allowed)

    def _has(self, now_s: float, site: str, link: tuple[str, str], allowed: int) -> bool:
        bucket, queue = self.buckets[site], self.queues[site]
        kept_bytes = KEPT_SHARE * bucket.capacity_bytes
        if bucket.left_bytes(now_s) >= allowed + max(kept_bytes, queue.owed_bytes(now_s, link)):
            return True
        queue.refused(now_s, link, allowed + kept_bytes)
        return False

    def _measured(self, now_s: float, link: tuple[int, int], ends: tuple[str, str], allowed: int) -> None:
        true_bps = self.truth(now_s)[link]
        goodput_bps = None if np.isnan(true_bps) else true_bps * float(np.exp(self.rng.gauss(0.0, self.noise)))
        moved = 0 if goodput_bps is None else int(min(allowed, goodput_bps * TEST_S / 8))
        failure = "no_contact" if goodput_bps is None else None
        row = ThroughputRow(src=ends[1], dst=ends[0], method="iperf3", goodput_bps=goodput_bps, failure=failure)
        self.attention[ends[0]].tested(now_s + TEST_S, row)
        for end in ends:
            self.busy_until[end] = now_s + TEST_S
            self.queues[end].tested(now_s, (ends[1], ends[0]))
            self.buckets[end] = self.buckets[end].spent(now_s, moved)
        self.moved_bytes += moved
        self.tests += 1
        if goodput_bps is not None:
            self.last[link] = LastTest(moved, limited=moved == allowed)
            self.found[link].append(goodput_bps)
            self.bank.observe(np.array([link[0] * len(self.names) + link[1]]), now_s, [goodput_bps])

    def _decide(self, now_s: float) -> Vias:
        count = len(self.names)
        said, contact = self.bank.forecast(now_s), np.full((count, count), 0.1)
        known = said.age_s <= np.ravel(self.limits.goodput_expired_s)
        columns = {
            name: np.where(known, getattr(said, name), np.nan) for name in ("p50", "p10", "p90", "mean", "age_s")
        }
        shaped = {name: column.reshape(count, count) for name, column in columns.items()}
        snapshot = Snapshot.of(
            self.names,
            at=now_s,
            rtt_p50_s=contact,
            goodput_p50_bps=shaped["p50"],
            goodput_p10_bps=shaped["p10"],
            goodput_p90_bps=shaped["p90"],
            goodput_mean_bps=shaped["mean"],
            goodput_age_s=shaped["age_s"],
            goodput_samples=np.where(known, said.samples, 0).reshape(count, count),
            goodput_fresh=shaped["age_s"] <= np.asarray(self.limits.goodput_stale_s),
        )
        goodputs = shrunk(snapshot, self.operators)
        decide_all(self.router, snapshot, goodputs=goodputs)
        if not self.even:
            active, longest = self.router.relays("goodput"), self.mesh.throughput.longest_wait
            *_, worth = worths(goodputs, active, np.ones(count, bool))
            self._weigh(rounds_between_tests(goodputs, worth, longest))
        return np.maximum(self.router.relays("goodput"), np.int32(DIRECT))

    def _weigh(self, rounds: Floats) -> None:
        for dst, name in enumerate(self.names):
            column = zip(self.names, rounds[:, dst].tolist(), strict=True)
            self.attention[name].apply_weights({src: value for src, value in column if np.isfinite(value)})

    def _means(self) -> Floats:
        means = np.full((len(self.names), len(self.names)), np.nan)
        for link, values in self.found.items():
            means[link] = np.exp(np.mean(np.log(values)))
        return means


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grids", nargs="+", metavar="GRID")
    parser.add_argument("--sites", type=int, default=16)
    parser.add_argument("--days", type=int, default=6)
    parser.add_argument("--noise", type=float, default=0.1)
    parser.add_argument("--budget", type=float, nargs="+", default=[10.0, 30.0, 100.0, 300.0], metavar="GB")
    parser.add_argument("--every", type=float, metavar="S")
    parser.add_argument("--from", dest="first_day", type=int, default=2, metavar="DAY")
    parser.add_argument("--even", action="store_true", help="without weights: every link once in a round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        found = replays(options)
    except OperatorError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(found))
    return 0


def replays(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One result for each budget. Raises OperatorError."""
    grids = [GridFile.parse(text).read() for text in options.grids]
    shared = sorted(set.intersection(*(set(sites_of(grid)) for grid in grids)))
    if len(shared) < 3 or not 2 <= options.first_day <= options.days:
        raise OperatorError(
            f"{len(shared)} sites in all grids, days {options.first_day} to {options.days}: three sites are the least, "
            "and the first day is not scored"
        )
    sites = sorted(random.Random(options.seed).sample(shared, min(options.sites, len(shared))))
    kept = [{link: bps for link, bps in grid.items() if {*link} <= {*sites}} for grid in grids]
    truths, found = [matrix(grid, sites) for grid in kept], []
    for budget in options.budget:
        common = truths, operators(sites), 1e9 * budget, options.noise, options.every, random.Random(options.seed)
        replay = Replay(*common, even=options.even)
        decided = replay.run(options.days, options.first_day)
        result = {"budget_gb_a_day": budget, "moved_gb_a_day": 1e-9 * replay.moved_bytes / options.days}
        result |= {"tests_a_day": replay.tests / options.days, "policies": scores(decided)}
        found.append(result)
        if not options.json:
            print(told(result), flush=True)
    return found


def scores(decided: dict[str, list[tuple[Vias, Floats]]]) -> dict[str, Any]:
    """Speed-up, share worse, and relays at a time of each policy; of the first two with intervals."""
    by_policy = {name: uses(pairs) for name, pairs in decided.items()}
    sources = [src for src, row in enumerate(by_policy["ours"].every) if len(row)]
    samples = [sources, *np.random.default_rng(1).choice(sources, (RESAMPLES, len(sources))).tolist()]
    return {name: _score(one, samples, len(decided[name])) for name, one in by_policy.items()}


def _score(one: Uses, samples: Sequence[Sequence[int]], hours: int) -> dict[str, Any]:
    drawn = np.array([one.figures(sample)[:2] for sample in samples])
    low, high = np.quantile(drawn[1:], (0.05, 0.95), axis=0)
    figures = {
        name: [float(part[at]) for part in (drawn[0], low, high)] for at, name in enumerate(("speed_up", "worse"))
    }
    return {**figures, "relays": sum(map(len, one.relayed)) / hours}


def told(result: dict[str, Any]) -> str:
    head = "{budget_gb_a_day:g} GB a day: {moved_gb_a_day:.1f} moved by {tests_a_day:.0f} tests".format(**result)
    rows = [
        "  {:16} {:.3f} [{:.3f}, {:.3f}]  worse {:6.1%} [{:.1%}, {:.1%}]  {:.0f} relays".format(
            name, *one["speed_up"], *one["worse"], one["relays"]
        )
        for name, one in result["policies"].items()
    ]
    return "\n".join([head, *rows])


if __name__ == "__main__":
    sys.exit(main())
