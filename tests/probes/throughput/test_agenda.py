from __future__ import annotations

import random

from linkweather.mesh import Mesh, Site, ThroughputTests
from linkweather.wire import PathRow, ThroughputRow
from probes.throughput.agenda import PATIENCE_S, Agenda, Planned
from probes.throughput.attention import MIN_GAP_S, SPREAD_S, Attention

SLOT_S = 4.0


def mesh_of(count: int, *, every_s: float) -> Mesh:
    names = [f"s{number:02}" for number in range(count)]
    sites = {name: Site(address=f"10.0.0.{number + 1}") for number, name in enumerate(names)}
    return Mesh(sites=sites, throughput=ThroughputTests(every_s=every_s, slot_s=SLOT_S))


def watched(agenda: Agenda, tested_s: float | None = None) -> Attention:
    attention = Attention(random.Random(1))
    agenda.attend(attention)
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
