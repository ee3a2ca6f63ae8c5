"""The path of a link over time as ECharts draws it: a lane for each hop, which breaks where it is not taken. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from linkweather.models.link_history import LinkHistoryAnswer, LinkMarksAnswer
from linkweather.units import duration
from page.chart_parts import ChartInk, Options, begins, frame, ms, time_axis
from page.incident_lines import moment
from page.words import Words

LANES_MAX = 40
LANE_PX, AROUND_PX = 22, 58
# A hop keeps its colour, as it keeps its lane.
_COLOURS = ("#2f7fb5", "#c06c2b", "#4b8f5f", "#8a5fa8", "#b5545c", "#6b7d2e", "#3c8f93", "#8c6d4f")


class HopStretch(NamedTuple):
    """A stretch of time, in ms of the epoch, in which a hop was on the path, at this TTL, with its lowest RTT."""

    address: str
    ttl: int
    since: float
    until: float
    rtt_s: float | None


def stretches(marks: LinkMarksAnswer) -> list[HopStretch]:
    """When each hop was on the path; paths that follow each other and share it make one stretch."""
    ends = [*(ms(path.at) for path in marks.paths[1:]), ms(marks.until)]
    found: list[HopStretch] = []
    open_: dict[str, HopStretch] = {}
    for path, end in zip(marks.paths, ends, strict=False):
        start, now = max(ms(path.at), ms(marks.since)), {}
        for hop in path.hops:
            if hop.address is not None and hop.address not in now:
                before = open_.pop(hop.address, None)
                ttl, since = (hop.ttl, start) if before is None else (before.ttl, before.since)
                now[hop.address] = HopStretch(hop.address, ttl, since, end, hop.rtt_s)
        found += open_.values()
        open_ = now
    return [*found, *open_.values()]


def lanes(taken: list[HopStretch]) -> list[str]:
    """The hops from the source on, each once: the lanes from the top."""
    first: dict[str, tuple[int, float]] = {}
    for one in taken:
        place = (one.ttl, one.since)
        first[one.address] = min(first.get(one.address, place), place)
    return sorted(first, key=lambda address: (first[address], address))[:LANES_MAX]


def colours(taken: list[HopStretch]) -> dict[str, str]:
    """The colour of each hop: by its name, or the next one that no older hop has; of many hops some share one."""
    found: dict[str, str] = {}
    for one in sorted(taken, key=lambda one: (one.since, one.ttl, one.address)):
        start = zlib.crc32(one.address.encode()) % len(_COLOURS)
        turned = (*_COLOURS[start:], *_COLOURS[:start])
        free = (colour for colour in turned if colour not in found.values())
        found.setdefault(one.address, next(free, turned[0]))
    return found


def height_px(options: Options) -> int:
    """How high the chart is."""
    return AROUND_PX + LANE_PX * len(options["yAxis"][0]["data"])


def path_lanes(marks: LinkMarksAnswer, there: LinkHistoryAnswer, ink: ChartInk, words: Words) -> Options | None:
    """The hops over time and the changes of the path; None where no hop has answered: then there is nothing to draw."""
    taken = stretches(marks)
    names = lanes(taken)
    if not names:
        return None
    axis = {"gridIndex": 0, "type": "category", "inverse": True, "axisTick": {"show": False}}
    changes = [ms(path.at) for path in marks.paths[1:]]
    return {
        **frame(ink),
        "tooltip": {"trigger": "item", "confine": True, "formatter": "{b}"},
        "grid": [{"left": 150, "right": 16, "top": 8, "bottom": 28}],
        "xAxis": [{**time_axis(there, None, 0, 0, ink), "min": begins(there, None)}],
        "yAxis": [{**axis, "data": names, "axisLabel": {"color": ink.text, "width": 136, "overflow": "truncate"}}],
        "dataZoom": [{"type": "inside", "filterMode": "none"}],
        "series": [
            {
                "type": "custom",
                "data": [*_bars(taken, names, words)],
                ":renderItem": _BAR,
                "encode": {"x": [0, 1], "y": 2},
                "markLine": {
                    "silent": True,
                    "symbol": "none",
                    "label": {"show": False},
                    "lineStyle": {"color": ink.text, "type": "dashed", "width": 1},
                    "data": [{"xAxis": at} for at in changes],
                },
                "animation": False,
            }
        ],
    }


def _bars(taken: list[HopStretch], names: list[str], words: Words) -> Iterator[Options]:
    places, colour_of = {name: number for number, name in enumerate(names)}, colours(taken)
    for one in taken:
        if one.address in places:
            said = words("hop {ttl}: {address}, {rtt}", ttl=one.ttl, address=one.address, rtt=duration(one.rtt_s))
            yield {
                "name": said,
                "value": [one.since, one.until, places[one.address]],
                "itemStyle": {"color": colour_of[one.address]},
            }


_BAR = (
    "(params, api) => { const from = api.coord([api.value(0), api.value(2)]), to = api.coord([api.value(1), "
    "api.value(2)]), high = 0.6 * api.size([0, 1])[1], left = Math.max(from[0], params.coordSys.x), "
    "right = Math.min(to[0], params.coordSys.x + params.coordSys.width); return right > left && {type: 'rect', "
    "shape: {x: left, y: from[1] - high / 2, width: right - left, height: high, r: 2}, style: api.style()}; }"
)


def path_sentence(marks: LinkMarksAnswer, words: Words) -> str:
    """How often the path changed in the span, and when it did last."""
    changes = [path.at for path in marks.paths[1:] if path.at >= marks.since]
    if not changes:
        return words("The path has not changed.")
    at = moment(changes[-1])
    return words.plural(
        "The path changed {n} time, at {at}.", "The path changed {n} times, last at {at}.", len(changes), at=at
    )
