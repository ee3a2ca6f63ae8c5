from __future__ import annotations

import random

import pytest

from linkweather.wire import LatencyRow, PathRow, ThroughputRow
from probes.throughput.attention import (
    ALARM,
    CLIP,
    EXPIRED_CYCLES,
    LEARNED,
    MIN_GAP_S,
    SLACK,
    SPREAD_S,
    Attention,
    Reason,
    Shift,
    Wanted,
)
from probes.throughput.past_tests import LinkHistory

ROUND_S = 30.0
CYCLE_S = 600.0
WINDOW_S = 5.0


def window(*, rtt_s: float | None = 0.020, lost: int = 0, loaded: bool = False, peer: str = "b") -> LatencyRow:
    return LatencyRow(
        src="a",
        dst=peer,
        method="stamp",
        window_s=WINDOW_S,
        sent=50,
        received=50 - lost,
        lost_back=lost,
        rtt_p50_s=rtt_s,
        during_throughput=loaded,
    )


def found(goodput_bps: float | None = 1e8, src: str = "b") -> ThroughputRow:
    failure = "died" if goodput_bps is None else None
    return ThroughputRow(src=src, dst="a", method="iperf3", goodput_bps=goodput_bps, failure=failure)


def path(*, changed: bool, peer: str = "b") -> PathRow:
    return PathRow(src="a", dst=peer, method="udp", fingerprint="f", changed=changed)


def attention_of(*, factor: int = 6) -> Attention:
    made = Attention(random.Random(1))
    made.apply_links(dict.fromkeys("bc", CYCLE_S), round_s=ROUND_S, quiet_factor=factor)
    return made


def reason(attention: Attention, now_s: float, src: str) -> Reason | None:
    """Why the link would take a turn that starts now."""
    reasons = [each.reason for each in attention.wanted(now_s, src) if each.not_before_s <= now_s]
    return reasons[-1] if reasons else None


def raised(attention: Attention, now_s: float, src: str = "b") -> list[Wanted]:
    """What is brought forward."""
    ordinary = {"first", "expired", "scheduled"}
    return [each for each in attention.wanted(now_s, src) if each.reason not in ordinary]


def learned(attention: Attention, now_s: float) -> float:
    """The attention has seen enough windows to know the link's level; the time after the last."""
    for number in range(LEARNED):
        assert not attention.latency(now_s + number * WINDOW_S, window())
    return now_s + LEARNED * WINDOW_S


def test_a_level_that_stays_is_no_shift() -> None:
    rng, shift = random.Random(1), Shift(0.2e-3)
    days = 3
    assert sum(shift.shifted(rng.gauss(0.020, 1e-3)) for _ in range(17_280 * days)) <= 1


@pytest.mark.parametrize("level", [0.025, 0.015])
def test_a_shift_up_or_down_is_noticed_with_its_third_value(level: float) -> None:
    shift = Shift(0.2e-3)
    assert not any(shift.shifted(0.020) for _ in range(LEARNED))
    assert [shift.shifted(level) for _ in range(3)] == [False, False, True]  # 2.75 + 2.75 + 2.75 > 8
    assert not any(shift.shifted(level) for _ in range(100))  # that is now the level


def test_two_strange_values_are_an_accident() -> None:
    shift = Shift(0.2e-3)
    for _ in range(LEARNED):
        shift.shifted(0.020)
    assert ALARM > 2 * (CLIP - SLACK)
    assert not any(shift.shifted(value) for value in [0.5, 0.5, *([0.020] * 6), 0.5, 0.5])


def test_a_small_part_of_the_level_is_no_shift_however_quiet_the_link() -> None:
    shift = Shift(0.0, floor_share=0.01)
    for _ in range(LEARNED):
        shift.shifted(0.100)
    assert not any(shift.shifted(0.1009) for _ in range(100))


def test_a_link_is_first_tested_at_its_turn_whatever_happens() -> None:
    attention = attention_of()
    assert reason(attention, 0.0, "b") == "first"
    assert not attention.path(0.0, path(changed=True))
    assert [*attention.wanted(0.0, "b")] == [Wanted(0.0, "first")]


def test_a_strangers_link_has_no_turn_and_raises_nothing() -> None:
    attention = attention_of()
    attention.tested(0.0, found(src="z"))
    assert not attention.postponed("z", 10.0, "leased")
    assert (attention.waits_for("z"), attention.block("z")) == (None, 1)
    assert reason(attention, 0.0, "z") is None
    assert not attention.latency(0.0, window(peer="z"))
    assert not attention.path(0.0, path(changed=True, peer="z"))


def test_a_quiet_link_waits_twice_as_long_each_time_up_to_the_factor() -> None:
    attention, now_s, ran = attention_of(), 0.0, []
    while now_s < 30 * CYCLE_S:
        if reason(attention, now_s, "b"):
            ran.append(round(now_s / CYCLE_S))
            attention.tested(now_s + 3.0, found())
        now_s += CYCLE_S
    assert ran == [0, 1, 2, 4, 8, 14, 20, 26]


@pytest.mark.parametrize("goodput_bps", [5e7, None], ids=["half as much", "failed"])
def test_a_test_that_disagrees_or_fails_ends_the_wait(goodput_bps: float | None) -> None:
    attention = attention_of()
    for number in range(5):
        attention.tested(number * CYCLE_S, found())
    assert reason(attention, 5 * CYCLE_S, "b") is None
    attention.tested(8 * CYCLE_S, found(goodput_bps))
    assert reason(attention, 9 * CYCLE_S, "b") == "scheduled"


def test_with_a_factor_of_one_every_turn_is_taken() -> None:
    attention = attention_of(factor=1)
    for number in range(10):
        assert reason(attention, number * CYCLE_S, "b")
        attention.tested(number * CYCLE_S + 3.0, found())


def test_a_shifted_latency_brings_the_test_forward_once() -> None:
    attention = attention_of()
    attention.tested(0.0, found())
    now_s = learned(attention, 100.0)
    assert [attention.latency(now_s, window(rtt_s=0.030)) for _ in range(3)] == [False, False, True]
    (early,) = raised(attention, now_s)
    assert early.reason == "latency_shift"
    assert now_s <= early.not_before_s <= now_s + SPREAD_S
    assert reason(attention, now_s + SPREAD_S, "b") == "latency_shift"
    assert not attention.path(now_s, path(changed=True))  # it is on its way already
    attention.tested(now_s + 10.0, found())
    assert raised(attention, now_s + 10.0) == []
    assert reason(attention, now_s + 20.0, "b") is None


def test_loss_on_the_way_to_us_brings_the_test_forward() -> None:
    attention = attention_of()
    attention.tested(0.0, found())
    now_s = learned(attention, 100.0)
    assert not any(attention.latency(now_s, window(lost=1)) for _ in range(20))  # 2 %, one packet of a window
    assert [attention.latency(now_s, window(lost=6)) for _ in range(3)] == [False, False, True]
    assert [early.reason for early in raised(attention, now_s)] == ["loss"]


def test_a_window_without_any_reply_says_nothing_of_the_rtt() -> None:
    attention = attention_of()
    attention.tested(0.0, found())
    assert not attention.latency(100.0, window(rtt_s=None))


def test_a_new_path_brings_the_test_forward_and_the_same_path_does_not() -> None:
    attention = attention_of()
    attention.tested(0.0, found())
    assert not attention.path(100.0, path(changed=False))
    assert attention.path(100.0, path(changed=True))
    assert [early.reason for early in raised(attention, 100.0)] == ["new_path"]


def test_windows_that_our_own_tests_touched_are_not_looked_at() -> None:
    attention = attention_of()
    attention.tested(0.0, found())
    now_s = learned(attention, 100.0)
    assert not any(attention.latency(now_s, window(rtt_s=0.3, loaded=True)) for _ in range(10))
    attention.mark_loaded(now_s)
    assert not any(attention.latency(now_s + 4.9, window(rtt_s=0.3)) for _ in range(10))
    assert any(attention.latency(now_s + 5.0, window(rtt_s=0.3)) for _ in range(3))


def test_two_tests_of_a_link_are_at_least_a_minute_apart() -> None:
    attention = attention_of()
    attention.tested(1000.0, found())
    assert attention.path(1010.0, path(changed=True))
    assert raised(attention, 1010.0)[0].not_before_s >= 1000.0 + MIN_GAP_S
    assert reason(attention, 1010.0, "b") is None
    assert reason(attention, 1000.0 + MIN_GAP_S + SPREAD_S, "b") == "new_path"


def test_a_link_that_cries_wolf_is_heard_less_often_until_there_is_something() -> None:
    attention, now_s, waits = attention_of(), 0.0, []
    for _ in range(3):
        attention.tested(now_s, found())
    for _ in range(5):
        assert attention.path(now_s, path(changed=True))
        waits.append((raised(attention, now_s)[0].not_before_s - now_s) // MIN_GAP_S)
        now_s += 2000.0
        attention.tested(now_s, found())
    assert waits == [1, 2, 4, 8, 10]  # minutes; a cycle is the most
    attention.path(now_s, path(changed=True))
    attention.tested(now_s + 1000.0, found(5e7))
    attention.path(now_s + 1000.0, path(changed=True))
    assert raised(attention, now_s + 1000.0)[0].not_before_s <= now_s + 1000.0 + MIN_GAP_S + SPREAD_S


def test_a_test_that_could_not_take_place_is_tried_again() -> None:
    attention = attention_of()
    attention.tested(0.0, found())
    assert attention.postponed("b", 50.0, "leased")
    assert raised(attention, 50.0) == []  # nothing was brought forward
    attention.path(100.0, path(changed=True))
    assert attention.postponed("b", 200.0, "budget")
    assert not attention.postponed("b", 200.0, "budget")  # known
    (early,) = raised(attention, 100.0)
    assert early.reason == "new_path"
    assert 200.0 <= early.not_before_s <= 200.0 + SPREAD_S
    assert attention.waits_for("b") == "budget"
    attention.tested(210.0, found())
    assert attention.waits_for("b") is None


def test_first_test_that_fails_is_tried_again_at_the_next_turn_then_after_waits_that_double_up_to_a_cycle() -> None:
    attention, now_s, ran = attention_of(), 0.0, []
    while now_s < 3 * CYCLE_S:
        if reason(attention, now_s, "b"):
            assert reason(attention, now_s, "b") == "first"
            ran.append(round(now_s / ROUND_S))
            attention.tested(now_s + 3.0, found(None))
        now_s += ROUND_S
    assert ran == [0, 1, 3, 7, 15, 31, 51]  # a cycle has twenty rounds
    attention.tested(now_s, found())
    assert reason(attention, now_s + 0.4 * CYCLE_S, "b") is None


def test_figure_that_has_expired_is_measured_at_the_next_turn() -> None:
    attention = attention_of()
    for number in range(5):
        attention.tested(number * CYCLE_S, found())  # quiet: it waits six cycles
    measured_s = 4 * CYCLE_S
    expired_s = measured_s + EXPIRED_CYCLES * CYCLE_S
    assert Wanted(expired_s, "expired") in [*attention.wanted(measured_s, "b")]
    patient = attention_of(factor=20)
    patient.tested(0.0, found())
    assert Wanted(21 * CYCLE_S, "expired") in [*patient.wanted(0.0, "b")]


def test_clock_that_was_set_back_makes_no_link_wait_for_it() -> None:
    attention = attention_of()
    attention.tested(5000.0, found())
    attention.tested(5000.0, found(src="c"))
    assert reason(attention, 1000.0, "b") == "expired"
    attention.tested(1001.0, found())
    assert reason(attention, 1002.0, "b") is None


def test_history_outlives_a_restart_and_a_quiet_link_stays_quiet() -> None:
    attention = attention_of()
    for number in range(5):
        attention.tested(number * CYCLE_S, found(), block=2)
    again = Attention(random.Random(2), {"b": attention.history("b")})
    again.apply_links(dict.fromkeys("bc", CYCLE_S), round_s=ROUND_S, quiet_factor=6)
    assert again.history("b") == attention.history("b")
    assert (reason(again, 6 * CYCLE_S, "b"), reason(again, 6 * CYCLE_S, "c")) == (None, "first")
    assert (again.block("b"), again.block("c")) == (2, 1)
    assert again.history("c") == again.history("z") == LinkHistory()


def test_a_row_states_what_all_tests_of_its_link_allow_and_a_failure_states_nothing() -> None:
    attention = attention_of()
    assert attention.tested(0.0, found(1e8)).goodput_high_bps == pytest.approx(1.5e8)
    failed = found(None)
    assert attention.tested(1.0, failed) is failed
    stranger = found(src="z")
    assert attention.tested(1.0, stranger) is stranger


def test_a_changed_mesh_keeps_what_is_known_of_the_links_that_stay() -> None:
    attention = attention_of()
    attention.tested(0.0, found(src="b"))
    attention.tested(0.0, found(src="c"))
    attention.apply_links(dict.fromkeys("cd", CYCLE_S), round_s=ROUND_S, quiet_factor=6)
    assert reason(attention, 1.0, "b") is None
    assert reason(attention, 1.0, "c") is None
    assert reason(attention, 1.0, "d") == "first"
