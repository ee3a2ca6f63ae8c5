from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from linkweather.mesh import Link, Mesh, Site, ThroughputTests
from probes.throughput.tournament import Pair, Timetable, Turn, timetable

SLOT_S = 4.0


def turn(now_s: float, mesh: Mesh) -> frozenset[Pair]:
    return timetable(mesh).turn(now_s)


def next_turn(now_s: float, site: str, mesh: Mesh) -> Turn | None:
    return timetable(mesh).next_turn(now_s, site)


def cycle_s(mesh: Mesh) -> float:
    return timetable(mesh).cycle_s


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


def shared(mesh: Mesh, groups: Mapping[str, str]) -> Mesh:
    sites = {name: site.model_copy(update={"shares": groups.get(name)}) for name, site in mesh.sites.items()}
    return mesh.model_copy(update={"sites": sites})


def groups_of(mesh: Mesh, sizes: int, count: int) -> dict[str, str]:
    """The first sites, in `count` groups of `sizes` each."""
    names = sorted(mesh.sites)
    return {names[number]: f"uplink-{number // sizes}" for number in range(sizes * count)}


def test_a_round_in_which_a_group_meets_itself_twice_takes_two_slots() -> None:
    mesh = shared(mesh_of(4), {"a": "uplink", "b": "uplink"})
    assert [turn(SLOT_S * slot, mesh) for slot in range(11)] == [
        {("a", "d")},
        {("b", "c")},
        {("d", "a")},
        {("c", "b")},
        {("a", "c")},
        {("b", "d")},
        {("c", "a")},
        {("d", "b")},
        {("c", "d"), ("a", "b")},  # within the group there is one test, and it is in none of the others
        {("d", "c"), ("b", "a")},
        {("a", "d")},
    ]


@pytest.mark.parametrize(
    ("count", "size", "groups", "minutes"),
    [
        # Without groups as in the published table: 2·(N−1) slots of 4 s.
        (8, 0, 0, 56.0 / 60),
        (50, 0, 0, 392.0 / 60),
        (200, 0, 0, 1592.0 / 60),
        # A group of g sites is in 2·g·(N−g) + g·(g−1) tests, one at a time: that is the least a cycle can take.
        (8, 2, 1, 1.74),
        (50, 3, 4, None),
        (200, 4, 10, None),
    ],
)
def test_every_link_is_tested_and_no_site_and_no_group_is_in_two_tests(
    count: int, size: int, groups: int, minutes: float | None
) -> None:
    mesh = mesh_of(count)
    of = groups_of(mesh, size, groups) if size else {}
    table = timetable(shared(mesh, of))
    played: Counter[Pair] = Counter()
    for number in range(len(table.slots)):
        pairs = table.turn((number + 0.5) * SLOT_S)
        busy = [site for pair in pairs for site in pair]
        assert len(busy) == len(set(busy))
        bottlenecks = [bottleneck for pair in pairs for bottleneck in {of[site] for site in pair if site in of}]
        assert len(bottlenecks) == len(set(bottlenecks))
        played.update(pairs)
    assert played == Counter(mesh.pairs())
    least = max(2 * (count - 1), 2 * size * (count - size) + size * (size - 1) if size else 0)
    assert len(table.slots) <= 1.7 * least
    if minutes is not None:
        assert table.cycle_s / 60 == pytest.approx(minutes, abs=0.01)


def free_slots(table: Timetable, src: str, dst: str, until_s: float) -> list[float]:
    found: list[float] = []
    start_s = table.next_free(0.0, src, dst)
    while start_s is not None and start_s < until_s:
        found.append(start_s)
        start_s = table.next_free(start_s, src, dst)
    return found


def test_free_slots_lie_between_the_turns_and_nobody_has_two_of_them_at_once() -> None:
    mesh = mesh_of(4, every_s=96.0)  # a step of 16 s: its turn, and three free slots
    table = timetable(mesh)
    assert table.free == 3
    starts: dict[float, list[str]] = {}
    for src, dst in mesh.pairs():
        for start_s in free_slots(table, src, dst, 192.0):
            assert start_s % 16.0 in {4.0, 8.0, 12.0}
            starts.setdefault(start_s, []).extend((src, dst))
    assert len(starts) == 36
    assert all(sorted(busy) == ["a", "b", "c", "d"] for busy in starts.values())
    # The free slots are a cycle of their own: 6 of them, three a step.
    assert free_slots(table, "a", "d", 96.0) == [4.0, 36.0, 68.0]


def test_without_room_between_the_turns_there_is_no_free_slot() -> None:
    assert timetable(mesh_of(4)).next_free(0.0, "a", "b") is None


def test_a_link_that_the_mesh_does_not_have_has_no_free_slot() -> None:
    table = timetable(mesh_of(4, every_s=96.0, links=(Link(src="a", dst="d"),)))
    assert table.next_free(0.0, "d", "a") is None
    assert table.next_free(0.0, "a", "d") == 4.0


@dataclass
class Meeting:
    """What sites do that each follow their own mesh, with leases for the moments when the meshes differ."""

    views: dict[str, Mesh]
    dead: set[str] = field(default_factory=set)
    done: list[tuple[float, Pair]] = field(default_factory=list)
    lost: list[Pair] = field(default_factory=list)

    def play(self, since_s: float, until_s: float) -> None:
        made = {key: timetable(mesh) for key, mesh in {id(mesh): mesh for mesh in self.views.values()}.items()}
        tables = {site: made[id(mesh)] for site, mesh in self.views.items()}
        leased: dict[str, float] = {}
        starts = []
        for dst, table in tables.items():
            found = table.next_turn(since_s - 0.001, dst)
            while found is not None and found.start_s < until_s:
                starts.append((found.start_s, found.src, dst))
                found = table.next_turn(found.start_s, dst)
        for start_s, src, dst in sorted(starts):
            if dst in self.dead:
                continue
            if src in self.dead or max(leased.get(src, 0.0), leased.get(dst, 0.0)) > start_s:
                self.lost.append((src, dst))
                continue
            leased[src] = leased[dst] = start_s + SLOT_S
            self.done.append((start_s, (src, dst)))


@pytest.mark.parametrize("count", [8, 50, 200])
def test_a_site_that_dies_costs_only_its_own_tests(count: int) -> None:
    mesh = mesh_of(count)
    victim = sorted(mesh.sites)[3]
    meeting = Meeting(dict.fromkeys(mesh.sites, mesh), dead={victim})
    meeting.play(0.0, cycle_s(mesh))
    assert {pair for _, pair in meeting.done} == {pair for pair in mesh.pairs() if victim not in pair}
    assert all(src == victim for src, _ in meeting.lost)


def joined(mesh: Mesh) -> Mesh:
    return mesh.model_copy(update={"sites": {**mesh.sites, "b-newcomer": Site(address="10.1.0.1")}})


def left(mesh: Mesh) -> Mesh:
    leaver = sorted(mesh.sites)[2]
    return mesh.model_copy(update={"sites": {name: site for name, site in mesh.sites.items() if name != leaver}})


@pytest.mark.parametrize("changed", [joined, left])
@pytest.mark.parametrize("count", [7, 8, 50, 200])
def test_a_site_that_joins_or_leaves_between_two_slots_costs_the_others_none_of_theirs(
    count: int, changed: Callable[[Mesh], Mesh]
) -> None:
    before = mesh_of(count)
    after = changed(before)
    last_cycle_s, next_cycle_s = cycle_s(before), cycle_s(after)
    meeting = Meeting(dict.fromkeys(before.sites, before))
    change_s = 3 * last_cycle_s + 5 * SLOT_S
    meeting.play(change_s - last_cycle_s, change_s)
    tested_s = {pair: start_s for start_s, pair in meeting.done}
    meeting.views = dict.fromkeys(after.sites, after)
    meeting.done.clear()
    meeting.play(change_s, change_s + next_cycle_s)
    # Every slot is full, every link has its turn in the new cycle, and none waits two cycles for it.
    assert Counter(Counter(start_s for start_s, _ in meeting.done).values()) == {
        len(after.sites) // 2: round(next_cycle_s / SLOT_S)
    }
    assert {pair for _, pair in meeting.done} == set(after.pairs())
    waits = [start_s - tested_s[pair] for start_s, pair in meeting.done if pair in tested_s]
    assert max(waits) < last_cycle_s + next_cycle_s
    assert meeting.lost == []


@pytest.mark.parametrize("count", [8, 50])
def test_while_sites_hear_of_a_newcomer_one_after_another_leases_keep_each_in_one_test(count: int) -> None:
    before = mesh_of(count)
    after = before.model_copy(update={"sites": {**before.sites, "newcomer": Site(address="10.1.0.1")}})
    meeting = Meeting({site: after if number % 2 else before for number, site in enumerate(before.sites)})
    meeting.play(0.0, 2 * SLOT_S)  # half of them have not heard
    meeting.views = dict.fromkeys(after.sites, after)
    meeting.play(2 * SLOT_S, 2 * SLOT_S + cycle_s(after))
    busy = Counter((start_s, site) for start_s, pair in meeting.done for site in pair)
    assert max(busy.values()) == 1
    assert {pair for start_s, pair in meeting.done if start_s >= 2 * SLOT_S} == set(after.pairs())
