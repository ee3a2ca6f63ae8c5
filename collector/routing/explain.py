"""Why a path: one sentence, the same on the command line, in the API and on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from collector.routing.active_routes import ActiveRoutes
from collector.routing.arrays import relays_of
from collector.routing.route_rule import FAILED, STALE
from collector.routing.routing_state import RoutingState
from linkweather.models.routes import NoRouteReason, Objective, PathExpectation, RelayMode
from linkweather.units import age, duration, megabits

# Of each objective: what it is called, the figure of a path, and how that is shown.
_FIGURES: Mapping[Objective, tuple[str, Callable[[PathExpectation], float | None], Callable[[float | None], str]]] = {
    "latency": ("RTT", lambda path: path.rtt_p50_s if path.rtt_mean_s is None else path.rtt_mean_s, duration),
    "goodput": ("goodput", lambda path: path.goodput_p50_bps, lambda value: f"{megabits(value)} Mbit/s"),
    "completion": ("done in", lambda path: path.completion_p50_s, duration),
}

# Gains below this are shown in per cent.
SMALL_GAIN_RATIO = 1.1


@dataclass(frozen=True, slots=True)
class DirectObstacle:
    """Why the direct link is not used: a code, and the clause that says it."""

    reason: NoRouteReason
    clause: str


@dataclass(frozen=True, kw_only=True)
class RouteReason:
    """What a choice was between, and what its sentence adds.

    `gain_ratio` is by how many times the path is better than direct, `needed` by how many times a relay would have to
    be. `unmeasured` is where the direct link is in contact at an unknown cost. `obstacle` is what keeps direct from
    being used, `because` why the route before was left, `excluded` what the question's own conditions ruled out;
    `alone` is where they allow no relay at all. Goodputs through a relay rest on its `relay_mode`,
    RTTs of the links in `mirrored`, whose destination is behind NAT, on the other direction.
    """

    objective: Objective
    path: PathExpectation
    direct: PathExpectation | None
    runner_up: PathExpectation | None
    gain_ratio: float | None
    needed: float
    oldest_s: float | None
    unmeasured: bool = False
    obstacle: DirectObstacle | None = None
    because: str | None = None
    excluded: str | None = None
    alone: bool = False
    relay_mode: RelayMode = "split"
    mirrored: tuple[str, ...] = ()


def direct_obstacle(
    state: RoutingState, objective: Objective, src: int, dst: int, *, affordable: bool
) -> DirectObstacle:
    """What keeps a link from being used under this objective; `affordable` is whether the question's price allows it.

    Neither a stale link nor one that is held down is kept from being the last choice.
    """
    name, contact = state.name(src, dst), state.contact
    if not contact.usable[src, dst]:
        lost_at = float(contact.lost_at[src, dst])
        if np.isfinite(lost_at):
            return DirectObstacle("down", f"the link {name} has been down for {_ago(state, lost_at)}")
        return DirectObstacle("no_contact", f"the link {name} is not in contact")
    if affordable and objective != "latency" and not np.isfinite(state.goodputs.expected_bps[src, dst]):
        return DirectObstacle("unknown_goodput", f"the goodput of {name} is unknown")
    return DirectObstacle("conditions", f"{name} does not meet the conditions")


def because_left(state: RoutingState, active: ActiveRoutes, src: int, dst: int) -> str | None:
    """Why the route before the active one was left, where it failed or went stale."""
    reason = active.switch_reason[src, dst]
    if reason not in (FAILED, STALE):
        return None
    legs = list(pairwise((src, *(relays_of(int(active.before[src, dst])) or ()), dst)))
    names = " or ".join(state.name(*leg) for leg in legs)
    if reason == STALE:
        return f"{names} went stale or lost too much"
    lost = [leg for leg in legs if np.isfinite(state.contact.lost_at[leg])]
    if not lost:
        return f"{names} could no longer be used"
    leg = max(lost, key=lambda leg: state.contact.lost_at[leg])
    lost_s = _ago(state, float(state.contact.lost_at[leg]))
    if not state.contact.usable[leg]:
        return f"the link {state.name(*leg)} has been down for {lost_s}"
    return f"{state.name(*leg)} was lost {lost_s} ago"


def _ago(state: RoutingState, at: float) -> str:
    return age(max(0.0, state.snapshot.at - at))


def route_sentence(reason: RouteReason) -> str:
    """The whole sentence."""
    src, *relays, dst = reason.path.sites
    if reason.unmeasured and not relays and reason.obstacle is not None:
        return f"{src} → {dst} direct: {reason.obstacle.clause}, so no relay can be shown to be better."
    parts = [
        f"{src} → {dst} {_way(reason.path)}: {_named(reason.objective, reason.path)}",
        _against_direct(reason) if relays else f" ({_inputs(reason)}){_against_relays(reason)}",
        _next_best(reason) if relays else "",
        _counts_on(reason) if relays else "",
        f"; the RTT of {' and '.join(reason.mirrored)} is that of the other direction" if reason.mirrored else "",
        f"; moved because {reason.because}" if reason.because else "",
        f"; {reason.excluded}" if reason.excluded else "",
    ]
    return "".join(parts) + "."


def no_route_sentence(src: str, dst: str, obstacle: DirectObstacle, excluded: str | None) -> str:
    """Why there is no path."""
    return f"{src} → {dst} has no usable path: {obstacle.clause}" + (f"; {excluded}" if excluded else "") + "."


def _against_direct(reason: RouteReason) -> str:
    inputs = _inputs(reason)
    if reason.direct is None or reason.gain_ratio is None:
        return f" ({inputs})" + (f"; direct cannot be used: {reason.obstacle.clause}" if reason.obstacle else "")
    return f" instead of {figure(reason.objective, reason.direct)} direct ({_compared(reason.gain_ratio)}, {inputs})"


def _inputs(reason: RouteReason) -> str:
    return "inputs of unknown age" if reason.oldest_s is None else f"inputs {age(reason.oldest_s)} old"


def _compared(gain_ratio: float) -> str:
    if gain_ratio < 1:
        return f"{gain_ratio:.2f} times as good"
    # "1.0 times better" would say nothing.
    small = gain_ratio < SMALL_GAIN_RATIO
    return f"{100 * (gain_ratio - 1):.1f} % better" if small else f"{gain_ratio:.1f} times better"


def _against_relays(reason: RouteReason) -> str:
    best = reason.runner_up
    if best is None:
        return "; the question allows no relay" if reason.alone else "; no relay can be used"
    margin = f"{100 * (reason.needed - 1):.0f} %"
    which = f"the best, {_way(best)}, has {figure(reason.objective, best)}"
    return f"; no relay is reliably better by the margin of {margin}: {which}"


def _next_best(reason: RouteReason) -> str:
    other = reason.runner_up
    if other is None or len(other.sites) == 2:
        return ""
    return f"; next best {_way(other)}, {figure(reason.objective, other)}"


def _counts_on(reason: RouteReason) -> str:
    """A relay that only passes packets on carries less than one that ends a connection and begins the next."""
    if reason.objective == "latency":
        return ""
    relays = " and ".join(reason.path.sites[1:-1])
    clauses = {"split": f"counts on {relays} to split the connection", "forward": f"{relays} only passing packets on"}
    return f"; {clauses[reason.relay_mode]}"


def figure(objective: Objective, path: PathExpectation) -> str:
    """The path's expectation in the objective, with its unit."""
    _, value, shown = _FIGURES[objective]
    return shown(value(path))


def _named(objective: Objective, path: PathExpectation) -> str:
    return f"{_FIGURES[objective][0]} {figure(objective, path)}"


def _way(path: PathExpectation) -> str:
    return f"through {' and '.join(path.sites[1:-1])}" if len(path.sites) > 2 else "direct"
