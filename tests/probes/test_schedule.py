from __future__ import annotations

from collections import Counter

import pytest

from linkweather.mesh import Link, Mesh, Site, ThroughputTests
from probes.schedule import Turn, cycle_s, next_turn, turn

SLOT_S = 4.0


def mesh_of(
    count: int, *, every_s: float = 0.0, enabled: bool = True, without: str = "", links: tuple[Link, ...] | None = None
) -> Mesh:
    names = [chr(ord("a") + number) if count <= 26 else f"s{number:03}" for number in range(count)]
    sites = {
        name: Site(address=f"10.0.{number // 250}.{number % 250 + 1}", throughput=name != without)
        for number, name in reversed(list(enumerate(names)))  # the file's order must not matter
    }
    tests = ThroughputTests(every_s=every_s, slot_s=SLOT_S, enabled=enabled)
    return Mesh(sites=sites, throughput=tests, links=links)


def test_four_sites_play_the_tournament_that_was_worked_out_by_hand() -> None:
    mesh = mesh_of(4)
    assert [turn(SLOT_S * slot, mesh) for slot in range(7)] == [
        {("a", "d"), ("b", "c")},
        {("d", "a"), ("c", "b")},
        {("b", "d"), ("a", "c")},
        {("d", "b"), ("c", "a")},
        {("c", "d"), ("a", "b")},
        {("d", "c"), ("b", "a")},
        {("a", "d"), ("b", "c")},
    ]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 8, 9, 50])
@pytest.mark.parametrize("every_s", [0.0, 1000.0])
def test_a_cycle_tests_every_link_once_and_no_site_twice_in_a_slot(count: int, every_s: float) -> None:
    mesh = mesh_of(count, every_s=every_s)
    slots = 2 * (count + count % 2 - 1)
    step_s = cycle_s(mesh) / slots
    start_s = 1000 * cycle_s(mesh)
    played: Counter[tuple[str, str]] = Counter()
    for slot in range(slots):
        pairs = turn(start_s + (slot + 0.1) * step_s if every_s == 0 else start_s + slot * step_s + 1.0, mesh)
        busy = [site for pair in pairs for site in pair]
        assert len(busy) == len(set(busy))
        assert len(pairs) == count // 2
        played.update(pairs)
    assert played == Counter(mesh.pairs())


def test_the_cycle_is_as_long_as_asked_or_as_its_slots_need() -> None:
    assert cycle_s(mesh_of(4)) == 6 * SLOT_S
    assert cycle_s(mesh_of(5)) == 10 * SLOT_S
    assert cycle_s(mesh_of(4, every_s=60.0)) == 60.0


def test_rounds_are_spread_over_the_cycle_and_between_them_nobody_tests() -> None:
    mesh = mesh_of(4, every_s=60.0)  # 6 rounds: one every 10 s, each 4 s long
    assert turn(63.9, mesh) == {("a", "d"), ("b", "c")}
    assert turn(64.0, mesh) == frozenset()
    assert turn(69.9, mesh) == frozenset()
    assert turn(70.0, mesh) == {("d", "a"), ("c", "b")}


def test_the_next_turn_is_the_first_later_slot_as_a_destination() -> None:
    mesh = mesh_of(4)
    assert next_turn(0.0, "a", mesh) == Turn(4.0, "d")
    assert next_turn(3.9, "a", mesh) == Turn(4.0, "d")
    assert next_turn(4.0, "a", mesh) == Turn(12.0, "c")
    assert next_turn(20.0, "a", mesh) == Turn(28.0, "d")
    assert next_turn(0.0, "d", mesh) == Turn(8.0, "b")


@pytest.mark.parametrize("count", [2, 5, 8])
@pytest.mark.parametrize("every_s", [0.0, 1000.0])
def test_turns_of_each_destination_are_the_turns_of_the_table(count: int, every_s: float) -> None:
    mesh = mesh_of(count, every_s=every_s)
    for site in mesh.sites:
        now_s, seen = 1.7e9, set()
        for _ in range(count - 1):
            found = next_turn(now_s, site, mesh)
            assert found is not None
            assert found.start_s > now_s
            assert (found.src, site) in turn(found.start_s + 0.001, mesh)
            now_s = found.start_s
            seen.add(found.src)
        assert seen == set(mesh.sites) - {site}


def test_links_that_the_mesh_does_not_have_leave_their_slot_idle() -> None:
    mesh = mesh_of(4, links=(Link(src="a", dst="d"), Link(src="b", dst="c", both=True)))
    assert turn(0.0, mesh) == {("a", "d"), ("b", "c")}
    assert turn(4.0, mesh) == {("c", "b")}
    assert turn(8.0, mesh) == frozenset()
    assert next_turn(0.0, "a", mesh) is None
    assert next_turn(0.0, "d", mesh) == Turn(24.0, "a")


def test_a_site_without_throughput_is_never_drawn() -> None:
    mesh = mesh_of(4, without="c")
    assert turn(0.0, mesh) == {("a", "d")}
    assert next_turn(0.0, "c", mesh) is None
    assert next_turn(0.0, "b", mesh) == Turn(12.0, "d")  # not c, in the slot at 4 s
    assert all("c" not in pair for slot in range(6) for pair in turn(slot * SLOT_S, mesh))


@pytest.mark.parametrize("mesh", [mesh_of(1), mesh_of(4, enabled=False)], ids=["alone", "switched off"])
def test_nobody_has_a_turn(mesh: Mesh) -> None:
    assert turn(0.0, mesh) == frozenset()
    assert next_turn(0.0, "a", mesh) is None


def test_a_stranger_has_no_turn() -> None:
    assert next_turn(0.0, "z", mesh_of(4)) is None
