"""Samples of the active routes in the decision log, and how the decisions did that they show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np

from collector.placement.placement_evaluation import Afterwards, evaluate_placements
from collector.routing.arrays import DIRECT
from collector.routing.costs import COSTINGS
from collector.routing.evaluation import evaluate
from collector.routing.route_columns import RouteView
from collector.settings import EvaluationSettings
from collector.store.decision_log import DecisionLog, LoggedRoutes, RouteDecisions
from collector.store.decision_writer import DecisionWriter
from collector.store.past_decisions import PastDecisions, PastPlacements
from linkweather.containment import contained
from linkweather.models.routes import Objective
from linkweather.models.scores import EvaluationAnswer

# At most so many samples are logged a second: a large mesh is sampled less often, and each time whole.
SAMPLES_PER_S = 500.0


async def sample_routes(
    view_of: Callable[[Objective], RouteView | None],
    writer: DecisionWriter,
    owns: Callable[[str], bool],
    every_s: float,
) -> None:
    """Log all active routes of the sources that this collector `owns`, every `every_s` at most, until cancelled."""
    while True:
        rows = 0
        with contained("samples"):
            for view in filter(None, map(view_of, COSTINGS)):
                routed = await asyncio.to_thread(_routed, view, owns)
                writer.put(LoggedRoutes("sampled", routed))
                rows += len(routed)
        await asyncio.sleep(max(every_s, rows / SAMPLES_PER_S))


def _routed(view: RouteView, owns: Callable[[str], bool]) -> RouteDecisions:
    """The pairs that have a route, of the sources that count."""
    found = view.columns(view.every_pair()).decisions
    own = np.array([owns(site) for site in found.sites])
    routed = (found.via >= DIRECT) & own[found.src]
    columns = ("at", "src", "dst", "via", "p50", "p90", "direct_p50")
    return replace(found, **{name: getattr(found, name)[routed] for name in columns})


def evaluation_of(
    log: DecisionLog,
    settings: EvaluationSettings,
    sites: tuple[str, ...],
    span: tuple[datetime, datetime],
    suspects: Mapping[str, str],
) -> EvaluationAnswer:
    """How the decisions of `[since, until)`, the `span`, did that the log has. Blocks."""
    since, until = span
    within: Mapping[Objective, float] = {"latency": settings.latency_within_s, "goodput": settings.goodput_within_s}
    evaluations = []
    for objective, within_s in within.items():
        past = PastDecisions(log, objective, sites, since, until)
        decisions = past.spread()
        measured = past.measured(np.unique(decisions.at), within_s)
        evaluations.append(evaluate(decisions, measured, past.changes(), objective, suspects))
    past_placements = PastPlacements(log, since, until)
    answers = past_placements.spread(len(sites))
    moments = np.unique([answer.at.timestamp() for answer in answers])
    afterwards = Afterwards(
        sites,
        PastDecisions(log, "goodput", sites, since, until).measured(moments, settings.goodput_within_s),
        past_placements.devices(moments, settings.goodput_within_s),
    )
    placements = evaluate_placements(answers, afterwards, suspects)
    return EvaluationAnswer(since=since, until=until, evaluations=tuple(evaluations), placements=placements)
