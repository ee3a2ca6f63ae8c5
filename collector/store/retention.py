"""Retention: rows are rolled up, and those older than `keep_days` deleted, a slice at a time, beside the commits.

A transaction that deletes millions of rows would hold up every commit for seconds. So each deletes few, and the next
one waits for as long as it took: commits have the disk at least half of the time. Rolling up is done in slices, too.

DuckDB gives space back to the file, not to the file system: a checkpoint frees the blocks of row groups (122,880 rows)
that are wholly deleted, and new rows fill them. Where most of a file is free, `Compaction` makes it smaller.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from collector.store.compaction import Compaction
from collector.store.decision_log import DecisionLog
from collector.store.journal import Journal
from collector.store.roll_ups import RollUps
from linkweather.containment import contained

INTERVAL_S = 600.0
LEAST_REST_S = 0.01


class Retention:
    """Rolls up, prunes and compacts the journal, by `run`. Without `keep_days` no row and no decision is deleted."""

    def __init__(
        self,
        journal: Journal,
        log: DecisionLog,
        keep_days: float | None,
        *,
        minute_days: float = math.inf,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._log = log
        self._keep_days = keep_days
        self._roll_ups = RollUps(journal.database, minute_days)
        self._compaction = Compaction(journal.database)
        self._now = now

    async def run(self) -> None:
        """Roll up and prune until cancelled; a cancelled slice ends first."""
        while True:
            with contained("retention"):  # a full disk, say: the next time tries again
                await self.prune()
            await asyncio.sleep(INTERVAL_S)

    async def prune(self) -> int:
        """Roll up, and delete what is too old now; returns how many rows. Raises duckdb.Error when the disk fails."""
        return await with_rests(self._slices(self._now()))

    def _slices(self, now: datetime) -> Iterator[int]:
        yield from self._roll_ups.steps(now)
        if self._keep_days is not None:
            yield from self._journal.prune(now)
            yield from self._log.prune(now - timedelta(days=self._keep_days))
        yield from self._compaction.steps(now)


async def with_rests(slices: Iterator[int]) -> int:
    """Work slices off in threads, with a rest after each; returns their sum."""
    sum_ = 0
    while True:
        rows, took_s = await asyncio.to_thread(_next, slices)
        if rows is None:
            return sum_
        sum_ += rows
        await asyncio.sleep(max(took_s, LEAST_REST_S))


def _next(slices: Iterator[int]) -> tuple[int | None, float]:
    started = time.perf_counter()
    return next(slices, None), time.perf_counter() - started
