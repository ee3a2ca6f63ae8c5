"""The chart of a link's goodput, as ECharts gets it."""

from __future__ import annotations

from typing import Any

from linkweather.models.link_history import LinkTestMark
from page.chart_parts import LIGHT
from page.goodput_chart import goodput
from tests.page.pictures import ENGLISH, NOON, history, step

T0 = NOON.timestamp() * 1e3
MINUTE = 60_000.0


def goodput_step(minute: int, low: float, high: float) -> Any:
    figures = {"goodput_min_bps": low, "goodput_mean_bps": (low + high) / 2, "goodput_max_bps": high}
    return step(minute, tests=1, measured=1, **figures)


def test_the_goodput_of_both_directions_with_its_range() -> None:
    back = history(goodput_step(2, 2e7, 2e7), src="b", dst="a")
    options = goodput(history(goodput_step(1, 1e7, 3e7), step(2)), back, LIGHT, ENGLISH)
    assert options is not None
    line, range_, other, no_range, failures = options["series"]
    assert (line["name"], line["data"]) == ("a → b", [[T0 + MINUTE, 20.0]])
    assert range_["data"] == [[T0 + MINUTE, 10.0, 30.0]]
    assert (other["data"], no_range["data"]) == ([[T0 + 2 * MINUTE, 20.0]], [])
    assert failures["data"] == []


def test_a_test_that_failed_is_a_mark_on_the_time_axis_with_why() -> None:
    failed = LinkTestMark(at=NOON, failure="refused", detail="no server")
    options = goodput(history(step(0)), None, LIGHT, ENGLISH, (failed, LinkTestMark(at=NOON, goodput_bps=1e7)))
    assert options is not None
    assert options["series"][-1]["data"] == [{"name": "the connection is refused: no server", "value": [T0, 0]}]


def test_without_a_test_there_is_no_chart_of_the_goodput() -> None:
    assert goodput(history(step(0)), None, LIGHT, ENGLISH) is None
