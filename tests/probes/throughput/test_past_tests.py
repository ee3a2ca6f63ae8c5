from __future__ import annotations

import pytest

from linkweather.wire import ThroughputRow
from probes.throughput.past_tests import REMEMBERED, LinkHistory


def row(low: float, mean: float, high: float, over_10_s: float | None = None) -> ThroughputRow:
    return ThroughputRow(
        src="a",
        dst="b",
        method="iperf3",
        goodput_bps=mean,
        goodput_low_bps=low,
        goodput_high_bps=high,
        goodput_10s_bps=over_10_s,
    )


def after(*rows: ThroughputRow) -> tuple[float | None, float | None]:
    """The interval that the last row states."""
    history = LinkHistory()
    for each in rows:
        history = history.after(0.0, each, block=1, quiet_factor=6)
    stated = history.stated(rows[-1])
    assert stated.goodput_bps == rows[-1].goodput_bps
    return stated.goodput_low_bps, stated.goodput_high_bps


def test_the_first_test_of_a_link_leaves_room_for_what_it_cannot_have_seen() -> None:
    assert after(row(98, 100, 105)) == pytest.approx((98 / 1.5, 105 * 1.5))


def test_tests_that_agree_narrow_the_interval_by_their_number() -> None:
    assert after(*[row(100, 100, 100)] * 2) == pytest.approx((75, 400 / 3))
    assert after(*[row(100, 100, 100)] * 8) == pytest.approx((100 / (1 + 1 / 9), 100 * (1 + 1 / 9)))
    assert after(*[row(100, 100, 100)] * 20) == pytest.approx((100 / (1 + 1 / 9), 100 * (1 + 1 / 9)))


def test_the_interval_holds_what_earlier_tests_of_the_link_found() -> None:
    # Three tests: a quarter more than what they span.
    assert after(row(48, 50, 52), row(118, 120, 122), row(99, 100, 101)) == pytest.approx((48 / 1.25, 122 * 1.25))


def test_what_lies_long_back_is_forgotten_and_the_interval_narrows_again() -> None:
    steady = [row(99, 100, 101)] * (REMEMBERED - 1)
    assert after(row(48, 50, 52), *steady) == pytest.approx((48 / (1 + 1 / 9), 101 * (1 + 1 / 9)))
    assert after(row(48, 50, 52), *steady, steady[0]) == pytest.approx((99 / (1 + 1 / 9), 101 * (1 + 1 / 9)))


def test_a_figure_without_an_interval_is_a_span_of_its_own_and_holds_the_ten_second_equivalent() -> None:
    alone = ThroughputRow(src="a", dst="b", method="iperf3", goodput_bps=100.0, goodput_10s_bps=90.0)
    assert after(alone) == pytest.approx((90 / 1.5, 150))


def test_a_failed_test_states_nothing_and_teaches_nothing() -> None:
    failed = ThroughputRow(src="a", dst="b", method="iperf3", failure="refused")
    assert LinkHistory().after(0.0, failed, block=1, quiet_factor=6).stated(failed) is failed
    assert after(failed, row(100, 100, 100)) == pytest.approx((100 / 1.5, 150))
