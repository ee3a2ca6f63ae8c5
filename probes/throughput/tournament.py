"""Whose turn it is to test throughput: a round-robin tournament over the mesh, from UTC time alone. Pure.

**Pairs.** The circle method: write the N sites around a circle (an odd number gets a bye), keep one of them in place
and turn the others by one seat a round. The sites that face each other meet. N − 1 rounds of N/2 pairs let every site
meet every other once, and in no round a site meets two. Each round is played twice, once for each direction.

**Slots.** A slot is the time of one test (`slot_s`). The pairs of a round are disjoint, so they all fit into one slot,
unless several of them belong to a group that `shares` a bottleneck: then the round is split into as many slots as the
group needs. The slots in order are the table, and after the last one the first comes again, without a pause.

**Time.** Slot n begins at n · `slot_s` seconds since 1970 UTC, and plays place n mod L of the L in the table. Every
site computes the same table from the same sorted membership, and reads the same clock: so no site asks another whose
turn it is. Clocks that differ by less than a slot cost at most a declined invitation, for leases still decide.

**Use.** A turn is offered once in a table, and its destination, which knows what it has measured, uses it when the link
is due: never measured, expired, brought forward, or due by the calendar. The calendar has one date for each link in
every cycle of `every_s`, spread evenly over it in the table's order. Turns that are not used cost nothing.

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

from linkweather.mesh import Mesh
from linkweather.units import LONGEST_S

Pair = tuple[str, str]

# The quotient of a time of day and a cycle may miss a whole number by rounding.
_ROUNDING: Final = 1e-6
MAX_BLOCK_SLOTS: Final = 64  # the longest test over the longest path, in the shortest slots


@dataclass(frozen=True, slots=True)
class Timetable:
    """The slots of a table, each `slot_s` long: a slot maps each destination to its source. `places`: link → slot."""

    slots: tuple[Mapping[str, str], ...]
    places: Mapping[Pair, int]
    slot_s: float
    every_s: float

    @property
    def round_s(self) -> float:
        """The time in which every link has a turn."""
        return len(self.slots) * self.slot_s

    @property
    def cycle_s(self) -> float:
        """The time in which every link is due once by the calendar."""
        return max(self.every_s, self.round_s)

    def sources(self, site: str) -> set[str]:
        """The sites from which links to `site` are tested."""
        return {src for src, dst in self.places if dst == site}

    def turn(self, now_s: float) -> frozenset[Pair]:
        """The links (src, dst) whose slot it is at `now_s`."""
        if not self.slots:
            return frozenset()
        return frozenset((src, dst) for dst, src in self.slots[floor(now_s / self.slot_s) % len(self.slots)].items())

    def next_turn(self, now_s: float, src: str, dst: str, *, block: int = 1) -> float:
        """When the link's next turn starts, after `now_s`; of a link whose tests take a block of slots, that it uses.

        Raises KeyError for a link that the table does not have.
        """
        number = floor(now_s / self.slot_s)
        number += (self.places[src, dst] - number) % len(self.slots)
        while number * self.slot_s <= now_s or number % block:
            number += len(self.slots)
        return number * self.slot_s

    def due(self, not_before_s: float, src: str, dst: str) -> float:
        """The link's first date in the calendar that is not before this time. Raises as `next_turn`."""
        date_s = self.cycle_s * self.places[src, dst] / len(self.slots)
        return date_s + self.cycle_s * ceil((not_before_s - date_s) / self.cycle_s - _ROUNDING)


def block_slots(took_s: float, slot_s: float) -> int:
    """How many slots a test that took so long gets: 1, 2, 4, …."""
    block = 1
    while block * slot_s < took_s and block < MAX_BLOCK_SLOTS:
        block *= 2
    return block


def timetable(mesh: Mesh) -> Timetable:
    """The table of a mesh."""
    tests = mesh.throughput
    rounds = _rounds(sorted(mesh.sites)) if tests.enabled and len(mesh.sites) > 1 else ()
    tested, groups = (
        frozenset(mesh.tested_pairs()),
        {name: site.shares for name, site in mesh.sites.items() if site.shares},
    )
    slots = [slot for played in rounds for slot in _split((pair for pair in played if pair in tested), groups)]
    if slots and len(slots) % 2 == 0:
        slots.append({})
    places = {(src, dst): place for place, slot in enumerate(slots) for dst, src in slot.items()}
    return Timetable(tuple(slots), places, tests.slot_s, min(tests.every_s, LONGEST_S))


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
