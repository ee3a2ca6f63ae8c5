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
    """What a relay was worth to the `decisions` through it, as in RouteEvaluation; infinite costs count as worse.

    `suspect` says which of its claims cannot be, while an incident `implausible` lasts.
    """

    site: SiteId
    decisions: Count
    gain_ratio: float | None = None
    worse_ratio: float
    within_p90_ratio: float | None = None
    suspect: str | None = None


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


class SiteScore(Message):
    """What became of a site's claims that placements rested on.

    `device_claims` are types of devices that it said again, `devices_held_ratio` the share of which at least half was
    there; `goodput_claims` are goodputs of links towards it that were measured again, `goodput_held_ratio` the share
    that came to at least half. `suspect` is as in RelayScore.
    """

    site: SiteId
    device_claims: Count = 0
    devices_held_ratio: float | None = None
    goodput_claims: Count = 0
    goodput_held_ratio: float | None = None
    suspect: str | None = None


class PlacementEvaluation(Message):
    """The placements: how long each job would have taken, by what was measured and said first after the decision.

    `decisions` were looked at, `evaluated` are those of which every transfer's links were measured, and the devices
    said, again. `stage_in_within_p90_ratio` is about those with data to stage in, `within_p90_ratio` about the whole
    time. Regret is how much longer than the best site would have taken, of jobs that were placed where they alone were
    done soonest. `sites` are those whose claims placements rested on, and suspect ones.
    """

    decisions: Count = 0
    evaluated: Count = 0
    stage_in_within_p90_ratio: float | None = None
    within_p90_ratio: float | None = None
    devices_held_ratio: float | None = None
    regret_mean_ratio: float | None = None
    sites: tuple[SiteScore, ...] = ()
    why: str = ""


class EvaluationAnswer(Message):
    """How the decisions of `[since, until)` did."""

    since: AwareDatetime
    until: AwareDatetime
    evaluations: tuple[RouteEvaluation, ...] = ()
    placements: PlacementEvaluation | None = None
