"""Whose turn it is to test throughput: a table of slots over the mesh's links, played by UTC time alone. Pure.

**Pairs.** The circle method: write the N sites around a circle (an odd number gets a bye), keep one of them in place
and turn the others by one seat a round. The sites that face each other meet. N − 1 rounds of N/2 pairs let every site
meet every other once, and in no round a site meets two. Each round is played twice, once for each direction.

**Slots.** A slot is the time of one test (`slot_s`). The pairs of a round are disjoint, so they all fit into one slot,
unless several of them belong to a group that `shares` a bottleneck: then the round is split into as many slots as the
group needs. The slots in order are the table, and after the last one the first comes again, without a pause.

**Sparse meshes.** Where less than half of all pairs have links, the circle would turn through slots in which hardly
anyone meets. There the links are taken in the order of their sites, and each gets the first slot in which neither of
its sites, nor a group of theirs, is in a test (first-fit edge colouring: never more than about twice the slots of the
site that has the most links). So 10,000 sites with 50 neighbours need some 250 slots instead of 20,000.

**Time.** Slot n begins at n · `slot_s` seconds since 1970 UTC, and plays place n mod L of the L in the table. The
collector makes the table, and each site's part of the mesh has the places of its links: no site asks another whose turn
it is, nor works out the turns of others. Clocks that differ by less than a slot cost at most a declined invitation, for
leases still decide.

**Use.** A turn is offered once in a table, and its destination, which knows what it has measured, uses it when the link
is due: never measured, expired, brought forward, or due by the calendar. The calendar has one date for each link in
every cycle of its `every_s`, spread evenly over it in the table's order. Turns that are not used cost nothing.

**Long tests.** A link whose test takes more than a slot gets a block of 2, 4, 8 … slots: it uses only turns whose
number is a multiple of its block's length. So blocks lie side by side or one within the other, and none begins inside a
test of the same length. A turn of another link that lies inside a block is lost to its lease; but L is odd (an idle
slot is added where it is not), so the place of every link passes through all remainders: within as many tables as the
longest block has slots, each link has a turn at which no block is under way. That holds for every site although only
the destination knows the length of its blocks.

**Membership** is who stands in the mesh, not who is alive. A site that is down, or has `throughput = false`, keeps its
seat, and its own tests do not take place. A mesh that gains or loses a site has another table, which is in force from
the next slot on. While some sites still have the old mesh, two tables are in force, and leases keep a site, and a
group, in one test: the second to come waits for its link's next turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import Final

from linkweather.mesh.mesh_model import Mesh
from linkweather.mesh.patterns import Pair

# The quotient of a time of day and a cycle may miss a whole number by rounding.
_ROUNDING: Final = 1e-6
Busy = str | tuple[str]  # a site, or a group that shares a bottleneck
MAX_BLOCK_SLOTS: Final = 64  # the longest test over the longest path, in the shortest slots


@dataclass(frozen=True, slots=True)
class Timetable:
    """A table of `slots`, each `slot_s` long, or the places of some links in it. `places`: link → slot."""

    places: Mapping[Pair, int]
    slots: int
    slot_s: float

    @property
    def round_s(self) -> float:
        """The time in which every link has a turn."""
        return self.slots * self.slot_s

    def next_turn(self, now_s: float, src: str, dst: str, *, block: int = 1) -> float:
        """When the link's next turn starts, after `now_s`; of a link whose tests take a block of slots, that it uses.

        Raises KeyError for a link that the table does not have.
        """
        number = floor(now_s / self.slot_s)
        number += (self.places[src, dst] - number) % self.slots
        while number * self.slot_s <= now_s or number % block:
            number += self.slots
        return number * self.slot_s

    def due(self, not_before_s: float, src: str, dst: str, cycle_s: float) -> float:
        """The link's first date in a calendar of such cycles that is not before this time. Raises as `next_turn`."""
        date_s = cycle_s * self.places[src, dst] / self.slots
        return date_s + cycle_s * ceil((not_before_s - date_s) / cycle_s - _ROUNDING)


def block_slots(took_s: float, slot_s: float) -> int:
    """How many slots a test that took so long gets: 1, 2, 4, …."""
    block = 1
    while block * slot_s < took_s and block < MAX_BLOCK_SLOTS:
        block *= 2
    return block


def timetable(mesh: Mesh) -> Timetable:
    """The table of all links of a mesh."""
    tested = set(mesh.tested_pairs())
    if not tested:
        return Timetable({}, 0, mesh.throughput.slot_s)
    groups = {name: site.shares for name, site in mesh.sites.items() if site.shares}
    sites = len(mesh.sites)
    if 2 * len(tested) >= sites * (sites - 1):
        places, slots = _tournament(sorted(mesh.sites), tested, groups)
    else:
        places, slots = _first_fit(tested, groups)
    if slots % 2 == 0:
        slots += 1
    return Timetable(places, slots, mesh.throughput.slot_s)


def _first_fit(tested: Iterable[Pair], groups: Mapping[str, str]) -> tuple[dict[Pair, int], int]:
    """Each link in the first slot in which its sites and their groups are free; how many slots that takes."""
    places: dict[Pair, int] = {}
    # The slots in which a site, or a group, is in a test, as the bits of a number.
    busy: dict[Busy, int] = {}
    # Both directions of a pair one after the other, as in the tournament.
    for src, dst in sorted(tested, key=lambda pair: (min(pair), max(pair), pair)):
        keys: set[Busy] = {src, dst}
        keys |= {(groups[site],) for site in (src, dst) if site in groups}
        taken = 0
        for key in keys:
            taken |= busy.get(key, 0)
        free = ~taken & (taken + 1)  # the lowest bit that is not set
        places[src, dst] = free.bit_length() - 1
        for key in keys:
            busy[key] = busy.get(key, 0) | free
    return places, max(taken.bit_length() for taken in busy.values())


def _tournament(sites: list[str], tested: set[Pair], groups: Mapping[str, str]) -> tuple[dict[Pair, int], int]:
    """The rounds of the circle method, without the links that are not tested; how many slots they take."""
    rounds = _rounds(sites)
    slots = [slot for played in rounds for slot in _split((pair for pair in played if pair in tested), groups)]
    return {(src, dst): place for place, slot in enumerate(slots) for dst, src in slot.items()}, len(slots)


def _rounds(sites: list[str]) -> Iterator[list[Pair]]:
    """Every round of the tournament, as pairs (src, dst); the next has the same pairs the other way."""
    seats = len(sites) + len(sites) % 2
    for number in range(seats - 1):
        met = ((seat, _opponent(seat, number, seats)) for seat in range(len(sites)))
        pairs = [(sites[low], sites[high]) for low, high in met if low < high < len(sites)]
        yield pairs
        yield [(high, low) for low, high in pairs]


def _opponent(seat: int, number: int, seats: int) -> int:
    # The last seat stays in place; of the others those meet whose numbers sum to 2·round.
    fixed = seats - 1
    if seat == fixed:
        return number
    opponent = (2 * number - seat) % fixed
    return fixed if opponent == seat else opponent


def _split(pairs: Iterable[Pair], groups: Mapping[str, str]) -> list[Mapping[str, str]]:
    """The slots of a round, as destination → source: each pair in the first in which its groups are in no test."""
    slots: list[dict[str, str]] = [{}]
    busy: list[set[str]] = [set()]
    for src, dst in pairs:
        shared = {groups[site] for site in (src, dst) if site in groups}
        place = next((number for number, taken in enumerate(busy) if taken.isdisjoint(shared)), len(slots))
        if place == len(slots):
            slots.append({})
            busy.append(set())
        slots[place][dst] = src
        busy[place] |= shared
    return list(slots)
