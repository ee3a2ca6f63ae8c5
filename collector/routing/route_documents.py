"""Active routes as JSON: what is published of one site, and what the API answers of all pairs. Pure.

Documents of many pairs come in pieces, none of which takes long to make. `linkweather.models.routes` has the models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic_core import to_json

from collector.routing.arrays import DIRECT, Floats, Indices
from collector.routing.route_columns import FIGURES, REASONS, RouteColumns, RouteView, rounded
from linkweather.models.routes import Objective

PAIRS_PER_PIECE = 500


def site_routes(site: int, views: Mapping[Objective, RouteView]) -> bytes:
    """What is published of a site: SiteRoutes."""
    snapshot = next(iter(views.values())).snapshot
    sites = snapshot.sites
    objectives = {
        objective: {name: _listed(name, values, sites) for name, values in columns.values().items()}
        for objective, view in views.items()
        for columns in [view.columns(view.of_source(site))]
    }
    others = [*sites[:site], *sites[site + 1 :]]
    head = {"v": 2, "site": sites[site], "at": _time(snapshot.at), "dst": others}
    return to_json({**head, **objectives}, inf_nan_mode="null")


def mesh_columns(view: RouteView) -> Iterator[bytes]:
    """All pairs as columns; `src`, `dst` and `next_hop` are positions in `sites`."""
    found, positions = view.columns(view.every_pair()), range(len(view.snapshot.sites))
    columns = {"src": found.decisions.src, "dst": found.decisions.dst, **found.values()}
    yield _head(view) + b',"sites":' + to_json(view.snapshot.sites) + b',"columns":{'
    for place, (name, values) in enumerate(columns.items()):
        yield b'%s"%s":[' % (b"," if place else b"", name.encode())
        for part in _parts(len(found.decisions)):
            piece = to_json(_listed(name, values[part], positions), inf_nan_mode="null")[1:-1]
            yield b"," + piece if part.start else piece
        yield b"]"
    yield b"}}"


def mesh_rows(view: RouteView) -> Iterator[bytes]:
    """All pairs, an object each: MeshRoutes."""
    found = view.columns(view.every_pair())
    routed, gains = found.decisions.via >= DIRECT, found.gain_ratio()
    yield _head(view)
    for name, rows, chosen in (
        (b"routes", _routes, np.flatnonzero(routed)),
        (b"no_routes", _unrouted, np.flatnonzero(~routed)),
    ):
        yield b',"%s":[' % name
        for part in _parts(len(chosen)):
            piece = to_json(rows(found, chosen[part], gains), inf_nan_mode="null")[1:-1]
            yield b"," + piece if part.start else piece
        yield b"]"
    yield b"}"


def _routes(found: RouteColumns, chosen: Indices, gains: Floats) -> list[dict[str, Any]]:
    decisions, sites = found.decisions, found.decisions.sites
    p50, p90, _ = FIGURES[decisions.objective]
    columns = (
        *(values[chosen].tolist() for values in (decisions.src, decisions.dst, decisions.via)),
        *(rounded(values[chosen]).tolist() for values in (decisions.p50, decisions.p90, decisions.direct_p50)),
        rounded(gains[chosen]).tolist(),
        np.datetime_as_string((found.since[chosen] * 1e6).astype("datetime64[us]"), timezone="UTC").tolist(),
        REASONS[found.reason[chosen]].tolist(),
    )
    return [
        {
            "src": sites[src],
            "dst": sites[dst],
            "path": {
                "sites": (sites[src], sites[dst]) if via == DIRECT else (sites[src], sites[via], sites[dst]),
                p50: middle,
                p90: worse,
            },
            "direct": None if direct != direct else {"sites": (sites[src], sites[dst]), p50: direct},  # noqa: PLR0124 – NaN
            "gain_ratio": gain,
            "since": since,
            "switch_reason": reason,
        }
        for src, dst, via, middle, worse, direct, gain, since, reason in zip(*columns, strict=True)
    ]


def _unrouted(found: RouteColumns, chosen: Indices, _gains: Floats) -> list[dict[str, str]]:
    decisions, sites = found.decisions, found.decisions.sites
    columns = (decisions.src[chosen].tolist(), decisions.dst[chosen].tolist(), REASONS[found.reason[chosen]].tolist())
    return [{"src": sites[src], "dst": sites[dst], "reason": reason} for src, dst, reason in zip(*columns, strict=True)]


def _listed(name: str, values: npt.NDArray[Any], sites: Sequence[object]) -> list[Any]:
    """A column as JSON has it; NaN becomes null as it is encoded."""
    if name == "reason":
        return list(REASONS[values])
    if name == "next_hop":
        return [sites[hop] if hop >= 0 else None for hop in values.tolist()]
    return list(values.tolist())


def _parts(size: int) -> Iterator[slice]:
    return (slice(start, start + PAIRS_PER_PIECE) for start in range(0, size, PAIRS_PER_PIECE))


def _head(view: RouteView) -> bytes:
    return b'{"at":%s,"objective":%s' % (to_json(_time(view.snapshot.at)), to_json(view.objective))


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
