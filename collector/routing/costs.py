"""What a link costs under each objective: lower is better, infinite where it cannot be used. `route_rule` uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from collector.linkstate.snapshot import Snapshot
from collector.routing.arrays import Bools, Floats, Selection, Singles
from collector.settings import RoutingSettings
from linkweather.models.routes import Objective

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False, kw_only=True)
class GoodputEstimate:
    """Goodputs of all links, bit/s [src, dst], NaN where unknown: the expected, and what nine of ten tests exceed.

    Relays are ranked by their legs' `cautious_bps`. Against direct the legs count for `weighed_bps`: the worst leg must
    exceed direct's `bar_bps`, and direct's expected goodput by the margin.
    """

    expected_bps: Floats
    p10_bps: Floats
    cautious_bps: Floats
    weighed_bps: Floats
    bar_bps: Floats


def forecast_goodputs(snapshot: Snapshot) -> GoodputEstimate:
    """Each link's own forecast, not shrunk: a relay's cautious goodput is weighed against direct's expected one."""
    expected_bps, cautious_bps = snapshot.goodput_p50_bps, snapshot.goodput_p10_bps
    return GoodputEstimate(
        expected_bps=expected_bps,
        p10_bps=cautious_bps,
        cautious_bps=cautious_bps,
        weighed_bps=cautious_bps,
        bar_bps=expected_bps,
    )


def expected_rtts(snapshot: Snapshot, noise: Floats) -> Floats:
    """The RTTs to compare paths by: as far as a link has noise its smoothed mean, which spikes raise; else p50."""
    rtts: Floats = snapshot.rtt_mean_s - snapshot.rtt_p50_s
    rtts *= noise
    rtts += snapshot.rtt_p50_s
    return rtts


def conditions(snapshot: Snapshot, held: Bools, settings: RoutingSettings) -> Codes:
    """What says which of a link's costs are finite, and whether it may be a relay's leg; a number a link [src, dst]."""
    codes = np.zeros(held.shape, np.uint8)
    lossy = snapshot.loss_ratio > settings.max_leg_loss_ratio
    usable, fresh = snapshot.usable, snapshot.fresh
    parts = (usable, fresh, snapshot.goodput_usable, snapshot.goodput_fresh, lossy, held)
    for bit, part in enumerate(parts):
        codes |= part.view(np.uint8) << bit
    return codes


@dataclass(frozen=True, eq=False, kw_only=True)
class LinkFigures:
    """The figures of links that costs are made from; all arrays have one shape. `rtt_s` is the expected RTT."""

    usable: Bools
    fresh: Bools
    rtt_s: Floats
    rtt_p90_s: Floats
    loss_ratio: Floats
    goodput_fresh: Bools
    expected_bps: Floats
    cautious_bps: Floats
    weighed_bps: Floats
    bar_bps: Floats

    @classmethod
    def of(cls, snapshot: Snapshot, goodputs: GoodputEstimate, rtts_s: Floats, links: Selection) -> Self:
        """Some of the links, or all of them [src, dst]."""
        return cls(
            usable=snapshot.usable[links],
            fresh=snapshot.fresh[links],
            rtt_s=rtts_s[links],
            rtt_p90_s=snapshot.rtt_p90_s[links],
            loss_ratio=snapshot.loss_ratio[links],
            goodput_fresh=snapshot.goodput_fresh[links],
            expected_bps=goodputs.expected_bps[links],
            cautious_bps=goodputs.cautious_bps[links],
            weighed_bps=goodputs.weighed_bps[links],
            bar_bps=goodputs.bar_bps[links],
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Costs:
    """The costs of links under one objective; `route_rule` says what each is for.

    `sound` links are fresh and lose little. `unmeasured` links are in contact at an unknown cost: they serve as direct
    paths, and never as a relay's leg.
    """

    expected: Singles
    cautious: Singles
    weighed: Singles
    bar: Singles
    sound: Bools
    unmeasured: Bools


@dataclass(frozen=True, kw_only=True)
class Costing:
    """How an objective costs links and paths: a path costs its legs' costs joined, and `per_relay` for each relay."""

    of_links: Callable[[LinkFigures, RoutingSettings], Costs]
    join: np.ufunc
    per_relay: Callable[[RoutingSettings], float]


def latency(legs: LinkFigures, settings: RoutingSettings) -> Costs:
    """RTTs, in seconds."""
    expected = _known(legs.rtt_s, legs.usable)
    worse = np.maximum(legs.rtt_p90_s - legs.rtt_s, 0.0)
    cautious = _known(legs.rtt_s + settings.latency_caution * worse, legs.usable)
    return Costs(
        expected=expected,
        cautious=cautious,
        weighed=cautious,
        bar=expected,
        sound=legs.fresh & _loses_little(legs, settings),
        unmeasured=legs.usable & np.isnan(legs.rtt_s),
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


# The objectives with active routes. Completion depends on the bytes, so its path is chosen when a question is asked.
# RTTs add up; of goodputs the worst leg decides.
COSTINGS: Mapping[Objective, Costing] = {
    "latency": Costing(of_links=latency, join=np.add, per_relay=lambda settings: settings.forward_s),
    "goodput": Costing(of_links=goodput, join=np.maximum, per_relay=lambda _: 0.0),
}


def _known(costs: Floats, usable: Bools) -> Singles:
    return np.where(usable & np.isfinite(costs), costs, np.inf).astype(np.float32)


def _inverse(bps: Floats) -> Floats:
    # A goodput of zero carries nothing: its cost is infinite, like that of an unknown one.
    inverse: Floats = np.divide(1.0, bps, out=np.full(bps.shape, np.inf), where=bps > 0)
    return inverse


def _loses_little(legs: LinkFigures, settings: RoutingSettings) -> Bools:
    # NaN is not more: without counted probes the loss is unknown.
    little: Bools = ~(legs.loss_ratio > settings.max_leg_loss_ratio)
    return little
