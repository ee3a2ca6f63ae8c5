"""A bank of forecasts. Rows come every second."""

from __future__ import annotations

import random

import numpy as np
import pytest

from collector.linkstate.expectations import Forecast, SeriesKind
from collector.linkstate.forecast_bank import ForecastBank

KIND = SeriesKind(step_s=1.0, memory_s=100.0)
Row = tuple[int, float, float]


def bank_of(count: int, rows: list[Row], kind: SeriesKind = KIND) -> ForecastBank:
    bank = ForecastBank(count, kind)
    for series, at, value in rows:
        bank.observe(np.array([series]), at, [value])
    return bank


def steady(count: int = 20, frames: int = 40, seed: int = 3) -> list[Row]:
    chance = random.Random(seed)
    return [(one, float(at), chance.gauss(10.0, 1.0)) for at in range(frames) for one in range(count)]


def assert_same(one: Forecast, other: Forecast) -> None:
    for name in ("p10", "p50", "p90", "mean", "samples", "age_s", "reverts"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6)


def test_nothing_is_said_before_the_first_row() -> None:
    said = ForecastBank(2, KIND).forecast(5.0)
    assert np.isnan([said.p10, said.p50, said.p90, said.age_s]).all()
    assert said.samples.tolist() == [0, 0]


def test_the_first_row_is_expected_again_within_the_usual_error() -> None:
    said = bank_of(1, [(0, 1.0, 8.0)]).forecast(1.0)
    assert said.p50.tolist() == [8.0]
    # 3 % of 8 is 0.24, and a normal error is within 1.3 times its size in four cases of five.
    assert said.p90[0] - 8.0 == pytest.approx(8.0 - said.p10[0]) == pytest.approx(0.24 * 1.3, rel=0.05)
    assert (said.samples.tolist(), said.age_s.tolist()) == ([1], [0.0])


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_what_is_not_above_zero_is_no_measurement(value: float) -> None:
    assert bank_of(1, [(0, 1.0, value)]).forecast(1.0).samples.tolist() == [0]


def test_where_spikes_are_usual_the_next_one_moves_no_forecast() -> None:
    rows = [(one, float(at), 500.0 if (at + one) % 7 == 0 else value) for one, at, value in steady(frames=30)]
    said = bank_of(20, rows).forecast(30.5)
    assert np.abs(said.p50 - 10.0).max() < 2.0


def test_a_held_value_that_steps_is_followed_at_once() -> None:
    rows = [(0, float(at), 10.0 + 5 * (at // 10)) for at in range(31)]
    said = bank_of(1, rows).forecast(30.0)
    assert said.p50.tolist() == [25.0]


def test_four_of_five_outcomes_of_a_noisy_series_are_inside() -> None:
    chance = np.random.default_rng(1)
    bank, everyone, inside = ForecastBank(200, KIND), np.arange(200), []
    for at in range(40):
        frame = chance.lognormal(3.0, 0.2, 200)
        said = bank.forecast(float(at))
        inside.append((said.p10 <= frame) & (frame <= said.p90))
        bank.observe(everyone, float(at), frame)
    assert 0.77 < np.mean(inside[2:]) < 0.83


def test_a_new_series_in_a_known_bank_gets_the_others_error() -> None:
    rows = [*steady(frames=20), (20, 19.0, 10.0), (20, 20.0, 10.0)]
    said = bank_of(21, rows).forecast(20.5)
    # The others vary by a standard deviation of 1, which makes four of five outcomes 2.6 wide; its own error is 0.
    assert 1.0 < said.p90[20] - said.p10[20] < 4.5


def test_logarithms_forecast_the_geometric_middle() -> None:
    kind = SeriesKind(step_s=1.0, memory_s=100.0, log=True)
    said = bank_of(1, [(0, 1.0, 1e8), (0, 2.0, 1e6)], kind).forecast(2.0)
    assert said.p50[0] == pytest.approx(1e7, rel=1e-5)
    assert said.p10[0] > 0


def test_an_interval_grows_with_the_age_and_never_below_zero() -> None:
    bank = bank_of(1, [(0, 0.0, 10.0), (0, 1.0, 11.0), (0, 2.0, 10.0)])
    fresh, old, older = (bank.forecast(2.0 + age) for age in (1.0, 16.0, 1e9))
    width = fresh.p90 - fresh.p10
    # Sixteen steps: twice as wide, by the fourth root.
    assert old.p90 - old.p10 == pytest.approx(2 * width)
    assert old.p50 == fresh.p50
    assert older.p10.tolist() == [0.0]


def test_one_series_is_told_as_among_all() -> None:
    bank = bank_of(20, steady())
    every, one = bank.forecast(40.0), bank.forecast(40.0, slice(7, 8))
    assert (one.p10[0], one.p50[0], one.age_s[0]) == (every.p10[7], every.p50[7], every.age_s[7])


def test_the_order_of_arrival_does_not_matter() -> None:
    rows = steady(count=3, frames=50)
    expected = bank_of(3, rows).forecast(50.0)
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        assert_same(bank_of(3, rows).forecast(50.0), expected)


def test_two_rows_of_a_series_in_one_report_both_count() -> None:
    bank = ForecastBank(1, KIND)
    bank.observe(np.array([0, 0]), 1.0, [4.0, 6.0])
    assert bank.forecast(1.0).samples.tolist() == [2]


def test_how_often_one_asks_does_not_matter() -> None:
    asked = ForecastBank(20, KIND)
    for series, at, value in steady():
        asked.observe(np.array([series]), at, [value])
        if series == 19:  # all rows of this time are in
            asked.forecast(at + 0.25)
    assert_same(asked.forecast(40.5), bank_of(20, steady()).forecast(40.5))


def test_a_late_row_costs_its_series_alone_until_the_next_pool() -> None:
    rows = steady(frames=12)
    bank = bank_of(20, rows[:-1])
    before = bank.forecast(12.5)
    series, at, value = rows[-1]
    bank.observe(np.array([series]), at, [value])
    late, whole = bank.forecast(12.5), bank_of(20, rows).forecast(12.5)
    others = np.arange(20) != series
    assert late.samples.tolist() == whole.samples.tolist()
    assert late.age_s[series] == before.age_s[series] - 1.0 == 1.5
    np.testing.assert_array_equal(late.p90[others], before.p90[others])
    assert_same(bank.forecast(24.0), bank_of(20, rows).forecast(24.0))


def test_an_old_bank_makes_its_pool_every_twelve_steps_and_a_young_one_every_step() -> None:
    rows = steady(frames=40)
    old, young = bank_of(20, rows), bank_of(20, [row for row in rows if row[1] > 30])
    pools = []
    for now in (40.5, 41.5, 47.9, 48.0):
        for bank in (old, young):
            bank.forecast(now)
        pools.append((old._pool_at, young._pool_at))
    assert pools == [(36.0, 40.0), (36.0, 41.0), (36.0, 47.0), (48.0, 48.0)]


def test_a_refresh_in_parts_ends_where_a_whole_one_does() -> None:
    rows = [(one, float(at), 10.0 + (one * at) % 7) for at in range(4) for one in range(1200)]
    parts, whole = bank_of(1200, rows), bank_of(1200, rows)
    more = [parts.refresh_some(4.5) for _ in range(4)]
    assert more == [True, True, False, False]
    assert_same(parts.forecast(4.5), whole.forecast(4.5))


def test_rows_beyond_the_horizon_change_nothing() -> None:
    kind = SeriesKind(step_s=1.0, memory_s=10.0)
    rows = steady(frames=60)
    bank = bank_of(20, rows, kind)
    rebuilt = bank_of(20, [row for row in rows if row[1] >= 59.5 - bank.horizon_s(10.0)], kind)
    assert bank.horizon_s(10.0) == 44.0
    assert_same(rebuilt.forecast(59.5), bank.forecast(59.5))


def test_the_horizon_of_what_lasts_longer_than_the_memory_has_the_memory_before_it() -> None:
    kind = SeriesKind(step_s=1.0, memory_s=10.0)
    rows = [row for row in steady(frames=60) if row[0] or row[1] < 21.0]  # one series had its last row long ago
    bank = bank_of(20, rows, kind)
    assert bank.horizon_s(40.0) == 50.0
    rebuilt = bank_of(20, [row for row in rows if row[1] >= 59.5 - bank.horizon_s(40.0)], kind)
    assert rebuilt.forecast(59.5).samples[0] == bank.forecast(59.5).samples[0] > 1
    assert_same(rebuilt.forecast(59.5), bank.forecast(59.5))


def test_a_row_older_than_all_that_is_remembered_is_left_out() -> None:
    rows = [(0, float(at), 10.0 + at % 3) for at in range(1, 60)]
    assert_same(bank_of(1, [*rows, (0, 0.0, 99.0)]).forecast(60.0), bank_of(1, rows).forecast(60.0))


def test_series_that_move_keep_their_rows() -> None:
    bank = bank_of(20, steady())
    moved = bank.moved(np.array([7, 8]), np.array([1, 0]), 2, SeriesKind(step_s=1.0, memory_s=100.0))
    assert moved.newest().tolist() == [39.0, 39.0]
    assert ForecastBank(1, KIND).newest().tolist() == [-np.inf]
    assert moved.forecast(40.0).samples.tolist() == [32, 32]


def test_what_every_forecaster_says_is_told_for_comparison() -> None:
    said = bank_of(2, [(0, 1.0, 4.0), (0, 2.0, 6.0)], SeriesKind(step_s=1.0, memory_s=9.0, log=True)).every()
    assert said[3, 0] == pytest.approx(6.0)
    assert np.isnan(said[:, 1]).all()


def test_series_that_never_err_have_hardly_any_width() -> None:
    said = bank_of(12, [(one, float(at), 5.0) for at in range(40) for one in range(12)]).forecast(40.0)
    assert said.p50.tolist() == [5.0] * 12
    assert (said.p90 - said.p10).max() < 0.01


def test_one_series_that_has_not_erred_yet_is_not_certain() -> None:
    said = bank_of(1, [(0, 1.0, 8.0), (0, 2.0, 8.0)]).forecast(2.0)
    assert 7.5 < said.p10[0] < 7.99
    assert 8.01 < said.p90[0] < 8.5


def test_values_that_stay_until_they_move_do_not_revert() -> None:
    held = [(one, float(at), 10.0 + one + at // 8) for at in range(40) for one in range(20)]
    said = bank_of(20, held).forecast(39.0)
    assert said.reverts.tolist() == [0.0] * 20
    assert said.p50.tolist() == [14.0 + one for one in range(20)]


def test_values_that_vary_about_a_level_revert() -> None:
    assert bank_of(20, steady()).forecast(39.0).reverts.min() > 0.3


def test_the_mean_counts_spikes_which_the_median_hides_and_one_value_less_than_the_next() -> None:
    said = bank_of(1, [(0, float(at), value) for at, value in enumerate([8.0, 8.0, 80.0])]).forecast(2.0)
    assert said.mean[0] == pytest.approx((0.85**2 * 8 + 0.85 * 8 + 80) / (0.85**2 + 0.85 + 1))


def test_the_third_row_is_the_first_that_can_revert() -> None:
    rows = [(0, 0.0, 8.0), (0, 1.0, 10.0), (0, 2.0, 9.0), (0, 3.0, 6.0)]
    assert np.isnan(bank_of(1, rows[:2]).forecast(2.0).reverts[0])
    assert bank_of(1, rows[:3]).forecast(2.0).reverts[0] == 1.0  # 9 is nearer to some 9.1 than to 10
    assert bank_of(1, rows).forecast(3.0).reverts[0] == 0.5  # and 6 to 9 than to some 9.1
