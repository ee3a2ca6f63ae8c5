from __future__ import annotations

import pytest

from probes.throughput.slow_start import level_from, pipe_full, settled


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


def test_on_a_long_path_growth_is_counted_from_round_trip_to_round_trip() -> None:
    # Bursts and pauses: means of 10, 20, 40, 50, 50 and 50.
    rates = [30, 0, 0, 60, 0, 0, 120, 0, 0, 150, 0, 0, 150, 0, 0, 150, 0, 0]
    assert pipe_full(rates, 3) is None  # growth by a quarter is growth
    assert pipe_full([*rates, 150, 0, 0], 3) == 12
    assert pipe_full(rates) == 1


def test_one_and_a_half_round_trips_without_a_pause_or_growth_fill_a_long_path() -> None:
    paced = [20, 25, 31, 40, 50, 63, 79, 95, 100, 86, 100, 100]
    assert level_from(paced, 3) == 7
    assert level_from(paced[:11], 3) is None
    # 6 rates make one and a half round trips of four; five are the least of shorter ones.
    assert (level_from([100] * 6, 4), level_from([100] * 5, 4)) == (0, None)
    assert (level_from([100] * 5, 2), level_from([100] * 4, 2)) == (0, None)
    assert level_from([100] * 20, 1) is None


def test_neither_silence_nor_bursts_are_level() -> None:
    assert level_from([0] * 6, 3) is None
    assert level_from([100, 100, 84] * 3, 3) is None


def test_a_burst_behind_a_lost_segment_is_no_growth() -> None:
    # 0 and 200 are 100 each.
    assert pipe_full([50, 100, 0, 200, 100]) == 2
    # The stall is made up for, and then the rate grows: not full yet.
    assert pipe_full([50, 100, 0, 200, 130, 130, 130]) is None
    assert pipe_full([50, 100, 0, 200, 130, 130, 130, 130]) == 5


@pytest.mark.parametrize(
    ("rates", "found", "waiting"),
    [
        ((100, 98, 102), (100, 98, 102), ()),
        # 84 is below the level by more than a seventh, 86 is not.
        ((100, 86, 100), (100, 86, 100), ()),
        ((100, 84, 116, 100), (100, 100, 100, 100), ()),
        # It has come to nine tenths of the level, and no rate above it follows.
        ((100, 0, 180), (100, 90, 90), ()),
        ((100, 0, 180, 120, 100), (100, 100, 100, 100, 100), ()),
        # Still below: what follows may come late.
        ((100, 0, 170), (100,), (0, 170)),
        ((), (), ()),
    ],
)
def test_the_mean_of_a_stall_and_its_burst_stands_for_both(
    rates: tuple[float, ...], found: tuple[float, ...], waiting: tuple[float, ...]
) -> None:
    assert settled((100.0, *rates), 1) == (list(found), list(waiting))


def test_a_stall_that_losses_do_not_explain_is_the_paths_own() -> None:
    # Seven rates are the longest stall of a short path; then they stand as they are.
    uneven = [0, 120, 0, 120, 0, 120, 0, 120, 0]
    assert settled((100.0, 100, *uneven[:8]), 1) == ([100], uneven[:8])
    assert settled((100.0, 100, *uneven), 1) == ([100, *uneven[:8], 0][:9], [0])
    # Over three intervals of RTT it may take 15.
    assert settled((100.0, 100, 100, *uneven, *uneven[1:7]), 3, 3) == ([], [*uneven, *uneven[1:7]])


def test_what_is_calm_for_three_round_trips_is_the_level() -> None:
    # The last rate of slow start was a burst: the path carries 200.
    assert settled((260.0, 50, 0, 200, 400, 200, 200), 1) == ([], [50, 0, 200, 400, 200, 200])
    assert settled((260.0, 50, 0, 200, 400, 200, 200, 350), 1) == ([200] * 7, [])
    # Another flow has come: it is the level from now on.
    assert settled((100.0, 100, 60, 60, 60), 1) == ([100], [60, 60, 60])
    assert settled((100.0, 100, 60, 60, 60, 60), 1) == ([100, 60, 60, 60, 60], [])
    # Silence is none.
    assert settled((100.0, 100, 0, 0, 0, 0), 1) == ([100], [0, 0, 0, 0])
