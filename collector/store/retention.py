"""Retention: what is older than `keep_days` is deleted every hour, a slice at a time, beside the commits.

A transaction that deletes millions of rows would hold up every commit for seconds. So each deletes few, and the next
one waits for as long as it took: commits have the disk at least half of the time.

DuckDB gives space back to the file, not to the file system: a checkpoint frees the blocks of row groups (122,880 rows)
that are wholly deleted, and new rows fill them. So a journal with `keep_days` stays about as large as it was at its
largest; compacting it makes the file smaller.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain

from collector.store.decision_log import DecisionLog
from collector.store.journal import Journal
from linkweather.containment import contained

PRUNE_INTERVAL_S = 3600.0
LEAST_REST_S = 0.01


class Retention:
    """Prunes the journal and the decision log, by `run`."""

    def __init__(
        self,
        journal: Journal,
        log: DecisionLog,
        keep_days: float | None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._log = log
        self._keep_days = keep_days
        self._now = now

    async def run(self) -> None:
        """Prune until cancelled; a cancelled slice ends first."""
        while True:
            with contained("retention"):  # a full disk, say: the next hour tries again
                await self.prune()
            await asyncio.sleep(PRUNE_INTERVAL_S)

    async def prune(self) -> int:
        """Delete what is too old now; returns how many rows. Raises duckdb.Error when the disk fails."""
        if self._keep_days is None:
            return 0
        now, deleted = self._now(), 0
        slices = chain(self._journal.prune(now), self._log.prune(now - timedelta(days=self._keep_days)))
        while True:
            rows, took_s = await asyncio.to_thread(_next, slices)
            if rows is None:
                return deleted
            deleted += rows
            await asyncio.sleep(max(took_s, LEAST_REST_S))


def _next(slices: Iterator[int]) -> tuple[int | None, float]:
    started = time.perf_counter()
    return next(slices, None), time.perf_counter() - started
