"""Outbox → MQTT: sends what waits, and deletes what is committed (see `outbox`).

Two lanes share the window of reports in flight. The larger one takes what waits in order, oldest first; the other is
for what was measured since the connection began, and a little before: while a backlog of hours drains, the collector
knows how the links are now.

A report is sent again after a new connection and after a collector came back, as what was in flight may be lost.
Beside these, only a message that a full collector or broker dropped needs it: it is sent again after several times as
long as commits were seen to take, and each time after twice as long. No receipt shortens that wait: a collector that
is slow would be sent everything twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from linkweather.containment import contained, note
from linkweather.mqtt import HEADER_BYTES
from linkweather.wire import CONFLICT, REPORTS, Committed, topics
from probes.outbox import Outbox, Stored
from probes.site_database import DiskError

log = logging.getLogger(__name__)

# Reports in flight: over a round trip of 0.3 s and a commit of 0.1 s, some 300 a second; a commit takes 200 at most.
WINDOW_REPORTS: Final = 128
FRESH_REPORTS: Final = 32
RESEND_COMMITS: Final = 4  # as often as the slowest recent commit took
RESEND_LEAST_S: Final = 10.0
RESEND_MOST_S: Final = 600.0
COMMIT_UNKNOWN_S: Final = 15.0  # until one was seen
_DECAY: Final = 0.9
AFTER_FAULT_S: Final = 1.0


@dataclass(slots=True)
class _Sending:
    first_at: float
    last_at: float
    times: int = 1


# Messages of the collector that wait while the disk is slow.
MAX_WORK: Final = 1000


class Flight:
    """Which waiting reports to send now, in a bounded window. Pure; times in seconds of one clock."""

    def __init__(self) -> None:
        self._in_flight: dict[int, _Sending] = {}
        self._fresh_from: int | None = None  # the lane of fresh reports begins at this number
        self._commit_s: float | None = None  # the slowest of late
        self._doublings = 0

    @property
    def patience_s(self) -> float:
        """How long after it was sent a report is sent again."""
        commit_s = COMMIT_UNKNOWN_S if self._commit_s is None else self._commit_s
        return min(max(RESEND_LEAST_S, RESEND_COMMITS * commit_s) * 2.0**self._doublings, RESEND_MOST_S)

    def due(self, oldest: Sequence[int], newest: Sequence[int], now: float) -> list[int]:
        """Which to send, of the oldest and of the newest that wait, each ascending."""
        if self._fresh_from is None and newest:
            self._fresh_from = newest[0]
        if oldest:  # an overflow drops the oldest, in flight or not
            self._in_flight = {seq: sending for seq, sending in self._in_flight.items() if seq >= oldest[0]}
        again = [seq for seq, sending in self._in_flight.items() if now - sending.last_at >= self.patience_s]
        old = oldest[: WINDOW_REPORTS - FRESH_REPORTS]
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
        slowest_s = max(now - sending.first_at for sending in found)
        self._commit_s = max(slowest_s, _DECAY * (self._commit_s or 0.0))
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
        self._doublings = 0

    def wait_s(self, now: float) -> float | None:
        """How long until a report is due again; None when none is in flight."""
        if not self._in_flight:
            return None
        return max(0.0, min(sending.last_at for sending in self._in_flight.values()) + self.patience_s - now)


class Publisher:
    """Publishes the outbox of `site` through `publish(topic, payload)`. Only `committed` says what has arrived."""

    def __init__(self, outbox: Outbox, site: str, publish: Callable[[str, bytes], Awaitable[bool]]) -> None:
        self._outbox = outbox
        self._site = site
        self._publish = publish
        self._flight = Flight()
        self._failing = False  # the disk takes nothing: said once
        self._limited = True  # the outbox knows this connection's limit
        self._wake = asyncio.Event()
        # What the outbox has yet to be told; what is too much is said again by the collector.
        self._work: deque[Callable[[], Awaitable[None]]] = deque(maxlen=MAX_WORK)

    def wake(self) -> None:
        """Note that a report was added."""
        self._wake.set()

    def on_connect(self, max_packet_bytes: int | None) -> None:
        """Send everything that waits through a new connection, in packets of this size at most."""
        overhead = HEADER_BYTES + len(topics.report(self._site, max(REPORTS, key=len)))
        max_report_bytes = None if max_packet_bytes is None else max(0, max_packet_bytes - overhead)
        self._limited = False
        self._work.appendleft(partial(self._limit, max_report_bytes))
        self.start_over()

    def start_over(self) -> None:
        """Send everything that waits, after a new connection or when a collector came back."""
        self._flight.forget()
        self._wake.set()

    def handle_committed(self, message: Committed) -> None:
        """Delete what the collector has, and what it refuses for good; number again what conflicts: all in `run`."""
        self._work.append(partial(self._settle, message))
        self._wake.set()

    async def _limit(self, max_report_bytes: int | None) -> None:
        try:
            await asyncio.to_thread(self._outbox.limit, max_report_bytes)
        except DiskError as error:
            log.warning("reports that are too long for the broker cannot be split now (%s)", error)
        self._limited = True

    async def _settle(self, message: Committed) -> None:
        conflicts = [refusal.seq for refusal in message.refused if refusal.reason == CONFLICT]
        refused = [refusal.seq for refusal in message.refused if refusal.reason != CONFLICT]
        try:
            await asyncio.to_thread(self._outbox.committed, message.boot, message.seqs)
            await asyncio.to_thread(self._outbox.refused, message.boot, refused)
            refiled = await asyncio.to_thread(self._outbox.refile, message.boot, conflicts)
        except DiskError as error:
            # They stay in flight: the collector acknowledges them again when they are sent again.
            if not self._failing:
                log.warning("committed reports cannot be deleted from the outbox now (%s)", error)
            self._failing = True
            return
        self._failing = False
        if refiled:
            log.error(
                "the numbers of %d reports belong to others in the collector's journal: did this machine go back to a "
                "snapshot, or does another run a copy of its data folder? They are sent under new numbers",
                refiled,
            )
        self._flight.settled([*message.seqs, *refused, *conflicts], time.monotonic())

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as sending:
            while True:
                self._wake.clear()
                for stored in await self._due_contained():
                    sending.create_task(self._send(stored), name=f"report {stored.seq}")
                wait_s = self._flight.wait_s(time.monotonic())
                # Not wait_for: before Python 3.12 it swallows a cancellation that comes with the wake-up.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()

    async def _due_contained(self) -> list[Stored]:
        try:
            while self._work:
                await self._work.popleft()()
            return await self._due()
        except Exception as error:  # noqa: BLE001 - the reports are in the outbox still
            note("publisher", error)
            await asyncio.sleep(AFTER_FAULT_S)
            self._wake.set()
            return []

    async def _due(self) -> list[Stored]:
        oldest = await asyncio.to_thread(self._outbox.oldest, WINDOW_REPORTS)
        newest = await asyncio.to_thread(self._outbox.newest, FRESH_REPORTS)
        now = time.monotonic()
        seqs = self._flight.due(oldest, newest, now)
        reports = await asyncio.to_thread(self._outbox.reports, seqs)
        if not self._limited:  # a connection came up meanwhile: what was found may be too long for it
            self._wake.set()
            return []
        found = [report.seq for report in reports]
        gone = set(seqs).difference(found)
        if gone:  # dropped or damaged since: others take their places
            self._flight.missing(gone)
            self._wake.set()
        self._flight.sent(found, now)
        return reports

    async def _send(self, stored: Stored) -> None:
        with contained("publisher"):
            await self._publish(topics.report(self._site, stored.kind), stored.payload)
