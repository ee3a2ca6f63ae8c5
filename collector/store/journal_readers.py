"""How threads read the journal: through a gate that is shut while its file is exchanged for another, and for how long.

It knows threads and clocks, and nothing of the database.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import duckdb

from linkweather.errors import QueryTimeError


class ReaderGate:
    """Counts the readers that are inside, and can be shut while a file is exchanged."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._shut = False

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Enter, once it is not shut."""
        with self._changed:
            self._changed.wait_for(lambda: not self._shut)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def shut(self, wait_s: float) -> Iterator[bool]:
        """Let none in; gives whether all who were inside left within that time."""
        with self._changed:
            self._shut = True
            empty = self._changed.wait_for(lambda: not self._inside, wait_s)
        try:
            yield empty
        finally:
            with self._changed:
                self._shut = False
                self._changed.notify_all()


INTERRUPT_EVERY_S = 0.1  # where one interrupt falls between two queries of a cursor


class TimeLimit:
    """The limit of each thread; none to begin with. Queries are interrupted when the time of their thread is up."""

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
