"""Outbox → MQTT: sends what waits, again while no `committed` comes, and deletes what is committed (see `outbox`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from linkweather.backoff import Backoff
from linkweather.wire import Committed, topics
from probes.outbox import Outbox, Stored
from probes.site_database import DiskError

log = logging.getLogger(__name__)

# Reports in flight: enough to drain 200 reports/s over a round trip of 0.3 s, too few to flood a broker.
WINDOW_REPORTS: Final = 64
RESEND_FIRST_S: Final = 3.0
RESEND_MAX_S: Final = 60.0


class Flight:
    """Which waiting reports to send now: each one once, and again after a silence that doubles each time. Pure."""

    def __init__(self) -> None:
        self._sent_at: dict[int, float] = {}
        self._patience = Backoff(RESEND_FIRST_S, RESEND_MAX_S)

    def due(self, seqs: Iterable[int], now: float) -> list[int]:
        """Which of the waiting reports to send: those never sent, and those sent too long ago."""
        waiting = list(seqs)
        # An overflow may have dropped what was in flight.
        self._sent_at = {seq: self._sent_at[seq] for seq in waiting if seq in self._sent_at}
        return [seq for seq in waiting if now - self._sent_at.get(seq, float("-inf")) >= self._patience.wait_s]

    def sent(self, seqs: Iterable[int], now: float) -> None:
        """Note what was just sent; each repetition doubles the wait for the next one."""
        again = False
        for seq in seqs:
            again = again or seq in self._sent_at
            self._sent_at[seq] = now
        if again:
            self._patience.fail()

    def settled(self, seqs: Iterable[int]) -> None:
        """Note what the collector has settled; it is alive, so the waits start over."""
        for seq in seqs:
            self._sent_at.pop(seq, None)
        self._patience.reset()

    def forget(self) -> None:
        """Note a new connection, or a collector that came back: what was in flight may be lost."""
        self._sent_at.clear()
        self._patience.reset()

    def wait_s(self, now: float) -> float | None:
        """How long until a report is due again; None when none is in flight."""
        if not self._sent_at:
            return None
        return max(0.0, min(self._sent_at.values()) + self._patience.wait_s - now)


class Publisher:
    """Publishes the outbox of `site` through `publish(topic, payload) → whether the broker has it`."""

    def __init__(self, outbox: Outbox, site: str, publish: Callable[[str, bytes], Awaitable[bool]]) -> None:
        self._outbox = outbox
        self._site = site
        self._publish = publish
        self._flight = Flight()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Note that a report was added."""
        self._wake.set()

    def start_over(self) -> None:
        """Send everything that waits, after a new connection or when a collector came back."""
        self._flight.forget()
        self._wake.set()

    def handle_committed(self, message: Committed) -> None:
        """Delete what the collector has, and what it refuses for good."""
        refused = [refusal.seq for refusal in message.refused]
        try:
            self._outbox.committed(message.boot, message.seqs)
            self._outbox.refused(message.boot, refused)
        except DiskError as error:
            # They stay in flight: the collector acknowledges them again when they are sent again.
            log.warning("committed reports cannot be deleted from the outbox now (%s)", error)
            return
        self._flight.settled([*message.seqs, *refused])
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            self._wake.clear()
            await self._send_due()
            wait_s = self._flight.wait_s(time.monotonic())
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes with the wake-up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _send_due(self) -> None:
        waiting = {stored.seq: stored for stored in self._outbox.oldest(WINDOW_REPORTS)}
        due = self._flight.due(waiting, time.monotonic())
        sent = await asyncio.gather(*(self._send(waiting[seq]) for seq in due))
        self._flight.sent((seq for seq, went in zip(due, sent, strict=True) if went), time.monotonic())

    async def _send(self, stored: Stored) -> bool:
        return await self._publish(topics.report(self._site, stored.kind), stored.payload)
