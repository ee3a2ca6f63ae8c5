"""What the charts of a link share: their colours, their frame and their axes, as ECharts gets them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from linkweather.models.link_history import LinkHistoryAnswer

Options = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChartInk:
    """The colours of a chart that depend on the light or dark of the page."""

    text: str
    line: str
    grid: str
    band: str
    unknown: str


LIGHT = ChartInk(text="#4a5560", line="#2f4858", grid="#e4e8ec", band="#5f7f95", unknown="#d5dadf")
DARK = ChartInk(text="#a9b4be", line="#c9d6df", grid="#2b333b", band="#7d9bb0", unknown="#3a434c")


def frame(ink: ChartInk) -> Options:
    """What every chart begins with."""
    return {
        "backgroundColor": "transparent",
        "textStyle": {"fontFamily": "system-ui, sans-serif", "color": ink.text},
        "animation": False,
        "useUTC": True,
        "tooltip": {"trigger": "item", "confine": True},
    }


def time_axis(
    there: LinkHistoryAnswer, back: LinkHistoryAnswer | None, number: int, shown: int, ink: ChartInk
) -> Options:
    """The time axis of the grid of that number; the one that is `shown` has its figures."""
    return {
        "type": "time",
        "gridIndex": number,
        "min": begins(there, back),
        "max": ms(there.until),
        "position": "bottom",
        "axisLabel": {"show": number == shown, "color": ink.text},
        "axisLine": {"show": number != 2, "onZero": False, "lineStyle": {"color": ink.grid}},
        "axisTick": {"show": False},
        "splitLine": {"show": number != 2, "lineStyle": {"color": ink.grid}},
    }


def value_axis(number: int, ends: tuple[float, float] | None, ink: ChartInk, *, inverse: bool) -> Options:
    """The axis of the values of the grid of that number, from end to end where they are given."""
    return {
        "gridIndex": number,
        "type": "value",
        "nameTextStyle": {"color": ink.text, "align": "left"},
        "inverse": inverse,
        "axisLabel": {"color": ink.text, "showMaxLabel": ends is None, "showMinLabel": ends is None},
        "splitLine": {"lineStyle": {"color": ink.grid}},
        "scale": True,
        **({} if ends is None else {"min": ends[0], "max": ends[1]}),
    }


def begins(there: LinkHistoryAnswer, back: LinkHistoryAnswer | None) -> float:
    """Where the time axis begins, in ms: with the record, if that is younger than the span."""
    known = [ms(answer.steps[0].at) for answer in (there, back) if answer is not None and answer.steps]
    return max(ms(there.since), min(known, default=0.0))


def ms(at: datetime) -> float:
    """A moment in ms of the epoch."""
    return at.timestamp() * 1e3
