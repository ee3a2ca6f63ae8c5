"""Statistics against values worked out by hand."""

from __future__ import annotations

import pytest

from probes.latency.statistics import Jitter, summary


def test_summary_of_five_values() -> None:
    # p95: position 0.95·4 = 3.8, so 4 + 0.8·(10 − 4); p99: 3.96. Deviations −3 −2 −1 0 6: squares sum to 50, / 4.
    assert summary([3, 1, 10, 2, 4]) == pytest.approx((1, 4, 3, 8.8, 9.76, 10, 12.5**0.5))


def test_one_value_has_no_deviation() -> None:
    assert summary([0.5]) == (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, None)


def test_equal_values_have_equal_quantiles() -> None:
    assert set(summary([0.1] * 7)[:6]) == {0.1}


def test_jitter_takes_a_sixteenth_of_each_difference() -> None:
    jitter = Jitter()
    assert jitter.add([1.0]) is None
    assert jitter.add([17.0]) == 1.0  # 0 + (16 − 0) / 16
    assert jitter.add([17.0]) == 0.9375  # 1 + (0 − 1) / 16
    assert jitter.add([]) == 0.9375
