"""What a link costs under each objective: less is better, and infinity out of the question."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from collector.linkstate.snapshot import Snapshot
from collector.routing.candidates import Floats
from collector.routing.route_rule import Bools, RouteRule
from collector.settings import RoutingSettings
from linkweather.models.routes import Objective

Singles = npt.NDArray[np.float32]
Selection = Any  # whatever indexes a matrix


def rule_of(settings: RoutingSettings, objective: Objective) -> RouteRule:
    """The margin and the hysteresis of an objective. Completion has no standing path to keep."""
    hysteresis = {"latency": settings.latency_hysteresis, "goodput": settings.goodput_hysteresis}
    margin = {
        "latency": settings.latency_margin,
        "goodput": settings.goodput_margin,
        "completion": settings.completion_margin,
    }
    return RouteRule(margin=margin[objective], hysteresis=hysteresis.get(objective, 1.0))


@dataclass(frozen=True, eq=False, kw_only=True)
class GoodputEstimate:
    """What goodput is expected of every link, and what can be counted on, bit/s [src, dst]; NaN where not known.

    Where a relay is weighed against direct, its legs count for `weighed_bps`: the worst of them must beat direct's
    `bar_bps`, and direct's expectation by the margin.
    """

    expected_bps: Floats
    cautious_bps: Floats
    weighed_bps: Floats
    bar_bps: Floats


def measured(snapshot: Snapshot) -> GoodputEstimate:
    """The forecasts as they are: what a relay surely has is weighed against what direct is expected to have."""
    expected_bps, cautious_bps = snapshot.goodput_p50_bps, snapshot.goodput_p10_bps
    return GoodputEstimate(
        expected_bps=expected_bps, cautious_bps=cautious_bps, weighed_bps=cautious_bps, bar_bps=expected_bps
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class LinkFigures:
    """What costs are made from, of any selection of links: all arrays have one shape."""

    usable: Bools
    fresh: Bools
    rtt_p50_s: Floats
    rtt_p90_s: Floats
    loss_ratio: Floats
    goodput_fresh: Bools
    expected_bps: Floats
    cautious_bps: Floats
    weighed_bps: Floats
    bar_bps: Floats

    @classmethod
    def of(cls, snapshot: Snapshot, goodputs: GoodputEstimate, chosen: Selection) -> Self:
        """The links at `chosen`, an index into the matrices."""
        return cls(
            usable=snapshot.usable[chosen],
            fresh=snapshot.fresh[chosen],
            rtt_p50_s=snapshot.rtt_p50_s[chosen],
            rtt_p90_s=snapshot.rtt_p90_s[chosen],
            loss_ratio=snapshot.loss_ratio[chosen],
            goodput_fresh=snapshot.goodput_fresh[chosen],
            expected_bps=goodputs.expected_bps[chosen],
            cautious_bps=goodputs.cautious_bps[chosen],
            weighed_bps=goodputs.weighed_bps[chosen],
            bar_bps=goodputs.bar_bps[chosen],
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Costs:
    """The costs of links under one objective, and where one may be a relay's leg: fresh, and losing little.

    Where a relay is weighed against direct, its legs cost `weighed`, and must beat direct's `bar` too.
    `unmeasured` is a link in contact of which nobody knows what it costs: as a path it is kept to, since no relay
    can be said to be better; as a relay's leg it is out of the question.
    """

    expected: Singles
    cautious: Singles
    weighed: Singles
    bar: Singles
    sound: Bools
    unmeasured: Bools


@dataclass(frozen=True, kw_only=True)
class Costing:
    """How an objective costs links, and paths: the legs' costs joined, and `per_relay` for each relay."""

    of_links: Callable[[LinkFigures, RoutingSettings], Costs]
    join: np.ufunc
    per_relay: Callable[[RoutingSettings], float]


def latency(legs: LinkFigures, settings: RoutingSettings) -> Costs:
    """RTTs, in seconds."""
    expected = _known(legs.rtt_p50_s, legs.usable)
    cautious = _known(legs.rtt_p50_s + settings.latency_caution * (legs.rtt_p90_s - legs.rtt_p50_s), legs.usable)
    return Costs(
        expected=expected,
        cautious=cautious,
        weighed=cautious,
        bar=expected,
        sound=legs.fresh & _loses_little(legs, settings),
        unmeasured=legs.usable & np.isnan(legs.rtt_p50_s),
    )


def goodput(legs: LinkFigures, settings: RoutingSettings) -> Costs:
    """Seconds per bit."""
    return Costs(
        expected=_known(_inverse(legs.expected_bps), legs.usable),
        cautious=_known(_inverse(legs.cautious_bps), legs.usable),
        weighed=_known(_inverse(legs.weighed_bps), legs.usable),
        bar=_known(_inverse(legs.bar_bps), legs.usable),
        sound=legs.fresh & legs.goodput_fresh & _loses_little(legs, settings),
        unmeasured=legs.usable & np.isnan(legs.expected_bps),
    )


# Paths stand under these; completion depends on the bytes, and is worked out when it is asked for.
# RTTs add up; of goodputs the worst leg decides.
STANDING: Mapping[Objective, Costing] = {
    "latency": Costing(of_links=latency, join=np.add, per_relay=lambda settings: settings.forward_s),
    "goodput": Costing(of_links=goodput, join=np.maximum, per_relay=lambda _: 0.0),
}


def _known(costs: Floats, usable: Bools) -> Singles:
    return np.where(usable & np.isfinite(costs), costs, np.inf).astype(np.float32)


def _inverse(bps: Floats) -> Floats:
    # A goodput of zero carries nothing: it costs without end, like one that is not known.
    inverse: Floats = np.divide(1.0, bps, out=np.full(bps.shape, np.inf), where=bps > 0)
    return inverse


def _loses_little(legs: LinkFigures, settings: RoutingSettings) -> Bools:
    # NaN is not more: where no probes are counted, nothing is known of the loss.
    little: Bools = ~(legs.loss_ratio > settings.max_leg_loss_ratio)
    return little
