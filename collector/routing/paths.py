"""Every path of one pair that a question allows, with what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from collector.routing.candidates import Floats, Indices, smallest, two_relays
from collector.routing.moment import RoutingState
from collector.routing.questions import RouteQuestion
from collector.routing.route_rule import Bools
from collector.routing.transfer_time import completion
from linkweather import units
from linkweather.models.routes import Objective

# Of two relays, so many pairs are looked at more closely, the best under each standing objective.
TWO_RELAYS = 8
Relays = tuple[int, ...]
Leg = tuple[Indices, Indices]
# Under which standing objectives a leg has to be sound, and two relays are looked for.
RESTS_ON: Mapping[Objective, tuple[Objective, ...]] = {
    "latency": ("latency",),
    "goodput": ("goodput",),
    "completion": ("latency", "goodput"),
}


@dataclass(frozen=True, eq=False)
class CandidatePaths:
    """What each path costs: infinite where it cannot be used, or is not allowed.

    Direct stands first, then the path over each site, then those over two. Where a relay is weighed against direct,
    its path costs `weighed`, and must beat `bar`, of one element, too. `sound` is where all legs are fresh,
    lose little, and did not come back too short a time ago. `excluded` says what a price ceiling left out.
    """

    relays: Sequence[Relays]
    expected: Floats
    cautious: Floats
    weighed: Floats
    bar: Floats
    sound: Bools
    excluded: str | None

    def best(self, count: int, *, sound: bool) -> list[int]:
        """The positions of the cheapest paths with a relay, by their cautious cost, the cheapest first."""
        costs = np.where(self.sound, self.cautious, np.inf) if sound else self.cautious.copy()
        costs[0] = np.inf
        return [int(index) for index in smallest(costs, count)]


def paths(moment: RoutingState, question: RouteQuestion, src: int, dst: int) -> CandidatePaths:
    """All paths with at most so many relays as the question allows."""
    may_relay, prices = _may_relay(moment, question), _prices(moment)
    sites = np.arange(len(may_relay))
    twice = _two_relays(moment, question, (src, dst), may_relay, prices) if question.max_relays > 1 else []
    near, far = (np.array([pair[end] for pair in twice], dtype=np.intp) for end in (0, 1))
    start, end = np.array([src]), np.array([dst])
    ways: list[list[Leg]] = [
        [(start, end)],
        [(start, sites), (sites, end)],
        [(start, near), (near, far), (far, end)],
    ]
    allowed = np.concatenate(([True], may_relay, np.ones(len(twice), bool)))
    price = np.concatenate(([0.0], prices, prices[near] + prices[far])) + prices[src]
    costs = np.concatenate([_costs(moment, question, legs) for legs in ways], axis=1)
    ceiling = question.max_price_usd_per_gb
    cheap = np.ones(len(price), bool) if ceiling is None else price <= ceiling  # an unknown price is not cheap
    expected, cautious, weighed = np.where(allowed & cheap, costs, np.inf)
    return CandidatePaths(
        relays=[(), *((site,) for site in range(len(sites))), *twice],
        expected=expected,
        cautious=cautious,
        weighed=weighed,
        bar=np.where(np.isfinite(expected[:1]), _bar(moment, question, (start, end), expected[:1]), np.inf),
        sound=np.concatenate([_sound(moment, question.objective, legs) for legs in ways]),
        excluded=_excluded(ceiling, price, np.isfinite(costs[0]) & allowed),
    )


def _may_relay(moment: RoutingState, question: RouteQuestion) -> Bools:
    avoided = np.isin(np.array(moment.ground.snapshot.sites), sorted(question.avoid))
    return moment.online & ~avoided & (question.max_relays > 0)


def _prices(moment: RoutingState) -> Floats:
    ground = moment.ground
    return np.array([ground.prices_usd_per_gb.get(site) for site in ground.snapshot.sites], dtype=float)


def _two_relays(
    moment: RoutingState, question: RouteQuestion, ends: tuple[int, int], may_relay: Bools, prices: Floats
) -> list[tuple[int, int]]:
    src, dst = ends
    found: dict[tuple[int, int], None] = {}
    for name in RESTS_ON[question.objective]:
        table = moment.tables[name]
        first, second = (np.where(may_relay, legs, np.inf) for legs in (table.legs[src], table.legs[:, dst]))
        first[dst] = second[src] = np.inf  # the ends of the path are no relays
        between = table.legs
        if question.max_price_usd_per_gb is not None:
            total = prices[src] + prices[:, None] + prices
            between = np.where(total <= question.max_price_usd_per_gb, between, np.inf)
        found |= dict.fromkeys(two_relays(first, between, second, table.costing.join, TWO_RELAYS))
    return list(found)


def _costs(moment: RoutingState, question: RouteQuestion, legs: Sequence[Leg]) -> Floats:
    """[expected, cautious or weighed, path]."""
    if question.objective == "completion":
        estimate = completion([moment.ground.leg(*leg) for leg in legs], question.bytes or 0.0)
        times = np.stack(np.broadcast_arrays(estimate.p50_s, estimate.p90_s, estimate.p90_s))
        return np.where(np.isfinite(times), times, np.inf)
    table = moment.tables[question.objective]
    kinds = (table.expected, table.cautious, table.weighed)
    joined = [reduce(table.costing.join, [costs[leg] for leg in legs]) for costs in kinds]
    costs: Floats = np.stack(joined).astype(float) + table.per_relay * (len(legs) - 1)
    return costs


def _bar(moment: RoutingState, question: RouteQuestion, link: Leg, expected: Floats) -> Floats:
    table = moment.tables.get(question.objective)
    return expected if table is None else table.bar[link].astype(float)


def _sound(moment: RoutingState, objective: Objective, legs: Sequence[Leg]) -> Bools:
    tables = [moment.tables[name] for name in RESTS_ON[objective]]
    return reduce(np.logical_and, [np.isfinite(table.legs[leg]) for table in tables for leg in legs])


def _excluded(ceiling: float | None, price: Floats, possible: Bools) -> str | None:
    if ceiling is None:
        return None
    unknown = int((possible & np.isnan(price)).sum())
    dear = int((possible & (price > ceiling)).sum())
    said = {f"cost more than {units.price(ceiling)} USD/GB": dear, "have a price that is not known": unknown}
    left_out = [f"{count} {text}" for text, count in said.items() if count]
    return f"of the other paths {', and '.join(left_out)}" if left_out else None
