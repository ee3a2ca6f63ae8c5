"""A site's next throughput test: its turns in the tournament, and what attention brings forward. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from linkweather.mesh import Mesh
from probes.throughput.attention import Attention, Raised, Reason
from probes.throughput.tournament import Timetable, timetable

# A free slot of the table is worth waiting for so long; later, the sites' leases decide who tests.
PATIENCE_S: Final = 45.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A test to begin at `start_s`, and why."""

    start_s: float
    src: str
    reason: Reason


class Agenda:
    """What `site` tests, and when, in one mesh."""

    def __init__(self, mesh: Mesh, site: str) -> None:
        self.mesh = mesh
        self._site = site
        self._table: Timetable = timetable(mesh)

    def attend(self, attention: Attention) -> None:
        """Tell attention which links there are, and how long quiet ones may wait."""
        sources = {src for slot in self._table.slots for dst, src in slot.items() if dst == self._site}
        continuous = self.mesh.throughput.every_s == 0
        factor = 1 if continuous else self.mesh.throughput.quiet_factor
        attention.follow(sources, cycle_s=self._table.cycle_s, quiet_factor=factor)

    def upcoming(self, now_s: float, attention: Attention) -> Planned | None:
        """The next test to begin after `now_s`, as far as is known now; None when there is none."""
        turn = self._turn(now_s, attention)
        starts = [planned for each in attention.raised() if (planned := self._brought_forward(now_s, each))]
        early = min(starts, key=lambda planned: planned.start_s, default=None)
        # A turn is the site's own; what is brought forward does not get in its way.
        if early is None or (turn is not None and turn.start_s < early.start_s + self._table.slot_s):
            return turn
        return early

    def _turn(self, now_s: float, attention: Attention) -> Planned | None:
        """The first turn whose link is not to wait for a later one."""
        start_s = now_s
        for _ in range(len(self._table.slots) * (1 + self.mesh.throughput.quiet_factor)):
            turn = self._table.next_turn(start_s, self._site)
            if turn is None:
                return None
            reason = attention.reason(turn.start_s, turn.src)
            if reason is not None:
                return Planned(turn.start_s, turn.src, reason)
            start_s = turn.start_s
        return None

    def _brought_forward(self, now_s: float, raised: Raised) -> Planned | None:
        after_s = max(now_s, raised.not_before_s)
        free_s = self._table.next_free(after_s, raised.src, self._site)
        # Where no free slot comes soon, the leases of the sites and of their groups keep the tests apart.
        start_s = free_s if free_s is not None and free_s <= after_s + PATIENCE_S else after_s
        return Planned(start_s, raised.src, raised.reason)
