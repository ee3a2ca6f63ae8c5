"""The active routes of one site as JSON, as they are published: SiteRoutes of `linkweather.models.routes`. Pure.

A room of its own beside the columns: they are logged and answered as well, and each in another form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy.typing as npt
from pydantic_core import to_json

from collector.routing.route_columns import REASONS, RouteView
from linkweather.models.routes import Objective


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
