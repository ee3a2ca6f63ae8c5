"""What a routing decision says: shared by the collector, which decides, and by everyone who asks or is told.

Fields are base SI units; null means not known, and is never a zero. Of every expectation `p50` is the middle and
`p90` what nine of ten cases are no worse than: for times the longer, for goodput the smaller number.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, PlainSerializer

from linkweather.mesh import SiteId
from linkweather.wire import Message

# Six digits are finer than anything measured; the forecasts' own arithmetic has no more.
Figure = Annotated[
    float, PlainSerializer(lambda value: float(f"{value:.6g}"), return_type=float, when_used="json-unless-none")
]
Objective = Literal["latency", "goodput", "completion"]
# Why the path in force is not the one of before.
SwitchReason = Literal["first", "better", "failed", "stale", "returned"]


class PathExpectation(Message):
    """One path, its sites from `src` to `dst`, and what is expected of it.

    `price_usd_per_gb` sums the egress prices of the sites that send, per 10^9 bytes; null where one is not known.
    `loss_ratio` is that of the whole path. Completion times are of the `bytes` asked about.
    """

    sites: tuple[SiteId, ...]
    rtt_p50_s: Figure | None = None
    rtt_p90_s: Figure | None = None
    goodput_p50_bps: Figure | None = None
    goodput_p90_bps: Figure | None = None
    completion_p50_s: Figure | None = None
    completion_p90_s: Figure | None = None
    loss_ratio: Figure | None = None
    price_usd_per_gb: Figure | None = None


class LinkInput(Message):
    """What a decision rests on: one link of a path, with the age and number of the measurements."""

    src: SiteId
    dst: SiteId
    state: str
    rtt_p50_s: Figure | None = None
    rtt_age_s: Figure | None = None
    rtt_samples: int = 0
    goodput_p50_bps: Figure | None = None
    goodput_age_s: Figure | None = None
    goodput_samples: int = 0
    loss_ratio: Figure | None = None


class RouteAnswer(Message):
    """Which path data from `src` to `dst` should take, with everything that it rests on.

    `path` is in force; `direct` stands beside it where the mesh has that link and it can be used, `runner_up` is the
    best path that was not taken. `gain_ratio` is by how much the path is better than direct in the objective (1.25: a
    quarter), and null without direct. `since` is when this path came into force, `switch_reason` why; a question with
    conditions of its own (`avoid`, a price) has neither. `why` says it in one sentence.
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
    inputs: tuple[LinkInput, ...] = ()
    since: AwareDatetime | None = None
    switch_reason: SwitchReason | None = None
    why: str

    @property
    def relays(self) -> tuple[str, ...]:
        """The sites between; empty when the path is direct."""
        return self.path.sites[1:-1]


class NoRoute(Message):
    """There is no usable path now; `why` names what is known of the direct link."""

    src: SiteId
    dst: SiteId
    objective: Objective
    why: str


class SiteRoutes(Message):
    """A site's current decisions, as published for it: one per destination and objective."""

    v: Literal[1] = 1
    site: SiteId
    at: AwareDatetime
    routes: tuple[RouteAnswer, ...] = ()
    no_routes: tuple[NoRoute, ...] = ()


class MeshRoutes(Message):
    """The decisions of all pairs for one objective, and the pairs that have no usable path now."""

    at: AwareDatetime
    objective: Objective
    routes: tuple[RouteAnswer, ...] = ()
    no_routes: tuple[NoRoute, ...] = ()
