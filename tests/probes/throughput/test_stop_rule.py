from __future__ import annotations

from math import sqrt

import pytest

from probes.throughput.iperf3_output import Interval
from probes.throughput.stop_rule import SteadyGoodput, StopRule, converged, estimate, over_10_s, t_95


def tenths(*rates: float) -> list[Interval]:
    return [Interval(number / 10, (number + 1) / 10, rate) for number, rate in enumerate(rates)]


def test_goodput_is_the_mean_after_slow_start_with_its_t_interval() -> None:
    found = estimate(tenths(10, 20, 40, 80, 90, 95, 85))
    # Steady: 90, 95, 85. Mean 90, standard deviation 5, t(2) = 4.303.
    half_width = 4.303 * 5 / sqrt(3)
    assert found is not None
    assert found.goodput_bps == 90
    assert found.low_bps == pytest.approx(90 - half_width)
    assert found.high_bps == pytest.approx(90 + half_width)
    assert found.steady == (90, 95, 85)
    assert found.filled


def test_a_pipe_that_never_filled_is_judged_by_its_second_half() -> None:
    found = estimate(tenths(10, 20, 40, 80))
    assert found is not None
    assert (found.goodput_bps, found.steady, found.filled) == (60, (40, 80), False)


def test_the_interval_never_goes_below_zero() -> None:
    found = estimate(tenths(100, 1, 100, 1))
    assert found is not None
    assert found.low_bps == 0


def test_one_interval_is_an_estimate_without_bounds() -> None:
    assert estimate(tenths(7.0)) == SteadyGoodput(7.0, None, None, (7.0,), filled=False)


def test_the_fragment_that_an_interrupt_leaves_is_not_counted() -> None:
    found = estimate([*tenths(100, 100, 100, 100), Interval(0.4, 0.41, 1.0)])
    assert found is not None
    assert (found.goodput_bps, found.steady) == (100, (100, 100, 100))


def test_an_interval_that_a_busy_host_drew_out_does_not_make_fragments_of_the_others() -> None:
    drawn_out = [Interval(0.0, 0.3, 90), *(Interval(n / 10, (n + 1) / 10, rate) for n, rate in ((3, 95), (4, 85)))]
    found = estimate(drawn_out)
    assert found is not None
    assert found.steady == (95, 85)


@pytest.mark.parametrize("intervals", [[], [Interval(3.0, 3.0, 5.0)]], ids=["none", "one of no length"])
def test_nothing_is_estimated_from_nothing(intervals: list[Interval]) -> None:
    assert estimate(intervals) is None


@pytest.mark.parametrize(("degrees", "value"), [(1, 12.706), (10, 2.228), (30, 2.042), (40, 2.021), (120, 1.980)])
def test_student_t_is_the_one_of_the_books(degrees: int, value: float) -> None:
    assert t_95(degrees) == pytest.approx(value, rel=2e-3)


RAMP = (10.0, 20.0, 40.0)
# Three samples of at least 8 fill the pipe; the steady part begins with the first of them.
RULE = StopRule(3.0, until_converged=True)


def stops(*rates: float) -> bool:
    found = estimate(tenths(*rates))
    assert found is not None
    return converged(found)


def test_eight_equal_samples_of_a_full_pipe_are_enough_and_seven_are_not() -> None:
    # 80 still grows by a quarter and more: it is the last of slow start.
    assert not stops(*RAMP, 80, *[80] * 7)
    assert stops(*RAMP, 80, *[80] * 8)


def test_a_pipe_that_never_filled_has_not_converged_however_long_it_took() -> None:
    assert not stops(*[1.3**number for number in range(30)])


def test_samples_that_lie_too_far_apart_go_on() -> None:
    # Mean 100, standard deviation 8·√(8/7) = 8.55; t(7) = 2.365: half-width 2.365 · 8.55 / √8 = 7.15, above 5.
    assert not stops(100, *[108, 92] * 4)
    # A quarter of that is 1.79.
    assert stops(100, *[102, 98] * 4)


def test_the_half_width_must_be_below_five_per_cent_not_at_most() -> None:
    # Both halves have the mean 100. ±5.58 makes 2.365 · 5.58 · √(8/7) / √8 = 4.99, ±5.60 makes 5.01.
    assert stops(100, *[105.58, 94.42] * 4)
    assert not stops(100, *[105.60, 94.40] * 4)


def test_a_drift_between_the_halves_goes_on_although_the_interval_is_narrow() -> None:
    # Halves of 12: means 97.4 and 102.6 differ by 5.2 % of 100; the half-width is 2.069 · 2.66 / √24 = 1.12.
    assert not stops(97.4, *[97.4] * 12, *[102.6] * 12)
    # 97.6 and 102.4 differ by 4.8 %.
    assert stops(97.6, *[97.6] * 12, *[102.4] * 12)


# As recorded at 50 Mbit/s, in Mbit/s: slow start, a lost segment, and a path that carries 50 all the time.
AT_80_MS = (11, 15, 21, 34, 49, 44, 0, 29, 74, 101, 49, 50, 49, 50)
AT_300_MS = (
    *(5, 0, 1, 6, 0, 0, 12, 0, 0, 16, 13, 0, 18, 14, 0, 39, 50, 1, 42, 50, 32),
    *(0, 0, 0, 28, 126, 54, 51, 142, 0, 0, 0, 24, 238, 50, 48),
)


@pytest.mark.parametrize(("rates", "rtt_s", "stopped_at"), [(AT_80_MS, 0.08, 13), (AT_300_MS, 0.3, 34)])
def test_what_comes_late_behind_a_lost_segment_is_no_variation(
    rates: tuple[float, ...], rtt_s: float, stopped_at: int
) -> None:
    rule = StopRule(10.0, until_converged=True, rtt_s=rtt_s)
    verdicts = [rule.verdict(tenths(*rates[:count])) for count in range(len(rates) + 1)]
    assert verdicts.index("converged") == stopped_at
    found = estimate(tenths(*rates[:stopped_at]), rtt_s)
    assert found is not None
    assert found.goodput_bps == pytest.approx(50, rel=0.05)


# The same path by what arrived, in order or not, with cubic and with BBR.
ARRIVED = (
    (5, 0, 0, 7, 0, 0, 12, 6, 0, 13, 6, 0, 26, 26, 0, 39, 50, 17, 42, 49, 50, 50, 50, 50, 50, 49),
    (5, 0, 1, 6, 0, 0, 9, 6, 3, 8, 7, 3, 16, 17, 17, 19, 28, 37, 46, 49, 50, 50, 49, 50, 50, 49),
)


@pytest.mark.parametrize(("rates", "stopped_at"), [(ARRIVED[0], 24), (ARRIVED[1], 23)])
def test_a_long_path_needs_one_and_a_half_round_trips_at_its_level(rates: tuple[float, ...], stopped_at: int) -> None:
    rule = StopRule(10.0, until_converged=True, rtt_s=0.3)
    verdicts = [rule.verdict(tenths(*rates[:count])) for count in range(len(rates) + 1)]
    assert verdicts.index("converged") == stopped_at
    found = estimate(tenths(*rates[:stopped_at]), 0.3)
    assert found is not None
    assert found.goodput_bps == pytest.approx(50, rel=0.03)
    assert len(found.steady) == 5


def test_a_level_that_comes_after_a_full_pipe_does_not_forget_what_was_before() -> None:
    # The first round trip is the last that grew.
    found = estimate(tenths(*[100, 50, 60] * 5, *[100] * 6), 0.3)
    assert found is not None
    assert (len(found.steady), found.level) == (18, False)


def test_what_arrives_counts_where_a_test_stops_early_over_a_long_path() -> None:
    assert StopRule(3.0, until_converged=True, rtt_s=0.3).counts_arrivals
    assert not StopRule(3.0, rtt_s=0.3).counts_arrivals
    assert not StopRule(3.0, until_converged=True, rtt_s=0.1).counts_arrivals
    assert not StopRule(3.0, until_converged=True).counts_arrivals


def test_a_test_does_not_stop_in_the_middle_of_a_stall() -> None:
    assert stops(100, *[100] * 12)
    assert not stops(100, *[100] * 12, 0)
    assert stops(100, *[100] * 12, 0, 200)


def test_nothing_was_seen_is_no_reason_to_stop() -> None:
    assert StopRule(0.5, until_converged=True, max_bytes=1).verdict([]) is None


def test_a_test_that_has_converged_stops_before_its_time() -> None:
    assert RULE.verdict(tenths(*RAMP, 80, *[80] * 7)) is None
    assert RULE.verdict(tenths(*RAMP, 80, *[80] * 8)) == "converged"
    assert StopRule(3.0).verdict(tenths(*RAMP, 80, *[80] * 8)) is None


def test_whole_seconds_are_left_to_iperf3_and_a_fraction_is_ours_to_end() -> None:
    assert StopRule(1.0).verdict(tenths(*range(1, 11))) is None
    assert StopRule(0.5).verdict(tenths(1, 2, 3, 4)) is None
    assert StopRule(0.5).verdict(tenths(1, 2, 3, 4, 5)) == "time"


def test_with_a_limit_in_bytes_iperf3_does_not_end_by_time() -> None:
    rule = StopRule(1.0, max_bytes=10**9)
    assert rule.verdict(tenths(*range(1, 10))) is None
    assert rule.verdict(tenths(*range(1, 11))) == "time"
    assert (rule.ends_itself, StopRule(1.0).ends_itself) == ("bytes", "time")


@pytest.mark.parametrize(
    ("limit", "blocks"), [(None, None), (1_000_000, 7 * 131_072), (131_072, 131_072), (5, 131_072)]
)
def test_a_limit_in_bytes_is_whole_blocks_never_above_it_but_for_the_first(limit: int | None, blocks: int) -> None:
    assert StopRule(1.0, max_bytes=limit).blocks_bytes == blocks


def test_a_test_of_ten_seconds_is_foretold_from_its_beginning() -> None:
    # 50 Mbit in the first second, slow start and all, and nine more at 100 Mbit/s: 950 Mbit in 10 s.
    assert over_10_s(100e6, 6_250_000, 1.0) == 95e6
    # A longer test needs no foretelling: 2 400 Mbit in 20 s.
    assert over_10_s(100e6, 300_000_000, 20.0) == 120e6
