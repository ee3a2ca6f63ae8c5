"""The charts of a link's history, as ECharts gets them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from linkweather.models.link_history import LinkTestMark
from page.chart_parts import LIGHT, begins
from page.smoke_chart import LOSS_COLOURS, csv_lines, gaps, legend, outages, smoke
from tests.page.pictures import ENGLISH, NOON, history, incident, step

T0 = NOON.timestamp() * 1e3
MINUTE = 60_000.0
MEDIAN = 6  # of the lines of a direction


def drawn(*series_of: Any, incidents: Any = ()) -> dict[str, Any]:
    there, *back = series_of
    return smoke(there, back[0] if back else None, incidents, LIGHT, ENGLISH)


def of_type(options: dict[str, Any], kind: str, axis: int = 0) -> list[dict[str, Any]]:
    return [one for one in options["series"] if one["type"] == kind and one.get("xAxisIndex") == axis]


def test_the_median_is_marked_by_loss_in_the_middle_of_each_step() -> None:
    options = drawn(history(step(0), step(1, loss_ratio=0.12), step(2, None)))
    marks = {one["itemStyle"]["color"]: one["data"] for one in of_type(options, "scatter")}
    assert marks == {LOSS_COLOURS[0]: [[T0 + 30_000, 10.0]], LOSS_COLOURS[4]: [[T0 + 90_000, 10.0]]}


def test_the_bands_are_stacked_from_p5_to_p95_and_from_p25_to_p75_within_hairlines() -> None:
    lines = of_type(drawn(history(step(0))), "line")
    assert [one["data"] for one in lines[:6]] == [
        [[T0 + 30_000, 9.5]], [[T0 + 30_000, 1.5]], [[T0 + 30_000, 9.8]], [[T0 + 30_000, 0.7]],
        [[T0 + 30_000, 9.0]], [[T0 + 30_000, 12.0]],
    ]  # fmt: skip


def test_our_own_tests_are_stripes_wide_enough_to_be_seen() -> None:
    test = LinkTestMark(at=NOON + timedelta(minutes=2), duration_s=60.0, goodput_bps=1e8)
    short, unknown = test.model_copy(update={"duration_s": 0.1}), LinkTestMark(at=NOON, failure="refused")
    there, back = history(step(0)), history(step(0), src="b", dst="a")
    options = smoke(there, back, (), LIGHT, ENGLISH, tests=((test, unknown), (short,)))
    upper, lower = (of_type(options, "line", axis)[MEDIAN]["markArea"]["data"][0] for axis in (0, 1))
    assert (upper[0]["xAxis"], upper[1]["xAxis"]) == (T0 + MINUTE, T0 + 2 * MINUTE)
    assert upper[0]["name"] == "our throughput test at 2026-11-01 12:01:00 UTC: 100 Mbit/s"
    assert lower[1]["xAxis"] - lower[0]["xAxis"] == 1200.0


def test_a_step_without_an_rtt_interrupts_line_and_bands() -> None:
    lines = of_type(drawn(history(step(0), step(1, None))), "line")
    assert [one["data"][1][1] for one in lines[:7]] == [None] * 7


def test_no_line_is_drawn_across_a_gap() -> None:
    median = of_type(drawn(history(step(0), step(5))), "line")[MEDIAN]
    assert [value for _, value in median["data"]] == [10.0, None, 10.0]


def test_an_outage_is_one_band_from_its_start_to_its_end() -> None:
    answer = history(step(0), step(1, None), step(2, None), step(3), step(4, None))
    assert outages(answer) == [(T0 + MINUTE, T0 + 3 * MINUTE), (T0 + 4 * MINUTE, T0 + 5 * MINUTE)]
    areas = of_type(drawn(answer), "line")[MEDIAN]["markArea"]["data"]
    assert areas[0][0]["name"] == "outage from 2026-11-01 12:01:00 UTC to 2026-11-01 12:03:00 UTC"
    assert areas[0][1] == {"xAxis": T0 + 3 * MINUTE}


def test_what_nothing_is_known_of_is_another_band_than_an_outage() -> None:
    answer = history(step(0), step(1), step(5), minutes=10)
    assert gaps(answer) == [(T0 + 2 * MINUTE, T0 + 5 * MINUTE), (T0 + 6 * MINUTE, T0 + 10 * MINUTE)]
    names = [area[0]["name"] for area in of_type(drawn(answer), "line")[MEDIAN]["markArea"]["data"]]
    assert names[0] == "nothing is known from 2026-11-01 12:02:00 UTC to 2026-11-01 12:05:00 UTC"
    assert gaps(history()) == []
    assert outages(history()) == []


def test_both_directions_have_one_scale_and_the_lower_one_is_upside_down() -> None:
    options = drawn(history(step(0, 0.01)), history(step(0, 0.02), src="b", dst="a"))
    upper, lower = options["yAxis"][:2]
    assert (upper["min"], upper["max"]) == (lower["min"], lower["max"]) == (8.25, 24.75)
    assert (upper["inverse"], lower["inverse"]) == (False, True)
    assert [one["text"] for one in options["title"]] == ["a → b, ms", "b → a, ms"]
    assert of_type(options, "scatter", axis=1)[0]["data"] == [[T0 + 30_000, 20.0]]


def test_without_any_rtt_the_scale_is_left_open() -> None:
    assert "max" not in drawn(history(step(0, None)))["yAxis"][0]


def test_the_axis_begins_with_the_record_if_that_is_younger_than_the_span() -> None:
    assert begins(history(step(3)), history(step(2), src="b", dst="a")) == T0 + 2 * MINUTE
    assert begins(history(), None) == T0


def test_incidents_are_marks_below_within_the_span() -> None:
    lasting = incident(since=NOON - timedelta(hours=1))
    over = incident(since=NOON + timedelta(minutes=1), until=NOON + timedelta(minutes=2), severity="critical")
    before = incident(since=NOON - timedelta(hours=2), until=NOON - timedelta(hours=1))
    marks = of_type(drawn(history(step(0)), incidents=(lasting, over, before)), "line", axis=2)[0]["markArea"]["data"]
    assert [(one["xAxis"], other["xAxis"]) for one, other in marks] == [
        (T0, T0 + 10 * MINUTE), (T0 + MINUTE, T0 + 2 * MINUTE),
    ]  # fmt: skip
    assert marks[0][0]["name"] == "a → b loses 12.0 %"


def test_the_legend_says_in_words_what_every_mark_is() -> None:
    said = dict(legend(ENGLISH))
    assert len(said) == len(LOSS_COLOURS) + 7
    assert (said["loss0"], said["loss4"]) == ("median, no loss", "median, loss ≤ 25 %")


def test_the_history_as_csv_has_a_line_for_each_step_and_nothing_for_what_was_not_measured() -> None:
    head, line = csv_lines(history(step(0, None)))
    assert head.startswith("at,reports,available_ratio,sent")
    assert line.startswith("2026-11-01T12:00:00Z,1,0.0,,")
    assert head.count(",") == line.count(",")
