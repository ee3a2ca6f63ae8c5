"""How decisions did against what was measured afterwards: what `linkweather judge` shows."""

from __future__ import annotations

from pydantic import AwareDatetime

from linkweather.mesh import SiteId
from linkweather.models.routes import Objective
from linkweather.wire import Count, Message


class WorstRoute(Message):
    """A decision and the path that turned out best; a `regret_ratio` of 0.5 is half as much again, null a failure."""

    at: AwareDatetime
    src: SiteId
    dst: SiteId
    path: tuple[SiteId, ...]
    best: tuple[SiteId, ...]
    regret_ratio: float | None = None


class RelayScore(Message):
    """What a relay was worth to the `decisions` through it, as in RouteEvaluation; infinite costs count as worse."""

    site: SiteId
    decisions: Count
    gain_ratio: float | None = None
    worse_ratio: float
    within_p90_ratio: float | None = None


class RouteEvaluation(Message):
    """The decisions for one objective.

    `decisions` were looked at, `evaluated` are those whose path and direct link were measured afterwards; `relayed`
    of these went through a relay, and `relayed_worse_ratio` is the share of them that did worse than direct.
    Regret is how much longer (latency), or slower (goodput), than the path that turned out best: 0 is perfect.
    `gain_ratio` is the geometric mean of how much better than direct; 1 is no gain. `failed` paths had a leg that did
    not answer, though another path did. `within_p50_ratio` and `within_p90_ratio` are the shares of outcomes no
    worse than expected: 0.5 and 0.9 are perfect. `switches` are changes of path, and `flaps` those that went back to
    the path before within ten minutes; `pair_hours` is the time evaluated, summed over the pairs. `relays` are those
    that most decisions went through.
    """

    objective: Objective
    decisions: Count = 0
    evaluated: Count = 0
    relayed: Count = 0
    relayed_worse_ratio: float | None = None
    regret_mean_ratio: float | None = None
    regret_p50_ratio: float | None = None
    regret_p90_ratio: float | None = None
    gain_ratio: float | None = None
    failed: Count = 0
    within_p50_ratio: float | None = None
    within_p90_ratio: float | None = None
    switches: Count = 0
    flaps: Count = 0
    pair_hours: float = 0.0
    worst: tuple[WorstRoute, ...] = ()
    relays: tuple[RelayScore, ...] = ()
    why: str = ""


class EvaluationAnswer(Message):
    """How the decisions of `[since, until)` did."""

    since: AwareDatetime
    until: AwareDatetime
    evaluations: tuple[RouteEvaluation, ...] = ()
