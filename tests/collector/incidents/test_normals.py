"""Slow medians: found within minutes, moved by an hour's trouble a little."""

from __future__ import annotations

import math

import numpy as np

from collector.incidents.normals import ENOUGH_VALUES, STEP_PER_HOUR, SlowMedians


def _after(medians: SlowMedians, values: list[float], step_s: float = 10.0, start: float = 0.0) -> float:
    for number, value in enumerate(values):
        medians.take(np.array([[np.nan, value], [np.nan, np.nan]]), start + number * step_s)
    return float(medians.level[0, 1])


def test_too_few_values_say_nothing() -> None:
    assert math.isnan(_after(SlowMedians(2), [0.02] * (ENOUGH_VALUES - 1)))
    assert math.isclose(_after(SlowMedians(2), [0.02] * ENOUGH_VALUES), 0.02)


def test_the_level_is_found_from_a_first_value_that_was_off() -> None:
    found = _after(SlowMedians(2), [0.03] + [0.02] * 60)
    assert abs(found / 0.02 - 1) < 0.05


def test_an_outlier_moves_the_level_no_further_than_any_value() -> None:
    medians = SlowMedians(2)
    _after(medians, [0.02] * 100)
    assert _after(medians, [5.0], start=1000.0) < 0.02 * 1.01


def test_an_hour_of_a_new_level_moves_it_by_a_tenth() -> None:
    medians = SlowMedians(2)
    _after(medians, [0.02] * 1000)
    found = _after(medians, [0.04] * 360, start=10_000.0)
    assert math.isclose(math.log(found / 0.02), STEP_PER_HOUR, rel_tol=0.1)


def test_no_value_is_no_news() -> None:
    medians = SlowMedians(2)
    before = _after(medians, [0.02] * 20)
    assert _after(medians, [math.nan, 0.0, -1.0]) == before


def test_a_level_from_before_a_restart_counts_at_once() -> None:
    medians = SlowMedians(2)
    medians.put(1, 0, 0.5, at=10.0)
    assert medians.level[1, 0] == np.exp(np.log(0.5))
    assert np.isnan(medians.level[0, 1])


def test_levels_follow_their_sites() -> None:
    medians = SlowMedians(2)
    medians.put(0, 1, 0.5, at=10.0)
    moved = medians.moved(np.array([-1, 1, 0]))
    assert np.isclose(moved.level[2, 1], 0.5)
    assert np.isnan(moved.level[0]).all()
