"""A site's next throughput tests: the turns of the tournament that its links want to use. Pure.

Every link has a turn in each table, and uses the first after its test is wanted (`attention`). Where that is too far
away for a test that is brought forward, leases keep the tests apart. Times are UTC, in seconds since 1970.

A room of its own between what is known of the links and when they have their turns: neither knows the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from linkweather.mesh import Mesh
from linkweather.mesh.site_mesh import site_mesh
from probes.throughput.attention import Attention, Reason, Wanted

# How long a test that is brought forward waits for its link's turn; where none comes, the sites' leases decide.
PATIENCE_S: Final = 45.0
# These wait for their turn, however far away it is.
_IN_TURN: Final = frozenset({"first", "expired", "scheduled"})


@dataclass(frozen=True, slots=True)
class Planned:
    """A test to begin at `start_s`, at its link's turn or not, and why."""

    start_s: float
    src: str
    reason: Reason
    in_turn: bool = True


class Agenda:
    """What `site` tests in one mesh, and when."""

    def __init__(self, mesh: Mesh, site: str) -> None:
        self.mesh = part = site_mesh(mesh, site)
        self._site = site
        self._table = part.turns()
        self._cycles_s = {src: part.cycle_s(src) for src in sorted(part.places)}

    @property
    def round_s(self) -> float:
        """The time in which every link has a turn."""
        return self._table.round_s

    def apply_to(self, attention: Attention) -> None:
        """Give attention the links of this mesh, and how long quiet ones may wait."""
        longest = self.mesh.throughput.longest_wait
        attention.apply_links(self._cycles_s, round_s=self._table.round_s, quiet_factor=longest)

    def upcoming(self, now_s: float, attention: Attention) -> Planned | None:
        """The next test that begins after `now_s`, as far as is known now; None when there is none."""
        planned = self.planned(now_s, attention)
        if not planned:
            return None
        first = planned[0]
        # A turn belongs to the site: a test that is brought forward without one must be over before it.
        turn = next((each for each in planned if each.in_turn), None)
        return turn if turn and turn.start_s < first.start_s + self._table.slot_s else first

    def planned(self, now_s: float, attention: Attention) -> list[Planned]:
        """The next test of each link, the soonest first."""
        each = (self._next_test(now_s, src, attention) for src in self._cycles_s)
        return sorted((planned for planned in each if planned), key=lambda planned: planned.start_s)

    def _next_test(self, now_s: float, src: str, attention: Attention) -> Planned | None:
        block = attention.block(src)
        tests = [self._plan(now_s, src, wanted, block) for wanted in attention.wanted(now_s, src)]
        # At one turn the last reason counts, which is out of the ordinary.
        return min(reversed(tests), key=lambda planned: planned.start_s, default=None)

    def _plan(self, now_s: float, src: str, wanted: Wanted, block: int) -> Planned:
        after_s = wanted.not_before_s
        if wanted.date_every_s:
            # The turn of the day itself counts: by rounding it may begin before.
            after_s = self._table.due(after_s, src, self._site, wanted.date_every_s) - 0.5 * self._table.slot_s
        after_s = max(now_s, after_s)
        turn_s = self._table.next_turn(after_s, src, self._site, block=block)
        if wanted.reason in _IN_TURN or turn_s <= after_s + PATIENCE_S:
            return Planned(turn_s, src, wanted.reason)
        return Planned(after_s, src, wanted.reason, in_turn=False)
