"""Keeps a site's retained status at the broker up to date, and publishes its last word."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from linkweather.atomicfile import damaged_files
from linkweather.containment import contained
from linkweather.mqtt import HEADER_BYTES, Connection
from linkweather.wire import Status, encode, topics
from probes.presence import SitePresence

STATUS_EVERY_S: Final = 10.0

State = Literal["online", "offline"]


class StatusPublisher:
    """Publishes what `status` says of a site in a state: by `run`, again at once whenever `due` is set.

    `has_mesh` says whether the site answers its peers. `damaged_files` are those of the data folder, by name.
    """

    def __init__(
        self,
        site: str,
        data_dir: Path,
        connection: Connection,
        presence: SitePresence,
        status: Callable[[State], Status],
        *,
        has_mesh: Callable[[], bool],
    ) -> None:
        self._topic = topics.status(site)
        self._data_dir = data_dir
        self._connection = connection
        self._presence = presence
        self._status = status
        self._has_mesh = has_mesh
        self.due = asyncio.Event()
        self.damaged_files: dict[str, int] = {}

    async def run(self) -> None:
        """Keep the retained status up to date: at once after a connection, then when it has changed."""
        published: Status | None = None
        here = False
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATUS_EVERY_S):
                    await self.due.wait()
                    published, here = None, False
            self.due.clear()
            with contained("status"):
                here = here or await self._presence.say_here(answering=self._has_mesh())
                await self._presence.say_key()
                with contextlib.suppress(OSError):
                    self.damaged_files = await asyncio.to_thread(damaged_files, self._data_dir)
                status = self._status("online")
                if status != published and await self.publish("online"):
                    published = status

    async def publish(self, state: State) -> bool:
        """Publish the status now; whether the broker has taken it."""
        limit = self._connection.max_packet_bytes
        status = self._status(state).model_copy(update={"at": datetime.now(UTC)})
        fitted = status.fitting(None if limit is None else limit - len(self._topic.encode()) - HEADER_BYTES)
        return await self._connection.publish(self._topic, encode(fitted), retain=True)
