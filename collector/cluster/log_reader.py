"""Reads a cluster's log in Kafka into this collector's record: the partitions that it owns, the newest reports first.

An owner keeps in its own DuckDB how far it has read each partition, written after the rows: what it reads twice after
a crash is a duplicate by its key, and dropped. An owner that is new to a partition reads the last RECENT_S first, on
which decisions stand, and beside that the gap, what lies between its record and these: see `LogGaps`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from collector.cluster.kafka_log import KafkaLog
from linkweather.containment import contained
from linkweather.errors import RecordError
from linkweather.wire import topics


class LogGaps:
    """At most one gap a partition: from the next offset to be read up to its end, which is not part of it. Pure.

    Only what is whole counts as read: how far a partition was read is the gap's beginning, so that after a crash the
    gap is still there.
    """

    def __init__(self) -> None:
        self._gaps: dict[int, tuple[int, int]] = {}

    @property
    def positions(self) -> dict[int, int]:
        """Partition → the next offset of its gap."""
        return {part: position for part, (position, _) in self._gaps.items()}

    def open(self, part: int, position: int, end: int) -> None:
        """There is a gap, unless it is empty."""
        self._gaps.pop(part, None)
        if position < end:
            self._gaps[part] = (position, end)

    def drop(self, part: int) -> None:
        """The partition is another owner's."""
        self._gaps.pop(part, None)

    def read(self, part: int, offset: int) -> None:
        """A message was taken in: of the gap, or beyond it, which ends it."""
        if part in self._gaps:
            self.open(part, offset + 1, self._gaps[part][1])


log = logging.getLogger(__name__)

READ_MESSAGES = 200
READ_S = 0.2
RETRY_S = 1.0
OFFSETS_EVERY_S = 1.0
RECENT_S = 30.0
ASK_S = 5.0

# One message: topic, payload, when it arrived at the first collector.
Incoming = tuple[str, bytes, datetime]


class LogReader:
    """Reads the partitions that the group gives this collector, and keeps how far it came in the DuckDB.

    `take_in` commits messages to the record; `on_owned` is told, on the event loop, which partitions are owned now, of
    how many.
    """

    def __init__(
        self,
        kafka: KafkaLog,
        *,
        take_in: Callable[[Sequence[Incoming]], Awaitable[None]],
        on_owned: Callable[[frozenset[int], int], None],
    ) -> None:
        self._kafka = kafka
        self._take_in = take_in
        self._on_owned = on_owned
        self._owned: frozenset[int] = frozenset()
        self._next: dict[int, int] = {}
        self._gaps = LogGaps()
        self._filler_at: dict[int, int] = {}
        self._lock = threading.Lock()
        self._reading = threading.Lock()  # a consumer is not closed below a read
        self.last_error = ""

    async def run(self) -> None:
        """Read until cancelled."""
        loop = asyncio.get_running_loop()
        count = await self._partitions()
        await asyncio.to_thread(self._create)
        consumer = self._kafka.consumer()

        def changed(owned: frozenset[int]) -> None:
            self._owned = owned
            loop.call_soon_threadsafe(self._on_owned, owned, count)

        def assigned(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            starts = self._starts(consumer, [one.partition for one in partitions])
            for one in partitions:
                one.offset = starts[one.partition]
            consumer.incremental_assign(partitions)
            changed(self._owned | {one.partition for one in partitions})

        def revoked(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            consumer.incremental_unassign(partitions)
            self._let_go(one.partition for one in partitions)
            changed(self._owned - {one.partition for one in partitions})

        consumer.subscribe([self._kafka.topic], on_assign=assigned, on_revoke=revoked, on_lost=revoked)
        filler = self._kafka.consumer(f"-gaps-{uuid.uuid4().hex}")
        try:
            await self._read_on(consumer, filler)
        finally:
            # Leaving the group at once spares the others the wait for the session's end.
            await asyncio.shield(asyncio.to_thread(self._close, consumer, filler))

    async def _read_on(self, consumer: Consumer, filler: Consumer) -> None:
        written_at = time.monotonic()
        while True:
            messages = await asyncio.to_thread(self._read, consumer)
            good = [one for one in messages if one.error() is None]
            self.last_error = next((f"Kafka: {one.error().str()}" for one in messages if one.error()), "")
            if good:
                await self._take_in([_incoming(one) for one in good])
                with self._lock:
                    self._next |= {one.partition(): one.offset() + 1 for one in good}
            if self._gaps.positions and len(messages) < READ_MESSAGES:  # what is newer is read
                await self._fill(filler)
            if time.monotonic() - written_at > OFFSETS_EVERY_S:
                written_at = time.monotonic()
                with contained("offsets"):
                    await asyncio.to_thread(self._write)

    def _starts(self, consumer: Consumer, parts: Sequence[int]) -> dict[int, int]:
        """Where to go on in partitions that are new here: at what came of late, with a gap before it."""
        offsets = self._offsets()
        reached = {part: offsets.get(part, 0) for part in parts}
        try:
            starts = {part: max(reached[part], at) for part, at in self._recent(consumer, parts).items()}
        except KafkaException as error:
            log.warning("Kafka: %s: the log is read in its order", error.args[0].str())
            return reached
        with self._lock:
            for part, start in starts.items():
                self._gaps.open(part, reached[part], start)
            self._next |= starts
        return starts

    def _recent(self, consumer: Consumer, parts: Sequence[int]) -> dict[int, int]:
        """The first offset of each partition that came in the last RECENT_S; the end where none did."""
        since_ms = int((time.time() - RECENT_S) * 1000)
        asked = [TopicPartition(self._kafka.topic, part, since_ms) for part in parts]
        found: dict[int, int] = {}
        for one in consumer.offsets_for_times(asked, timeout=ASK_S):
            if one.error is not None:
                raise KafkaException(one.error)
            end = one.offset < 0
            found[one.partition] = consumer.get_watermark_offsets(one, timeout=ASK_S)[1] if end else one.offset
        return found

    def _let_go(self, parts: Iterable[int]) -> None:
        with self._lock:
            positions = self._gaps.positions
            for part in parts:
                if part in positions:  # if it comes back: from the gap on
                    self._next[part] = positions[part]
                self._gaps.drop(part)

    async def _fill(self, filler: Consumer) -> None:
        """Take in a slice of the gaps."""
        with self._lock:
            positions = self._gaps.positions
        messages = await asyncio.to_thread(self._read_from, filler, positions)
        good = [one for one in messages if one.error() is None]
        with self._lock:
            before = self._gaps.positions
        wanted = [one for one in good if one.partition() in before]
        if wanted:
            await self._take_in([_incoming(one) for one in wanted])
        with self._lock:
            for one in wanted:
                self._gaps.read(one.partition(), one.offset())

    def _read_from(self, filler: Consumer, positions: Mapping[int, int]) -> list[Message]:
        """Messages from these offsets on; where the reader is there already it reads on."""
        if self._filler_at != positions:
            filler.assign([TopicPartition(self._kafka.topic, part, at) for part, at in positions.items()])
            self._filler_at = dict(positions)
        found = self._read(filler)
        self._filler_at |= {one.partition(): one.offset() + 1 for one in found if one.error() is None}
        return found

    def _read(self, consumer: Consumer) -> list[Message]:
        with self._reading:
            found: list[Message] = consumer.consume(READ_MESSAGES, READ_S)
            return found

    def _close(self, *consumers: Consumer) -> None:
        with self._reading:
            for consumer in consumers:
                consumer.close()

    async def _partitions(self) -> int:
        while True:
            try:
                found = await asyncio.to_thread(self._kafka.partitions)
            except RecordError as error:
                self.last_error = str(error)
                await asyncio.sleep(RETRY_S)
            else:
                self.last_error = ""
                return found

    def _create(self) -> None:
        with self._kafka.database.transaction() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS log_offsets (topic VARCHAR, part INTEGER, next_offset BIGINT)"
            )

    def _offsets(self) -> dict[int, int]:
        """How far each partition was read: as of now in memory, else in the file."""
        rows = self._kafka.database.rows(
            "SELECT part, max(next_offset) FROM log_offsets WHERE topic = ? GROUP BY part", [self._kafka.topic]
        )
        with self._lock:
            return dict(rows) | self._next

    def _write(self) -> None:
        with self._lock:
            reached = self._next | self._gaps.positions  # what is whole
        with self._kafka.database.transaction() as connection:
            for part, offset in reached.items():
                connection.execute("DELETE FROM log_offsets WHERE topic = ? AND part = ?", [self._kafka.topic, part])
                connection.execute("INSERT INTO log_offsets VALUES (?, ?, ?)", [self._kafka.topic, part, offset])


def _incoming(message: Message) -> Incoming:
    headers = dict(message.headers() or ())
    kind, received_at = (headers.get(name, b"").decode(errors="replace") for name in ("kind", "received_at"))
    try:
        at = datetime.fromisoformat(received_at)
    except ValueError:
        at = datetime.now(UTC)
    site = (message.key() or b"").decode(errors="replace")
    return topics.report(site, kind), message.value() or b"", at
