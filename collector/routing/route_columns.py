"""Active routes as columns, one element a pair: what is logged, published (as JSON) and listed of many pairs at once.

Sentences, runners-up and inputs are for those who ask for one route (`answer`); a mesh of 200 sites has 40,000 pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self, get_args

import numpy as np
import numpy.typing as npt
from pydantic_core import to_json

from collector.linkstate.snapshot import Snapshot
from collector.routing.arrays import DIRECT, Floats, Indices, Pairs, Vias
from collector.routing.costs import GoodputEstimate
from collector.routing.route_rule import SWITCH_REASONS, Codes
from collector.routing.routing_state import RoutingState
from collector.store.decision_log import RouteDecisions
from linkweather.models.routes import NoRouteReason, Objective

# What stands in the column `reason`: why the route became active, or why there is none.
_NO_ROUTE: tuple[NoRouteReason, ...] = get_args(NoRouteReason)
REASONS = np.array([*SWITCH_REASONS, *_NO_ROUTE], dtype=object)
_CODES: Mapping[NoRouteReason, int] = {name: code for code, name in enumerate(_NO_ROUTE, start=len(SWITCH_REASONS))}
# The names of a path's p50 and p90, and of direct's p50.
FIGURES: Mapping[Objective, tuple[str, str, str]] = {
    "latency": ("rtt_p50_s", "rtt_p90_s", "direct_rtt_p50_s"),
    "goodput": ("goodput_p50_bps", "goodput_p90_bps", "direct_goodput_p50_bps"),
}
# Six digits, as in `models.routes.Figure`.
_DIGITS = 6


@dataclass(frozen=True, eq=False, kw_only=True)
class RouteColumns:
    """Routes of one objective: what was decided and is expected, `since` when it is active, and the `reason`'s code.

    `since` is in seconds since the epoch, NaN where there is no route.
    """

    decisions: RouteDecisions
    since: Floats
    reason: Codes

    def next_hop(self) -> Indices:
        """The relay, or the destination where the path is direct; −1 where there is no path."""
        via, dst = self.decisions.via, self.decisions.dst
        return np.where(via >= 0, via, np.where(via == DIRECT, dst, -1))

    def gain_ratio(self) -> Floats:
        """By how many times the path is better than direct; NaN without direct."""
        one, other = self.decisions.direct_p50, self.decisions.p50
        if self.decisions.objective == "goodput":
            one, other = other, one
        gains: Floats = np.divide(one, other, out=np.full(len(one), np.nan), where=other > 0)
        return gains

    def values(self) -> dict[str, npt.NDArray[Any]]:
        """The columns as JSON has them, by name; `next_hop` is a position or −1, `reason` a code."""
        found = self.decisions
        figures = (found.p50, found.p90, found.direct_p50)
        return {
            "next_hop": self.next_hop(),
            **{name: rounded(values) for name, values in zip(FIGURES[found.objective], figures, strict=True)},
            "active_s": np.round(found.at - self.since),
            "reason": self.reason,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class RouteView:
    """The active routes under one objective after a decision; once `kept`, any thread may read it at any time.

    Matrices are [src, dst]; `lost_at` is when contact was lost, NaN for never, the others are as in RoutingState.
    """

    objective: Objective
    snapshot: Snapshot
    goodputs: GoodputEstimate
    forward_s: float
    via: Vias
    since: Floats
    switch_reason: Codes
    lost_at: Floats

    @classmethod
    def of(cls, state: RoutingState, objective: Objective) -> Self:
        """The routes now."""
        active = state.tables[objective].active
        return cls(
            objective=objective,
            snapshot=state.snapshot,
            goodputs=state.goodputs,
            forward_s=state.settings.forward_s,
            via=active.via,
            since=active.since,
            switch_reason=active.switch_reason,
            lost_at=state.contact.lost_at,
        )

    def kept(self) -> Self:
        """The same, whatever is decided meanwhile."""
        copies = {name: getattr(self, name).copy() for name in ("via", "since", "switch_reason")}
        return replace(self, **copies)

    def every_pair(self) -> Pairs:
        """All pairs, by source."""
        sources, destinations = np.nonzero(~np.eye(len(self.via), dtype=bool))
        return sources, destinations

    def of_source(self, site: int) -> Pairs:
        """The pairs of one source."""
        others = np.delete(np.arange(len(self.via)), site)
        return np.full(len(others), site), others

    def columns(self, pairs: Pairs) -> RouteColumns:
        """The routes of these pairs."""
        via, usable = self.via[pairs], self.snapshot.usable[pairs]
        figures = self._latency if self.objective == "latency" else self._goodput
        p50, p90 = figures(pairs, via)
        direct, _ = figures(pairs, np.full(len(via), DIRECT, np.int32))
        decisions = RouteDecisions(
            objective=self.objective,
            sites=self.snapshot.sites,
            at=np.full(len(via), self.snapshot.at),
            src=pairs[0],
            dst=pairs[1],
            via=via,
            p50=np.where(via >= DIRECT, p50, np.nan),
            p90=np.where(via >= DIRECT, p90, np.nan),
            direct_p50=np.where(usable, direct, np.nan),
        )
        routed = via >= DIRECT
        return RouteColumns(
            decisions=decisions,
            since=np.where(routed, self.since[pairs], np.nan),
            reason=np.where(routed, self.switch_reason[pairs], self._obstacles(pairs)).astype(np.int8),
        )

    def _latency(self, pairs: Pairs, via: Vias) -> tuple[Floats, Floats]:
        """Legs add up, and independent deviations by their squares: as `RoutingState.expectation` has it."""
        legs, relayed = _legs(pairs, via), via >= 0
        p50s = [self.snapshot.rtt_p50_s[leg] for leg in legs]
        spreads = [self.snapshot.rtt_p90_s[leg] - p50 for leg, p50 in zip(legs, p50s, strict=True)]
        p50 = np.where(relayed, p50s[0] + p50s[1] + self.forward_s, p50s[0])
        spread = np.where(relayed, np.hypot(*spreads), np.abs(spreads[0]))
        return p50, p50 + spread

    def _goodput(self, pairs: Pairs, via: Vias) -> tuple[Floats, Floats]:
        legs, relayed = _legs(pairs, via), via >= 0
        found = []
        for goodput in (self.goodputs.expected_bps, self.goodputs.p10_bps):
            first, second = (goodput[leg] for leg in legs)
            found.append(np.where(relayed, np.minimum(first, second), first))
        return found[0], found[1]

    def _obstacles(self, pairs: Pairs) -> Codes:
        """What keeps direct from being used, as `explain.direct_obstacle` has it."""
        usable = self.snapshot.usable[pairs]
        unknown = ~np.isfinite(self.goodputs.expected_bps[pairs]) & (self.objective != "latency")
        names: tuple[NoRouteReason, ...] = ("down", "no_contact", "unknown_goodput")
        conditions = [~usable & np.isfinite(self.lost_at[pairs]), ~usable, unknown]
        return np.select(conditions, [_CODES[name] for name in names], _CODES["conditions"]).astype(np.int8)


def _legs(pairs: Pairs, via: Vias) -> tuple[Pairs, Pairs]:
    """The first and the second leg; both are of use only where there is a relay."""
    src, dst = pairs
    return (src, np.where(via >= 0, via, dst)), (np.maximum(via, 0), dst)


def rounded(values: Floats) -> Floats:
    """The values with six significant digits."""
    known = np.isfinite(values) & (values != 0)
    digits = _DIGITS - 1 - np.floor(np.log10(np.abs(values), out=np.zeros(values.shape), where=known)).astype(int)
    up, down = 10.0 ** np.maximum(digits, 0), 10.0 ** np.maximum(-digits, 0)
    found: Floats = np.round(values / down * up) / up * down
    return found


def site_routes(site: int, views: Mapping[Objective, RouteView]) -> bytes:
    """What is published of a site: SiteRoutes."""
    snapshot = next(iter(views.values())).snapshot
    sites = snapshot.sites
    objectives = {
        objective: {name: listed(name, values, sites) for name, values in columns.values().items()}
        for objective, view in views.items()
        for columns in [view.columns(view.of_source(site))]
    }
    others = [*sites[:site], *sites[site + 1 :]]
    head = {"v": 2, "site": sites[site], "at": moment(snapshot.at), "dst": others}
    return to_json({**head, **objectives}, inf_nan_mode="null")


def listed(name: str, values: npt.NDArray[Any], sites: Sequence[object]) -> list[Any]:
    """A column as JSON has it; NaN becomes null as it is encoded."""
    if name == "reason":
        return list(REASONS[values])
    if name == "next_hop":
        return [sites[hop] if hop >= 0 else None for hop in values.tolist()]
    return list(values.tolist())


def moment(at: float) -> datetime:
    """Seconds since the epoch as a time."""
    return datetime.fromtimestamp(at, UTC)
