"""A site's next throughput test: its turns in the tournament, what brings one forward, what lets one wait. Pure.

Cheap signals bring a test forward: a shift of the RTT's median, loss on the way to us, a new path. The site measures
them anyway. They are of the pair, and the tests are of its incoming link, which the loss belongs to as well; the peer
sees the other direction by itself. A link whose tests agree is quiet, and waits several cycles. Times are UTC, in
seconds since 1970.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from statistics import median
from typing import Final, Literal

from linkweather.mesh import Mesh
from linkweather.wire import LatencyRow, PathRow, ThroughputRow
from probes.throughput.tournament import Timetable, timetable

Signal = Literal["latency_shift", "loss", "new_path"]
Reason = Literal["first", "scheduled"] | Signal

# Page's cumulative sum over residuals of the median, in robust standard deviations: what is below SLACK is noise,
# one window adds at most CLIP − SLACK, so that it takes three strange ones in a row to raise the alarm.
SLACK: Final = 1.25
CLIP: Final = 4.0
ALARM: Final = 8.0
# The windows that make the level, and how many it takes before a window can be strange.
REMEMBERED: Final = 60
LEARNED: Final = 24
MAD_TO_STDEV: Final = 1.4826  # of a normal distribution
# A smaller shift does not matter, however quiet the link: of the RTT in seconds, and as a share of its level.
RTT_FLOOR_S: Final = 0.2e-3
RTT_FLOOR_SHARE: Final = 0.01
LOSS_FLOOR: Final = 0.015  # one packet of the fifty in a window hardly exceeds the slack

# Two tests agree within this much of their mean, and so many in a row make a quiet link.
AGREE_SHARE: Final = 0.10
AGREEING: Final = 3
# A test that is brought forward waits at least this long after the one before it; longer where that found no change.
MIN_GAP_S: Final = 60.0
# Both ends see a shift at the same time; within this spread they start at different times.
SPREAD_S: Final = 6.0


class Shift:
    """Detects when a series leaves its level, in either direction, and then learns the new one."""

    def __init__(self, floor: float, floor_share: float = 0.0) -> None:
        self._floor = floor
        self._floor_share = floor_share
        self._known: deque[float] = deque(maxlen=REMEMBERED)
        self._above = self._below = 0.0

    def shifted(self, value: float) -> bool:
        """Take a value in; whether the series has left its level with it."""
        if len(self._known) < LEARNED:
            self._known.append(value)
            return False
        level = median(self._known)
        spread = MAD_TO_STDEV * median(abs(each - level) for each in self._known)
        scale = max(spread, self._floor, self._floor_share * abs(level))
        residual = max(-CLIP, min(CLIP, (value - level) / scale))
        self._above = max(0.0, self._above + residual - SLACK)
        self._below = max(0.0, self._below - residual - SLACK)
        if max(self._above, self._below) < ALARM:
            self._known.append(value)
            return False
        self._known.clear()
        self._above = self._below = 0.0
        return True


@dataclass(frozen=True, slots=True)
class Raised:
    """A link whose test is brought forward: why, and the earliest time."""

    src: str
    reason: Signal
    not_before_s: float


@dataclass(slots=True)
class _Link:
    rtt: Shift = field(default_factory=lambda: Shift(RTT_FLOOR_S, RTT_FLOOR_SHARE))
    loss: Shift = field(default_factory=lambda: Shift(LOSS_FLOOR))
    found_bps: deque[float] = field(default_factory=lambda: deque(maxlen=AGREEING))
    tested_s: float | None = None
    wait: int = 1  # cycles from test to test
    gap_s: float = MIN_GAP_S
    raised: Raised | None = None


class Attention:
    """What is known of one site's incoming links. `rng` keeps both ends of a link from starting at the same time."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._links: dict[str, _Link] = {}
        self._cycle_s = 0.0
        self._quiet_factor = 1
        self._loaded_s = 0.0

    def apply_links(self, sources: Iterable[str], *, cycle_s: float, quiet_factor: int) -> None:
        """Watch the links from these sites, and keep what is known of those that stay."""
        self._links = {src: self._links.get(src, _Link()) for src in sources}
        self._cycle_s = cycle_s
        self._quiet_factor = quiet_factor

    def mark_loaded(self, now_s: float) -> None:
        """Note that a test of this site has just ended: windows that it touched show the test, not the path."""
        self._loaded_s = now_s

    def latency(self, now_s: float, row: LatencyRow) -> bool:
        """Take in a latency window that ends now; whether it raised its link."""
        link = self._links.get(row.dst)
        if link is None or not row.sent or row.during_throughput or now_s - (row.window_s or 0.0) < self._loaded_s:
            return False
        if link.loss.shifted((row.lost_back or 0) / row.sent):
            return self._raise(now_s, row.dst, "loss")
        if row.rtt_p50_s is not None and link.rtt.shifted(row.rtt_p50_s):
            return self._raise(now_s, row.dst, "latency_shift")
        return False

    def path(self, now_s: float, row: PathRow) -> bool:
        """Take in a trace to a peer; whether it raised the link."""
        return row.changed and row.dst in self._links and self._raise(now_s, row.dst, "new_path")

    def tested(self, now_s: float, row: ThroughputRow) -> None:
        """Take in a test's result, which settles what had raised the link."""
        link = self._links.get(row.src)
        if link is None:
            return
        brought_forward, link.raised, link.tested_s = link.raised is not None, None, now_s
        if row.goodput_bps is None:
            link.wait = 1
            return
        link.found_bps.append(row.goodput_bps)
        quiet = len(link.found_bps) == AGREEING and _agree(link.found_bps)
        link.wait = min(2 * link.wait, self._quiet_factor) if quiet else 1
        # After a false alarm the next one must wait longer, until a test finds a change.
        link.gap_s = min(2 * link.gap_s, max(MIN_GAP_S, self._cycle_s)) if quiet and brought_forward else MIN_GAP_S

    def postponed(self, src: str, until_s: float) -> None:
        """Postpone a test that was brought forward and could not take place."""
        link = self._links.get(src)
        if link is not None and link.raised is not None:
            start_s = until_s + self._rng.uniform(0.0, SPREAD_S)
            link.raised = Raised(src, link.raised.reason, start_s)

    def reason(self, now_s: float, src: str) -> Reason | None:
        """Why the link from `src` takes a turn that starts then; None where it waits for a later one."""
        link = self._links.get(src)
        if link is None:
            return None
        if link.tested_s is None:
            return "first"
        waited_s = now_s - link.tested_s
        # Half a cycle of tolerance: turns come at their time, and tests end a little after it.
        due = waited_s >= (link.wait - 0.5) * self._cycle_s
        if link.raised is not None and (due or waited_s >= link.gap_s):
            return link.raised.reason
        return "scheduled" if due else None

    def raised(self) -> list[Raised]:
        """The links whose tests are to be brought forward."""
        return [link.raised for link in self._links.values() if link.raised is not None]

    def _raise(self, now_s: float, src: str, reason: Signal) -> bool:
        link = self._links[src]
        if link.tested_s is None or link.raised is not None:
            return False
        start_s = max(now_s, link.tested_s + link.gap_s) + self._rng.uniform(0.0, SPREAD_S)
        link.raised = Raised(src, reason, start_s)
        return True


def _agree(values: Iterable[float]) -> bool:
    known = tuple(values)
    return max(known) - min(known) <= AGREE_SHARE * sum(known) / len(known)


# How long a test waits for a free slot of the table; where none comes, the sites' leases decide.
PATIENCE_S: Final = 45.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A test to begin at `start_s`, and why."""

    start_s: float
    src: str
    reason: Reason


class Agenda:
    """What `site` tests in one mesh, and when."""

    def __init__(self, mesh: Mesh, site: str) -> None:
        self.mesh = mesh
        self._site = site
        self._table: Timetable = timetable(mesh)

    def apply_to(self, attention: Attention) -> None:
        """Give attention the links of this mesh, and how long quiet ones may wait."""
        sources = {src for slot in self._table.slots for dst, src in slot.items() if dst == self._site}
        continuous = self.mesh.throughput.every_s == 0
        factor = 1 if continuous else self.mesh.throughput.quiet_factor
        attention.apply_links(sources, cycle_s=self._table.cycle_s, quiet_factor=factor)

    def upcoming(self, now_s: float, attention: Attention) -> Planned | None:
        """The next test that begins after `now_s`, as far as is known now; None when there is none."""
        turn = self._turn(now_s, attention)
        starts = [planned for each in attention.raised() if (planned := self._brought_forward(now_s, each))]
        early = min(starts, key=lambda planned: planned.start_s, default=None)
        # A turn belongs to the site: a test that is brought forward must be over before it.
        if early is None or (turn is not None and turn.start_s < early.start_s + self._table.slot_s):
            return turn
        return early

    def _turn(self, now_s: float, attention: Attention) -> Planned | None:
        """The first turn whose link does not wait for a later one."""
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
        # Where no free slot comes soon, leases keep the tests apart.
        start_s = free_s if free_s is not None and free_s <= after_s + PATIENCE_S else after_s
        return Planned(start_s, raised.src, raised.reason)
