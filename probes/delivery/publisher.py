"""Outbox → MQTT: sends what waits, and deletes what is committed (see `outbox`). What to send when, `flight` says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from linkweather.containment import contained, note, note_overflow
from linkweather.mqtt import HEADER_BYTES
from linkweather.wire import CONFLICT, REPORTS, Committed, topics
from probes.delivery.flight import FRESH_REPORTS, WINDOW_REPORTS, Flight
from probes.delivery.outbox import Outbox, StoredReport
from probes.site_database import DiskError

log = logging.getLogger(__name__)

AFTER_FAULT_S: Final = 1.0
# Messages of the collector that wait while the disk is slow.
MAX_RECEIPTS: Final = 1000


class Publisher:
    """Publishes the outbox of `site` through `publish(topic, payload)`. Only `committed` says what has arrived.

    After a new connection it waits for the collector, `collector_wait_s` at most: see `flight`.
    """

    def __init__(
        self,
        outbox: Outbox,
        site: str,
        publish: Callable[[str, bytes], Awaitable[bool]],
        *,
        collector_wait_s: float = 0.0,
    ) -> None:
        self._outbox = outbox
        self._site = site
        self._publish = publish
        self._collector_wait_s = collector_wait_s
        self._flight = Flight()
        self._failing = False  # the disk takes nothing: said once
        self._max_report_bytes: int | None = None  # the limit of the newest connection
        self._limited = True  # the outbox knows it
        self._starts = 0
        self._wake = asyncio.Event()
        self._receipts: deque[Committed] = deque()

    def wake(self) -> None:
        """Note that a report was added."""
        self._wake.set()

    def on_connect(self, max_packet_bytes: int | None) -> None:
        """Send everything that waits through a new connection, once the collector is there, in packets of this size."""
        overhead = HEADER_BYTES + len(topics.report(self._site, max(REPORTS, key=len)))
        self._max_report_bytes = None if max_packet_bytes is None else max(0, max_packet_bytes - overhead)
        self._limited = False
        self.start_over()
        self._flight.hold(time.monotonic() + self._collector_wait_s)

    def start_over(self) -> None:
        """Send everything that waits: a collector is there, or came back."""
        self._starts += 1
        self._flight.forget()
        self._wake.set()

    def handle_committed(self, message: Committed) -> None:
        """Delete what the collector has, and what it refuses for good; number again what conflicts: all in `run`.

        Beyond MAX_RECEIPTS a message is dropped and counted: the collector says the same again of what is sent again.
        """
        if len(self._receipts) < MAX_RECEIPTS:
            self._receipts.append(message)
        else:
            note_overflow("receipts")
        self._wake.set()

    async def _limit(self) -> None:
        self._limited = True  # a connection that comes up meanwhile has a limit of its own
        try:
            await asyncio.to_thread(self._outbox.limit, self._max_report_bytes)
        except DiskError as error:
            log.warning("reports that are too long for the broker cannot be split now (%s)", error)

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
                    sending.create_task(self._send(stored, self._starts), name=f"report {stored.seq}")
                wait_s = self._flight.wait_s(time.monotonic())
                # Not wait_for: before Python 3.12 it swallows a cancellation that comes with the wake-up.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()

    async def _due_contained(self) -> list[StoredReport]:
        try:
            while self._receipts or not self._limited:
                await (self._settle(self._receipts.popleft()) if self._limited else self._limit())
            return await self._due()
        except Exception as error:  # noqa: BLE001 - the reports are in the outbox still
            note("publisher", error)
            await asyncio.sleep(AFTER_FAULT_S)
            self._wake.set()
            return []

    async def _due(self) -> list[StoredReport]:
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

    async def _send(self, stored: StoredReport, start: int) -> None:
        if start != self._starts:
            return  # a connection came up before this task ran: through it everything is sent anew
        with contained("publisher"):
            await self._publish(topics.report(self._site, stored.kind), stored.payload)
