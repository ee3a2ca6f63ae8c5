"""Writes decisions into the decision log: from a bounded queue, in a thread, and again when the disk had failed."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import duckdb

from collector.store.decision_log import LoggedDecision

log = logging.getLogger(__name__)

UNWRITTEN_MAX = 100_000


class WritesDecisions(Protocol):
    """Where decisions go: the decision log."""

    def add(self, decisions: Sequence[LoggedDecision]) -> None:
        """Write these, all or none. Raises duckdb.Error; runs in a thread."""


class DecisionWriter:
    """The decisions that are not in the log yet, at most UNWRITTEN_MAX: beyond that the oldest are dropped and counted.

    All methods run on one event loop.
    """

    def __init__(self, decisions: WritesDecisions) -> None:
        self._log = decisions
        self._unwritten: deque[LoggedDecision] = deque()
        self._last_error = ""
        self.dropped = 0

    def put(self, decision: LoggedDecision) -> None:
        """Have this written by the next `write`."""
        self._unwritten.append(decision)
        self._drop()

    async def write(self) -> None:
        """Write everything that waits; what a failing disk refuses waits for the next call."""
        if not self._unwritten:
            return
        batch, self._unwritten = self._unwritten, deque()
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
        self._drop()

    def _drop(self) -> None:
        while len(self._unwritten) > UNWRITTEN_MAX:
            self._unwritten.popleft()
            self.dropped += 1

    def _warn(self, sentence: str) -> None:
        if sentence and sentence != self._last_error:
            log.warning("%s", sentence)
        self._last_error = sentence
