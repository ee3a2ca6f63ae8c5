"""The service that tells people of incidents: notes wait on the disk for each target until it has taken them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from collector.named_tables import AlertmanagerTable, NotifyTable
from collector.notify.digest import Digest, message
from collector.notify.targets import Send, sender
from collector.store.incident_log import NoteLog
from linkweather.backoff import Backoff
from linkweather.containment import contained
from linkweather.models.incidents import IncidentAnswer

log = logging.getLogger(__name__)

LOOK_S = 1.0
MOST_WAITING = 1000  # incidents for one target
RETRY_MOST_S = 600.0


@dataclass(frozen=True, slots=True)
class NotifyCounts:
    """Of one target: messages delivered and failed, notes that wait, and those let go of for want of room."""

    sent: int
    failed: int
    waiting: int
    dropped: int


class _Target:
    """One target: its notes, its sender, and how it fares."""

    def __init__(self, name: str, table: NotifyTable, notes: NoteLog, now: Callable[[], float]) -> None:
        self._name = name
        self._table = table
        self._notes = notes
        self._now = now
        self._send: Send = sender(name, table)
        self._digest = Digest(table, MOST_WAITING)
        self._backoff = Backoff(first_s=5.0, most_s=RETRY_MOST_S)
        self._stored: tuple[str, ...] = ()
        self._repeated_at = 0.0
        self._sent = self._failed = 0
        self.problem = ""

    @property
    def counts(self) -> NotifyCounts:
        return NotifyCounts(self._sent, self._failed, len(self._digest.waiting), self._digest.dropped)

    def restore(self) -> None:
        for incident in self._notes.waiting(self._name):
            self._digest.add(incident, self._now())

    def add(self, incident: IncidentAnswer) -> None:
        self._digest.add(incident, self._now())

    def repeat(self, lasting: Callable[[], Sequence[IncidentAnswer]]) -> None:
        if isinstance(self._table, AlertmanagerTable) and self._now() - self._repeated_at >= self._table.repeat_s:
            self._repeated_at = self._now()
            for incident in lasting():
                self._digest.add(incident, self._now())

    async def work(self) -> None:
        """Keep what waits on the disk, and send what is due."""
        await self._store()
        due = self._digest.due(self._now())
        if not due:
            return
        problem = await asyncio.to_thread(self._send, message(due))
        if problem is None:
            self._sent += 1
            self._digest.sent(due, self._now())
            self._backoff.reset()
        else:
            self._failed += 1
            self._digest.failed(self._now(), self._backoff.next_s())
        self._say(problem or "")
        await self._store()

    async def _store(self) -> None:
        waiting = [one.incident for one in self._digest.waiting.values()]
        stored = tuple(f"{one.id} {one.until} {len(one.findings)} {one.sentence}" for one in waiting)
        if stored == self._stored:
            return
        try:
            await asyncio.to_thread(self._notes.replace, self._name, waiting)
        except duckdb.Error:
            return  # ingest says so; the next look tries again
        self._stored = stored

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("notify %s: %s", self._name, problem or "messages are taken again")
        self.problem = problem


class Notifier:
    """Tells every configured target; construction raises OperatorError for one that can never work.

    `lasting` answers the incidents that last, for targets that must be reminded.
    """

    def __init__(
        self,
        tables: Mapping[str, NotifyTable],
        notes: NoteLog,
        lasting: Callable[[], Sequence[IncidentAnswer]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._targets = {name: _Target(name, table, notes, now) for name, table in tables.items()}
        self._lasting = lasting

    @property
    def counts(self) -> dict[str, NotifyCounts]:
        """Of each target."""
        return {name: target.counts for name, target in self._targets.items()}

    def failing(self) -> Iterator[str]:
        """A sentence for each target that takes no messages now."""
        for name, target in self._targets.items():
            if target.problem:
                yield f"notify {name}: {target.problem}"

    def restore(self) -> None:
        """Go on with what waited when the collector ended. Blocks; before `run`."""
        for target in self._targets.values():
            target.restore()

    def add(self, incident: IncidentAnswer) -> None:
        """An incident began, changed or is over: have everyone told who is to be told."""
        for target in self._targets.values():
            target.add(incident)

    async def run(self) -> None:
        """Deliver until cancelled; a slow target delays itself."""
        async with asyncio.TaskGroup() as tasks:
            for name, target in self._targets.items():
                tasks.create_task(self._serve(target), name=f"notify {name}")

    async def _serve(self, target: _Target) -> None:
        while True:
            with contained("notify"):
                target.repeat(self._lasting)
                await target.work()
            await asyncio.sleep(LOOK_S)
