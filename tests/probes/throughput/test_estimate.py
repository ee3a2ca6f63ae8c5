from __future__ import annotations

from math import sqrt

import pytest

from probes.throughput.estimate import Estimate, estimate, pipe_full, t_95
from probes.throughput.iperf3_output import Interval


def tenths(*rates: float) -> list[Interval]:
    return [Interval(number / 10, (number + 1) / 10, rate) for number, rate in enumerate(rates)]


def test_the_pipe_is_full_at_the_first_of_three_intervals_without_growth() -> None:
    #              start  ×2  ×2  ×2  <25 % <25 % <25 %
    assert pipe_full([10, 20, 40, 80, 90, 95, 85]) == 4
    # Growth is counted against the highest so far: a dip and its recovery are none.
    assert pipe_full([100, 50, 100, 90]) == 1


def test_growth_in_between_starts_the_count_again() -> None:
    assert pipe_full([10, 11, 12, 20, 21, 22, 20, 21]) == 4


def test_a_pipe_that_keeps_growing_is_never_full() -> None:
    assert pipe_full([10, 20, 40, 80]) is None
    assert pipe_full([]) is None


def test_silence_before_the_first_byte_is_no_full_pipe() -> None:
    assert pipe_full([0, 0, 0, 0, 10]) is None
    assert pipe_full([0, 0, 0, 0, 10, 10, 10, 10]) == 5


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
    assert estimate(tenths(7.0)) == Estimate(7.0, None, None, (7.0,), filled=False)


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
