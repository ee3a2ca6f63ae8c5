"""Answers as the record keeps them, and paths in force as the record gives them back."""

from __future__ import annotations

from datetime import UTC, datetime

from collector.routing.costs import STANDING
from collector.routing.router import ActiveRoute
from collector.store.decision_log import Occasion, RouteDecision
from linkweather.models.placements import PlacementAnswer
from linkweather.models.routes import NoRoute, Objective, PathExpectation, RouteAnswer
from linkweather.wire import encode


def decided(answer: RouteAnswer | NoRoute, occasion: Occasion, now: float) -> RouteDecision:
    """What the record is to say of an answer given `now`, in seconds since the epoch."""
    if isinstance(answer, NoRoute):
        text = encode(answer).decode()
        return RouteDecision(
            datetime.fromtimestamp(now, UTC), occasion, answer.src, answer.dst, answer.objective, (), answer=text
        )
    p50, p90 = _figures(answer.path, answer.objective)
    return RouteDecision(
        # When it was decided: what was measured after that says whether it was right.
        answer.at,
        occasion,
        answer.src,
        answer.dst,
        answer.objective,
        answer.path.sites,
        p50,
        p90,
        None if answer.direct is None else _figures(answer.direct, answer.objective)[0],
        None if occasion == "noted" else encode(answer).decode(),
    )


def placed(answer: PlacementAnswer) -> RouteDecision:
    """A placement: from the job to the site, "" where none can run it."""
    text = encode(answer).decode()
    site = answer.site or ""
    return RouteDecision(
        answer.at, "placed", answer.job, site, "placement", (), answer.done_p50_s, answer.done_p90_s, None, text
    )


def _figures(path: PathExpectation, objective: Objective) -> tuple[float | None, float | None]:
    return {
        "latency": (path.rtt_p50_s, path.rtt_p90_s),
        "goodput": (path.goodput_p50_bps, path.goodput_p90_bps),
        "completion": (path.completion_p50_s, path.completion_p90_s),
    }[objective]


def active_route(one: RouteDecision) -> ActiveRoute | None:
    """What is recorded of a path in force; None where there was no path."""
    objective = next((name for name in STANDING if name == one.objective), None)
    if objective is None or not one.path:
        return None
    relay = one.path[1] if len(one.path) > 2 else None
    return ActiveRoute(src=one.src, dst=one.dst, objective=objective, relay=relay, since=one.at, switch_reason="first")
