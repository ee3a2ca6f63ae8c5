"""What one site knows of its incoming links, and what it notices: which tests are wanted, and from when on. Pure.

The test of a link that was never measured, or whose figure has expired, is wanted at once, and after a failure after a
wait that doubles up to a cycle. Otherwise the calendar says when (`tournament`), and cheap signals bring a test
forward: a shift of the RTT's median, loss on the way to us, a new path. The site measures them anyway. They are of the
pair, and the tests are of its incoming link, which the loss belongs to as well; the peer sees the other direction by
itself. A link whose tests agree is quiet, and waits several cycles. The collector may say in how many cycles a link is
worth a test: more often than each, or less often. Times are UTC, in seconds since 1970.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from statistics import median
from typing import Final, Literal

from linkweather.wire import LatencyRow, PathRow, ThroughputRow
from probes.throughput.past_tests import LinkHistory

Signal = Literal["latency_shift", "loss", "new_path"]
Reason = Literal["first", "expired", "scheduled"] | Signal

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

# After so many cycles a figure wants its link's next turn, whatever the date; where quiet links wait longer, then.
# The collector may keep it for longer.
EXPIRED_CYCLES: Final = 12
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """A test of a link: why, and from when on; with `date_every_s` a calendar of such cycles has its day."""

    not_before_s: float
    reason: Reason
    date_every_s: float | None = None


@dataclass(slots=True)
class _WatchedLink:
    history: LinkHistory
    cycle_s: float = 0.0
    rtt: Shift = field(default_factory=lambda: Shift(RTT_FLOOR_S, RTT_FLOOR_SHARE))
    loss: Shift = field(default_factory=lambda: Shift(LOSS_FLOOR))
    gap_s: float = MIN_GAP_S
    raised: Raised | None = None
    waits_for: str | None = None


class Attention:
    """What is known of one site's incoming links. `rng` keeps both ends of a link from starting at the same time."""

    def __init__(self, rng: Random, histories: Mapping[str, LinkHistory] | None = None) -> None:
        self._rng = rng
        self._histories = dict(histories or {})
        self._links: dict[str, _WatchedLink] = {}
        self._round_s = 0.0
        self._quiet_factor = 1
        self._loaded_s = 0.0
        self._rounds: dict[str, float] = {}

    def apply_weights(self, rounds: Mapping[str, float]) -> None:
        """Test the links from these sites once in so many cycles, all others in each, and quiet ones less often."""
        self._rounds = dict(rounds)

    def rounds(self, src: str) -> float | None:
        """In how many cycles the link is worth a test; None where the collector has not said so."""
        return self._rounds.get(src)

    def apply_links(self, cycles_s: Mapping[str, float], *, round_s: float, quiet_factor: int) -> None:
        """Watch the links from these sites, by the cycle of each, and keep what is known of those that stay."""
        kept = {src: link.history for src, link in self._links.items()}
        histories, self._histories = self._histories | kept, {}
        self._links = {
            src: self._links.get(src) or _WatchedLink(histories.get(src) or LinkHistory()) for src in cycles_s
        }
        for src, link in self._links.items():
            link.cycle_s = cycles_s[src]
        self._round_s = round_s
        self._quiet_factor = quiet_factor

    def history(self, src: str) -> LinkHistory:
        """What the tests of the link have found."""
        return self._links[src].history if src in self._links else LinkHistory()

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

    def tested(self, now_s: float, row: ThroughputRow, block: int = 1) -> ThroughputRow:
        """Take in a test's result, which settles what had raised the link; the test took `block` slots.

        Returns the row with the interval that all tests of the link allow to state.
        """
        link = self._links.get(row.src)
        if link is None:
            return row
        brought_forward, link.raised, link.waits_for = link.raised is not None, None, None
        link.history = link.history.after(now_s, row, block=block, quiet_factor=self._quiet_factor)
        if row.goodput_bps is None:
            return row
        # After a false alarm the next one must wait longer, until a test finds a change.
        in_vain = brought_forward and link.history.quiet
        link.gap_s = min(2 * link.gap_s, max(MIN_GAP_S, link.cycle_s)) if in_vain else MIN_GAP_S
        return link.history.stated(row)

    def postponed(self, src: str, until_s: float, reason: str) -> bool:
        """Postpone a test that could not take place, for this reason; whether the link did not wait for it before.

        One that was brought forward is tried again then, others at their next turn.
        """
        link = self._links.get(src)
        if link is None:
            return False
        before, link.waits_for = link.waits_for, reason
        if link.raised is not None:
            start_s = until_s + self._rng.uniform(0.0, SPREAD_S)
            link.raised = Raised(src, link.raised.reason, start_s)
        return before != reason

    def waits_for(self, src: str) -> str | None:
        """Why the link's last test could not take place; None where it did, or where none was tried."""
        return self._links[src].waits_for if src in self._links else None

    def block(self, src: str) -> int:
        """How many slots the link's last test took."""
        return self._links[src].history.block if src in self._links else 1

    def wanted(self, now_s: float, src: str) -> Iterator[Wanted]:
        """The tests that the link wants, as far as is known now."""
        link = self._links.get(src)
        if link is None:
            return
        history, raised = link.history, link.raised
        if history.tested_s is None or history.tested_s > now_s:  # never, or by a clock that has been set back
            yield Wanted(now_s, "first" if history.measured_s is None else "expired")
            return
        again_s = history.tested_s + self._patience_s(link)
        if history.measured_s is None:
            yield Wanted(again_s, "first")
            return
        yield Wanted(max(history.measured_s + self._expired_s(link), again_s), "expired")
        yield self._scheduled(history.tested_s, link, self._rounds.get(src, 1.0))
        if raised is not None:
            yield Wanted(raised.not_before_s, raised.reason)

    def _scheduled(self, tested_s: float, link: _WatchedLink, rounds: float) -> Wanted:
        wait_cycles = min(link.history.wait_cycles * rounds, self._quiet_factor)
        date_every_s = min(rounds, 1.0) * link.cycle_s
        # Half of that is tolerance: turns come at their time, and tests end a little after it.
        return Wanted(tested_s + wait_cycles * link.cycle_s - 0.5 * date_every_s, "scheduled", date_every_s)

    def _expired_s(self, link: _WatchedLink) -> float:
        return max(EXPIRED_CYCLES, self._quiet_factor + 1) * link.cycle_s

    def _patience_s(self, link: _WatchedLink) -> float:
        """How long after a test the next one may come: at the link's next turn, after failures at a later one."""
        rounds = 2.0 ** min(max(0, link.history.failures - 1), 30)
        return min(rounds * self._round_s, link.cycle_s) - 0.5 * self._round_s

    def _raise(self, now_s: float, src: str, reason: Signal) -> bool:
        link = self._links[src]
        tested_s = link.history.tested_s
        if tested_s is None or link.history.measured_s is None or link.raised is not None:
            return False
        start_s = max(now_s, tested_s + link.gap_s) + self._rng.uniform(0.0, SPREAD_S)
        link.raised = Raised(src, reason, start_s)
        return True
