"""Sends `committed` beside the commits: the next batch does not wait until the broker has acknowledged the last one.

A room of its own because it owns the tasks that are under way, and their bound: a broker that acknowledges nothing
holds up the commits once MAX_UNDER_WAY messages are unanswered, and what they acknowledge is on the disk meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from linkweather.containment import contained
from linkweather.wire import Committed, encode, topics

MAX_UNDER_WAY: Final = 1000


class Acknowledgement:
    """Publishes `committed` by `publish(topic, payload)`, in the tasks of the group that `send` is given."""

    def __init__(self, publish: Callable[[str, bytes], Awaitable[bool]], most: int = MAX_UNDER_WAY) -> None:
        self._publish = publish
        self._room = asyncio.Semaphore(most)
        self.under_way = 0

    async def send(self, tasks: asyncio.TaskGroup, site: str, committed: Committed) -> None:
        """Begin to publish one message, as soon as fewer than the most are under way."""
        await self._room.acquire()
        self.under_way += 1
        tasks.create_task(self._send(site, committed), name=f"committed {site}")

    async def _send(self, site: str, committed: Committed) -> None:
        try:
            with contained("committed"):
                await self._publish(topics.committed(site), encode(committed))
        finally:
            self.under_way -= 1
            self._room.release()
