from __future__ import annotations

import random

import pytest

from linkweather.mesh import Mesh, Site, ThroughputTests
from linkweather.wire import LatencyRow, PathRow, ThroughputRow
from probes.throughput.agenda import (
    ALARM,
    CLIP,
    LEARNED,
    MIN_GAP_S,
    PATIENCE_S,
    SLACK,
    SPREAD_S,
    Agenda,
    Attention,
    Planned,
    Shift,
)

SLOT_S = 4.0


def mesh_of(count: int, *, every_s: float) -> Mesh:
    names = [f"s{number:02}" for number in range(count)]
    sites = {name: Site(address=f"10.0.0.{number + 1}") for number, name in enumerate(names)}
    return Mesh(sites=sites, throughput=ThroughputTests(every_s=every_s, slot_s=SLOT_S))


def watched(agenda: Agenda, tested_s: float | None = None) -> Attention:
    attention = Attention(random.Random(1))
    agenda.apply_to(attention)
    if tested_s is not None:
        for src in agenda.mesh.sites:
            for _ in range(5):  # they agree: a quiet link
                attention.tested(tested_s, ThroughputRow(src=src, dst="s00", method="iperf3", goodput_bps=1e8))
    return attention


def raise_link(attention: Attention, now_s: float, peer: str = "s01") -> None:
    assert attention.path(now_s, PathRow(src="s00", dst=peer, method="udp", fingerprint="f", changed=True))


def test_a_site_without_a_turn_plans_nothing() -> None:
    agenda = Agenda(mesh_of(1, every_s=0.0), "s00")
    assert agenda.upcoming(0.0, watched(agenda)) is None
    stranger = Agenda(mesh_of(2, every_s=0.0), "z")
    assert stranger.upcoming(0.0, watched(stranger)) is None


def test_the_first_tests_take_the_turns_of_the_table() -> None:
    agenda = Agenda(mesh_of(2, every_s=0.0), "s00")
    assert agenda.upcoming(0.0, watched(agenda)) == Planned(4.0, "s01", "first")


def test_without_a_pause_between_tests_every_turn_is_taken() -> None:
    agenda = Agenda(mesh_of(2, every_s=0.0), "s00")
    assert agenda.upcoming(100.0, watched(agenda, tested_s=99.0)) == Planned(108.0, "s01", "scheduled")


def test_a_quiet_link_leaves_its_next_turns_out() -> None:
    agenda = Agenda(mesh_of(2, every_s=80.0), "s00")  # its turn is at 40, 120, 200 …
    planned = agenda.upcoming(45.0, watched(agenda, tested_s=44.0))
    assert planned == Planned(520.0, "s01", "scheduled")  # the first after 5.5 cycles of waiting: 44 + 440


def test_a_site_whose_links_are_all_unknown_to_attention_plans_nothing() -> None:
    agenda = Agenda(mesh_of(2, every_s=80.0), "s00")
    assert agenda.upcoming(0.0, Attention(random.Random(1))) is None


def test_what_is_brought_forward_takes_the_next_free_slot_of_its_link() -> None:
    agenda = Agenda(mesh_of(2, every_s=80.0), "s00")
    attention = watched(agenda, tested_s=44.0)
    raise_link(attention, 150.0)
    # Free slots for s01 → s00 between the turns are every second one: 4, 12, … after 120 and 160.
    (raised,) = attention.raised()
    planned = agenda.upcoming(150.0, attention)
    assert planned is not None
    assert planned.reason == "new_path"
    assert 0.0 < planned.start_s - raised.not_before_s <= 12.0
    assert planned.start_s % SLOT_S == 0.0


def test_the_links_own_turn_is_taken_when_it_comes_first() -> None:
    agenda = Agenda(mesh_of(2, every_s=80.0), "s00")
    attention = watched(agenda, tested_s=44.0)
    raise_link(attention, 195.0)
    assert agenda.upcoming(196.0, attention) == Planned(200.0, "s01", "new_path")


def test_where_free_slots_are_rare_the_leases_decide() -> None:
    agenda = Agenda(mesh_of(40, every_s=320.0), "s00")  # 78 slots in 320 s: no room between them
    attention = watched(agenda, tested_s=0.0)
    raise_link(attention, 1000.0)
    (raised,) = attention.raised()
    planned = agenda.upcoming(1001.0, attention)
    assert planned is not None
    assert planned.start_s <= max(1001.0, raised.not_before_s)
    assert planned.reason == "new_path"


def test_patience_and_spread_leave_room_in_two_minutes() -> None:
    assert MIN_GAP_S + SPREAD_S + PATIENCE_S <= 120.0


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
    made.apply_links(["b", "c"], cycle_s=CYCLE_S, quiet_factor=factor)
    return made


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
    assert attention.reason(0.0, "b") == "first"
    assert not attention.path(0.0, path(changed=True))
    assert attention.raised() == []


def test_a_strangers_link_has_no_turn_and_raises_nothing() -> None:
    attention = attention_of()
    attention.tested(0.0, found(src="z"))
    attention.postponed("z", 10.0)
    assert attention.reason(0.0, "z") is None
    assert not attention.latency(0.0, window(peer="z"))
    assert not attention.path(0.0, path(changed=True, peer="z"))


def test_a_quiet_link_waits_twice_as_long_each_time_up_to_the_factor() -> None:
    attention, now_s, ran = attention_of(), 0.0, []
    while now_s < 30 * CYCLE_S:
        if attention.reason(now_s, "b"):
            ran.append(round(now_s / CYCLE_S))
            attention.tested(now_s + 3.0, found())
        now_s += CYCLE_S
    assert ran == [0, 1, 2, 4, 8, 14, 20, 26]


@pytest.mark.parametrize("goodput_bps", [5e7, None], ids=["half as much", "failed"])
def test_a_test_that_disagrees_or_fails_ends_the_wait(goodput_bps: float | None) -> None:
    attention = attention_of()
    for number in range(5):
        attention.tested(number * CYCLE_S, found())
    assert attention.reason(5 * CYCLE_S, "b") is None
    attention.tested(8 * CYCLE_S, found(goodput_bps))
    assert attention.reason(9 * CYCLE_S, "b") == "scheduled"


def test_with_a_factor_of_one_every_turn_is_taken() -> None:
    attention = attention_of(factor=1)
    for number in range(10):
        assert attention.reason(number * CYCLE_S, "b")
        attention.tested(number * CYCLE_S + 3.0, found())


def test_a_shifted_latency_brings_the_test_forward_once() -> None:
    attention = attention_of()
    attention.tested(0.0, found())
    now_s = learned(attention, 100.0)
    assert [attention.latency(now_s, window(rtt_s=0.030)) for _ in range(3)] == [False, False, True]
    (raised,) = attention.raised()
    assert (raised.src, raised.reason) == ("b", "latency_shift")
    assert now_s <= raised.not_before_s <= now_s + SPREAD_S
    assert attention.reason(now_s, "b") == "latency_shift"
    assert not attention.path(now_s, path(changed=True))  # it is on its way already
    attention.tested(now_s + 10.0, found())
    assert attention.raised() == []
    assert attention.reason(now_s + 20.0, "b") is None


def test_loss_on_the_way_to_us_brings_the_test_forward() -> None:
    attention = attention_of()
    attention.tested(0.0, found())
    now_s = learned(attention, 100.0)
    assert not any(attention.latency(now_s, window(lost=1)) for _ in range(20))  # 2 %, one packet of a window
    assert [attention.latency(now_s, window(lost=6)) for _ in range(3)] == [False, False, True]
    assert attention.raised()[0].reason == "loss"


def test_a_window_without_any_reply_says_nothing_of_the_rtt() -> None:
    attention = attention_of()
    attention.tested(0.0, found())
    assert not attention.latency(100.0, window(rtt_s=None))


def test_a_new_path_brings_the_test_forward_and_the_same_path_does_not() -> None:
    attention = attention_of()
    attention.tested(0.0, found())
    assert not attention.path(100.0, path(changed=False))
    assert attention.path(100.0, path(changed=True))
    assert attention.raised()[0].reason == "new_path"


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
    assert attention.raised()[0].not_before_s >= 1000.0 + MIN_GAP_S
    assert attention.reason(1010.0, "b") is None
    assert attention.reason(1000.0 + MIN_GAP_S, "b") == "new_path"


def test_a_link_that_cries_wolf_is_heard_less_often_until_there_is_something() -> None:
    attention, now_s, waits = attention_of(), 0.0, []
    for _ in range(3):
        attention.tested(now_s, found())
    for _ in range(5):
        assert attention.path(now_s, path(changed=True))
        waits.append((attention.raised()[0].not_before_s - now_s) // MIN_GAP_S)
        now_s += 2000.0
        attention.tested(now_s, found())
    assert waits == [1, 2, 4, 8, 10]  # minutes; a cycle is the most
    attention.path(now_s, path(changed=True))
    attention.tested(now_s + 1000.0, found(5e7))
    attention.path(now_s + 1000.0, path(changed=True))
    assert attention.raised()[0].not_before_s <= now_s + 1000.0 + MIN_GAP_S + SPREAD_S


def test_a_test_that_could_not_take_place_is_tried_again() -> None:
    attention = attention_of()
    attention.tested(0.0, found())
    attention.postponed("b", 50.0)  # nothing was brought forward
    assert attention.raised() == []
    attention.path(100.0, path(changed=True))
    attention.postponed("b", 200.0)
    (raised,) = attention.raised()
    assert (raised.src, raised.reason) == ("b", "new_path")
    assert 200.0 <= raised.not_before_s <= 200.0 + SPREAD_S


def test_a_changed_mesh_keeps_what_is_known_of_the_links_that_stay() -> None:
    attention = attention_of()
    attention.tested(0.0, found(src="b"))
    attention.tested(0.0, found(src="c"))
    attention.apply_links(["c", "d"], cycle_s=CYCLE_S, quiet_factor=6)
    assert attention.reason(1.0, "b") is None
    assert attention.reason(1.0, "c") is None
    assert attention.reason(1.0, "d") == "first"
