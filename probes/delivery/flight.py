"""Reports in flight: which of those that wait to send now. Pure; times in seconds of one clock.

Two lanes share the window of reports in flight. The larger one takes what waits in order, oldest first; the other is
for what was measured since the connection began, and a little before: while a backlog of hours drains, the collector
knows how the links are now.

The larger lane follows the collector, to which all sites that come back from an outage send their backlogs at once. It
begins with LEAST_REPORTS, and each report that is settled widens it by how much sooner than COMMIT_TARGET_S that was,
or narrows it by how much later: the collector has a batch or two to commit, and no queue that overflows, however many
sites there are. Where a commit takes long without a queue, the target is twice the fastest.

A report is sent again after a new connection and after a collector came back, as what was in flight may be lost. A
broker that was started anew may have us back before it has the collector, and then loses what we send: after a new
connection nothing is sent until the collector's mesh is heard, for COLLECTOR_WAIT_S at most.

Beside these, only a message that a full collector or broker dropped needs it: it is sent again after several times as
long as commits were seen to take, and each time after twice as long. No receipt shortens that wait: a collector that
is slow would be sent everything twice. And it begins anew whenever a report is settled that was sent no later: what is
before it in a long queue is being worked off, and it has its turn to come. What was dropped is soon the oldest.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

# Reports in flight: over a round trip of 0.3 s and a commit of 0.1 s, some 300 a second; a commit takes 200 at most.
WINDOW_REPORTS: Final = 128
FRESH_REPORTS: Final = 32
FRESH_BEFORE: Final = 2  # of those that wait as a connection begins: a backlog's end would fill the lane of all sites
LEAST_REPORTS: Final = 4
COMMIT_TARGET_S: Final = 2.0
_GAIN: Final = 0.5  # half the way to the target with each window: the whole would swing, as settling shows it late
RESEND_COMMITS: Final = 4  # as often as the slowest recent commit took
RESEND_LEAST_S: Final = 10.0
RESEND_MOST_S: Final = 600.0
COMMIT_UNKNOWN_S: Final = 15.0  # until one was seen
COLLECTOR_WAIT_S: Final = 15.0  # the longest wait between two attempts to connect
_DECAY: Final = 0.9


@dataclass(slots=True)
class _Sending:
    first_at: float
    last_at: float
    times: int = 1


class Flight:
    """Which waiting reports to send now, in a bounded window."""

    def __init__(self) -> None:
        self._in_flight: dict[int, _Sending] = {}
        self._fresh_from: int | None = None  # the lane of fresh reports begins at this number
        self._commit_s: float | None = None  # the slowest of late
        self._fastest_s = math.inf  # through this connection, as the next
        self._window = float(LEAST_REPORTS)  # of the larger lane
        self._doublings = 0
        self._held_until = -math.inf
        # When a report was settled, by when it was sent; both ascend: a later settling hides those of later sendings.
        self._progress: list[tuple[float, float]] = []

    @property
    def patience_s(self) -> float:
        """How long after it was sent a report is sent again."""
        commit_s = COMMIT_UNKNOWN_S if self._commit_s is None else self._commit_s
        return min(max(RESEND_LEAST_S, RESEND_COMMITS * commit_s) * 2.0**self._doublings, RESEND_MOST_S)

    def due(self, oldest: Sequence[int], newest: Sequence[int], now: float) -> list[int]:
        """Which to send, of the oldest and of the newest that wait, each ascending."""
        if now < self._held_until:
            return []
        if self._fresh_from is None and newest:
            self._fresh_from = newest[-FRESH_BEFORE:][0]
        if oldest:  # an overflow drops the oldest, in flight or not
            self._in_flight = {seq: sending for seq, sending in self._in_flight.items() if seq >= oldest[0]}
        again = [seq for seq, sending in self._in_flight.items() if now - self._heard_at(sending) >= self.patience_s]
        old = oldest[: int(self._window)]
        fresh = [seq for seq in newest if seq >= (self._fresh_from or 0) and seq not in old]
        room = WINDOW_REPORTS - len(self._in_flight)
        return again + [seq for seq in (*fresh, *old) if seq not in self._in_flight][:room]

    def sent(self, seqs: Iterable[int], now: float) -> None:
        """Note what is sent; each repetition doubles the wait for the next one."""
        repeated = False
        for seq in seqs:
            if seq in self._in_flight:
                repeated = True
                self._in_flight[seq].last_at = now
                self._in_flight[seq].times += 1
            else:
                self._in_flight[seq] = _Sending(now, now)
        self._doublings += repeated and self.patience_s < RESEND_MOST_S

    def settled(self, seqs: Iterable[int], now: float) -> None:
        """Note what the collector has settled, and how long that took."""
        found = [sending for seq in seqs if (sending := self._in_flight.pop(seq, None))]
        if not found:
            return
        self._note_progress(min(sending.last_at for sending in found), now)
        took_s = [now - sending.first_at for sending in found]
        self._commit_s = max(*took_s, _DECAY * (self._commit_s or 0.0))
        self._fit_window(took_s)
        if all(sending.times == 1 for sending in found):
            self._doublings = 0

    def missing(self, seqs: Iterable[int]) -> None:
        """Note what no longer waits."""
        for seq in seqs:
            self._in_flight.pop(seq, None)

    def forget(self) -> None:
        """Note a new connection, or a collector that came back: what was in flight may be lost."""
        self._in_flight.clear()
        self._fresh_from = None
        self._fastest_s, self._window = math.inf, float(LEAST_REPORTS)
        self._doublings = 0
        self._held_until = -math.inf
        self._progress.clear()

    def hold(self, until: float) -> None:
        """Note that the collector may not be there yet: nothing is due before then, or `forget`."""
        self._held_until = until

    def wait_s(self, now: float) -> float | None:
        """How long until a report is due again; None when none is in flight."""
        if now < self._held_until:
            return self._held_until - now
        if not self._in_flight:
            return None
        return max(0.0, min(map(self._heard_at, self._in_flight.values())) + self.patience_s - now)

    def _fit_window(self, took_s: Sequence[float]) -> None:
        self._fastest_s = min(self._fastest_s, *took_s)
        target_s = max(COMMIT_TARGET_S, 2 * self._fastest_s)
        wider = self._window + sum(_GAIN * max(-1.0, 1 - one_s / target_s) for one_s in took_s)
        self._window = min(max(LEAST_REPORTS, wider), WINDOW_REPORTS - FRESH_REPORTS)

    def _heard_at(self, sending: _Sending) -> float:
        """When it was sent, or later something settled that was sent no later."""
        place = self._before(sending)
        return max(sending.last_at, self._progress[place][1]) if place >= 0 else sending.last_at

    def _before(self, sending: _Sending) -> int:
        return bisect_right(self._progress, (sending.last_at, math.inf)) - 1

    def _note_progress(self, sent_at: float, now: float) -> None:
        del self._progress[bisect_left(self._progress, (sent_at, -math.inf)) :]
        self._progress.append((sent_at, now))
        if len(self._progress) > 2 * WINDOW_REPORTS:  # no more are asked for than are in flight
            places = {self._before(sending) for sending in self._in_flight.values()}
            self._progress = [self._progress[place] for place in sorted(places) if place >= 0]
