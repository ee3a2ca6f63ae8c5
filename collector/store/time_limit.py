"""How long a thread's queries may take: they are interrupted when its time is up.

A room of its own beside the database, which knows files: this knows threads and clocks.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import duckdb

from linkweather.errors import QueryTimeError

INTERRUPT_EVERY_S = 0.1  # where one interrupt falls between two queries of a cursor


class TimeLimit:
    """The limit of each thread; none to begin with."""

    def __init__(self) -> None:
        self._limits = threading.local()

    @contextlib.contextmanager
    def of(self, seconds: float) -> Iterator[None]:
        """The block's queries, of this thread, may take so long together. Raises QueryTimeError at that time."""
        self._limits.until = time.monotonic() + seconds
        try:
            yield
        except duckdb.InterruptException:
            raise QueryTimeError(f"took longer than {seconds:g} s") from None
        finally:
            del self._limits.until

    @contextlib.contextmanager
    def interrupting(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Interrupt the queries of the block when the thread's time is up: again and again, until it ends."""
        until, done = getattr(self._limits, "until", None), threading.Event()
        if until is None:
            yield
            return

        def interrupt() -> None:
            wait_s = until - time.monotonic()
            while not done.wait(max(wait_s, 0)):
                cursor.interrupt()
                wait_s = INTERRUPT_EVERY_S

        watching = threading.Thread(target=interrupt, name="time limit", daemon=True)
        watching.start()
        try:
            yield
        finally:
            done.set()
            watching.join()
