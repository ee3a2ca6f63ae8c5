"""The lanes of a link's hops, as ECharts gets them."""

from __future__ import annotations

from datetime import timedelta

from page.chart_parts import LIGHT
from page.path_chart import (
    AROUND_PX,
    LANE_PX,
    LANES_MAX,
    colours,
    height_px,
    lanes,
    path_lanes,
    path_sentence,
    stretches,
)
from tests.page.pictures import ENGLISH, NOON, history, marks, step

T0 = NOON.timestamp() * 1e3
MINUTE = 60_000.0


def test_a_hop_keeps_its_lane_while_the_path_changes_around_it() -> None:
    found = {(one.address, (one.since - T0) / MINUTE, (one.until - T0) / MINUTE) for one in stretches(
        marks((-5, "r1 r2 b"), (4, "r1 - r3 b"), (7, "r1 r2 b"))
    )}  # fmt: skip
    assert found == {("r1", 0, 10), ("b", 0, 10), ("r2", 0, 4), ("r3", 4, 7), ("r2", 7, 10)}


def test_lanes_go_from_the_source_to_the_destination_each_hop_once() -> None:
    taken = stretches(marks((0, "r1 r2 b"), (4, "r1 r3 r2 b"), (7, "r1 r1 b")))
    assert lanes(taken) == ["r1", "r2", "r3", "b"]
    many = marks((0, " ".join(f"r{number}" for number in range(LANES_MAX + 5))))
    assert len(lanes(stretches(many))) == LANES_MAX
    options = path_lanes(many, history(step(0)), LIGHT, ENGLISH)
    assert options is not None
    assert len(options["series"][0]["data"]) == LANES_MAX


def test_bars_lie_in_their_lanes_and_changes_are_lines() -> None:
    options = path_lanes(marks((0, "r1 b"), (4, "r2 b")), history(step(0)), LIGHT, ENGLISH)
    assert options is not None
    assert options["yAxis"][0]["data"] == ["r1", "r2", "b"]
    (series,) = options["series"]
    bars = {(bar["name"], *bar["value"]) for bar in series["data"]}
    assert ("hop 1: r2, 1.00 ms", T0 + 4 * MINUTE, T0 + 10 * MINUTE, 1) in bars
    assert len({bar["itemStyle"]["color"] for bar in series["data"] if bar["name"].startswith("hop 2: b")}) == 1
    assert series["markLine"]["data"] == [{"xAxis": T0 + 4 * MINUTE}]
    assert height_px(options) == AROUND_PX + 3 * LANE_PX


def test_where_no_hop_answered_there_is_no_chart() -> None:
    assert path_lanes(marks((0, "- -")), history(step(0)), LIGHT, ENGLISH) is None
    assert path_lanes(marks(), history(step(0)), LIGHT, ENGLISH) is None


def test_the_changes_within_the_span_are_counted() -> None:
    assert path_sentence(marks((-5, "r1 b")), ENGLISH) == "The path has not changed."
    at = f"{NOON + timedelta(minutes=4):%Y-%m-%d %H:%M:%S} UTC"
    assert path_sentence(marks((-5, "r1 b"), (4, "r2 b")), ENGLISH) == f"The path changed 1 time, at {at}."


def test_hops_are_told_apart_by_colour_and_a_new_one_leaves_the_others_theirs() -> None:
    before = colours(stretches(marks((0, "r1 r2 r3 b"))))
    after = colours(stretches(marks((0, "r1 r2 r3 b"), (4, "r1 r4 r3 b"))))
    assert len(set(after.values())) == 5
    assert before.items() <= after.items()
    many = colours(stretches(marks((0, " ".join(f"r{number}" for number in range(20))))))
    assert len(set(many.values())) == 8
