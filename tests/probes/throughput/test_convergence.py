from __future__ import annotations

import pytest

from probes.throughput.convergence import Rule, converged, over_10_s
from probes.throughput.estimate import estimate
from tests.probes.throughput.test_estimate import tenths

RAMP = (10.0, 20.0, 40.0)
# Three samples of at least 8 fill the pipe; the steady part begins with the first of them.
RULE = Rule(3.0, until_converged=True)


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


def test_nothing_was_seen_is_no_reason_to_stop() -> None:
    assert Rule(0.5, until_converged=True, max_bytes=1).verdict([]) is None


def test_a_test_that_has_converged_stops_before_its_time() -> None:
    assert RULE.verdict(tenths(*RAMP, 80, *[80] * 7)) is None
    assert RULE.verdict(tenths(*RAMP, 80, *[80] * 8)) == "converged"
    assert Rule(3.0).verdict(tenths(*RAMP, 80, *[80] * 8)) is None


def test_whole_seconds_are_left_to_iperf3_and_a_fraction_is_ours_to_end() -> None:
    assert Rule(1.0).verdict(tenths(*range(1, 11))) is None
    assert Rule(0.5).verdict(tenths(1, 2, 3, 4)) is None
    assert Rule(0.5).verdict(tenths(1, 2, 3, 4, 5)) == "time"


def test_with_a_limit_in_bytes_iperf3_does_not_end_by_time() -> None:
    rule = Rule(1.0, max_bytes=10**9)
    assert rule.verdict(tenths(*range(1, 10))) is None
    assert rule.verdict(tenths(*range(1, 11))) == "time"
    assert (rule.ends_itself, Rule(1.0).ends_itself) == ("bytes", "time")


@pytest.mark.parametrize(
    ("limit", "blocks"), [(None, None), (1_000_000, 7 * 131_072), (131_072, 131_072), (5, 131_072)]
)
def test_a_limit_in_bytes_is_whole_blocks_never_above_it_but_for_the_first(limit: int | None, blocks: int) -> None:
    assert Rule(1.0, max_bytes=limit).blocks_bytes == blocks


def test_a_test_of_ten_seconds_is_foretold_from_its_beginning() -> None:
    # 50 Mbit in the first second, slow start and all, and nine more at 100 Mbit/s: 950 Mbit in 10 s.
    assert over_10_s(100e6, 6_250_000, 1.0) == 95e6
    # A longer test needs no foretelling: 2 400 Mbit in 20 s.
    assert over_10_s(100e6, 300_000_000, 20.0) == 120e6
