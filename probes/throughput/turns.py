"""Tests the throughput of a site's incoming links, each when its turn comes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from linkweather.mesh import Mesh
from linkweather.messages import ThroughputRow
from probes import schedule
from probes.throughput.exchange import Exchange

log = logging.getLogger(__name__)


class Turns:
    """Takes the turns of `site`; every row, also a failed test's, goes to `on_row`."""

    def __init__(self, site: str, exchange: Exchange, on_row: Callable[[datetime, ThroughputRow], None]) -> None:
        self._site = site
        self._exchange = exchange
        self._on_row = on_row
        self._mesh: Mesh | None = None
        self._changed = asyncio.Event()

    def follow(self, mesh: Mesh) -> None:
        """Test as this mesh says."""
        self._mesh = mesh
        self._exchange.mesh = mesh
        self._changed.set()

    async def run(self) -> None:
        """Test until cancelled, and serve whoever invites us."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._exchange.run(), name="exchange")
            group.create_task(self._take(), name="turns")

    async def _take(self) -> None:
        while True:
            self._changed.clear()
            mesh = self._mesh
            turn = schedule.next_turn(time.time(), self._site, mesh) if mesh else None
            wait_s = max(0.0, turn.start_s - time.time()) if turn else None
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                if mesh and turn:
                    await self._test(mesh, turn.src)

    async def _test(self, mesh: Mesh, src: str) -> None:
        row = await self._exchange.measure(src, mesh.sites[src].address, mesh.throughput)
        if isinstance(row, ThroughputRow):
            self._on_row(datetime.now(UTC), row)
        else:
            log.info("the throughput test of %s → %s is postponed: %s", src, self._site, row.reason)
