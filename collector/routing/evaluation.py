"""The evaluation: each decision is compared with what was measured of the same links afterwards.

A decision's outcome comes from the first measurement of each leg after it, within a limit: RTTs add up, the smallest
goodput counts. A round trip crosses the same two ways whoever asks: where one direction was not measured, as towards a
site behind NAT, the other stands for it. The best path in hindsight is the best of direct and all single relays by the
same measurements, so a decision is compared only with what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from collector.routing.arrays import DIRECT, NONE, Bools, best_relays, best_relays_of
from collector.store.decision_log import RouteDecisions
from collector.store.past_decisions import Measurements, SwitchCounts
from linkweather.models.routes import Objective
from linkweather.models.scores import RelayScore, RouteEvaluation, WorstRoute
from linkweather.units import count

WORST = 5
RELAYS = 20
# Of so many decisions through a relay nine tenths should do no worse than p90: where not half do, its claims are wrong.
CLAIMS = 10
COME_TRUE = 0.5

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.integer]

# Costs are lower the better: seconds add up; of seconds per bit the worst leg's count.
_JOINS: Mapping[Objective, np.ufunc] = {"latency": np.add, "goodput": np.maximum}


@dataclass(frozen=True, eq=False)
class _Outcomes:
    """The evaluated decisions as columns: the costs of the path, of direct and of the best, and the best path's relay.

    `at`, `src`, `dst` and `via` are the decision's; `best_via` is coded like `via`. `p50` and `p90` are the costs
    expected, NaN where unknown.
    """

    at: Floats
    src: Positions
    dst: Positions
    via: Positions
    p50: Floats
    p90: Floats
    cost: Floats
    direct: Floats
    best: Floats
    best_via: Positions

    @property
    def failed(self) -> Bools:
        failed: Bools = ~np.isfinite(self.cost)
        return failed

    @property
    def regret(self) -> Floats:
        regret: Floats = self.cost / self.best - 1.0
        return regret


def evaluate(
    decisions: RouteDecisions,
    measured: Measurements,
    changes: SwitchCounts,
    objective: Objective,
    suspects: Mapping[str, str] = MappingProxyType({}),
) -> RouteEvaluation:
    """The evaluation of these decisions under one objective, in order of time, each at a moment of `measured`.

    `suspects` have a sentence each.
    """
    outcomes = _outcomes(decisions, measured, objective)
    counted = {
        "objective": objective,
        "decisions": len(decisions),
        "evaluated": len(outcomes.cost),
        "failed": int(outcomes.failed.sum()),
        **asdict(changes),
    }
    figures = _figures(outcomes) if len(outcomes.cost) else {}
    worst = _worst(outcomes, decisions.sites)
    found = _relays(outcomes, decisions.sites)
    relays = tuple(relay.model_copy(update={"suspect": suspects.get(relay.site)}) for relay in found)
    evaluation = RouteEvaluation.model_validate({**counted, **figures, "worst": worst, "relays": relays})
    return evaluation.model_copy(update={"why": _sentence(evaluation)})


def _outcomes(decisions: RouteDecisions, measured: Measurements, objective: Objective) -> _Outcomes:
    """The decisions whose path and direct link were measured afterwards, where anything answered at all."""
    ends = np.searchsorted(decisions.at, measured.moments, side="right")
    starts = np.concatenate(([0], ends))[:-1]
    after = partial(measured.after, sites=len(decisions.sites), both_ways=objective == "latency")
    parts = [
        _outcomes_at(decisions, slice(start, end), after(place), objective)
        for place, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True))
    ]
    parts = parts or [_outcomes_at(decisions, slice(0, 0), np.full((len(decisions.sites),) * 2, np.nan), objective)]
    return _Outcomes(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(_Outcomes)))


def _outcomes_at(decisions: RouteDecisions, part: slice, legs: Floats, objective: Objective) -> _Outcomes:
    join, costs = _JOINS[objective], _cost(legs, objective)
    at, (src, dst, via) = decisions.at[part], (column[part] for column in (decisions.src, decisions.dst, decisions.via))
    expected = [_cost(column[part], objective) for column in (decisions.p50, decisions.p90)]
    direct, relay = costs[src, dst], np.maximum(via, 0)
    relayed = join(costs[src, relay], costs[relay, dst])
    cost = np.where(via >= 0, relayed, np.where(via == DIRECT, direct, np.nan))
    other = _best_relays(np.where(np.isnan(costs), np.inf, costs).astype(np.float32), (src, dst), join)
    through = np.where(other == NONE, np.inf, join(costs[src, other], costs[other, dst]))
    best = np.fmin(np.fmin(cost, direct), through)
    best_via = np.where(cost == best, via, np.where(direct == best, DIRECT, other))
    columns = (at, src, dst, via, *expected, cost, direct, best, best_via)
    evaluated = np.isfinite(best) & ~np.isnan(cost) & ~np.isnan(direct)
    return _Outcomes(*(column[evaluated] for column in columns))


def _best_relays(costs: npt.NDArray[np.float32], pairs: tuple[Positions, Positions], join: np.ufunc) -> Positions:
    """The best relay of each pair in hindsight; of most pairs it is found for all at once."""
    if len(pairs[0]) > len(costs):
        return best_relays(costs, costs, join)[pairs]
    return best_relays_of(costs, costs, pairs, join, np.arange(len(costs)))


def _cost(values: Floats, objective: Objective) -> Floats:
    """Measured or expected values as costs; NaN stays."""
    if objective == "latency":
        return values
    costs: Floats = np.divide(1.0, values, out=np.full(values.shape, np.inf), where=(values > 0) | np.isnan(values))
    return costs


def _figures(outcomes: _Outcomes) -> dict[str, float | int | None]:
    worked, relayed = ~outcomes.failed, outcomes.via >= 0
    regrets = outcomes.regret[worked]
    gained = worked & np.isfinite(outcomes.direct)
    gains = outcomes.direct[gained] / outcomes.cost[gained]
    return {
        "relayed": int(relayed.sum()),
        "relayed_worse_ratio": share((outcomes.cost > outcomes.direct)[relayed]),
        "regret_mean_ratio": float(regrets.mean()) if len(regrets) else None,
        "regret_p50_ratio": float(np.quantile(regrets, 0.5)) if len(regrets) else None,
        "regret_p90_ratio": float(np.quantile(regrets, 0.9)) if len(regrets) else None,
        "gain_ratio": float(np.exp(np.mean(np.log(gains)))) if len(gains) else None,
        # A failure is worse than anything that was expected.
        "within_p50_ratio": share((outcomes.cost <= outcomes.p50)[~np.isnan(outcomes.p50)]),
        "within_p90_ratio": share((outcomes.cost <= outcomes.p90)[~np.isnan(outcomes.p90)]),
    }


def share(truths: Bools) -> float | None:
    """The share that is true; None of nothing."""
    return float(truths.mean()) if len(truths) else None


def _worst(outcomes: _Outcomes, sites: tuple[str, ...]) -> tuple[WorstRoute, ...]:
    """The worst decision of each pair, the worst pairs first, without those that lost nothing."""
    regret = outcomes.regret
    order = np.argsort(-regret, kind="stable")
    _, firsts = np.unique(outcomes.src[order] * len(sites) + outcomes.dst[order], return_index=True)
    chosen = [row for row in order[np.sort(firsts)][:WORST].tolist() if regret[row] > 0.0]
    return tuple(
        WorstRoute(
            at=datetime.fromtimestamp(float(outcomes.at[row]), UTC),
            src=sites[outcomes.src[row]],
            dst=sites[outcomes.dst[row]],
            path=_path(outcomes, row, int(outcomes.via[row]), sites),
            best=_path(outcomes, row, int(outcomes.best_via[row]), sites),
            regret_ratio=None if outcomes.failed[row] else float(regret[row]),
        )
        for row in chosen
    )


def _relays(outcomes: _Outcomes, sites: tuple[str, ...]) -> tuple[RelayScore, ...]:
    """What each relay was worth, those of most decisions first."""
    used, counts = np.unique(outcomes.via[outcomes.via >= 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:RELAYS]
    return tuple(_relay(outcomes, int(via), sites[via]) for via in used[order])


def _relay(outcomes: _Outcomes, via: int, site: str) -> RelayScore:
    rows = outcomes.via == via
    cost, direct, p90 = outcomes.cost[rows], outcomes.direct[rows], outcomes.p90[rows]
    both = np.isfinite(cost) & np.isfinite(direct)
    return RelayScore(
        site=site,
        decisions=len(cost),
        gain_ratio=float(np.exp(np.mean(np.log(direct[both] / cost[both])))) if both.any() else None,
        worse_ratio=float(np.mean(cost > direct)),
        within_p90_ratio=share((cost <= p90)[~np.isnan(p90)]),
    )


def _path(outcomes: _Outcomes, row: int, via: int, sites: tuple[str, ...]) -> tuple[str, ...]:
    relays = () if via == DIRECT else (sites[via],)
    return sites[outcomes.src[row]], *relays, sites[outcomes.dst[row]]


def _sentence(evaluation: RouteEvaluation) -> str:
    decisions = count(evaluation.decisions, "decision")
    if not evaluation.evaluated:
        return f"{evaluation.objective}: {decisions}, none evaluated: not measured afterwards yet."
    parts = [f"{evaluation.objective}: {evaluation.evaluated} of {decisions} evaluated"]
    if evaluation.regret_mean_ratio is not None and evaluation.gain_ratio is not None:
        parts.append(
            f"on average {evaluation.regret_mean_ratio:.1%} worse than the best in hindsight "
            f"and {evaluation.gain_ratio:.2f} times as good as direct"
        )
    if evaluation.relayed_worse_ratio is not None:
        parts.append(
            f"{evaluation.relayed_worse_ratio:.1%} of {count(evaluation.relayed, 'relayed path')} worse than direct"
        )
    if evaluation.failed:
        parts.append(f"{evaluation.failed} failed though another path worked")
    wrong = [
        one.site
        for one in evaluation.relays
        if one.decisions >= CLAIMS and one.within_p90_ratio is not None and one.within_p90_ratio < COME_TRUE
    ]
    if wrong:
        parts.append(f"what is claimed of paths over {', '.join(wrong)} mostly does not come true")
    return "; ".join(parts) + "."
