"""Whose turn it is to test throughput: a round-robin tournament over the mesh, from UTC time alone.

Circle method: with N sites (a bye makes an odd number even) N−1 rounds of N/2 disjoint pairs meet
everyone once. Each round is played twice, once per direction. Every site computes the same table
from the same membership, so nobody needs to be asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from linkweather.mesh import Mesh

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Turn:
    """From `start_s` (UTC, seconds since 1970) a destination tests its link from `src`."""

    start_s: float
    src: str


@dataclass(frozen=True, slots=True)
class _Cycle:
    sites: tuple[str, ...]
    seats: int  # the sites, and the bye
    slots: int
    step_s: float
    slot_s: float


def cycle_s(mesh: Mesh) -> float:
    """How long it takes until every link has had its turn: `every_s`, or longer when it does not fit."""
    cycle = _cycle(mesh)
    return cycle.slots * cycle.step_s


def turn(now_s: float, mesh: Mesh) -> frozenset[Pair]:
    """The links (src, dst) whose slot it is at `now_s`; empty between the slots."""
    if not mesh.throughput.enabled or len(mesh.sites) < 2:
        return frozenset()
    cycle = _cycle(mesh)
    number = floor(now_s / cycle.step_s)
    if now_s - number * cycle.step_s >= cycle.slot_s:
        return frozenset()
    tested = _tested(mesh)
    played = (_pair(cycle, seat, number % cycle.slots) for seat in range(len(cycle.sites)))
    return frozenset(pair for pair in played if pair in tested)


def next_turn(now_s: float, site: str, mesh: Mesh) -> Turn | None:
    """The first turn of `site` as the destination that starts after `now_s`; None when it never has one."""
    if not mesh.throughput.enabled or site not in mesh.sites or len(mesh.sites) < 2:
        return None
    cycle, tested = _cycle(mesh), _tested(mesh)
    seat = cycle.sites.index(site)
    current = floor(now_s / cycle.step_s)
    for number in range(current, current + cycle.slots + 2):
        start_s = number * cycle.step_s  # compared, not derived: the quotient above is rounded
        pair = _pair(cycle, seat, number % cycle.slots)
        if start_s > now_s and pair in tested and pair[1] == site:
            return Turn(start_s, pair[0])
    return None


def _cycle(mesh: Mesh) -> _Cycle:
    sites, tests = tuple(sorted(mesh.sites)), mesh.throughput
    seats = max(2, len(sites) + len(sites) % 2)
    slots = 2 * (seats - 1)
    return _Cycle(sites, seats, slots, max(tests.slot_s, tests.every_s / slots), tests.slot_s)


def _tested(mesh: Mesh) -> frozenset[Pair]:
    able = {name for name, site in mesh.sites.items() if site.throughput}
    return frozenset((src, dst) for src, dst in mesh.pairs() if src in able and dst in able)


def _pair(cycle: _Cycle, seat: int, slot: int) -> Pair | None:
    """Whom the seat meets in the slot, as (src, dst); None when it has the bye."""
    opponent = _opponent(seat, slot // 2, cycle.seats)
    if opponent == len(cycle.sites):
        return None
    low, high = sorted((seat, opponent))
    src, dst = (low, high) if slot % 2 == 0 else (high, low)
    return cycle.sites[src], cycle.sites[dst]


def _opponent(seat: int, number: int, seats: int) -> int:
    # The last seat stays; the others stand on a circle and meet where their numbers sum to 2·round.
    fixed = seats - 1
    if seat == fixed:
        return number
    opponent = (2 * number - seat) % fixed
    return fixed if opponent == seat else opponent
