"""How long several transfers to one place take together."""

from __future__ import annotations

import math
import random

import pytest

from collector.placement.staging import NOTHING, Spread, latest, together


def test_nothing_to_move_takes_no_time() -> None:
    assert together([]) == NOTHING == Spread(0.0, 0.0)


def test_one_transfer_takes_its_own_time() -> None:
    assert together([(("a", "b"), Spread(10.0, 20.0))]) == Spread(10.0, 20.0)


def test_transfers_over_the_same_link_take_turns() -> None:
    # Both come through x: 10 + 4 on x → z, while a → x takes 10 and b → x 4.
    assert together([(("a", "x", "z"), Spread(10.0, 12.0)), (("b", "x", "z"), Spread(4.0, 5.0))]) == Spread(14.0, 17.0)


def test_links_in_opposite_directions_are_not_shared() -> None:
    found = together([(("a", "b", "z"), Spread(10.0, 10.0)), (("b", "a", "y"), Spread(4.0, 4.0))])
    assert found == Spread(10.0, 10.0)


def test_a_transfer_that_shares_with_two_groups_joins_them() -> None:
    # b and c share y → z (4 + 3), a has x → z for itself (10); the last one joins them by x → z: 10 + 1.
    paths = [(("a", "x", "z"), Spread(10, 10)), (("b", "y", "z"), Spread(4, 4)), (("c", "y", "z"), Spread(3, 3))]
    assert together(paths) == Spread(10.0, 10.0)
    joined = [*paths, (("x", "z", "b", "y"), Spread(1, 1))]
    assert together(joined) == Spread(11.0, 11.0)


def test_independent_exact_times_take_as_long_as_the_longest() -> None:
    assert latest([Spread(10.0, 10.0), Spread(7.0, 7.0), NOTHING]) == Spread(10.0, 10.0)


def test_an_exact_time_is_a_floor_under_an_uncertain_one() -> None:
    found = latest([Spread(10.0, 10.0), Spread(9.0, 20.0)])
    assert [found.p50_s, found.p90_s] == pytest.approx([10.0, 20.0])


def test_two_equal_independent_times_are_rarely_both_short() -> None:
    # P(both ≤ t) = 0.5 where each is at its √0.5 quantile, 0.9 at its √0.9 quantile: z = 0.5450 and 1.6322.
    sigma = math.log(2) / 1.2815516
    found = latest([Spread(10.0, 20.0), Spread(10.0, 20.0)])
    assert found.p50_s == pytest.approx(10 * math.exp(0.54495 * sigma), rel=1e-4)
    assert found.p90_s == pytest.approx(10 * math.exp(1.63220 * sigma), rel=1e-4)


def test_the_latest_of_unequal_times_as_drawn_at_random() -> None:
    times = [Spread(10.0, 30.0), Spread(12.0, 18.0), Spread(3.0, 4.0)]
    chance = random.Random(1)
    drawn = sorted(max(time.p50_s * math.exp(time.sigma * chance.gauss()) for time in times) for _ in range(40_000))
    found = latest(times)
    assert found.p50_s == pytest.approx(drawn[20_000], rel=0.02)
    assert found.p90_s == pytest.approx(drawn[36_000], rel=0.02)
