"""A gate that readers of the journal pass, and that is shut while its file is exchanged for another.

A room of its own: it knows threads alone, and nothing of the database.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class ReaderGate:
    """Counts who is inside, and can be shut."""

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
