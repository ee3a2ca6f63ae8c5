"""Whose turn it is to test throughput: a round-robin tournament over the mesh, from UTC time alone. Pure.

**Pairs.** The circle method: write the N sites around a circle (an odd number gets a bye), keep one of them in place
and turn the others by one seat a round. The sites that face each other meet. N − 1 rounds of N/2 pairs let every site
meet every other once, and in no round a site meets two. Each round is played twice, once for each direction.

**Slots.** A slot is the time of one test (`slot_s`). The pairs of a round are disjoint, so they all fit into one slot,
unless several of them belong to a group that `shares` a bottleneck: then the round is split into as many slots as the
group needs. The slots in order are the table, and after the last one the first comes again.

**Time.** Slot n begins at n · step seconds since 1970 UTC, and the table repeats every (number of slots) · step. Every
site computes the same table from the same sorted membership, and reads the same clock: so no site asks another whose
turn it is. Clocks that differ by less than a slot cost at most a declined invitation, for leases still decide. Where
`every_s` leaves room between two slots (`step` > `slot_s`), the room holds further, free slots: a cycle of their own
over the same table, for tests that are brought forward.

**Membership** is who stands in the mesh, not who is alive. A site that is down, or has `throughput = false`, keeps its
seat, and its own tests do not take place. A mesh that gains or loses a site has another table, which is in force from
the next slot on: each link has its turn within one cycle of the new table, and less than the sum of both cycles after
its last one. While some sites still have the old mesh, two tables are in force, and leases keep a site, and a group, in
one test: the second to come waits for its link's next turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import floor

from linkweather.mesh import Mesh

Pair = tuple[str, str]

# The quotient of two durations may fall just below a whole number by rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Turn:
    """From `start_s` (UTC, seconds since 1970) a destination tests its link from `src`."""

    start_s: float
    src: str


@dataclass(frozen=True, slots=True)
class Timetable:
    """A cycle of slots, one every `step_s`, each `slot_s` long; a slot maps each destination to its source.

    Where the steps leave room, `free` further slots follow each one.
    """

    slots: tuple[Mapping[str, str], ...]
    step_s: float
    slot_s: float

    @property
    def cycle_s(self) -> float:
        """The time in which every link has its turn once."""
        return len(self.slots) * self.step_s

    @property
    def free(self) -> int:
        """How many slots have room between one turn's slot and the next."""
        return floor(self.step_s / self.slot_s + _ROUNDING) - 1

    def turn(self, now_s: float) -> frozenset[Pair]:
        """The links (src, dst) whose slot it is at `now_s`; empty between the slots."""
        if not self.slots:
            return frozenset()
        number = floor(now_s / self.step_s)
        if now_s - number * self.step_s >= self.slot_s:
            return frozenset()
        return frozenset((src, dst) for dst, src in self.slots[number % len(self.slots)].items())

    def next_turn(self, now_s: float, site: str) -> Turn | None:
        """The first turn of `site` as the destination that starts after `now_s`; None when it never has one."""
        if not self.slots:
            return None
        current = floor(now_s / self.step_s)
        for number in range(current, current + len(self.slots) + 2):
            start_s = number * self.step_s  # compared, not derived: the quotient above is rounded
            src = self.slots[number % len(self.slots)].get(site)
            if start_s > now_s and src is not None:
                return Turn(start_s, src)
        return None

    def next_free(self, now_s: float, src: str, dst: str) -> float | None:
        """When the link's next free slot starts, after `now_s`; None where the table has none."""
        if self.free < 1:
            return None
        first = floor(now_s / self.step_s) * self.free
        for number in range(first, first + self.free + len(self.slots)):
            step, place = divmod(number, self.free)
            start_s = step * self.step_s + (place + 1) * self.slot_s
            if start_s > now_s and self.slots[number % len(self.slots)].get(dst) == src:
                return start_s
        return None


def timetable(mesh: Mesh) -> Timetable:
    """The table of a mesh: each link once in `every_s`, or in what its slots need when that is longer."""
    tests = mesh.throughput
    rounds = _rounds(sorted(mesh.sites)) if tests.enabled and len(mesh.sites) > 1 else ()
    tested, groups = _tested(mesh), {name: site.shares for name, site in mesh.sites.items() if site.shares}
    slots = tuple(slot for played in rounds for slot in _split((pair for pair in played if pair in tested), groups))
    return Timetable(slots, max(tests.slot_s, tests.every_s / max(1, len(slots))), tests.slot_s)


def _tested(mesh: Mesh) -> frozenset[Pair]:
    able = {name for name, site in mesh.sites.items() if site.throughput}
    return frozenset((src, dst) for src, dst in mesh.pairs() if src in able and dst in able)


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
