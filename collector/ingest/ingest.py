"""Ingest, MQTT → journal → committed: takes reports as they arrive, commits them in batches, acknowledges them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar, get_args

import duckdb

from collector.ingest.acknowledgement import Acknowledgement
from collector.ingest.admission import (
    UNKNOWN_LINK,
    IncomingMessage,
    LinkNames,
    fitting,
    receipts,
    rejected_message,
    rejected_rows,
)
from collector.ingest.batch_commit import BatchCommit, CommitResult, Record
from collector.ingest.waiting_messages import BATCH_REPORTS, WaitingMessages
from collector.interpreter import garbage_collection_paused
from collector.store.columns import Entry
from collector.store.quarantine import Quarantine
from linkweather import plugins
from linkweather.backoff import Backoff
from linkweather.containment import contained
from linkweather.errors import RecordError
from linkweather.mesh import Mesh, PathMethod
from linkweather.mqtt import HEADER_BYTES
from linkweather.wire import CONFLICT, Committed, topics

log = logging.getLogger(__name__)

# Under load a commit starts so long after the last one began, so that more reports share what each costs, whatever it
# has to write: GATHER_COMMITS times what the last one took, within these bounds.
GATHER_COMMITS = 20
GATHER_LEAST_S = 0.1
GATHER_MOST_S = 0.5
THROUGHPUT_METHOD = "iperf3"
Result = TypeVar("Result")
RETRY_FIRST_S = 0.5
# Of what a commit brought so many rows are taken into the states in one go: others have their turn in between.
SLICE_ROWS = 1000


class Ingest:
    """Takes reports into the journal. `handle` queues a message, `run` commits.

    `publish(topic, payload)` sends `committed`; if it cannot, the site sends the report again, which is then
    acknowledged as a duplicate. `on_committed` gets the new reports, on the event loop. `sites` returns
    the mesh's site ids, None while there is no mesh; `max_packet_bytes` what the broker takes. Counters are plain
    attributes.
    """

    def __init__(
        self,
        journal: Record,
        *,
        publish: Callable[[str, bytes], Awaitable[bool]],
        on_committed: Callable[[list[Entry]], None] = lambda _entries: None,
        sites: Callable[[], Collection[str] | None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        max_packet_bytes: Callable[[], int | None] = lambda: None,
        journal_id: str | None = None,
    ) -> None:
        self._batches = BatchCommit(journal)
        # A thread of its own: whatever else waits for a thread, questions above all, holds up no commit.
        self._thread = ThreadPoolExecutor(1, "commit")
        self._journal_id = journal_id or journal.id
        self._quarantine = Quarantine(journal.database)
        self._acknowledgement = Acknowledgement(publish)
        self._on_committed = on_committed
        self._sites = sites
        self._now = now
        self._max_packet_bytes = max_packet_bytes
        self._waiting = WaitingMessages()
        self._arrived = asyncio.Event()
        self._enough = asyncio.Event()
        self._closed = False
        self._busy = False
        self._taken_at: datetime | None = None  # when the oldest message of the batch under way came
        self._conflicting: set[str | None] = set()  # sites: said once each
        self._inventing: set[str | None] = set()  # likewise
        self.reports = 0
        self.rows = 0
        self.duplicates = 0
        self.refused: Counter[str] = Counter()
        self.refused_rows = 0
        self.last_commit_s = 0.0
        self.last_error = ""

    @property
    def at_rest(self) -> bool:
        """Whether everything that arrived is committed and acknowledged."""
        return not self._waiting and not self._busy and not self._acknowledgement.under_way

    @property
    def overflowed(self) -> int:
        """Messages for which there was no room: their sites send them again."""
        return self._waiting.overflowed

    @property
    def waiting_bytes(self) -> int:
        """How much waits to be committed."""
        return self._waiting.bytes

    def waiting_s(self, now: float) -> float:
        """For how long the oldest message has waited to be committed that came in time; 0 where none waits."""
        waiting = [at.timestamp() for at in (self._taken_at, self._waiting.oldest_at) if at is not None]
        return max(0.0, now - min(waiting, default=now))

    def close(self) -> None:
        """Take no more messages, before the end: their sites send them again to the next collector."""
        self._closed = True

    def handle(self, topic: str, payload: bytes) -> None:
        """Queue a message. What is beyond the queue's bound is dropped and counted: its site sends it again."""
        if self._closed:
            return
        if not self._waiting.put(IncomingMessage(topic, payload, self._now())):
            return
        self._arrived.set()
        if len(self._waiting) >= BATCH_REPORTS:
            self._enough.set()

    def apply_mesh(self, mesh: Mesh) -> None:
        """Take rows about the sites and methods of this mesh, and of those before it, and refuse all others."""
        methods = {THROUGHPUT_METHOD, *get_args(PathMethod), *plugins.names(plugins.PROBERS)}
        self._batches.names = (self._batches.names or LinkNames()).with_mesh(mesh, methods)

    async def finish(self) -> None:
        """Wait for a commit that is under way; none comes after it."""
        await asyncio.to_thread(self._thread.shutdown)

    async def run(self) -> None:
        """Commit messages until cancelled: at once when idle, in batches under load."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as acknowledging:
            while True:
                await self._arrived.wait()
                started = loop.time()
                self._busy = True
                batch = self._take()
                for site, committed in await self._committed(batch):
                    await self._acknowledgement.send(acknowledging, site, committed)
                self._busy, self._taken_at = False, None
                with contextlib.suppress(TimeoutError):
                    # As if each site had sent one report of a kind: a flood makes commits longer, not waits.
                    even_s = self.last_commit_s * len({message.topic for message in batch}) / max(1, len(batch))
                    async with asyncio.timeout_at(started + gather_s(even_s)):
                        await self._enough.wait()

    async def take_in(self, batch: Sequence[IncomingMessage]) -> None:
        """Commit messages that are not to be acknowledged: a log has them already."""
        await self._committed(batch)

    def _take(self) -> list[IncomingMessage]:
        self._taken_at = self._waiting.oldest_at
        batch = self._waiting.take()
        if not self._waiting:
            self._arrived.clear()
        # What a site has beyond its share of this batch is the next one's, at once.
        if len(self._waiting) < BATCH_REPORTS and (not self._waiting or len(batch) == BATCH_REPORTS):
            self._enough.clear()
        elif self._waiting:
            self._enough.set()
        return batch

    async def _committed(self, batch: Sequence[IncomingMessage]) -> list[tuple[str, Committed]]:
        """Commit a batch; the receipts. None is given, for a report committed or refused, before the disk has it."""
        with garbage_collection_paused():
            return list(self._receipts(await self._taken_in(batch)))

    async def _taken_in(self, batch: Sequence[IncomingMessage]) -> CommitResult:
        sites = self._sites()
        outcome = await self._until_written(lambda: self._batches.commit(batch, sites))
        rejected = [rejected_message(refusal) for refusal in outcome.refused] + rejected_rows(outcome.new)
        refusals = [(one.site, one.key[0], one.reason) for one in outcome.refused if one.site and one.key]
        if rejected:
            await self._until_written(lambda: self._quarantine.add(rejected, refusals))
        self._count(outcome)
        for some in _slices(outcome.new):
            with contained("committed reports"):
                self._on_committed(some)
            await asyncio.sleep(0)
        return outcome

    def _receipts(self, outcome: CommitResult) -> Iterator[tuple[str, Committed]]:
        limit = self._max_packet_bytes()
        for site, committed in receipts(self._journal_id, outcome.accepted, outcome.refused):
            room = None if limit is None else limit - HEADER_BYTES - len(topics.committed(site))
            for part in fitting(committed, room):
                yield site, part

    async def _until_written(self, write: Callable[[], Result]) -> Result:
        """Run a blocking write in a worker thread, and repeat it while the disk fails."""
        backoff, loop = Backoff(RETRY_FIRST_S), asyncio.get_running_loop()
        while True:
            try:
                result = await loop.run_in_executor(self._thread, write)
            except (duckdb.Error, RecordError) as error:
                self._report(f"the journal cannot be written ({str(error).splitlines()[0]}); trying again")
            else:
                self._report("")
                return result
            await asyncio.sleep(backoff.next_s())

    def _count(self, outcome: CommitResult) -> None:
        self.reports += len(outcome.new)
        self.rows += sum(len(entry.report.rows) for entry in outcome.new)
        self.duplicates += len(outcome.accepted) - len(outcome.new)
        self.refused.update(refusal.reason for refusal in outcome.refused)
        for refusal in outcome.refused:
            if refusal.reason == CONFLICT and refusal.site not in self._conflicting:
                self._conflicting.add(refusal.site)
                log.error(
                    "the site %s sends other reports under numbers that are recorded (%s): has its machine gone back "
                    "to a snapshot, or do two run on copies of one data folder? They are sent again under new numbers",
                    *(refusal.site, refusal.detail),
                )
        self._name_inventors(outcome)
        self.refused_rows += sum(len(entry.refused) for entry in outcome.new)
        self.last_commit_s = outcome.seconds

    def _name_inventors(self, outcome: CommitResult) -> None:
        """Say once a site that it reports links which the mesh does not have."""
        found = [(one.site, one.detail) for one in outcome.refused if one.reason == UNKNOWN_LINK]
        found += [
            (one.site, row.detail) for one in outcome.new for row in one.refused[-1:] if row.reason == UNKNOWN_LINK
        ]
        for site, detail in found:
            if site not in self._inventing:
                self._inventing.add(site)
                log.error("the site %s reports links that the mesh does not have (%s): they are refused", site, detail)

    def _report(self, sentence: str) -> None:
        if sentence != self.last_error:
            log.warning("%s", sentence or "the journal can be written again")
        self.last_error = sentence


def gather_s(commit_s: float) -> float:
    """How long after a commit that took `commit_s` began the next one starts."""
    return min(max(GATHER_LEAST_S, GATHER_COMMITS * commit_s), GATHER_MOST_S)


def _slices(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Reports of about SLICE_ROWS rows together; they are taken out: to free all rows of a batch at once takes long."""
    entries.reverse()
    while entries:
        some: list[Entry] = []
        rows = 0
        while entries and rows < SLICE_ROWS:
            some.append(entries.pop())
            rows += len(some[-1].report.rows)
        yield some
