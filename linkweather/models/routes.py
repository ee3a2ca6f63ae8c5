"""What the collector answers about routes: to whoever asks, on a site's topic, and with the events of the API.

Fields are base SI units; null means unknown, and is never a zero. Of every expectation `p50` is the middle, and `p90`
what nine of ten cases are no worse than: for times the longer, for goodput the smaller number.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, PlainSerializer, model_validator

from linkweather.mesh import SiteId
from linkweather.wire import Message

# Six digits are finer than anything measured; the forecasts' own arithmetic has no more.
Figure = Annotated[
    float, PlainSerializer(lambda value: float(f"{value:.6g}"), return_type=float, when_used="json-unless-none")
]
Objective = Literal["latency", "goodput", "completion"]
# What a relay does: it ends one connection and begins the next, or only passes packets on.
RelayMode = Literal["split", "forward"]
# Why the active route differs from the one before: there was none, it is better, the one before failed or went stale,
# or a path that had failed is back.
SwitchReason = Literal["first", "better", "failed", "stale", "returned"]
# What keeps the direct link of a pair without a route from being used; `undecided` before the first decision.
NoRouteReason = Literal["undecided", "down", "no_contact", "unknown_goodput", "conditions"]
LinkContact = Literal["fresh", "stale", "unusable"]


class PathExpectation(Message):
    """One path, its sites from `src` to `dst`, and what is expected of it.

    `price_usd_per_gb` sums the egress prices of the sites that send, per 10^9 bytes; null where one is unknown.
    `rtt_mean_s` is what paths are compared by: the smoothed mean as far as the mesh's RTTs have noise, else the p50.
    `loss_ratio` is that of the whole path. Completion times are of the `bytes` in the question.
    """

    sites: tuple[SiteId, ...]
    rtt_p50_s: Figure | None = None
    rtt_p90_s: Figure | None = None
    rtt_mean_s: Figure | None = None
    goodput_p50_bps: Figure | None = None
    goodput_p90_bps: Figure | None = None
    completion_p50_s: Figure | None = None
    completion_p90_s: Figure | None = None
    loss_ratio: Figure | None = None
    price_usd_per_gb: Figure | None = None


class LinkInput(Message):
    """One link that an answer rests on, with the age and number of its measurements.

    `rtt_of_reverse` is where state, RTT and loss are those of the other direction: `dst` is behind NAT, and no probe is
    sent to it.
    """

    src: SiteId
    dst: SiteId
    state: LinkContact
    rtt_p50_s: Figure | None = None
    rtt_age_s: Figure | None = None
    rtt_samples: int = 0
    rtt_of_reverse: bool = False
    goodput_p50_bps: Figure | None = None
    goodput_age_s: Figure | None = None
    goodput_samples: int = 0
    loss_ratio: Figure | None = None


class RouteAnswer(Message):
    """Which path data from `src` to `dst` should take, and what that rests on.

    `path` is the active route, as of `at`; `direct` is there where that link can be used, `runner_up` is the
    best path that was not taken. `gain_ratio` is by how much the path is better than direct in the objective (1.25: by
    a quarter), and null without direct. `since` is when the route became active, `switch_reason` why; an answer to a
    question with conditions of its own (`avoid`, a price) has neither. Goodputs and times of paths with a relay hold
    for relays of this `relay_mode`. `why` says all of it in one sentence.
    """

    src: SiteId
    dst: SiteId
    objective: Objective
    bytes: int | None = None
    at: AwareDatetime
    path: PathExpectation
    direct: PathExpectation | None = None
    runner_up: PathExpectation | None = None
    gain_ratio: Figure | None = None
    relay_mode: RelayMode = "split"
    inputs: tuple[LinkInput, ...] = ()
    since: AwareDatetime | None = None
    switch_reason: SwitchReason | None = None
    why: str

    @property
    def relays(self) -> tuple[str, ...]:
        """The sites between; empty when the path is direct."""
        return self.path.sites[1:-1]


class NoRoute(Message):
    """The pair has no usable path now: `reason` is what is wrong with its direct link, `why` a sentence about it."""

    src: SiteId
    dst: SiteId
    objective: Objective
    reason: NoRouteReason
    why: str


class RouteSummary(Message):
    """A pair's active route among those of all pairs: the path and direct with their figures in the objective.

    Why, the runner-up and the inputs are in the answer about the pair (RouteAnswer).
    """

    src: SiteId
    dst: SiteId
    path: PathExpectation
    direct: PathExpectation | None = None
    gain_ratio: Figure | None = None
    since: AwareDatetime | None = None
    switch_reason: SwitchReason | None = None

    @property
    def relays(self) -> tuple[str, ...]:
        """The sites between; empty when the path is direct."""
        return self.path.sites[1:-1]


class UnroutedPair(Message):
    """A pair without a usable path now, and what is wrong with its direct link."""

    src: SiteId
    dst: SiteId
    reason: NoRouteReason


class MeshRoutes(Message):
    """The active routes of all pairs under one objective, and the pairs that have no usable path now."""

    at: AwareDatetime
    objective: Objective
    routes: tuple[RouteSummary, ...] = ()
    no_routes: tuple[UnroutedPair, ...] = ()


Column = tuple[float | None, ...]


class ObjectiveRoutes(Message):
    """A site's routes under one objective, a column each field, in the order of the destinations.

    `next_hop` is the relay, the destination itself where the path is direct, and null where there is none. `active_s`
    is how long the route had been active. `reason` is why it became active, or why there is none.
    """

    next_hop: tuple[SiteId | None, ...]
    active_s: Column
    reason: tuple[SwitchReason | NoRouteReason, ...]


class LatencyRoutes(ObjectiveRoutes):
    """By RTT."""

    rtt_p50_s: Column
    rtt_p90_s: Column
    direct_rtt_p50_s: Column


class GoodputRoutes(ObjectiveRoutes):
    """By goodput."""

    goodput_p50_bps: Column
    goodput_p90_bps: Column
    direct_goodput_p50_bps: Column


class SiteRoutes(Message):
    """A site's active routes, as published on its topic: of each objective one to each destination of `dst`."""

    v: Literal[2] = 2
    site: SiteId
    at: AwareDatetime
    dst: tuple[SiteId, ...]
    latency: LatencyRoutes
    goodput: GoodputRoutes

    @model_validator(mode="after")
    def _aligned(self) -> Self:
        for routes in (self.latency, self.goodput):
            for name, column in routes:
                if len(column) != len(self.dst):
                    raise ValueError(f"{name}: {len(column)} values for {len(self.dst)} destinations")
        return self
