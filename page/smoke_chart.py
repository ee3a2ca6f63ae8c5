"""A link over time as ECharts draws it: the smoke of the RTT in both directions. Pure.

The upper half is src → dst, the lower half, upside down, dst → src: what differs between them is seen at once. The
median's marks are coloured by loss; around them lie a band from p25 to p75 of the medians, a fainter one from p5 to
p95, and hairlines at the lowest and the highest RTT. An outage is a filled band from its start to its end; grey with a
dashed edge is: nothing is known. Pale stripes are our own throughput tests, which load the link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from linkweather.models.incidents import IncidentAnswer
from linkweather.models.link_history import LinkHistoryAnswer, LinkHistoryStep, LinkTestMark
from linkweather.units import rate
from page.chart_parts import ChartInk, Options, begins, frame, ms, time_axis, value_axis
from page.link_metrics import LOSS_STEPS, loss_step
from page.words import Words

# The colours of the loss steps, none first: a scale that gets darker as well as redder, for every eye.
LOSS_COLOURS = ("#2a9d8f", "#8ab17d", "#e9c46a", "#f4a261", "#e76f51", "#c1121f", "#6a040f")
OUTAGE = "#9d0208"
TEST = "#5b8def"
_LEAST_STRIPE = 0.002  # of the span: a shorter test could not be seen
BothTests = tuple[Sequence[LinkTestMark], Sequence[LinkTestMark]]
_GAP_STEPS = 1.6  # a step that is missing for longer is a gap


def smoke(
    there: LinkHistoryAnswer,
    back: LinkHistoryAnswer | None,
    incidents: Sequence[IncidentAnswer],
    ink: ChartInk,
    words: Words,
    *,
    tests: BothTests = ((), ()),
) -> Options:
    """The RTT of both directions with our own tests, and below them the incidents."""
    series: list[Options] = [*_direction(there, 0, ink, words, tests[0])]
    if back is not None:
        series += _direction(back, 1, ink, words, tests[1])
    series.append(_incidents(incidents, there, words))
    ends = _ends(there, back)
    names = (f"{there.src} → {there.dst}, ms", f"{there.dst} → {there.src}, ms")
    return {
        **frame(ink),
        "title": [
            {"text": name, "left": 60, "top": top, "textStyle": {"fontSize": 12, "fontWeight": 600, "color": ink.text}}
            for name, top in zip(names, (0, 358), strict=True)
        ],
        "grid": [
            {"left": 64, "right": 16, "top": 26, "height": 150},
            {"left": 64, "right": 16, "top": 186, "height": 150},
            {"left": 64, "right": 16, "top": 390, "height": 14},
        ],
        "xAxis": [time_axis(there, back, number, 1, ink) for number in range(3)],
        "yAxis": [
            value_axis(0, ends, ink, inverse=False),
            value_axis(1, ends, ink, inverse=True),
            {
                "gridIndex": 2,
                "type": "category",
                "data": [""],
                "axisLine": {"show": False},
                "axisTick": {"show": False},
            },
        ],
        "dataZoom": [{"type": "inside", "xAxisIndex": [0, 1, 2], "filterMode": "none"}],
        "series": series,
    }


def legend(words: Words) -> list[tuple[str, str]]:
    """What the marks of the smoke mean, each by the class that draws it."""
    steps = [f"≤ {100 * most:g} %" for most in LOSS_STEPS]
    losses = [(f"loss{number}", words("median, loss {step}", step=step)) for number, step in enumerate(steps)]
    losses[0] = ("loss0", words("median, no loss"))
    return [
        *losses,
        ("band", words("p25 to p75")),
        ("faint", words("p5 to p95")),
        ("hairline", words("lowest and highest")),
        ("test", words("our own throughput test loaded the link")),
        ("outage", words("outage: nothing came back")),
        ("nothing", words("nothing is known")),
        ("incident", words("incident")),
    ]


Read = Callable[[LinkHistoryStep], float | None]
# The bands around the median: from what to what, and how opaque.
_BANDS: Mapping[str, tuple[Read, Read, float]] = {
    "faint": (lambda step: step.rtt_p05_s, lambda step: step.rtt_p95_s, 0.16),
    "band": (lambda step: step.rtt_p25_s, lambda step: step.rtt_p75_s, 0.34),
}
_HAIRLINES: tuple[Read, Read] = (lambda step: step.rtt_min_s, lambda step: step.rtt_max_s)


def _direction(
    answer: LinkHistoryAnswer, axis: int, ink: ChartInk, words: Words, tests: Sequence[LinkTestMark]
) -> Iterator[Options]:
    place = {"xAxisIndex": axis, "yAxisIndex": axis, "silent": True, "symbol": "none", "animation": False}
    for name, (low, high, opacity) in _BANDS.items():
        lows = _points(answer, low)
        above = [[at, _less(most, least)] for (at, most), (_, least) in zip(_points(answer, high), lows, strict=True)]
        stacked = {**place, "type": "line", "stack": f"{name}{axis}", "lineStyle": {"opacity": 0}}
        yield {**stacked, "data": lows}
        yield {**stacked, "data": above, "areaStyle": {"color": ink.band, "opacity": opacity}}
    for read in _HAIRLINES:
        style = {"color": ink.band, "width": 0.5, "opacity": 0.7}
        yield {**place, "type": "line", "data": _points(answer, read), "lineStyle": style}
    yield {
        **place,
        "type": "line",
        "data": _points(answer, lambda step: step.rtt_p50_s),
        "lineStyle": {"color": ink.line, "width": 1},
        "z": 3,
        "markArea": {"silent": False, "data": [*_stripes(answer, tests, words), *_bands(answer, ink, words)]},
    }
    yield from _medians(answer, axis)


def _stripes(answer: LinkHistoryAnswer, tests: Sequence[LinkTestMark], words: Words) -> Iterator[list[Options]]:
    """The times in which our own throughput tests loaded the link."""
    least = _LEAST_STRIPE * (ms(answer.until) - begins(answer, None))
    for test in tests:
        if test.duration_s is not None:
            since = ms(test.at) - 1e3 * test.duration_s
            text = words("our throughput test at {at}: {rate}", at=_clock(since), rate=rate(test.goodput_bps))
            yield _band(since, max(ms(test.at), since + least), text, {"color": TEST, "opacity": 0.22})


def _medians(answer: LinkHistoryAnswer, axis: int) -> Iterator[Options]:
    for number, colour in enumerate(LOSS_COLOURS):
        data = [
            [_middle(answer, step), 1e3 * step.rtt_p50_s]
            for step in answer.steps
            if step.rtt_p50_s is not None and loss_step(step.loss_ratio or 0.0) == number
        ]
        if data:
            yield {
                "type": "scatter",
                "xAxisIndex": axis,
                "yAxisIndex": axis,
                "data": data,
                "itemStyle": {"color": colour},
                "symbol": "rect",
                "symbolSize": [5, 3],
                "z": 4,
                "animation": False,
            }


def _bands(answer: LinkHistoryAnswer, ink: ChartInk, words: Words) -> Iterator[list[Options]]:
    """The outages, and the times of which nothing is known."""
    for since, until in outages(answer):
        text = words("outage from {since} to {until}", since=_clock(since), until=_clock(until))
        yield _band(since, until, text, {"color": OUTAGE, "opacity": 0.85})
    for since, until in gaps(answer):
        text = words("nothing is known from {since} to {until}", since=_clock(since), until=_clock(until))
        edge = {"borderColor": ink.text, "borderType": "dashed", "borderWidth": 1}
        yield _band(since, until, text, {"color": ink.unknown, "opacity": 0.55, **edge})


def outages(answer: LinkHistoryAnswer) -> list[tuple[float, float]]:
    """From when to when every step had reports and not one reply, in ms of the epoch."""
    found: list[tuple[float, float]] = []
    for step in answer.steps:
        if step.reports and step.available_ratio == 0:
            start, end = ms(step.at), ms(step.at) + 1e3 * answer.step_s
            if found and start <= found[-1][1]:
                start = found.pop()[0]
            found.append((start, end))
    return found


def gaps(answer: LinkHistoryAnswer) -> list[tuple[float, float]]:
    """From when to when no step is known, in ms of the epoch; the record begins with the first that is."""
    length = 1e3 * answer.step_s
    known = [ms(step.at) for step in answer.steps if step.reports]
    starts = [at + length for at in known]
    ends = [*known, ms(answer.until)][1:]
    least = (_GAP_STEPS - 1) * length
    return [(start, end) for start, end in zip(starts, ends, strict=True) if end - start > least]


def _band(since: float, until: float, text: str, style: Options) -> list[Options]:
    return [{"xAxis": since, "name": text, "itemStyle": style, "label": {"show": False}}, {"xAxis": until}]


def _incidents(incidents: Sequence[IncidentAnswer], there: LinkHistoryAnswer, words: Words) -> Options:
    until = ms(there.until)
    data = [
        [
            {
                "xAxis": max(ms(one.since), ms(there.since)),
                "name": one.sentence,
                "itemStyle": {"color": "#b5651d" if one.severity == "warning" else OUTAGE},
                "label": {"show": False},
            },
            {"xAxis": until if one.until is None else ms(one.until)},
        ]
        for one in incidents
        if one.until is None or ms(one.until) > ms(there.since)
    ]
    return {
        "type": "line",
        "name": words("incidents"),
        "xAxisIndex": 2,
        "yAxisIndex": 2,
        "data": [],
        "markArea": {"data": data},
        "animation": False,
    }


def _ends(there: LinkHistoryAnswer, back: LinkHistoryAnswer | None) -> tuple[float, float] | None:
    """One scale for both halves, in ms, so that they can be compared."""
    steps = [step for answer in (there, back) if answer for step in answer.steps]
    lows = [step.rtt_min_s for step in steps if step.rtt_min_s is not None]
    highs = [step.rtt_max_s for step in steps if step.rtt_max_s is not None]
    if not lows or not highs:
        return None
    margin = 0.05 * (max(highs) - min(lows))
    return round(1e3 * max(0.0, min(lows) - margin), 3), round(1e3 * (max(highs) + margin), 3)


def _points(answer: LinkHistoryAnswer, read: Callable[[LinkHistoryStep], float | None]) -> list[list[float | None]]:
    """A point for each step, in ms, and one without a value in each gap, so that no line is drawn across it."""
    points: list[list[float | None]] = []
    for step in answer.steps:
        at, value = _middle(answer, step), read(step)
        if points and points[-1][0] is not None and at - points[-1][0] > _GAP_STEPS * 1e3 * answer.step_s:
            points.append([points[-1][0] + 1e3 * answer.step_s, None])
        points.append([at, None if value is None else round(1e3 * value, 4)])
    return points


def _middle(answer: LinkHistoryAnswer, step: LinkHistoryStep) -> float:
    return ms(step.at) + 500.0 * answer.step_s


def _less(most: float | None, least: float | None) -> float | None:
    return None if most is None or least is None else round(most - least, 4)


def _clock(at_ms: float) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1e3, UTC):%Y-%m-%d %H:%M:%S} UTC"


def csv_lines(answer: LinkHistoryAnswer) -> Iterator[str]:
    """The history as CSV, a line a step; empty was not measured."""
    names = [*LinkHistoryStep.model_fields]
    yield ",".join(names)
    for step in answer.steps:
        values: Mapping[str, Any] = step.model_dump(mode="json")
        yield ",".join("" if values[name] is None else str(values[name]) for name in names)
