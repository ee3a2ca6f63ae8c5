from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkweather.mesh import Link, Mesh, Site, ThroughputTests
from linkweather.mesh.patterns import Pair
from linkweather.mesh.tournament import Timetable, block_slots, timetable
from tests.linkweather.mesh.test_groups import meshes

SLOT_S = 4.0


def turn(now_s: float, mesh: Mesh) -> frozenset[Pair]:
    return played_at(now_s, timetable(mesh))


def played_at(now_s: float, table: Timetable) -> frozenset[Pair]:
    """The links whose slot it is."""
    if not table.slots:
        return frozenset()
    place = floor(now_s / table.slot_s) % table.slots
    return frozenset(pair for pair, there in table.places.items() if there == place)


def sources(table: Timetable, site: str) -> set[str]:
    return {src for src, dst in table.places if dst == site}


def next_turn(now_s: float, site: str, mesh: Mesh) -> tuple[float, str] | None:
    """The first turn of a site as the destination: when, and from where."""
    table = timetable(mesh)
    return min(((table.next_turn(now_s, src, site), src) for src in sources(table, site)), default=None)


def cycle_s(mesh: Mesh) -> float:
    return max(mesh.throughput.every_s, timetable(mesh).round_s)


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
    assert [turn(SLOT_S * slot, mesh) for slot in range(8)] == [
        {("a", "d"), ("b", "c")},
        {("d", "a"), ("c", "b")},
        {("b", "d"), ("a", "c")},
        {("d", "b"), ("c", "a")},
        {("c", "d"), ("a", "b")},
        {("d", "c"), ("b", "a")},
        set(),  # so that the number of slots is odd
        {("a", "d"), ("b", "c")},
    ]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 8, 9, 50])
@pytest.mark.parametrize("every_s", [0.0, 1000.0])
def test_a_cycle_tests_every_link_once_and_no_site_twice_in_a_slot(count: int, every_s: float) -> None:
    mesh = mesh_of(count, every_s=every_s)
    slots = 2 * (count + count % 2 - 1)
    start_s = 1000 * (slots + 1) * SLOT_S
    played: Counter[tuple[str, str]] = Counter()
    for slot in range(slots):
        pairs = turn(start_s + (slot + 0.1) * SLOT_S, mesh)
        busy = [site for pair in pairs for site in pair]
        assert len(busy) == len(set(busy))
        assert len(pairs) == count // 2
        played.update(pairs)
    assert played == Counter(mesh.pairs())


def test_the_cycle_is_as_long_as_asked_or_as_its_slots_need() -> None:
    assert cycle_s(mesh_of(4)) == 7 * SLOT_S
    assert cycle_s(mesh_of(5)) == 11 * SLOT_S
    assert cycle_s(mesh_of(4, every_s=60.0)) == 60.0
    assert timetable(mesh_of(4, every_s=60.0)).round_s == 7 * SLOT_S


def test_days_of_the_calendar_are_spread_over_the_cycle() -> None:
    table = timetable(mesh_of(4, every_s=70.0))
    assert sorted(table.due(0.0, *pair, 70.0) for pair in table.places) == [n * 10.0 for n in range(6) for _ in "ab"]
    assert table.due(0.0, "a", "d", 70.0) == 0.0
    assert table.due(0.1, "a", "d", 70.0) == 70.0
    assert table.due(-0.1, "a", "d", 70.0) == 0.0
    assert table.due(1e9, "b", "a", 70.0) == pytest.approx(50.0 + 70.0 * 14285714)


def test_without_a_pause_each_turn_is_a_day_whatever_the_rounding() -> None:
    mesh = mesh_of(5)
    mesh = mesh.model_copy(update={"throughput": ThroughputTests(every_s=0.0, slot_s=3.7)})
    table = timetable(mesh)
    for pair in table.places:
        start_s = table.next_turn(1.79e9, *pair)
        for _ in range(100):
            start_s = table.next_turn(start_s, *pair)
            assert table.due(start_s - 0.5 * table.round_s, *pair, table.round_s) == pytest.approx(start_s, abs=1e-3)


def test_the_next_turn_is_the_first_later_slot_as_a_destination() -> None:
    mesh = mesh_of(4)
    assert next_turn(0.0, "a", mesh) == (4.0, "d")
    assert next_turn(3.9, "a", mesh) == (4.0, "d")
    assert next_turn(4.0, "a", mesh) == (12.0, "c")
    assert next_turn(20.0, "a", mesh) == (32.0, "d")
    assert next_turn(0.0, "d", mesh) == (8.0, "b")


@pytest.mark.parametrize("count", [2, 5, 8])
@pytest.mark.parametrize("every_s", [0.0, 1000.0])
def test_turns_of_each_destination_are_the_turns_of_the_table(count: int, every_s: float) -> None:
    mesh = mesh_of(count, every_s=every_s)
    for site in mesh.sites:
        now_s, seen = 1.7e9, set()
        for _ in range(count - 1):
            found = next_turn(now_s, site, mesh)
            assert found is not None
            start_s, src = found
            assert start_s > now_s
            assert (src, site) in turn(start_s + 0.001, mesh)
            now_s = start_s
            seen.add(src)
        assert seen == set(mesh.sites) - {site}


def test_links_that_the_mesh_does_not_have_take_no_slot() -> None:
    mesh = mesh_of(4, links=(Link(src="a", dst="d"), Link(src="b", dst="c", both=True)))
    assert turn(0.0, mesh) == {("a", "d"), ("b", "c")}
    assert turn(4.0, mesh) == {("c", "b")}
    assert turn(8.0, mesh) == frozenset()
    assert next_turn(0.0, "a", mesh) is None
    assert next_turn(0.0, "d", mesh) == (12.0, "a")


def test_a_site_without_throughput_is_never_drawn() -> None:
    mesh = mesh_of(4, without="c")
    assert turn(0.0, mesh) == {("a", "d")}
    assert next_turn(0.0, "c", mesh) is None
    assert next_turn(0.0, "b", mesh) == (12.0, "d")  # not c, in the slot at 4 s
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
    assert [turn(SLOT_S * slot, mesh) for slot in range(12)] == [
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
        set(),
        {("a", "d")},
    ]


@pytest.mark.parametrize(
    ("count", "size", "groups", "minutes"),
    [
        # Without groups 2·(N−1) slots of 4 s, and an idle one.
        (8, 0, 0, 60.0 / 60),
        (50, 0, 0, 396.0 / 60),
        (200, 0, 0, 1596.0 / 60),
        # A group of g sites is in 2·g·(N−g) + g·(g−1) tests, one at a time: that is the least a cycle can take.
        (8, 2, 1, 1.8),
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
    slots: dict[int, list[Pair]] = {}
    for pair, place in table.places.items():
        slots.setdefault(place, []).append(pair)
    for pairs in slots.values():
        busy = [site for pair in pairs for site in pair]
        assert len(busy) == len(set(busy))
        bottlenecks = [bottleneck for pair in pairs for bottleneck in {of[site] for site in pair if site in of}]
        assert len(bottlenecks) == len(set(bottlenecks))
        played.update(pairs)
    assert played == Counter(mesh.pairs())
    least = max(2 * (count - 1), 2 * size * (count - size) + size * (size - 1) if size else 0)
    assert table.slots <= 1.7 * least
    if minutes is not None:
        assert table.round_s / 60 == pytest.approx(minutes, abs=0.01)


@pytest.mark.parametrize(
    ("took_s", "block"), [(0.1, 1), (4.0, 1), (4.1, 2), (8.1, 4), (16.0, 4), (150.0, 64), (9e9, 64)]
)
def test_a_long_test_gets_a_power_of_two_of_slots(took_s: float, block: int) -> None:
    assert block_slots(took_s, SLOT_S) == block


@dataclass
class Meeting:
    """What sites do that each follow their own mesh, with leases for the moments when the meshes differ.

    Only a link's destination knows that its tests take a block of slots.
    """

    views: dict[str, Mesh]
    dead: set[str] = field(default_factory=set)
    blocks: dict[Pair, int] = field(default_factory=dict)
    done: list[tuple[float, Pair]] = field(default_factory=list)
    lost: list[Pair] = field(default_factory=list)

    def play(self, since_s: float, until_s: float) -> None:
        made = {key: timetable(mesh) for key, mesh in {id(mesh): mesh for mesh in self.views.values()}.items()}
        tables = {site: made[id(mesh)] for site, mesh in self.views.items()}
        leased: dict[str, float] = {}
        starts = []
        for dst, table in tables.items():
            for src in sources(table, dst):
                block = self.blocks.get((src, dst), 1)
                start_s = table.next_turn(since_s - 0.001, src, dst, block=block)
                while start_s < until_s:
                    starts.append((start_s, src, dst))
                    start_s = table.next_turn(start_s, src, dst, block=block)
        for start_s, src, dst in sorted(starts):
            if dst in self.dead:
                continue
            if src in self.dead or max(leased.get(src, 0.0), leased.get(dst, 0.0)) > start_s:
                self.lost.append((src, dst))
                continue
            leased[src] = leased[dst] = start_s + self.blocks.get((src, dst), 1) * SLOT_S
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
        len(after.sites) // 2: round(next_cycle_s / SLOT_S) - 1
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


@pytest.mark.parametrize(
    ("count", "slow", "block"), [(3, 1, 2), (4, 1, 4), (8, 1, 2), (8, 8, 2), (8, 3, 4), (50, 2, 8), (200, 1, 2)]
)
def test_sites_whose_tests_take_blocks_of_slots_starve_no_link(count: int, slow: int, block: int) -> None:
    mesh = mesh_of(count)
    far = sorted(mesh.sites)[:slow]
    blocks = {pair: block for pair in mesh.pairs() if set(pair) & {*far}}
    meeting = Meeting(dict.fromkeys(mesh.sites, mesh), blocks=blocks)
    meeting.play(0.0, 2 * block * cycle_s(mesh))
    tested = Counter(pair for _, pair in meeting.done)
    assert tested.keys() == set(mesh.pairs())
    # Blocks are in each other's way nowhere; of the others each has at least one turn in `block` rounds.
    assert not {pair for pair in meeting.lost if pair in blocks}
    assert {tested[pair] for pair in blocks} == {2}
    assert min(tested.values()) >= 2


def test_blocks_of_different_lengths_starve_no_link() -> None:
    mesh = mesh_of(8)
    lengths = dict(zip(sorted(mesh.sites), (1, 1, 1, 1, 2, 2, 4, 8), strict=True))
    blocks = {(src, dst): max(lengths[src], lengths[dst]) for src, dst in mesh.pairs()}
    meeting = Meeting(dict.fromkeys(mesh.sites, mesh), blocks=blocks)
    meeting.play(0.0, 8 * cycle_s(mesh))
    assert {pair for _, pair in meeting.done} == set(mesh.pairs())


@given(meshes(), st.lists(st.sampled_from(["", "uplink", "other"]), min_size=12, max_size=12))
def test_whatever_the_groups_each_link_has_one_place_and_no_site_or_bottleneck_two_tests(
    mesh: Mesh, bottlenecks: list[str]
) -> None:
    of = {site: name for site, name in zip(mesh.sites, bottlenecks, strict=True) if name}
    whole = shared(mesh, of)
    table = timetable(whole)
    assert table.places.keys() == set(mesh.pairs())
    assert table.slots % 2 == 1 or not table.places
    busy = Counter(
        (place, busy)
        for pair, place in table.places.items()
        for busy in {*pair, *((of[site],) for site in pair if site in of)}
    )
    assert all(count == 1 for count in busy.values())
    if not of:
        ends = Counter(site for pair in mesh.pairs() for site in pair)
        assert table.slots <= 2 * max([*ends.values(), 0]) + 1
