"""Completion times worked out by hand, from round figures: a first round of 10,000 bytes, doubled each RTT."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.routing.transfer_time import (
    PACED_ROUNDS,
    RATE_ERROR_P90,
    START_ERROR_P90,
    Floats,
    TransferLeg,
    transfer_time,
)

# 100 ms, 8 Mbit/s: a pipe of 100,000 bytes, which the fifth window (160,000 bytes) fills.
STEADY = TransferLeg(rtt_p50_s=0.1, rtt_p90_s=0.1, goodput_p50_bps=8e6, goodput_p10_bps=8e6, mss_bytes=1000.0)
# 10 ms, 80 Mbit/s: the same pipe.
QUICK = replace(STEADY, rtt_p50_s=0.01, rtt_p90_s=0.01, goodput_p50_bps=80e6, goodput_p10_bps=80e6)
PACING_S = PACED_ROUNDS * (0.1 - 0.01)


def leg(**changes: Any) -> TransferLeg[float]:
    return replace(STEADY, **changes)


def p50(*legs: TransferLeg[float], size_bytes: float, **options: Any) -> float:
    return transfer_time(legs, size_bytes, **options).p50_s


def rule(start_s: float, all_s: float) -> float:
    """What the rule's own error adds to the p90."""
    return math.hypot(START_ERROR_P90 * start_s, RATE_ERROR_P90 * all_s)


def test_what_fits_into_the_first_round_takes_set_up_and_its_own_time() -> None:
    assert p50(STEADY, size_bytes=10_000) == pytest.approx(0.2 + 0.01)


def test_a_second_round_waits_for_the_first_to_be_acknowledged() -> None:
    # One round of 10,000 bytes, then 5,000 at 1 MB/s.
    assert p50(STEADY, size_bytes=15_000) == pytest.approx(0.2 + 0.1 + 0.005 + PACING_S)


def test_slow_start_ends_when_a_window_fills_the_pipe() -> None:
    # 10 + 20 + 40 + 80 kB in four rounds, for 160 kB would exceed the pipe's 100 kB; 850 kB remain.
    assert p50(STEADY, size_bytes=1_000_000) == pytest.approx(0.2 + 0.4 + 0.85 + PACING_S)


def test_a_pipe_that_the_first_window_fills_has_no_slow_start() -> None:
    assert p50(leg(rtt_p50_s=0.005, rtt_p90_s=0.005), size_bytes=1_000_000) == pytest.approx(0.01 + 1.0)


def test_large_segments_do_not_exceed_the_unscaled_first_window() -> None:
    assert p50(leg(mss_bytes=8948.0), size_bytes=65_535) == pytest.approx(0.2 + 0.065535)
    assert p50(leg(mss_bytes=8948.0), size_bytes=65_536) > 0.3


def test_streams_share_the_goodput_and_have_a_window_each() -> None:
    # 40 + 80 kB in two rounds, 880 kB remain.
    pacing_s = PACED_ROUNDS * (0.1 - 0.04)
    assert p50(STEADY, size_bytes=1_000_000, streams=4) == pytest.approx(0.2 + 0.2 + 0.88 + pacing_s)


def test_a_pipelined_relay_adds_set_ups_and_is_as_slow_as_its_slowest_leg() -> None:
    alone = p50(STEADY, size_bytes=1_000_000) - 0.2
    assert p50(STEADY, QUICK, size_bytes=1_000_000) == pytest.approx(0.2 + 0.02 + alone)
    assert p50(QUICK, STEADY, size_bytes=1_000_000) == pytest.approx(0.2 + 0.02 + alone)


def test_a_leg_before_a_slower_one_starts_only_as_far_as_that_takes() -> None:
    # 10 + 20 kB in two rounds, then a window fills the 40 kB of 0.1 s at 400 kB/s: 970 kB remain.
    narrow = replace(QUICK, goodput_p50_bps=3.2e6, goodput_p10_bps=3.2e6)
    pacing_s = PACED_ROUNDS * (0.1 - 0.025)
    assert p50(STEADY, narrow, size_bytes=1_000_000) == pytest.approx(0.2 + 0.02 + 0.2 + 0.97 / 0.4 + pacing_s)


def test_a_leg_behind_a_slower_one_catches_up_with_its_own_goodput() -> None:
    narrow = replace(QUICK, goodput_p50_bps=3.2e6, goodput_p10_bps=3.2e6)
    # 1 MB at 400 kB/s, in a pipe of 4 kB that the first window fills.
    assert p50(narrow, STEADY, size_bytes=1_000_000) == pytest.approx(0.2 + 0.02 + 2.5)


def test_a_stored_relay_takes_the_sum_of_its_legs() -> None:
    alone = p50(STEADY, size_bytes=1_000_000) + p50(QUICK, size_bytes=1_000_000)
    assert p50(STEADY, QUICK, size_bytes=1_000_000, relay="stored") == pytest.approx(alone)


def test_a_forwarded_path_is_one_connection_with_the_round_trip_of_all_its_legs() -> None:
    # 8 Mbit/s at 0.1 s and 80 Mbit/s at 0.01 s are a window of 100 kB each; over 0.11 s that gives 7.27 Mbit/s.
    alone = leg(rtt_p50_s=0.11, rtt_p90_s=0.11, goodput_p50_bps=8e5 / 0.11, goodput_p10_bps=8e5 / 0.11)
    found = p50(STEADY, QUICK, size_bytes=1_000_000, relay="forwarded")
    assert found == pytest.approx(p50(alone, size_bytes=1_000_000))
    assert found > p50(STEADY, QUICK, size_bytes=1_000_000)
    assert p50(STEADY, size_bytes=1_000_000, relay="forwarded") == p50(STEADY, size_bytes=1_000_000)


def test_the_leg_with_the_least_window_decides_a_forwarded_path() -> None:
    narrow = replace(QUICK, goodput_p50_bps=8e6, goodput_p10_bps=8e6)  # 10 kB at 0.01 s
    assert p50(STEADY, narrow, size_bytes=1e12, relay="forwarded") == pytest.approx(1e12 / (10_000 / 0.11), rel=1e-5)


def test_many_bytes_through_a_pipelined_relay_flow_at_the_smallest_goodput() -> None:
    narrow = leg(goodput_p50_bps=4e6, goodput_p10_bps=4e6)
    assert p50(STEADY, narrow, QUICK, size_bytes=1e12) == pytest.approx(2e6, rel=1e-5)


def test_p90_of_certain_inputs_is_the_error_of_the_rule() -> None:
    found = transfer_time([STEADY], 1_000_000)
    # A million bytes at a million per second; all else is the start.
    assert found.p90_s - found.p50_s == pytest.approx(rule(found.p50_s - 1.0, found.p50_s))


def test_the_start_of_a_stored_path_is_that_of_all_its_legs() -> None:
    found = transfer_time([STEADY, QUICK], 1_000_000, relay="stored")
    # 1 s of sending on the first, 0.1 s on the second.
    assert found.p90_s - found.p50_s == pytest.approx(rule(found.p50_s - 1.1, found.p50_s))


def test_p90_combines_its_causes_as_independent_ones() -> None:
    # Set-up 0.1 s longer by the RTT, flow 0.03 s longer by the goodput, of 0.21 s expected.
    found = transfer_time([leg(rtt_p90_s=0.15, goodput_p10_bps=2e6)], 10_000)
    assert found.p90_s == pytest.approx(0.21 + math.hypot(0.1, 0.03, rule(0.2, 0.21)))


def test_p90_counts_each_leg_of_a_stored_path() -> None:
    found = transfer_time([leg(rtt_p90_s=0.15), leg(rtt_p90_s=0.15)], 10_000, relay="stored")
    assert found.p90_s == pytest.approx(0.42 + math.hypot(0.1, 0.1, rule(0.4, 0.42)))


def test_a_leg_with_room_to_spare_adds_nothing_to_the_p90_of_a_pipeline() -> None:
    uncertain = replace(QUICK, goodput_p10_bps=40e6)
    found = transfer_time([STEADY, uncertain], 1_000_000)
    assert found == transfer_time([STEADY, QUICK], 1_000_000)


def candidates(count: int) -> TransferLeg[Floats]:
    rng = np.random.default_rng(count)
    rtt, goodput = rng.uniform(0.001, 0.2, count), rng.uniform(1e6, 1e9, count)
    return TransferLeg(rtt_p50_s=rtt, rtt_p90_s=1.2 * rtt, goodput_p50_bps=goodput, goodput_p10_bps=0.7 * goodput)


def row(leg: TransferLeg[Floats], index: int) -> TransferLeg[float]:
    return TransferLeg(
        rtt_p50_s=float(leg.rtt_p50_s[index]),
        rtt_p90_s=float(leg.rtt_p90_s[index]),
        goodput_p50_bps=float(leg.goodput_p50_bps[index]),
        goodput_p10_bps=float(leg.goodput_p10_bps[index]),
    )


@pytest.mark.parametrize("relay", ["pipelined", "stored"])
def test_arrays_give_what_each_of_their_candidates_gives_alone(relay: Any) -> None:
    there, onward = candidates(50), candidates(51)
    onward = TransferLeg(**{name: getattr(onward, name)[:50] for name in onward.__slots__ if name != "mss_bytes"})
    together = transfer_time([there, onward], 3e6, streams=2, relay=relay)
    for index in range(50):
        alone = transfer_time([row(there, index), row(onward, index)], 3e6, streams=2, relay=relay)
        assert (together.p50_s[index], together.p90_s[index]) == pytest.approx((alone.p50_s, alone.p90_s))


def test_figures_of_one_leg_broadcast_with_the_others() -> None:
    shared: TransferLeg[Any] = STEADY
    assert transfer_time([shared, candidates(7)], 1e6).p50_s.shape == (7,)


def test_one_path_gives_plain_numbers() -> None:
    found = transfer_time([STEADY], 1e6)
    assert (type(found.p50_s), type(found.p90_s)) == (float, float)


def test_an_unknown_figure_among_candidates_leaves_its_candidate_unknown() -> None:
    known = candidates(3)
    known.rtt_p90_s[0] = math.nan
    known.goodput_p50_bps[1] = math.nan
    found = transfer_time([known, candidates(3)], 1e6)
    assert np.isnan(found.p50_s).tolist() == [False, True, False]
    assert np.isnan(found.p90_s).tolist() == [True, True, False]


@given(st.floats(1e-9, 1e15), st.floats(1e-6, 10), st.floats(1e3, 1e12), st.integers(1, 128))
def test_time_is_finite_and_grows_with_bytes_and_rtt(size: float, rtt_s: float, bps: float, streams: int) -> None:
    here = leg(rtt_p50_s=rtt_s, rtt_p90_s=rtt_s, goodput_p50_bps=bps, goodput_p10_bps=bps)
    farther = replace(here, rtt_p50_s=2 * rtt_s, rtt_p90_s=2 * rtt_s)
    took_s = p50(here, size_bytes=size, streams=streams)
    assert 2 * rtt_s <= took_s < math.inf
    # Equal up to rounding, where the flow is nearly everything, or next to nothing.
    assert took_s >= 8 * size / bps * (1 - 1e-12)
    assert p50(here, size_bytes=1.5 * size, streams=streams) > took_s * (1 - 1e-12)
    assert p50(farther, size_bytes=size, streams=streams) > took_s * (1 - 1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"legs": []}, "legs: at least one is needed"),
        ({"size_bytes": 0}, "size_bytes = 0: must be a finite number above 0"),
        ({"size_bytes": -5.0}, "size_bytes = -5: must be a finite number above 0"),
        ({"size_bytes": math.inf}, "size_bytes = inf: must be a finite number above 0"),
        ({"size_bytes": math.nan}, "size_bytes = nan: must be a finite number above 0"),
        ({"streams": 0}, "streams = 0: must be at least 1"),
        ({"relay": "copied"}, "relay = 'copied': must be one of pipelined, stored, forwarded"),
        ({"legs": [leg(rtt_p50_s=0.0)]}, "legs[0].rtt_p50_s = 0: must be a finite number above 0"),
        ({"legs": [STEADY, leg(rtt_p90_s=math.nan)]}, "legs[1].rtt_p90_s = nan: must be a finite number above 0"),
        ({"legs": [leg(mss_bytes=-1.0)]}, "legs[0].mss_bytes = -1: must be a finite number above 0"),
        ({"legs": [leg(rtt_p90_s=0.05)]}, "legs[0].rtt_p90_s: must be at least rtt_p50_s"),
        ({"legs": [leg(goodput_p10_bps=9e6)]}, "legs[0].goodput_p10_bps: must be at most goodput_p50_bps"),
    ],
)  # fmt: skip
def test_an_impossible_argument_is_named(options: dict[str, Any], message: str) -> None:
    valid: dict[str, Any] = {"legs": [STEADY], "size_bytes": 1e6}
    with pytest.raises(ValueError) as error:
        transfer_time(**(valid | options))
    assert str(error.value) == message


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf])
def test_an_impossible_candidate_is_refused_as_well(wrong: float) -> None:
    legs = candidates(3)
    legs.rtt_p50_s[1] = wrong
    with pytest.raises(ValueError, match=r"legs\[0\]\.rtt_p50_s = .*: must be a finite number above 0"):
        transfer_time([legs], 1e6)
