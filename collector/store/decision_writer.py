"""Writes decisions into the decision log: from a bounded queue, in a thread, and again when the disk had failed."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import duckdb

from collector.store.decision_log import LoggedDecision, LoggedRoutes

log = logging.getLogger(__name__)

# Rows; of a decision with its text fewer fit into the same memory, each counts as ten.
UNWRITTEN_MAX = 1_000_000
_TEXT_ROWS = 10


class WritesDecisions(Protocol):
    """Where decisions go: the decision log."""

    def add(self, decisions: Sequence[LoggedDecision]) -> None:
        """Write these, all or none. Raises duckdb.Error; runs in a thread."""


class DecisionWriter:
    """The decisions that are not in the log yet, at most UNWRITTEN_MAX: beyond that the oldest are dropped and counted.

    The newest stays, however many rows it has. All methods run on one event loop.
    """

    def __init__(self, decisions: WritesDecisions) -> None:
        self._log = decisions
        self._unwritten: deque[LoggedDecision] = deque()
        self._rows = 0
        self._last_error = ""
        self.dropped = 0

    def put(self, decision: LoggedDecision) -> None:
        """Have this written by the next `write`."""
        self._unwritten.append(decision)
        self._rows += _rows(decision)
        self._drop()

    async def write(self) -> None:
        """Write everything that waits; what a failing disk refuses waits for the next call."""
        if not self._unwritten:
            return
        batch, self._unwritten, self._rows = self._unwritten, deque(), 0
        writing = asyncio.create_task(asyncio.to_thread(self._log.add, batch), name="write decisions")
        try:
            await asyncio.shield(writing)
        except duckdb.Error as error:
            self._put_back(batch)
            self._warn(f"decisions cannot be logged ({str(error).splitlines()[0]}); trying again")
            return
        except asyncio.CancelledError:
            # A thread cannot be cancelled: what it wrote must not be written again.
            await asyncio.wait([writing])
            if writing.exception() is not None:
                self._put_back(batch)
            raise
        self._warn("")

    def _put_back(self, batch: deque[LoggedDecision]) -> None:
        self._unwritten.extendleft(reversed(batch))
        self._rows += sum(_rows(one) for one in batch)
        self._drop()

    def _drop(self) -> None:
        while self._rows > UNWRITTEN_MAX and len(self._unwritten) > 1:
            oldest = self._unwritten.popleft()
            self._rows -= _rows(oldest)
            self.dropped += len(oldest.decisions) if isinstance(oldest, LoggedRoutes) else 1

    def _warn(self, sentence: str) -> None:
        if sentence and sentence != self._last_error:
            log.warning("%s", sentence)
        self._last_error = sentence


def _rows(one: LoggedDecision) -> int:
    return len(one.decisions) if isinstance(one, LoggedRoutes) else _TEXT_ROWS
