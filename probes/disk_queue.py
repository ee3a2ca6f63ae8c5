"""Work on the disk that the event loop does not wait for: one piece at a time and in order, in a thread.

A sync may take longer than the time between two probes, on a worn disk or in a storm of others' writes. A room of its
own, because what the daemon hands over here (reports, the mesh) has nothing else in common.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from linkweather.containment import contained, note_overflow

# Reports that a disk which hangs holds in memory: minutes of a busy site.
MAX_WAITING: Final = 1000
DRAIN_LIMIT_S: Final = 10.0


def _nothing() -> None:
    pass


class DiskQueue:
    """Pieces of work, each a call that blocks, and what to call in the loop after it."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._waiting: asyncio.Queue[tuple[str, Callable[[], object], Callable[[], None]]] = asyncio.Queue(max_waiting)

    def put(self, place: str, work: Callable[[], object], *, then: Callable[[], None] = _nothing) -> bool:
        """Hand a piece over, whose faults are counted at `place`; false where too many wait: the caller counts it."""
        if self._waiting.full():
            note_overflow(f"disk: {place}")
            return False
        self._waiting.put_nowait((place, work, then))
        return True

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            place, work, then = await self._waiting.get()
            try:
                with contained(place):
                    await asyncio.to_thread(work)
                    then()
            finally:
                self._waiting.task_done()

    async def drain(self) -> None:
        """Wait until all is done, or for so long that the disk hangs."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_LIMIT_S):
                await self._waiting.join()
