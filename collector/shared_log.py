"""The log that a cluster's collectors share, wired to this one's record; without it nothing imports Kafka's client.

A room of its own: it joins the cluster's log to ingest, which know nothing of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any

from collector.ingest.admission import IncomingMessage
from collector.ingest.batch_commit import Record
from collector.ingest.ingest import Ingest
from collector.settings import ClusterSettings
from collector.store.columns import Entry
from collector.store.journal import Journal
from linkweather.errors import OperatorError


class SharedLog:
    """`record` is where reports are committed; what it gives this collector to keep goes to the journal by `run`.

    Construction raises OperatorError where Kafka's client is not installed.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        journal: Journal,
        *,
        on_committed: Callable[[list[Entry]], None],
        on_owned: Callable[[frozenset[int], int], None],
    ) -> None:
        try:
            from collector.cluster.kafka_log import KafkaLog  # noqa: PLC0415 - only where it is asked for
            from collector.cluster.log_reader import LogReader  # noqa: PLC0415 - likewise
        except ModuleNotFoundError:
            raise OperatorError(
                "cluster.kafka: the package confluent-kafka is missing: install linkweather[kafka]"
            ) from None
        log = KafkaLog(settings, journal.database)
        self.record: Record = log
        self._ingest = Ingest(journal, publish=_published, on_committed=on_committed)
        self._reader = LogReader(log, take_in=self._take_in, on_owned=on_owned)

    @property
    def last_error(self) -> str:
        """Why nothing is read now; empty while all is well."""
        return self._reader.last_error or self._ingest.last_error

    def run(self) -> Coroutine[Any, Any, None]:
        """Read the log until cancelled."""
        return self._reader.run()

    async def finish(self) -> None:
        """Wait for a commit that is under way; none comes after it."""
        await self._ingest.finish()

    async def _take_in(self, messages: Sequence[tuple[str, bytes, datetime]]) -> None:
        await self._ingest.take_in([IncomingMessage(*one) for one in messages])


async def _published(_topic: str, _payload: bytes) -> bool:
    return True
