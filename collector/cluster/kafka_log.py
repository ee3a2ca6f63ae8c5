"""The log of a cluster, in Kafka: reports go in, keyed by site, and each partition's owner reads them into its record.

A report is committed when every in-sync replica of its partition has it (`acks=all`, two at least): from then on no
single machine's end loses it. The consumer group says who owns which partitions, and so which sites: see `log_reader`.

This module and `log_reader` alone import Kafka's client, and are imported where `[cluster] kafka` is set.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from collector.cluster.shares import share_of
from collector.settings import ClusterSettings
from collector.store.columns import Entry
from collector.store.database import Database
from collector.store.report_keys import Key
from linkweather.errors import RecordError
from linkweather.wire import encode

log = logging.getLogger(__name__)

# An owner that dies is replaced so soon; brokers allow no less than 6 s by default.
SESSION_MS = 6_000
FLUSH_S = 10.0
MAX_MESSAGE_BYTES = 5_000_000  # a report as admission takes it, and its envelope


class KafkaLog:
    """The log's topic. Any thread may call; construction asks no broker."""

    def __init__(self, settings: ClusterSettings, database: Database) -> None:
        self._topic = settings.topic
        self._settings = settings
        self._count = 0
        self.id = settings.name
        self.database = database  # where what is refused is kept
        self._base = {"bootstrap.servers": settings.kafka, "log_level": 2, "error_cb": _said}
        self._producer = Producer(
            {
                **self._base,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "lz4",
                "message.max.bytes": MAX_MESSAGE_BYTES,
                # Later it is no longer waited for: the site sends the report again.
                "delivery.timeout.ms": int(FLUSH_S * 1000),
            }
        )

    def partitions(self) -> int:
        """How many partitions the topic has; it is made where there is none. Blocks; raises RecordError."""
        if not self._count:
            try:
                self._count = self._found()
            except KafkaException as error:
                raise RecordError(f"Kafka at {self._settings.kafka}: {error.args[0].str()}") from None
        return self._count

    def recorded(self, _wanted: Iterable[Key] | Mapping[Key, Any]) -> dict[Key, set[tuple[str, datetime]]]:
        """None: a report that is in the log already is found by its owner."""
        return {}

    def commit(self, entries: Sequence[Entry]) -> list[Entry]:
        """Append reports; when this returns they are on several machines. Blocks; raises RecordError."""
        count, failed = self.partitions(), []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failed.append(error.str())

        try:
            for entry in entries:
                self._producer.produce(
                    self._topic,
                    key=entry.site.encode(),
                    value=encode(entry.report),
                    partition=share_of(entry.site, count),
                    headers={"kind": entry.report.kind.encode(), "received_at": entry.received_at.isoformat().encode()},
                    on_delivery=delivered,
                )
                self._producer.poll(0)
        except (BufferError, KafkaException) as error:
            failed.append(str(error))
        left = self._producer.flush(FLUSH_S + 1)
        if failed or left:
            raise RecordError(f"Kafka takes no reports ({failed[0] if failed else 'no answer'})")
        return list(entries)

    def consumer(self, group: str = "") -> Consumer:
        """A member of the cluster's consumer group, or of another one."""
        return Consumer(
            {
                **self._base,
                "group.id": f"linkweather-{self._settings.name}{group}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": SESSION_MS,
                "heartbeat.interval.ms": SESSION_MS // 3,
                "partition.assignment.strategy": "cooperative-sticky",
                "fetch.max.bytes": 8 * MAX_MESSAGE_BYTES,
                "queued.max.messages.kbytes": 32_768,
            }
        )

    @property
    def topic(self) -> str:
        """Its name."""
        return self._topic

    def _found(self) -> int:
        admin = AdminClient(self._base)
        found = admin.list_topics(timeout=5).topics.get(self._topic)
        if found is None or not found.partitions:
            self._make(admin)
            found = admin.list_topics(self._topic, timeout=5).topics[self._topic]
        return len(found.partitions) or _raise_missing()

    def _make(self, admin: AdminClient) -> None:
        replicas = self._settings.replicas
        settings = {"min.insync.replicas": str(min(2, replicas)), "max.message.bytes": str(MAX_MESSAGE_BYTES)}
        settings["retention.ms"] = str(int(self._settings.keep_days * 86_400_000))
        made = admin.create_topics([NewTopic(self._topic, self._settings.partitions, replicas, config=settings)])
        try:
            made[self._topic].result(10)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def _said(error: KafkaError) -> None:
    log.warning("Kafka: %s", error.str())


def _raise_missing() -> int:
    raise RecordError("Kafka has no partitions of the topic yet")
