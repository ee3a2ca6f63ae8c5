"""One pair's question: the choice among the paths that its conditions allow, and the answer with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from collector.routing.active_routes import ActiveRoutes
from collector.routing.candidates import DIRECT, NONE
from collector.routing.causes import because_left, why_unusable
from collector.routing.costs import rule_of
from collector.routing.explain import RouteReason, no_route_sentence, route_sentence
from collector.routing.moment import RoutingState
from collector.routing.paths import RESTS_ON, CandidatePaths, Relays, paths
from collector.routing.questions import RouteQuestion
from collector.routing.route_rule import SWITCH_REASONS, Choices, choose
from linkweather.models.routes import LinkInput, NoRoute, PathExpectation, RouteAnswer


@dataclass(frozen=True, eq=False, kw_only=True)
class _Asked:
    """A question with its sites' positions, the paths that it allows, and what stands, where that is asked for."""

    moment: RoutingState
    question: RouteQuestion
    src: int
    dst: int
    found: CandidatePaths
    in_force: ActiveRoutes | None

    def expectation(self, relays: Relays) -> PathExpectation:
        return self.moment.ground.expectation((self.src, *relays, self.dst), self.question.bytes)

    @property
    def unmeasured(self) -> bool:
        """Whether direct is in contact at a cost that nobody knows, and the price allows it."""
        ceiling, price = self.question.max_price_usd_per_gb, self.expectation(()).price_usd_per_gb
        affordable = ceiling is None or (price is not None and price <= ceiling)
        tables = (self.moment.tables[name] for name in RESTS_ON[self.question.objective])
        return affordable and any(table.unmeasured[self.src, self.dst] for table in tables)

    def cost(self, relays: Relays) -> float:
        return float(self.found.expected[self.found.relays.index(relays)])


def answer(moment: RoutingState, question: RouteQuestion) -> RouteAnswer | NoRoute:
    """What stands for everybody, unless the question has conditions of its own; then what is best under those."""
    position = moment.ground.snapshot.position
    src, dst = position[question.src], position[question.dst]
    table = None if question.conditional else moment.tables.get(question.objective)
    asked = _Asked(
        moment=moment,
        question=question,
        src=src,
        dst=dst,
        found=paths(moment, question, src, dst),
        in_force=None if table is None else table.in_force,
    )
    chosen = _fresh(asked) if asked.in_force is None else _standing(asked.in_force, src, dst)
    return _no_route(asked) if chosen is None else _answer(asked, chosen)


def _standing(in_force: ActiveRoutes, src: int, dst: int) -> Relays | None:
    via = int(in_force.via[src, dst])
    if via < DIRECT:
        return None
    return () if via == DIRECT else (via,)


def _fresh(asked: _Asked) -> Relays | None:
    found = asked.found
    best, spare = found.best(1, sound=True), found.best(1, sound=False)
    unmeasured = asked.unmeasured
    choices = Choices(
        direct=np.zeros(1) if unmeasured else found.expected[:1],
        direct_cautious=np.zeros(1) if unmeasured else found.cautious[:1],
        direct_sound=np.ones(1, bool),
        held=asked.moment.held[[asked.src], [asked.dst]],
        relay=np.array(best or [NONE], dtype=np.int32),
        relay_cautious=found.cautious[best] if best else np.array([np.inf]),
        relay_weighed=found.weighed[best] if best else np.array([np.inf]),
        bar=np.zeros(1) if unmeasured else found.bar,
        spare=np.array(spare or [NONE], dtype=np.int32),
    )
    via = int(choose(choices, rule_of(asked.moment.settings, asked.question.objective))[0])
    if via == NONE:
        return None
    return () if via == DIRECT else found.relays[via]


def _no_route(asked: _Asked) -> NoRoute:
    question = asked.question
    because = why_unusable(asked.moment, question.objective, asked.src, asked.dst)
    return NoRoute(
        src=question.src,
        dst=question.dst,
        objective=question.objective,
        why=no_route_sentence(question.src, question.dst, because, asked.found.excluded),
    )


def _answer(asked: _Asked, chosen: Relays) -> RouteAnswer:
    question, link = asked.question, (asked.src, asked.dst)
    reason = _reason(asked, chosen)
    code = -1 if asked.in_force is None else int(asked.in_force.switched[link])
    return RouteAnswer(
        src=question.src,
        dst=question.dst,
        objective=question.objective,
        bytes=None if question.bytes is None else round(question.bytes),
        at=_time(asked.moment.ground.snapshot.at),
        path=reason.path,
        direct=reason.direct,
        runner_up=reason.runner_up,
        gain_ratio=reason.gain_ratio,
        inputs=_inputs(asked, chosen),
        since=None if asked.in_force is None else _time(float(asked.in_force.since[link])),
        switch_reason=None if code < 0 else SWITCH_REASONS[code],
        why=route_sentence(reason),
    )


def _reason(asked: _Asked, chosen: Relays) -> RouteReason:
    moment, question = asked.moment, asked.question
    runner_up = _runner_up(asked, chosen)
    usable = bool(moment.ground.snapshot.usable[asked.src, asked.dst])
    return RouteReason(
        objective=question.objective,
        path=asked.expectation(chosen),
        direct=asked.expectation(()) if usable else None,
        runner_up=None if runner_up is None else asked.expectation(runner_up),
        gain_ratio=_gain_ratio(asked, chosen),
        needed=rule_of(moment.settings, question.objective).margin,
        oldest_s=_oldest_s(asked, chosen),
        unmeasured=asked.unmeasured,
        direct_is=why_unusable(moment, question.objective, asked.src, asked.dst),
        because=None if asked.in_force is None else because_left(moment, asked.in_force, asked.src, asked.dst),
        excluded=asked.found.excluded,
        alone=question.max_relays == 0,
    )


def _runner_up(asked: _Asked, chosen: Relays) -> Relays | None:
    """The best path that was not taken: of the sound ones, or else of any."""
    found = asked.found
    others = found.best(2, sound=True) or found.best(2, sound=False)
    others += [0] * bool(np.isfinite(found.expected[0]))
    others = [index for index in others if found.relays[index] != chosen]
    return found.relays[min(others, key=lambda index: found.expected[index])] if others else None


def _gain_ratio(asked: _Asked, chosen: Relays) -> float | None:
    direct, cost = asked.cost(()), asked.cost(chosen)
    return direct / cost if np.isfinite(direct) and np.isfinite(cost) else None


def _legs(asked: _Asked, chosen: Relays) -> list[tuple[int, int]]:
    return list(pairwise((asked.src, *chosen, asked.dst)))


def _inputs(asked: _Asked, chosen: Relays) -> tuple[LinkInput, ...]:
    links = _legs(asked, chosen) + [(asked.src, asked.dst)] * bool(chosen)
    return tuple(asked.moment.ground.input(*link) for link in links)


def _oldest_s(asked: _Asked, chosen: Relays) -> float | None:
    snapshot = asked.moment.ground.snapshot
    ages = snapshot.rtt_age_s if asked.question.objective == "latency" else snapshot.goodput_age_s
    known = [float(ages[link]) for link in _legs(asked, chosen) if np.isfinite(ages[link])]
    return max(known, default=None)


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
