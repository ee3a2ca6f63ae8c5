"""The goodput of a link over time as ECharts draws it: both directions, with the range in each step. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linkweather.models.link_history import LinkHistoryAnswer, LinkTestMark
from page.chart_parts import ChartInk, Options, frame, ms, time_axis, value_axis
from page.reason_words import reason
from page.words import Words

FAILED = "#9d0208"
_COLOURS = ("#2f7fb5", "#c06c2b")  # of the two directions


def goodput(
    there: LinkHistoryAnswer,
    back: LinkHistoryAnswer | None,
    ink: ChartInk,
    words: Words,
    tests: Sequence[LinkTestMark] = (),
) -> Options | None:
    """The goodput of both directions, and on the time axis those of the `tests` that failed, with why.

    None where there was no test: then there is nothing to draw.
    """
    answers = [answer for answer in (there, back) if answer is not None]
    series = [part for number, answer in enumerate(answers) for part in _direction(answer, _COLOURS[number])]
    series.append(_failures(tests, words))
    if not any(one["data"] for one in series):
        return None
    return {
        **frame(ink),
        "legend": {
            "top": 0,
            "right": 8,
            "textStyle": {"color": ink.text},
            "data": [_name(answer) for answer in answers],
        },
        "grid": [{"left": 64, "right": 16, "top": 36, "bottom": 28}],
        "xAxis": [time_axis(there, back, 0, 0, ink)],
        "yAxis": [{**value_axis(0, None, ink, inverse=False), "min": 0, "name": "Mbit/s"}],
        "dataZoom": [{"type": "inside", "filterMode": "none"}],
        "series": series,
    }


def _failures(tests: Sequence[LinkTestMark], words: Words) -> Options:
    return {
        "type": "scatter",
        "data": [
            {"name": ": ".join(filter(None, (reason(test.failure, words), test.detail))), "value": [ms(test.at), 0]}
            for test in tests
            if test.failure is not None
        ],
        "symbol": "triangle",
        "symbolSize": 10,
        "color": FAILED,
        "tooltip": {"formatter": "{b}"},
        "animation": False,
    }


def _direction(answer: LinkHistoryAnswer, colour: str) -> Iterator[Options]:
    known = [step for step in answer.steps if step.goodput_mean_bps is not None]
    yield {
        "type": "line",
        "name": _name(answer),
        "data": [[ms(step.at), _mbits(step.goodput_mean_bps)] for step in known],
        "step": "end",
        "symbolSize": 5,
        "color": colour,
        "lineStyle": {"width": 1},
        "animation": False,
    }
    yield {
        "type": "custom",
        "silent": True,
        "data": [
            [ms(step.at), _mbits(step.goodput_min_bps), _mbits(step.goodput_max_bps)]
            for step in known
            if step.goodput_min_bps != step.goodput_max_bps
        ],
        ":renderItem": _WHISKER % colour,
        "animation": False,
    }


_WHISKER = (
    "(params, api) => { const low = api.coord([api.value(0), api.value(1)]), high = api.coord([api.value(0), "
    "api.value(2)]); return {type: 'line', shape: {x1: low[0], y1: low[1], x2: high[0], y2: high[1]}, "
    "style: {stroke: '%s', lineWidth: 2, opacity: 0.4}}; }"
)


def _name(answer: LinkHistoryAnswer) -> str:
    return f"{answer.src} → {answer.dst}"


def _mbits(bps: float | None) -> float | None:
    return None if bps is None else round(bps / 1e6, 3)
