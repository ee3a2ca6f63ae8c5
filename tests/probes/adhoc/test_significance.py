"""The tests of significance, against values worked out by hand."""

from __future__ import annotations

import pytest

from probes.adhoc.significance import apart, fisher, mann_whitney


def test_three_values_above_three_others() -> None:
    # Ranks now 4 + 5 + 6 = 15, 10.5 expected; variance 9 · 7 / 12 = 5.25; z = (4.5 − 0.5) / √5.25 = 1.7457.
    verdict = mann_whitney([1, 2, 3], [4, 5, 6])
    assert (verdict.rise, verdict.more_than_noise) == (4.5, False)
    assert verdict.p == pytest.approx(0.0809, abs=1e-4)


def test_ties_share_their_ranks_and_lessen_the_variance() -> None:
    # Three ones have rank 2, the two has 4: now 6, 5 expected. Variance 4/12 · (5 − 24/12) = 1; z = 0.5.
    verdict = mann_whitney([1, 1], [1, 2])
    assert verdict.rise == 1.0
    assert verdict.p == pytest.approx(0.6171, abs=1e-4)


def test_equal_values_differ_by_nothing() -> None:
    assert mann_whitney([2.0, 2.0], [2.0]).p == 1.0
    assert mann_whitney([1, 2, 3, 4], [1, 2, 3, 4]).p == 1.0


def test_neighbours_that_are_alike_count_for_less() -> None:
    # Now 26, 18 expected; variance 16 · 9 / 12 = 12, z = 7.5 / √12 = 2.165.
    assert mann_whitney([2, 4, 1, 3], [6, 8, 5, 7]).p == pytest.approx(0.0304, abs=1e-4)
    # In order: (0.75 − 0.25 + 0.75) / 5 = 0.25 of correlation, variance 12 · 1.25 / 0.75 = 20, z = 1.677.
    assert mann_whitney([1, 2, 3, 4], [5, 6, 7, 8]).p == pytest.approx(0.0935, abs=1e-4)


def test_values_without_any_spread_of_their_own_can_differ() -> None:
    assert mann_whitney([1.0] * 10, [2.0] * 10).more_than_noise


def test_twenty_lower_values_are_more_than_noise() -> None:
    verdict = mann_whitney([7 * n % 20 + 100 for n in range(20)], [7 * n % 20 for n in range(20)])
    assert verdict.rise == -200
    assert verdict.more_than_noise


def test_losing_all_instead_of_none() -> None:
    # Of the C(10, 5) = 252 ways to lose 5 of 10, two are as extreme.
    verdict = fisher(0, 5, 5, 5)
    assert (verdict.rise, verdict.more_than_noise) == (1.0, True)
    assert verdict.p == pytest.approx(2 / 252)


def test_a_share_that_could_be_chance_is_noise() -> None:
    # One loss among 4 probes: it had to be in one of the two halves.
    assert fisher(0, 2, 1, 2).p == pytest.approx(1.0)
    assert fisher(3, 50, 3, 50).more_than_noise is False
    assert fisher(0, 50, 0, 50).p == pytest.approx(1.0)
    assert fisher(10, 50, 0, 50).rise == -0.2


def test_of_many_losses_the_normal_approximation() -> None:
    # Shares 0.50 and 0.51 of 10,000 each: √(0.505 · 0.495 · 2 / 10,000) = 0.0070707, z = 1.4143.
    assert fisher(5000, 10_000, 5100, 10_000).p == pytest.approx(0.1573, abs=1e-4)
    assert fisher(5000, 10_000, 4500, 10_000).more_than_noise


def test_the_approximation_agrees_with_the_exact_test() -> None:
    assert fisher(990, 10_000, 1010, 10_000).p == pytest.approx(0.65, abs=0.02)
    assert fisher(991, 10_000, 1011, 10_000).p == pytest.approx(0.64, abs=0.02)


def test_intervals_that_touch_are_not_apart() -> None:
    assert apart((1, 2), (2, 3)).more_than_noise is False
    assert (apart((1, 2), (2.1, 3)).rise > 0, apart((1, 2), (2.1, 3)).more_than_noise) == (True, True)
    assert (apart((2.1, 3), (1, 2)).rise < 0, apart((2.1, 3), (1, 2)).more_than_noise) == (True, True)
