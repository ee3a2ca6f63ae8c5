"""The answer to a question, with its reason: a pair's active route, or the best path under the question's conditions.

An active route is not decided again for its answer: the routing table has its relay, and the cheapest relays of the
pair beside it. Only a question with conditions, or about completion, looks at every path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from collector.routing.arrays import DIRECT, NONE, Relays, relays_of
from collector.routing.explain import (
    DirectObstacle,
    RouteReason,
    because_left,
    direct_obstacle,
    no_route_sentence,
    route_sentence,
)
from collector.routing.route_question import UNDERLYING, CandidatePaths, RouteQuestion, candidate_paths
from collector.routing.route_rule import SWITCH_REASONS, Choices, choose, rule_of
from collector.routing.routing_state import RoutingState
from collector.routing.routing_table import RoutingTable
from linkweather.models.routes import LinkInput, NoRoute, PathExpectation, RelayMode, RouteAnswer


@dataclass(frozen=True, eq=False, kw_only=True)
class _Comparison:
    """The path of a pair, or None, and what its answer compares it with; costs are as in `route_rule`.

    `finished_s` are p50 and p90 of the transfer over paths for which they have been worked out.
    """

    chosen: Relays | None
    runner_up: Relays | None
    gain_ratio: float | None
    excluded: str | None = None
    active: RoutingTable | None = None
    finished_s: Mapping[Relays, tuple[float, float]] = field(default_factory=dict)


def answer(state: RoutingState, question: RouteQuestion) -> RouteAnswer | NoRoute:
    """The active route, unless the question has conditions of its own; then the best path under those."""
    src, dst = (state.snapshot.position[site] for site in (question.src, question.dst))
    table = None if question.conditional else state.tables.get(question.objective)
    choice = _best(state, question, src, dst) if table is None else _active(state, table, src, dst)
    if choice.chosen is None:
        return _no_route(state, question, choice, (src, dst))
    return _answer(state, question, choice, (src, *choice.chosen, dst))


def _active(state: RoutingState, table: RoutingTable, src: int, dst: int) -> _Comparison:
    chosen = relays_of(int(table.active.via[src, dst]))
    others = [relays for relays in table.cheapest(src, dst, state.online, 2) if relays != chosen]
    others += [()] * (chosen != () and bool(np.isfinite(table.expected[src, dst])))
    runner_up = min(others, key=lambda relays: table.path_cost(src, relays, dst), default=None)
    gain = None if chosen is None else _ratio(table.path_cost(src, (), dst), table.path_cost(src, chosen, dst))
    return _Comparison(chosen=chosen, runner_up=runner_up, gain_ratio=gain, active=table)


def _best(state: RoutingState, question: RouteQuestion, src: int, dst: int) -> _Comparison:
    found = candidate_paths(state, question)
    best = found.best(2, sound=True)
    index = _chosen(state, question, found, best[:1], (src, dst))
    if index is None:
        return _Comparison(chosen=None, runner_up=None, gain_ratio=None, excluded=found.excluded)
    others = best or found.best(2, sound=False)
    others += [0] * bool(np.isfinite(found.expected[0]))
    others = [other for other in others if other != index]
    runner_up = min(others, key=lambda other: float(found.expected[other]), default=None)
    return _Comparison(
        chosen=found.relays(index),
        runner_up=None if runner_up is None else found.relays(runner_up),
        gain_ratio=_ratio(float(found.expected[0]), float(found.expected[index])),
        excluded=found.excluded,
        finished_s=_finished_s(question, found, {0, index, *others}),
    )


def _finished_s(
    question: RouteQuestion, found: CandidatePaths, paths: Iterable[int]
) -> Mapping[Relays, tuple[float, float]]:
    """The transfer times among the costs: direct's are those of a split connection whatever the relays do."""
    if question.objective != "completion" or question.relay_mode != "split":
        return {}
    costs = {path: (float(found.expected[path]), float(found.cautious[path])) for path in paths}
    return {found.relays(path): cost for path, cost in costs.items() if np.isfinite(cost).all()}


def _chosen(
    state: RoutingState, question: RouteQuestion, found: CandidatePaths, best: list[int], pair: tuple[int, int]
) -> int | None:
    """The position of the path that the rule takes when no route is active; `best` is that of the best candidate."""
    spare = [] if np.isfinite(found.expected[0]) else found.best(1, sound=False)
    unmeasured = _unmeasured(state, question, pair)
    choices = Choices(
        direct=np.zeros(1) if unmeasured else found.expected[:1],
        direct_sound=np.ones(1, bool),
        held=state.held[[pair[0]], [pair[1]]],
        relay=np.array(best or [NONE], dtype=np.int32),
        relay_weighed=found.weighed[best] if best else np.array([np.inf]),
        bar=np.zeros(1) if unmeasured else found.bar,
        spare=np.array(spare or [NONE], dtype=np.int32),
    )
    via = int(choose(choices, rule_of(state.settings, question.objective))[0])
    if via == NONE:
        return None
    return 0 if via == DIRECT else via


def _unmeasured(state: RoutingState, question: RouteQuestion, pair: tuple[int, int]) -> bool:
    """Whether direct is in contact at an unknown cost, and the price allows it."""
    unmeasured = any(state.tables[name].unmeasured[pair] for name in UNDERLYING[question.objective])
    return unmeasured and _affordable(state, question, pair)


def _affordable(state: RoutingState, question: RouteQuestion, pair: tuple[int, int]) -> bool:
    """Whether the price that the question names allows direct; an unknown one is not allowed."""
    ceiling, price = question.max_price_usd_per_gb, state.price(pair)
    return ceiling is None or (price is not None and price <= ceiling)


def _obstacle(state: RoutingState, question: RouteQuestion, pair: tuple[int, int]) -> DirectObstacle:
    return direct_obstacle(state, question.objective, *pair, affordable=_affordable(state, question, pair))


def _no_route(state: RoutingState, question: RouteQuestion, choice: _Comparison, pair: tuple[int, int]) -> NoRoute:
    obstacle = _obstacle(state, question, pair)
    return NoRoute(
        src=question.src,
        dst=question.dst,
        objective=question.objective,
        reason=obstacle.reason,
        why=no_route_sentence(question.src, question.dst, obstacle, choice.excluded),
    )


def _answer(state: RoutingState, question: RouteQuestion, choice: _Comparison, path: Sequence[int]) -> RouteAnswer:
    link = (path[0], path[-1])
    reason, active = _reason(state, question, choice, path), None if choice.active is None else choice.active.active
    code = -1 if active is None else int(active.switch_reason[link])
    return RouteAnswer(
        src=question.src,
        dst=question.dst,
        objective=question.objective,
        bytes=None if question.bytes is None else round(question.bytes),
        at=state.at,
        path=reason.path,
        direct=reason.direct,
        runner_up=reason.runner_up,
        gain_ratio=reason.gain_ratio,
        relay_mode=question.relay_mode,
        inputs=_inputs(state, path),
        since=None if active is None else datetime.fromtimestamp(float(active.since[link]), UTC),
        switch_reason=None if code < 0 else SWITCH_REASONS[code],
        why=route_sentence(reason),
    )


def _reason(state: RoutingState, question: RouteQuestion, choice: _Comparison, path: Sequence[int]) -> RouteReason:
    src, dst = path[0], path[-1]

    def expectation(path: Sequence[int], mode: RelayMode = question.relay_mode) -> PathExpectation:
        return state.expectation(path, question.bytes, mode, finished_s=choice.finished_s.get(tuple(path[1:-1])))

    expected = expectation(path)
    direct = expected if len(path) == 2 else None
    if direct is None and state.snapshot.usable[src, dst]:
        direct = expectation((src, dst), "split")
    other = None if choice.runner_up is None else (src, *choice.runner_up, dst)
    unmeasured = _unmeasured(state, question, (src, dst))
    return RouteReason(
        objective=question.objective,
        path=expected,
        direct=direct,
        runner_up=direct if other == (src, dst) else None if other is None else expectation(other),
        gain_ratio=choice.gain_ratio,
        needed=rule_of(state.settings, question.objective).margin,
        oldest_s=_oldest_s(state, question, path),
        unmeasured=unmeasured,
        obstacle=None if choice.gain_ratio is not None and not unmeasured else _obstacle(state, question, (src, dst)),
        because=None if choice.active is None else because_left(state, choice.active.active, src, dst),
        excluded=choice.excluded,
        alone=question.max_relays == 0,
        relay_mode=question.relay_mode,
        mirrored=tuple(state.name(*link) for link in pairwise(path) if state.mirrored[link]),
    )


def _inputs(state: RoutingState, path: Sequence[int]) -> tuple[LinkInput, ...]:
    links = [*pairwise(path)] + [(path[0], path[-1])] * (len(path) > 2)
    return tuple(state.link_input(*link) for link in links)


def _oldest_s(state: RoutingState, question: RouteQuestion, path: Sequence[int]) -> float | None:
    ages = state.snapshot.rtt_age_s if question.objective == "latency" else state.snapshot.goodput_age_s
    known = [age_s for link in pairwise(path) if np.isfinite(age_s := ages.item(link))]
    return max(known, default=None)


def _ratio(direct: float, cost: float) -> float | None:
    return direct / cost if np.isfinite(direct) and np.isfinite(cost) else None
