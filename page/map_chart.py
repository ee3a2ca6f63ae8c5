"""The sites by their coordinates and the links between them, as ECharts draws them: no map from outside. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice, pairwise
from typing import Any

from linkweather.models.state import LinkAnswer, SiteAnswer
from linkweather.units import duration, percent, rate
from page.chart_parts import ChartInk
from page.link_metrics import LINK_FORMS, known, worst
from page.mesh_picture import MeshPicture, Pair
from page.words import Words

Options = dict[str, Any]
MOST_LINES = 2000  # of more links only those that are not fresh are drawn
# A state's line: colour, type, opacity. No state by its colour alone.
LINES: Mapping[str, tuple[str, str | list[int], float]] = {
    "fresh": ("#2a9d8f", "solid", 0.35),
    "stale": ("#8a96a0", "solid", 0.35),
    "unknown": ("#8a96a0", "dotted", 0.5),
    "expired": ("#8a96a0", "dashed", 0.6),
    "degraded": ("#d98e04", [8, 4], 0.95),
    "down": ("#c1121f", [2, 3], 1.0),
}
RELAYED = "#8338ec"  # behind the legs of the paths that go through a relay
_CURVE = 0.08
_MARGIN = 0.12
_MOST_SAID = 8  # pairs of one leg
_THIN, _THICK = 1.0, 6.0


def placed(view: MeshPicture) -> dict[str, tuple[float, float]]:
    """Longitude and latitude of the sites that have both."""
    return {
        name: (site.longitude, site.latitude)
        for name, site in view.sites.items()
        if site.longitude is not None and site.latitude is not None
    }


def map_chart(view: MeshPicture, ink: ChartInk, words: Words) -> Options | None:
    """The map; None where no site has coordinates."""
    places = placed(view)
    if not places:
        return None
    west, east, south, north = _frame([*places.values()])
    axis = {"type": "value", "show": False}
    return {
        "animation": False,
        "backgroundColor": "transparent",
        "textStyle": {"fontFamily": "system-ui, sans-serif", "color": ink.text},
        "tooltip": {"confine": True},
        "grid": {"left": 8, "right": 8, "top": 8, "bottom": 8},
        "xAxis": {**axis, "min": west, "max": east},
        "yAxis": {**axis, "min": south, "max": north},
        "series": [
            {
                "type": "lines",
                "coordinateSystem": "cartesian2d",
                "data": [*_lines(view, places, words)],
                "lineStyle": {"curveness": _CURVE},
                "z": 2,
            },
            {
                "type": "lines",
                "coordinateSystem": "cartesian2d",
                "data": [*_legs(view, places, words)],
                "lineStyle": {"curveness": _CURVE, "color": RELAYED, "width": 7, "opacity": 0.4},
                "symbol": ["none", "arrow"],
                "symbolSize": 14,
                "z": 1,
            },
            {
                "type": "scatter",
                "data": [_site(view, name, place, ink, words) for name, place in places.items()],
                "symbolSize": 13,
                "label": {"show": True, "formatter": "{b}", "position": "right", "color": ink.text, "fontSize": 13},
                "z": 3,
            },
        ],
    }


def _frame(places: list[tuple[float, float]]) -> tuple[float, float, float, float]:
    """West, east, south and north with a margin."""
    ends: list[float] = []
    for values in zip(*places, strict=True):
        margin = _MARGIN * ((max(values) - min(values)) or 1.0)
        ends += [min(values) - margin, max(values) + margin]
    return ends[0], ends[1], ends[2], ends[3]


def _lines(view: MeshPicture, places: dict[str, tuple[float, float]], words: Words) -> Iterator[Options]:
    everything = len(view.links) <= MOST_LINES
    for (src, dst), link in view.links.items():
        state = known(link.state)
        if src in places and dst in places and (everything or LINK_FORMS[state].badness > 0):
            colour, kind, opacity = LINES[state]
            yield {
                "coords": [places[src], places[dst]],
                "name": f"{src} → {dst}",
                "tooltip": {"formatter": _said(link, words)},
                "lineStyle": {"color": colour, "type": kind, "opacity": opacity, "width": _width(link.goodput_bps)},
            }


def _legs(view: MeshPicture, places: dict[str, tuple[float, float]], words: Words) -> Iterator[Options]:
    """The legs of the active routes by latency that go through a relay, each with whose traffic takes it."""
    legs: dict[Pair, list[str]] = {}
    routes = view.routes.get("latency")
    for one in (route for route in (routes.routes if routes else ()) if route.relays):
        relays = ", ".join(one.relays)
        said = words("traffic {src} → {dst} goes through {relays}", src=one.src, dst=one.dst, relays=relays)
        for leg in pairwise(one.path.sites):
            legs.setdefault(leg, []).append(said)
    for (src, dst), pairs in islice(legs.items(), MOST_LINES):
        if src in places and dst in places:
            yield {
                "coords": [places[src], places[dst]],
                "name": f"{src} → {dst}",
                "tooltip": {"formatter": "<br>".join(pairs[:_MOST_SAID])},
            }


def _width(goodput_bps: float | None) -> float:
    """Thicker by the logarithm of the goodput: 10 Mbit/s is thin, 10 Gbit/s and more thick."""
    if goodput_bps is None or goodput_bps <= 0:
        return _THIN
    share = (math.log10(goodput_bps) - 7) / 3
    return round(_THIN + (_THICK - _THIN) * min(max(share, 0.0), 1.0), 2)


def _said(link: LinkAnswer, words: Words) -> str:
    figures = (duration(link.rtt_p50_s), f"{percent(link.loss_ratio)} %", rate(link.goodput_bps))
    return f"{link.src} → {link.dst}: {words(LINK_FORMS[known(link.state)].name)}<br>{', '.join(figures)}"


def _site(view: MeshPicture, name: str, place: tuple[float, float], ink: ChartInk, words: Words) -> Options:
    site: SiteAnswer = view.sites[name]
    near = worst(link.state for pair, link in view.links.items() if name in pair)
    said = f"{name}: {', '.join(part for part in (site.region, site.operator, words(LINK_FORMS[near].name)) if part)}"
    online = site.state == "online"
    style = {"color": "#2a9d8f" if online else ink.grid, "borderColor": ink.text, "borderWidth": 1.5}
    return {
        "name": name,
        "value": place,
        "symbol": "circle" if online else "emptyRect",
        "itemStyle": style,
        "tooltip": {"formatter": said},
    }
