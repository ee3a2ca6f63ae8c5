"""Ingest, MQTT → journal → committed: takes reports as they arrive, commits them in batches, acknowledges them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import duckdb

from collector.ingest.acknowledgement import Acknowledgement
from collector.ingest.admission import IncomingMessage, RefusedMessage, admit, conflict, fitting, head, receipts
from collector.ingest.waiting_messages import BATCH_REPORTS, WaitingMessages
from collector.store.columns import Entry
from collector.store.database import Database
from collector.store.quarantine import Quarantine, QuarantinedMessage
from collector.store.report_keys import Key
from linkweather.backoff import Backoff
from linkweather.containment import contained, note
from linkweather.errors import RecordError
from linkweather.mqtt import HEADER_BYTES
from linkweather.wire import CONFLICT, Committed, topics

log = logging.getLogger(__name__)

# Under load a commit starts so long after the last one began, so that more reports share what each costs, whatever it
# has to write: GATHER_COMMITS times what the last one took, within these bounds.
GATHER_COMMITS = 20
GATHER_LEAST_S = 0.1
GATHER_MOST_S = 0.5
Result = TypeVar("Result")
RETRY_FIRST_S = 0.5
# Of what a commit brought so many rows are taken into the states in one go: others have their turn in between.
SLICE_ROWS = 500
# What duckdb raises where the values are at fault, and not the disk: to try again would be in vain.
_BAD_VALUES = (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError)


@dataclass(frozen=True, slots=True)
class _CommitResult:
    accepted: list[Key]
    new: list[Entry]
    refused: list[RefusedMessage]
    seconds: float


class Record(Protocol):
    """Where reports are committed: a journal, or the log that a cluster's journals read. Methods block."""

    id: str
    database: Database

    def recorded(self, wanted: Mapping[Key, tuple[str, datetime]]) -> Mapping[Key, set[tuple[str, datetime]]]:
        """Those of the keys that it has, see `Journal.recorded`."""

    def commit(self, entries: Sequence[Entry]) -> list[Entry]:
        """Write a batch; the new entries. Raises duckdb.Error or RecordError: then it may be repeated."""


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
        self._journal = journal
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
        self.reports = 0
        self.rows = 0
        self.duplicates = 0
        self.overflowed = 0
        self.refused: Counter[str] = Counter()
        self.refused_rows = 0
        self.last_commit_s = 0.0
        self.last_error = ""

    @property
    def at_rest(self) -> bool:
        """Whether everything that arrived is committed and acknowledged."""
        return not self._waiting and not self._busy and not self._acknowledgement.under_way

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
            self.overflowed += 1
            return
        self._arrived.set()
        if len(self._waiting) >= BATCH_REPORTS:
            self._enough.set()

    async def run(self) -> None:
        """Commit messages until cancelled: at once when idle, in batches under load."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as acknowledging:
            while True:
                await self._arrived.wait()
                started = loop.time()
                self._busy = True
                for site, committed in await self._committed(self._take()):
                    await self._acknowledgement.send(acknowledging, site, committed)
                self._busy, self._taken_at = False, None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(started + gather_s(self.last_commit_s)):
                        await self._enough.wait()

    async def take_in(self, batch: Sequence[IncomingMessage]) -> None:
        """Commit messages that are not to be acknowledged: a log has them already."""
        await self._committed(batch)

    def _take(self) -> list[IncomingMessage]:
        self._taken_at = self._waiting.oldest_at
        batch = self._waiting.take()
        if not self._waiting:
            self._arrived.clear()
        if len(self._waiting) < BATCH_REPORTS:
            self._enough.clear()
        return batch

    async def _committed(self, batch: Sequence[IncomingMessage]) -> list[tuple[str, Committed]]:
        """Commit a batch; the receipts. None is given, for a report committed or refused, before the disk has it."""
        sites = self._sites()
        outcome = await self._until_written(lambda: self._commit(batch, sites))
        rejected = [_rejected(refusal) for refusal in outcome.refused] + _rejected_rows(outcome.new)
        refusals = [(one.site, one.key[0], one.reason) for one in outcome.refused if one.site and one.key]
        if rejected:
            await self._until_written(lambda: self._quarantine.add(rejected, refusals))
        self._count(outcome)
        for some in _slices(outcome.new):
            with contained("committed reports"):
                self._on_committed(some)
            await asyncio.sleep(0)
        return list(self._receipts(outcome))

    def _receipts(self, outcome: _CommitResult) -> Iterator[tuple[str, Committed]]:
        limit = self._max_packet_bytes()
        for site, committed in receipts(self._journal_id, outcome.accepted, outcome.refused):
            room = None if limit is None else limit - HEADER_BYTES - len(topics.committed(site))
            for part in fitting(committed, room):
                yield site, part

    async def _until_written(self, write: Callable[[], Result]) -> Result:
        """Run a blocking write in a worker thread, and repeat it while the disk fails."""
        backoff = Backoff(RETRY_FIRST_S)
        while True:
            try:
                result = await asyncio.to_thread(write)
            except (duckdb.Error, RecordError) as error:
                self._report(f"the journal cannot be written ({str(error).splitlines()[0]}); trying again")
            else:
                self._report("")
                return result
            await asyncio.sleep(backoff.next_s())

    def _commit(self, batch: Sequence[IncomingMessage], sites: Collection[str] | None) -> _CommitResult:
        started = time.perf_counter()
        result = _CommitResult([], [], [], 0.0)
        with garbage_collection_paused():
            while batch:
                batch = self._commit_once(batch, sites, result)
        return replace(result, seconds=time.perf_counter() - started)

    def _commit_once(
        self, batch: Sequence[IncomingMessage], sites: Collection[str] | None, result: _CommitResult
    ) -> list[IncomingMessage]:
        """Commit the messages of keys that are there once, and the first of each other; the rest of those is left."""
        heads = [head(message, sites) for message in batch]
        recorded = self._journal.recorded({found.key: (found.kind, found.at) for found in heads if found})
        taken: set[Key] = set()
        fresh: list[IncomingMessage] = []
        left: list[IncomingMessage] = []
        for message, found in zip(batch, heads, strict=True):
            if found is None:
                fresh.append(message)
            elif found.key not in recorded:
                (left if found.key in taken else fresh).append(message)
                taken.add(found.key)
            elif not recorded[found.key] or (found.kind, found.at) in recorded[found.key]:
                result.accepted.append(found.key)
            else:
                result.refused.append(conflict(message, found, recorded[found.key]))
        self._commit_new(fresh, sites, result)
        return left

    def _commit_new(
        self, batch: Sequence[IncomingMessage], sites: Collection[str] | None, result: _CommitResult
    ) -> None:
        admitted = [admit(message, sites) for message in batch]
        accepted = [entry for entry in admitted if isinstance(entry, Entry)]
        result.refused.extend(refusal for refusal in admitted if isinstance(refusal, RefusedMessage))
        try:
            new = self._journal.commit(accepted)
        except Exception as error:
            if isinstance(error, duckdb.Error | RecordError) and not isinstance(error, _BAD_VALUES):
                raise  # the disk fails: the batch is repeated
            accepted, new = self._commit_singly(batch, admitted, result.refused)
        result.accepted.extend((entry.site, entry.report.boot, entry.report.seq) for entry in accepted)
        result.new.extend(new)

    def _commit_singly(
        self,
        batch: Sequence[IncomingMessage],
        admitted: Sequence[Entry | RefusedMessage],
        refused: list[RefusedMessage],
    ) -> tuple[list[Entry], list[Entry]]:
        """Commit one by one where one report spoils its batch: that one is refused; the accepted, and the new ones."""
        accepted: list[Entry] = []
        new: list[Entry] = []
        for message, entry in zip(batch, admitted, strict=True):
            if isinstance(entry, RefusedMessage):
                continue
            try:
                new += self._journal.commit([entry])
                accepted.append(entry)
            except Exception as error:
                if isinstance(error, duckdb.Error | RecordError) and not isinstance(error, _BAD_VALUES):
                    raise
                note("commit", error)
                key = (entry.report.boot, entry.report.seq)
                refused.append(RefusedMessage(message, "fault", _said(error), entry.site, key))
        return accepted, new

    def _count(self, outcome: _CommitResult) -> None:
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
        self.refused_rows += sum(len(entry.refused) for entry in outcome.new)
        self.last_commit_s = outcome.seconds

    def _report(self, sentence: str) -> None:
        if sentence != self.last_error:
            log.warning("%s", sentence or "the journal can be written again")
        self.last_error = sentence


def gather_s(commit_s: float) -> float:
    """How long after a commit that took `commit_s` began the next one starts."""
    return min(max(GATHER_LEAST_S, GATHER_COMMITS * commit_s), GATHER_MOST_S)


def _slices(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Reports of about SLICE_ROWS rows together."""
    some: list[Entry] = []
    rows = 0
    for entry in entries:
        some.append(entry)
        rows += len(entry.report.rows)
        if rows >= SLICE_ROWS:
            yield some
            some, rows = [], 0
    if some:
        yield some


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _rejected_rows(entries: Iterable[Entry]) -> list[QuarantinedMessage]:
    """The rows that good reports came with and that cannot be."""
    return [
        QuarantinedMessage(
            topics.report(entry.site, entry.report.kind), row.payload, "impossible", row.detail, entry.received_at
        )
        for entry in entries
        for row in entry.refused
    ]


def _rejected(refusal: RefusedMessage) -> QuarantinedMessage:
    message = refusal.message
    return QuarantinedMessage(message.topic, message.payload, refusal.reason, refusal.detail, message.received_at)


@contextlib.contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """A batch makes thousands of objects and no cycles: searching for cycles would take a third of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
