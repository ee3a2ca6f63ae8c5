"""A question about one pair, and every path that it allows, with its costs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import get_args

import numpy as np

from collector.routing.arrays import Bools, Floats, Indices, Relays, smallest, two_relays
from collector.routing.routing_state import TRANSFERS, RoutingState
from collector.routing.transfer_time import transfer_time
from linkweather.errors import LinkweatherError
from linkweather.models.routes import Objective, RelayMode
from linkweather.units import price as usd

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
RELAY_MODES: tuple[RelayMode, ...] = get_args(RelayMode)
MAX_BYTES = 1e18
MAX_RELAYS = 2
# So many pairs of relays are looked at more closely, the best under each underlying objective.
TWO_RELAYS = 8
# Under which objectives with active routes a leg has to be sound, and two relays are looked for.
UNDERLYING: Mapping[Objective, tuple[Objective, ...]] = {
    "latency": ("latency",),
    "goodput": ("goodput",),
    "completion": ("latency", "goodput"),
}

_Legs = tuple[Indices, Indices]  # one leg of many paths: its sources and destinations


class RouteQuestionError(LinkweatherError, ValueError):
    """A question that has no answer: one sentence, and the `field` that it is about."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(f"{field}: {sentence}")
        self.field = field


@dataclass(frozen=True, kw_only=True)
class RouteQuestion:
    """Which path from `src` to `dst`? Completion needs `bytes`; the other objectives only show the time they take.

    `avoid` are sites that must not relay; `max_price_usd_per_gb` bounds the egress prices of all sites that send,
    summed. Through a relay goodputs are those of a connection for each leg, or of one over all legs where `relay_mode`
    is forward. Raises RouteQuestionError for what is wrong in any mesh.
    """

    src: str
    dst: str
    objective: Objective = "latency"
    bytes: float | None = None
    max_relays: int = 1
    avoid: frozenset[str] = frozenset()
    max_price_usd_per_gb: float | None = None
    relay_mode: RelayMode = "split"

    def __post_init__(self) -> None:
        if self.src == self.dst:
            raise RouteQuestionError("dst", f"{self.dst!r} is the source too: a path joins two different sites")
        if self.objective not in OBJECTIVES:
            raise RouteQuestionError("objective", f"{self.objective!r} is none of {', '.join(OBJECTIVES)}")
        if self.relay_mode not in RELAY_MODES:
            raise RouteQuestionError("relay_mode", f"{self.relay_mode!r} is none of {', '.join(RELAY_MODES)}")
        ends = self.avoid & {self.src, self.dst}
        if ends:
            raise RouteQuestionError("avoid", f"{min(ends)!r} is an end of the path: only a relay can be avoided")
        if self.max_relays not in range(MAX_RELAYS + 1):
            raise RouteQuestionError("max_relays", f"{self.max_relays!r} is none of 0, 1, 2")
        _check_bytes(self.objective, self.bytes)
        price = self.max_price_usd_per_gb
        if price is not None and not 0 <= price < math.inf:  # NaN is not either
            raise RouteQuestionError("max_price_usd_per_gb", f"{price:g}: must be a finite number, 0 or more")

    @property
    def conditional(self) -> bool:
        """Whether it has conditions of its own, so that the active route need not be its answer."""
        given = bool(self.avoid) or self.max_price_usd_per_gb is not None or self.max_relays != 1
        return given or self.relay_mode != "split"

    def check_sites(self, sites: Collection[str]) -> None:
        """Raise RouteQuestionError for a site that is not in the mesh."""
        named = [("src", self.src), ("dst", self.dst), *(("avoid", site) for site in sorted(self.avoid))]
        for field, site in named:
            if site not in sites:
                raise RouteQuestionError(field, f"no site {site!r}; the mesh has {', '.join(sites)}")


def _check_bytes(objective: Objective, size: float | None) -> None:
    if size is None:
        if objective == "completion":
            raise RouteQuestionError("bytes", "a completion time needs a number of bytes")
    elif not 0 < size <= MAX_BYTES:  # NaN is not either
        raise RouteQuestionError("bytes", f"{size:g}: must be above 0 and at most {MAX_BYTES:g}")


@dataclass(frozen=True, eq=False)
class CandidatePaths:
    """The costs of the paths that a question allows, as `route_rule` has them; infinite where a path cannot be used.

    Direct is first, then the path over each site, then those over two, `twice`. `bar` has one element. `sound` is where
    all legs are sound, and none is held down. `excluded` says what a price ceiling left out.
    """

    twice: Sequence[tuple[int, int]]
    expected: Floats
    cautious: Floats
    weighed: Floats
    bar: Floats
    sound: Bools
    excluded: str | None

    def relays(self, index: int) -> Relays:
        """The relays of the path at this position."""
        single = len(self.expected) - len(self.twice)
        return self.twice[index - single] if index >= single else (index - 1,) if index else ()

    def best(self, count: int, *, sound: bool) -> list[int]:
        """The positions of the cheapest paths with a relay, by their cautious cost, the cheapest first."""
        costs = np.where(self.sound, self.cautious, np.inf) if sound else self.cautious.copy()
        costs[0] = np.inf
        return [int(index) for index in smallest(costs, count)]


def candidate_paths(state: RoutingState, question: RouteQuestion) -> CandidatePaths:
    """All paths with at most so many relays as the question allows."""
    src, dst = (state.snapshot.position[site] for site in (question.src, question.dst))
    may_relay, prices = _may_relay(state, question), state.egress_usd_per_gb
    sites = np.arange(len(may_relay))
    twice = _two_relays(state, question, (src, dst), may_relay, prices) if question.max_relays > 1 else []
    near, far = (np.array([pair[end] for pair in twice], dtype=np.intp) for end in (0, 1))
    start, end = np.array([src]), np.array([dst])
    ways: list[list[_Legs]] = [
        [(start, end)],
        [(start, sites), (sites, end)],
        *([[(start, near), (near, far), (far, end)]] if twice else []),
    ]
    allowed = np.concatenate(([True], may_relay, np.ones(len(twice), bool)))
    price = np.concatenate(([0.0], prices, prices[near] + prices[far])) + prices[src]
    costs = np.concatenate([_costs(state, question, legs) for legs in ways], axis=1)
    ceiling = question.max_price_usd_per_gb
    cheap = np.ones(len(price), bool) if ceiling is None else price <= ceiling  # an unknown price is not cheap
    expected, cautious, weighed = np.where(allowed & cheap, costs, np.inf)
    bar = _bar(state, question, (start, end), expected[:1])
    return CandidatePaths(
        twice=twice,
        expected=expected,
        cautious=cautious,
        weighed=weighed,
        bar=np.where(np.isfinite(expected[:1]), bar, np.inf),
        sound=np.concatenate([_sound(state, question.objective, legs) for legs in ways]),
        excluded=_excluded(ceiling, price, np.isfinite(costs[0]) & allowed),
    )


def _may_relay(state: RoutingState, question: RouteQuestion) -> Bools:
    allowed: Bools = state.online & (question.max_relays > 0)
    position = state.snapshot.position
    allowed[[position[site] for site in question.avoid if site in position]] = False
    return allowed


def _two_relays(
    state: RoutingState, question: RouteQuestion, ends: tuple[int, int], may_relay: Bools, prices: Floats
) -> list[tuple[int, int]]:
    src, dst = ends
    found: dict[tuple[int, int], None] = {}
    for name in UNDERLYING[question.objective]:
        table = state.tables[name]
        first, second = (np.where(may_relay, legs, np.inf) for legs in (table.legs[src], table.legs[:, dst]))
        first[dst] = second[src] = np.inf  # the ends of the path are no relays
        between = table.legs
        if question.max_price_usd_per_gb is not None:
            total = prices[src] + prices[:, None] + prices
            between = np.where(total <= question.max_price_usd_per_gb, between, np.inf)
        found |= dict.fromkeys(two_relays(first, between, second, table.join, TWO_RELAYS))
    return list(found)


def _costs(state: RoutingState, question: RouteQuestion, legs: Sequence[_Legs]) -> Floats:
    """[expected, cautious or weighed, path]."""
    if question.objective == "completion":
        relay = TRANSFERS[question.relay_mode]
        found = transfer_time([state.transfer_leg(*leg) for leg in legs], question.bytes or 0.0, relay=relay)
        times = np.stack(np.broadcast_arrays(found.p50_s, found.p90_s, found.p90_s))
        return np.where(np.isfinite(times), times, np.inf)
    table = state.tables[question.objective]
    kinds = (table.expected, table.cautious, table.weighed)
    mode: RelayMode = question.relay_mode if question.objective == "goodput" else "split"
    shares = state.window_shares(legs, mode)
    joined = [reduce(table.join, [costs[leg] for leg in legs] / shares) for costs in kinds]
    costs: Floats = np.stack(joined).astype(float) + table.per_relay * (len(legs) - 1)
    return costs


def _bar(state: RoutingState, question: RouteQuestion, link: _Legs, expected: Floats) -> Floats:
    table = state.tables.get(question.objective)
    return expected if table is None else table.bar[link].astype(float)


def _sound(state: RoutingState, objective: Objective, legs: Sequence[_Legs]) -> Bools:
    tables = [state.tables[name] for name in UNDERLYING[objective]]
    return reduce(np.logical_and, [np.isfinite(table.legs[leg]) for table in tables for leg in legs])


def _excluded(ceiling: float | None, price: Floats, possible: Bools) -> str | None:
    if ceiling is None:
        return None
    dear, unknown = int((possible & (price > ceiling)).sum()), int((possible & np.isnan(price)).sum())
    counts = {f"above {usd(ceiling)} USD/GB": dear, "of unknown price": unknown}
    left_out = [f"{count} {text}" for text, count in counts.items() if count]
    return f"excluded paths: {', '.join(left_out)}" if left_out else None
