"""The active routes of all pairs as JSON, in pieces: what a thread makes of a view while decisions go on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import numpy as np
from pydantic_core import to_json

from collector.api.row_texts import json_object, number, row_texts, text
from collector.linkstate.link_index import NameOrder, Pair
from collector.routing.arrays import DIRECT, Pairs
from collector.routing.route_columns import FIGURES, REASONS, RouteView, listed, moment, rounded

PAIRS_PER_PIECE = 500
_MOMENT: Final = "strftime(make_timestamp(since), '\"%Y-%m-%dT%H:%M:%S.%fZ\"')"
_SITES: Final = "concat('[', to_json(src), ',', to_json(relay) || ',', to_json(dst), ']')"
_DIRECT_SITES: Final = "concat('[', to_json(src), ',', to_json(dst), ']')"


def route_page(view: RouteView, limit: int, after: Pair | None) -> tuple[Pairs, Pair | None]:
    """A page of all pairs, as `NameOrder.page` has it: each is there, with a route or without."""
    (src, dst), by_name = _every_pair(view.snapshot.sites)
    places, last = by_name.page(limit, after)
    return (src[places], dst[places]), last


@lru_cache(maxsize=2)
def _every_pair(sites: tuple[str, ...]) -> tuple[Pairs, NameOrder]:
    src, dst = np.nonzero(~np.eye(len(sites), dtype=bool))
    return (src, dst), NameOrder(sites, src, dst)


def mesh_columns(view: RouteView, pairs: Pairs | None = None) -> Iterator[bytes]:
    """All pairs, or some, as columns; `src`, `dst` and `next_hop` are positions in `sites`."""
    found = view.columns(view.every_pair() if pairs is None else pairs)
    positions = range(len(view.snapshot.sites))
    columns = {"src": found.decisions.src, "dst": found.decisions.dst, **found.values()}
    yield _head(view) + b',"sites":' + to_json(view.snapshot.sites) + b',"columns":{'
    for place, (name, values) in enumerate(columns.items()):
        yield b'%s"%s":[' % (b"," if place else b"", name.encode())
        for start in range(0, len(found.decisions), PAIRS_PER_PIECE):
            piece = to_json(listed(name, values[start : start + PAIRS_PER_PIECE], positions), inf_nan_mode="null")[1:-1]
            yield b"," + piece if start else piece
        yield b"]"
    yield b"}}"


def mesh_rows(view: RouteView, pairs: Pairs | None = None) -> Iterator[bytes]:
    """All pairs, or some, an object each: MeshRoutes. Blocks. Raises duckdb.Error."""
    found = view.columns(view.every_pair() if pairs is None else pairs)
    decisions, sites = found.decisions, np.array([*view.snapshot.sites, None], object)
    columns = {
        "src": sites[decisions.src],
        "dst": sites[decisions.dst],
        "relay": sites[np.where(decisions.via >= 0, decisions.via, -1)],
        **{name: rounded(getattr(decisions, name)) for name in ("p50", "p90", "direct_p50")},
        "gain_ratio": rounded(found.gain_ratio()),
        "since": np.nan_to_num(found.since * 1e6).astype(np.int64),
        "reason": REASONS[found.reason],
    }
    routed = decisions.via >= DIRECT
    yield _head(view)
    for name, chosen, sql in (("routes", routed, _route(view)), ("no_routes", ~routed, _UNROUTED)):
        yield b',"%s":[' % name.encode()
        yield from row_texts({key: values[chosen] for key, values in columns.items()}, sql, b",")
        yield b"]"
    yield b"}"


def _route(view: RouteView) -> str:
    """The SQL of a pair's object where it has a route."""
    p50, p90, _ = FIGURES[view.objective]
    direct = json_object({"sites": _DIRECT_SITES, p50: number("direct_p50")})
    return json_object(
        {
            "src": text("src"),
            "dst": text("dst"),
            "path": json_object({"sites": _SITES, p50: number("p50"), p90: number("p90")}),
            "direct": f"CASE WHEN NOT isnan(direct_p50) THEN {direct} END",
            "gain_ratio": number("gain_ratio"),
            "since": _MOMENT,
            "switch_reason": text("reason"),
        }
    )


_UNROUTED: Final = json_object({"src": text("src"), "dst": text("dst"), "reason": text("reason")})


def _head(view: RouteView) -> bytes:
    return b'{"at":%s,"objective":%s' % (to_json(moment(view.snapshot.at)), to_json(view.objective))
