"""The evaluation: each decision is compared with what was measured of the same links afterwards.

A decision's outcome comes from the first measurement of each leg after it, within `within_s`: RTTs add up, the smallest
goodput counts. The best path in hindsight is the best of direct and all single relays by the same measurements, so a
decision is compared only with what was measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, pairwise
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from collector.store.decision_log import RouteDecision
from collector.store.past_decisions import Measurements, SwitchCounts
from linkweather.models.routes import Objective
from linkweather.models.scores import RouteEvaluation, WorstRoute

WORST = 5

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _PathArithmetic:
    """An objective as arithmetic: `join` makes a path's value from its legs', `cost` turns it into a cost."""

    join: Callable[[Floats, Floats], Floats]
    cost: Callable[[Floats], Floats]


_ARITHMETIC: Mapping[Objective, _PathArithmetic] = {
    "latency": _PathArithmetic(np.add, lambda value: value),
    "goodput": _PathArithmetic(
        np.minimum, lambda value: np.divide(1.0, value, out=np.full_like(value, np.inf), where=value > 0)
    ),
}


@dataclass(frozen=True, slots=True)
class _EvaluatedRoute:
    """The costs of one evaluated decision: of its path, of direct, of the best, and which path that was."""

    decision: RouteDecision
    cost: float
    direct: float
    best: float
    best_path: tuple[str, ...]

    @property
    def regret(self) -> float:
        return self.cost / self.best - 1.0

    @property
    def failed(self) -> bool:
        return not np.isfinite(self.cost)


class LaterMeasurements:
    """The measurements of every link, looked up by the moment of a decision."""

    def __init__(self, measured: Measurements, sites: Sequence[str], within_s: float) -> None:
        self._position = {site: index for index, site in enumerate(sites)}
        self._within_s = within_s
        self._series = {
            pair: (measured.at_s[rows], measured.value[rows])
            for pair, rows in _rows_by_pair(measured).items()
            if set(pair) <= self._position.keys()
        }

    def after(self, moments: Floats) -> Floats:
        """The first measurement after each moment: shape [moments, src, dst]; NaN where none came in time."""
        size = len(self._position)
        found = np.full((len(moments), size, size), np.nan)
        for (src, dst), (at_s, value) in self._series.items():
            place = np.searchsorted(at_s, moments, side="right")
            known = place < len(at_s)
            known[known] &= at_s[place[known]] - moments[known] <= self._within_s
            found[known, self._position[src], self._position[dst]] = value[place[known]]
        return found


def evaluate(
    decisions: Sequence[RouteDecision],
    measured: Measurements,
    changes: SwitchCounts,
    objective: Objective,
    *,
    sites: Sequence[str],
    within_s: float,
) -> RouteEvaluation:
    """The evaluation of these decisions under one objective, in order. `sites` is the mesh's, `within_s` in seconds."""
    later = LaterMeasurements(measured, sites, within_s)
    outcomes = list(_outcomes(decisions, later, sites, _ARITHMETIC[objective]))
    counted = {
        "objective": objective,
        "decisions": len(decisions),
        "evaluated": len(outcomes),
        "failed": sum(outcome.failed for outcome in outcomes),
        **asdict(changes),
    }
    figures = _figures(outcomes, objective) if outcomes else {}
    evaluation = RouteEvaluation.model_validate({**counted, **figures, "worst": _worst(outcomes)})
    return evaluation.model_copy(update={"why": _sentence(evaluation)})


def _outcomes(
    sampled: Sequence[RouteDecision], later: LaterMeasurements, sites: Sequence[str], arithmetic: _PathArithmetic
) -> Iterator[_EvaluatedRoute]:
    position = {site: index for index, site in enumerate(sites)}
    groups = [(at, list(group)) for at, group in groupby(sampled, key=attrgetter("at"))]
    values = later.after(np.array([at.timestamp() for at, _ in groups], dtype=float))
    for (_, group), legs in zip(groups, values, strict=True):
        for one in group:
            outcome = _outcome(one, legs, position, arithmetic, sites)
            if outcome is not None:
                yield outcome


def _outcome(
    one: RouteDecision, legs: Floats, position: Mapping[str, int], arithmetic: _PathArithmetic, sites: Sequence[str]
) -> _EvaluatedRoute | None:
    """None where a leg, or direct, was not measured afterwards, or nothing answered at all."""
    if not {one.src, one.dst, *one.path} <= position.keys() or not one.path:
        return None
    places = [position[site] for site in one.path]
    value = legs[places[0], places[1]]
    for near, far in pairwise(places[1:]):
        value = arithmetic.join(value, legs[near, far])
    src, dst = position[one.src], position[one.dst]
    direct = legs[src, dst]
    if np.isnan(value) or np.isnan(direct):
        return None
    relayed = arithmetic.cost(arithmetic.join(legs[src], legs[:, dst]))
    relayed[np.isnan(relayed)] = np.inf
    via = int(np.argmin(relayed))
    cost, direct_cost = (float(arithmetic.cost(np.array([value_]))[0]) for value_ in (value, direct))
    best = min(cost, direct_cost, float(relayed[via]))
    if not np.isfinite(best):
        return None
    best_path = _best_path(one, cost, direct_cost, best, sites[via])
    return _EvaluatedRoute(one, cost, direct_cost, best, best_path)


def _best_path(one: RouteDecision, cost: float, direct: float, best: float, via: str) -> tuple[str, ...]:
    if cost == best:
        return one.path
    return (one.src, one.dst) if direct == best else (one.src, via, one.dst)


def _figures(outcomes: Sequence[_EvaluatedRoute], objective: Objective) -> dict[str, float | int | None]:
    worked = [outcome for outcome in outcomes if not outcome.failed]
    relayed = [outcome for outcome in outcomes if len(outcome.decision.path) > 2]
    regrets = np.array([outcome.regret for outcome in worked])
    gains = [outcome.direct / outcome.cost for outcome in worked if np.isfinite(outcome.direct)]
    return {
        "relayed": len(relayed),
        "relayed_worse_ratio": _share(outcome.cost > outcome.direct for outcome in relayed),
        "regret_mean_ratio": float(regrets.mean()) if len(regrets) else None,
        "regret_p50_ratio": float(np.quantile(regrets, 0.5)) if len(regrets) else None,
        "regret_p90_ratio": float(np.quantile(regrets, 0.9)) if len(regrets) else None,
        "gain_ratio": float(np.exp(np.mean(np.log(gains)))) if gains else None,
        "within_p50_ratio": _within(outcomes, objective, "p50"),
        "within_p90_ratio": _within(outcomes, objective, "p90"),
    }


def _within(outcomes: Iterable[_EvaluatedRoute], objective: Objective, quantile: str) -> float | None:
    """The share of outcomes no worse than expected; a failure is worse than anything."""
    arithmetic = _ARITHMETIC[objective]
    expected = [(outcome, getattr(outcome.decision, quantile)) for outcome in outcomes]
    return _share(
        outcome.cost <= float(arithmetic.cost(np.array([value]))[0]) for outcome, value in expected if value is not None
    )


def _share(truths: Iterable[bool]) -> float | None:
    found = list(truths)
    return sum(found) / len(found) if found else None


def _worst(outcomes: Sequence[_EvaluatedRoute]) -> tuple[WorstRoute, ...]:
    """The worst decision of each pair, the worst pairs first, without those that lost nothing."""
    by_pair: dict[tuple[str, str], _EvaluatedRoute] = {}
    for outcome in sorted(outcomes, key=attrgetter("regret"), reverse=True):
        by_pair.setdefault((outcome.decision.src, outcome.decision.dst), outcome)
    lost = [outcome for outcome in by_pair.values() if outcome.regret > 0.0]
    return tuple(
        WorstRoute(
            at=outcome.decision.at,
            src=outcome.decision.src,
            dst=outcome.decision.dst,
            path=outcome.decision.path,
            best=outcome.best_path,
            regret_ratio=None if outcome.failed else outcome.regret,
        )
        for outcome in lost[:WORST]
    )


def _rows_by_pair(measured: Measurements) -> dict[tuple[str, str], npt.NDArray[np.intp]]:
    rows: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for row, pair in enumerate(zip(measured.src, measured.dst, strict=True)):
        rows[pair].append(row)
    return {pair: np.array(places) for pair, places in rows.items()}


def _sentence(evaluation: RouteEvaluation) -> str:
    if not evaluation.evaluated:
        return f"{evaluation.objective}: {evaluation.decisions} decisions, none evaluated: not measured afterwards yet."
    parts = [f"{evaluation.objective}: {evaluation.evaluated} of {evaluation.decisions} decisions evaluated"]
    if evaluation.regret_mean_ratio is not None and evaluation.gain_ratio is not None:
        parts.append(
            f"on average {evaluation.regret_mean_ratio:.1%} worse than the best in hindsight "
            f"and {evaluation.gain_ratio:.2f} times as good as direct"
        )
    if evaluation.relayed_worse_ratio is not None:
        parts.append(f"{evaluation.relayed_worse_ratio:.1%} of {evaluation.relayed} relayed paths worse than direct")
    if evaluation.failed:
        parts.append(f"{evaluation.failed} failed though another path worked")
    return "; ".join(parts) + "."
