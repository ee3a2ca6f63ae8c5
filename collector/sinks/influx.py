"""Journal → InfluxDB: an exporter follows the record with a stored cursor, and moves it only on success."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

import duckdb

from collector.settings import InfluxSettings
from collector.sinks.backlog import Backlog, Batch, SetAside
from collector.sinks.influx_server import Server, WriteError
from collector.store.columns import TABLES
from collector.store.journal import Journal
from linkweather.backoff import Backoff

log = logging.getLogger(__name__)

POLL_S = 1.0
POSTS = 2
MANY_ROWS = 1000
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 60.0
# Only the operator can mend these: asking often would help nobody.
OPERATOR_RETRY_S = 30.0
# A smaller batch may pass; a single point that does not is set aside.
_SPLIT = frozenset({400, 413, 422})
_OPERATOR: Mapping[int, str] = {
    401: "refuses our credentials: check token, token_file, username and password",
    403: "forbids us to write: give the token or user write permission",
    404: "has no such database or bucket: check its name, and org and url",
}


@dataclass(frozen=True, slots=True)
class Wait:
    """What to do after a failed write: how long to wait, and what to tell the operator."""

    seconds: float
    sentence: str


def wait_after(error: WriteError, url: str, backoff_s: float) -> Wait:
    """How long to wait after a failure, `backoff_s` where nothing else says so, and what to say."""
    if error.status in _OPERATOR:
        return Wait(OPERATOR_RETRY_S, f"{url} {_OPERATOR[error.status]} ({error.reason})")
    return Wait(
        backoff_s if error.retry_after_s is None else max(error.retry_after_s, RETRY_FIRST_S),
        f"{url} takes no data now ({error.reason}); it is tried again, and nothing is lost",
    )


class Exporter:
    """Follows the journal into one server. Counters are plain attributes; `last_error` is one sentence."""

    def __init__(
        self,
        journal: Journal,
        settings: InfluxSettings,
        *,
        name: str = "influx",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._backlog = Backlog(journal.database, name)
        self._server = Server(settings)
        self._posts = ThreadPoolExecutor(POSTS, thread_name_prefix="influx")
        self._url = settings.url
        self._batch_rows = settings.batch_rows
        self._now = now
        self.exported = 0
        self.set_aside = self._backlog.set_aside()
        self.last_error = ""

    def lag_rows(self) -> int:
        """How many rows of the journal wait to be written; blocks for a moment."""
        return self._backlog.lag_rows()

    async def run(self) -> None:
        """Export until cancelled, whatever the server does."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        while True:
            try:
                wrote = await asyncio.to_thread(self.step)
            except (WriteError, duckdb.Error) as error:
                wait = self._wait_after(error, backoff.next_s())
                self._report(wait.sentence)
                await asyncio.sleep(wait.seconds)
            else:
                backoff.reset()
                self._report("")
                if not wrote:
                    await asyncio.sleep(POLL_S)

    def step(self) -> bool:
        """Write one batch of each kind, in a worker thread; false when there was nothing to write.

        Raises WriteError or duckdb.Error, and has then not moved the cursor of the batch that failed.
        """
        wrote = False
        for kind in TABLES:
            batch = self._backlog.after(kind, self._backlog.cursor(kind), self._batch_rows)
            if batch is not None:
                self._export(batch)
                wrote = True
        return wrote

    def close(self) -> None:
        """Close the connections to the server."""
        self._posts.shutdown()
        self._server.close()

    def _export(self, batch: Batch) -> None:
        refused = self._write_at_once(batch.lines)
        self._backlog.advance(batch.kind, batch.cursor, refused)
        self.exported += len(batch.lines) - len(refused)
        self.set_aside += len(refused)

    def _write_at_once(self, points: list[str]) -> list[SetAside]:
        """Write a long batch by several posts at once: a server handles each on a processor of its own."""
        if len(points) < MANY_ROWS:
            return self._write(points)
        share = -(-len(points) // POSTS)
        parts = [points[start : start + share] for start in range(0, len(points), share)]
        return list(chain.from_iterable(self._posts.map(self._write, parts)))

    def _write(self, points: list[str]) -> list[SetAside]:
        """Write what the server takes; returns what it refuses for good, found by halving."""
        if not points:
            return []
        try:
            self._server.write(points)
        except WriteError as error:
            if error.status not in _SPLIT:
                raise
            if len(points) == 1:
                return [SetAside(points[0], error.reason, self._now())]
            half = len(points) // 2
            return self._write(points[:half]) + self._write(points[half:])
        return []

    def _wait_after(self, error: WriteError | duckdb.Error, backoff_s: float) -> Wait:
        if isinstance(error, WriteError):
            return wait_after(error, self._url, backoff_s)
        return Wait(RETRY_MAX_S, f"the exporter cannot use the journal ({str(error).splitlines()[0]}); trying again")

    def _report(self, sentence: str) -> None:
        if sentence != self.last_error:
            log.warning("%s", sentence or f"{self._url} takes data again")
        self.last_error = sentence
