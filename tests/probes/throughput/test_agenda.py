from __future__ import annotations

import random

import pytest

from linkweather.mesh import Group, Mesh, Site, ThroughputTests
from linkweather.mesh.groups import GroupThroughput
from linkweather.wire import PathRow, ThroughputRow
from probes.throughput.agenda import PATIENCE_S, Agenda, Planned
from probes.throughput.attention import MIN_GAP_S, SPREAD_S, Attention

SLOT_S = 4.0


def mesh_of(count: int, *, every_s: float) -> Mesh:
    names = [f"s{number:02}" for number in range(count)]
    sites = {name: Site(address=f"10.0.0.{number + 1}") for number, name in enumerate(names)}
    return Mesh(sites=sites, throughput=ThroughputTests(every_s=every_s, slot_s=SLOT_S))


def watched(agenda: Agenda, tested_s: float | None = None, *, but: str = "") -> Attention:
    attention = Attention(random.Random(1))
    agenda.apply_to(attention)
    if tested_s is not None:
        for src in set(agenda.mesh.sites) - {but}:
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


def test_the_first_tests_take_the_first_turns_of_the_table() -> None:
    # Three slots of 4 s: s00 → s01, s01 → s00, and an idle one.
    for every_s in (0.0, 600.0, 86_400.0):
        agenda = Agenda(mesh_of(2, every_s=every_s), "s00")
        assert agenda.upcoming(0.0, watched(agenda)) == Planned(4.0, "s01", "first")
        assert agenda.upcoming(4.0, watched(agenda)) == Planned(16.0, "s01", "first")


@pytest.mark.parametrize("count", [3, 8, 50, 200])
@pytest.mark.parametrize("every_s", [0.0, 600.0])
def test_new_mesh_is_covered_within_one_table_and_no_site_is_in_two_tests_at_once(count: int, every_s: float) -> None:
    mesh, now_s = mesh_of(count, every_s=every_s), 1.7957e9 + 1.0
    starts: dict[float, list[str]] = {}
    asked = list(mesh.sites)[:: 1 + count // 20]  # twenty tables of 200 sites are enough
    for site in asked:
        agenda = Agenda(mesh, site)
        for planned in agenda.planned(now_s, watched(agenda)):
            assert planned.reason == "first"
            starts.setdefault(planned.start_s, []).extend((planned.src, site))
    assert all(len(busy) == len(set(busy)) for busy in starts.values())
    assert sum(map(len, starts.values())) == 2 * len(asked) * (count - 1)
    # 2·(N−1) slots, with a bye for an odd number 2·N; the idle one; and the slot that is under way.
    assert max(starts) - now_s <= (2 * (count - 1 + count % 2) + 1 + 1) * SLOT_S


def test_without_a_pause_between_tests_every_turn_is_taken() -> None:
    agenda = Agenda(mesh_of(2, every_s=0.0), "s00")
    assert agenda.upcoming(99.5, watched(agenda, tested_s=99.0)) == Planned(112.0, "s01", "scheduled")


def test_a_measured_link_waits_for_its_day_in_the_calendar() -> None:
    agenda = Agenda(mesh_of(2, every_s=600.0), "s00")  # its days are at 200, 800, 1400 s, its turns at 4, 16, 28 …
    attention = watched(agenda)
    attention.tested(7.0, ThroughputRow(src="s01", dst="s00", method="iperf3", goodput_bps=1e8))
    # 200 is less than half a cycle after the first test.
    assert agenda.upcoming(8.0, attention) == Planned(808.0, "s01", "scheduled")
    # The turn was not used: the day stays, and the next turn is taken.
    assert agenda.upcoming(808.0, attention) == Planned(820.0, "s01", "scheduled")


def test_a_quiet_link_leaves_its_next_days_out() -> None:
    agenda = Agenda(mesh_of(2, every_s=600.0), "s00")
    planned = agenda.upcoming(45.0, watched(agenda, tested_s=44.0))
    assert planned == Planned(3808.0, "s01", "scheduled")  # the first day after 5.5 cycles of waiting: 44 + 3300


@pytest.mark.parametrize(
    ("rounds", "start_s"),
    [
        (0.25, 208.0),  # days at 50, 200, 350 …: the first that is half of 150 s after the test at 7 s and later
        (1.0, 808.0),
        (3.0, 2008.0),  # the first day after 2.5 cycles of waiting
        (50.0, 3808.0),  # as long as the quietest link waits, and no longer
    ],
)
def test_a_link_is_tested_as_often_as_the_collector_says_it_is_worth(rounds: float, start_s: float) -> None:
    agenda = Agenda(mesh_of(2, every_s=600.0), "s00")
    attention = watched(agenda)
    attention.tested(7.0, ThroughputRow(src="s01", dst="s00", method="iperf3", goodput_bps=1e8))
    attention.apply_weights({"s01": rounds})
    assert attention.rounds("s01") == rounds
    assert agenda.upcoming(8.0, attention) == Planned(start_s, "s01", "scheduled")
    attention.apply_weights({})
    assert attention.rounds("s01") is None
    assert agenda.upcoming(8.0, attention) == Planned(808.0, "s01", "scheduled")


def test_a_link_whose_tests_take_a_block_uses_the_turns_whose_number_its_length_divides() -> None:
    agenda = Agenda(mesh_of(2, every_s=0.0), "s00")  # turns 1, 4, 7, 10, 13, 16
    for block, number in ((1, 4), (2, 4), (4, 4), (8, 16)):
        attention = watched(agenda)
        attention.tested(7.0, ThroughputRow(src="s01", dst="s00", method="iperf3", goodput_bps=1e8), block)
        assert agenda.upcoming(8.0, attention) == Planned(number * SLOT_S, "s01", "scheduled")


def test_a_site_whose_links_are_all_unknown_to_attention_plans_nothing() -> None:
    agenda = Agenda(mesh_of(2, every_s=80.0), "s00")
    assert agenda.upcoming(0.0, Attention(random.Random(1))) is None


def test_what_is_brought_forward_takes_the_next_turn_of_its_link() -> None:
    agenda = Agenda(mesh_of(2, every_s=600.0), "s00")
    attention = watched(agenda, tested_s=44.0)
    raise_link(attention, 150.0)  # it waits for up to 6 s, and turns are at 148, 160, 172
    planned = agenda.upcoming(150.0, attention)
    assert planned is not None
    assert planned.reason == "new_path"
    assert planned.start_s == 160.0


def test_at_a_turn_that_is_scheduled_the_reason_out_of_the_ordinary_is_named() -> None:
    agenda = Agenda(mesh_of(2, every_s=600.0), "s00")
    attention = watched(agenda, tested_s=44.0)
    raise_link(attention, 3800.0)
    assert agenda.upcoming(3807.0, attention) == Planned(3808.0, "s01", "new_path")


def test_where_the_next_turn_is_far_away_the_leases_decide() -> None:
    agenda = Agenda(mesh_of(40, every_s=320.0), "s00")  # 79 slots of 4 s
    attention = watched(agenda, tested_s=0.0)
    src = next(src for src in agenda.mesh.sites if src != "s00" and not _has_turn(agenda, src, 1000.0, 1060.0))
    raise_link(attention, 1000.0, src)
    early = next(planned for planned in agenda.planned(1001.0, attention) if planned.src == src)
    assert early.start_s <= 1000.0 + SPREAD_S
    assert (early.reason, early.in_turn) == ("new_path", False)


def test_a_test_without_a_turn_must_be_over_before_the_sites_next_turn() -> None:
    agenda = Agenda(mesh_of(40, every_s=320.0), "s00")
    attention = watched(agenda, tested_s=0.0)
    src = next(src for src in agenda.mesh.sites if src != "s00" and not _has_turn(agenda, src, 1000.0, 1060.0))
    raise_link(attention, 1000.0, src)
    # A link that was never measured has its turn at 1008.
    turn = agenda.planned(1006.0, watched(agenda))[0]
    soon = watched(agenda, tested_s=0.0, but=turn.src)
    raise_link(soon, 1000.0, src)
    assert turn.start_s == 1008.0
    assert agenda.planned(1006.0, soon)[0] == Planned(1006.0, src, "new_path", in_turn=False)
    assert agenda.upcoming(1006.0, soon) == turn


def _has_turn(agenda: Agenda, src: str, since_s: float, until_s: float) -> bool:
    return since_s < agenda._table.next_turn(since_s, src, "s00") < until_s


def test_patience_and_spread_leave_room_in_two_minutes() -> None:
    assert MIN_GAP_S + SPREAD_S + PATIENCE_S <= 120.0


def test_each_link_has_the_cycle_of_its_group() -> None:
    rare = Group(name="rare", sites=("s00", "s01"), throughput=GroupThroughput(every_s=7200.0))
    mesh = mesh_of(3, every_s=600.0).model_copy(update={"groups": (rare, Group(name="all"))})
    agenda, tested_s = Agenda(mesh, "s00"), 1.7957e9
    attention = watched(agenda)
    for src in ("s01", "s02"):  # measured once: no quiet links
        attention.tested(tested_s, ThroughputRow(src=src, dst="s00", method="iperf3", goodput_bps=1e8))
    waits = {planned.src: planned.start_s - tested_s for planned in agenda.planned(tested_s, attention)}
    assert waits["s02"] <= 900.0
    assert 3600.0 <= waits["s01"] <= 10_800.0
