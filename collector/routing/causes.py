"""Why a path was left, and why a link cannot be used: the half-sentences that answers quote."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from collector.routing.active_routes import ActiveRoutes
from collector.routing.moment import RoutingState
from collector.routing.route_rule import FAILED, STALE
from linkweather.models.routes import Objective
from linkweather.units import age


def why_unusable(moment: RoutingState, objective: Objective, src: int, dst: int) -> str:
    """What keeps a link from being used under this objective."""
    name = _name(moment, src, dst)
    if not moment.contact.usable[src, dst]:
        lost_at = float(moment.contact.lost_at[src, dst])
        return (
            f"the link {name} has been down for {_ago(moment, lost_at)}"
            if np.isfinite(lost_at)
            else f"{name} is not in contact"
        )
    if objective != "latency" and not np.isfinite(moment.ground.goodputs.expected_bps[src, dst]):
        return f"the goodput of {name} is not known"
    if moment.held[src, dst]:
        return f"{name} came back {_ago(moment, float(moment.contact.back_at[src, dst]))} ago, and has to stay"
    return f"{name} does not meet the conditions"


def because_left(moment: RoutingState, in_force: ActiveRoutes, src: int, dst: int) -> str | None:
    """Why the path before the one in force was left, where it had to be."""
    if in_force.switched[src, dst] not in (FAILED, STALE):
        return None
    via = int(in_force.before[src, dst])
    legs = list(pairwise((src, *[via] * (via >= 0), dst)))
    lost = [leg for leg in legs if np.isfinite(moment.contact.lost_at[leg])]
    if in_force.switched[src, dst] == STALE or not lost:
        return f"because {' or '.join(_name(moment, *leg) for leg in legs)} was not to be relied on any more"
    leg = max(lost, key=lambda leg: moment.contact.lost_at[leg])
    lost_s = _ago(moment, float(moment.contact.lost_at[leg]))
    if not moment.contact.usable[leg]:
        return f"because the link {_name(moment, *leg)} has been down for {lost_s}"
    return f"because {_name(moment, *leg)} was lost {lost_s} ago"


def _name(moment: RoutingState, src: int, dst: int) -> str:
    sites = moment.ground.snapshot.sites
    return f"{sites[src]} → {sites[dst]}"


def _ago(moment: RoutingState, at: float) -> str:
    return age(max(0.0, moment.ground.snapshot.at - at))
