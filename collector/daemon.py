"""The collector as one process: it starts the parts and stops them, in order."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any

from collector.estimate_refresh import refresh_forecasts
from collector.ingest.embedded_broker import start_embedded
from collector.interpreter import give_memory_back, settle
from collector.parts import CollectorParts
from collector.settings import CollectorSettings
from collector.state_rebuild import rebuild
from collector.store.retention import Retention
from linkweather.containment import contained
from linkweather.errors import operator_error

log = logging.getLogger(__name__)

DRAIN_LIMIT_S = 10.0
_POLL_S = 0.02


class CollectorDaemon:
    """Runs the parts of a collector: call `run` once, then `close`.

    Construction, as of `CollectorParts`, and `run` raise OperatorError.
    """

    def __init__(self, settings: CollectorSettings) -> None:
        self.parts = CollectorParts(settings)

    async def run(self, stop: asyncio.Event) -> None:
        """Run all parts until `stop` is set; then commit what has arrived, and end."""
        await asyncio.to_thread(self._rebuild)
        async with asyncio.TaskGroup() as outer:
            # The broker starts first and ends last, so that the final commit is still acknowledged.
            broker = await start_embedded(self.parts.settings, outer)
            async with asyncio.TaskGroup() as inner:
                tasks = [inner.create_task(part, name=name) for name, part in self._tasks()]
                log.info("the API answers at http://%s:%d", self.parts.settings.api.host, self.parts.settings.api.port)
                await stop.wait()
                await self._drain()
                self.parts.feed.close()
                for task in tasks:
                    task.cancel()
            if broker is not None:
                broker.cancel()

    async def close(self) -> None:
        """Close everything; writes under way end first."""
        await self.parts.route_updater.finish()
        await self.parts.incident_watch.finish()
        await self.parts.ingest.finish()
        if self.parts.shared_log:
            await self.parts.shared_log.finish()
        await self.parts.questions.finish()
        await asyncio.get_running_loop().shutdown_default_executor()
        self.parts.server.close()
        self.parts.exporters.close()
        self.parts.tokens.write_used()
        self.parts.ledger.write()
        self.parts.journal.close()

    def reload(self) -> None:
        """Read the mesh file again now, and what the broker asks of us (SIGHUP)."""
        self.parts.mesh.reread()
        broker = self.parts.settings.broker
        if broker.cert_file or broker.ca_file or broker.password_file:
            self.parts.connection.reconnect()

    def _tasks(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        yield "connection", self.parts.connection.run()
        yield "ingest", self.parts.ingest.run()
        yield "api", self.parts.server.run()
        yield "tokens", self.parts.tokens.run()
        yield "mesh file", self.parts.mesh.watch()
        yield "mesh publisher", self.parts.mesh_publisher.run()
        journal = self.parts.settings.journal
        retention = Retention(
            self.parts.journal, self.parts.decision_log, journal.row_days, minute_days=journal.minute_days
        )
        yield "retention", retention.run()
        yield "forecasts", refresh_forecasts(self.parts.links)
        yield "route updater", self._keep_routes()
        yield "incidents", self.parts.incident_watch.run()
        yield "notifier", self.parts.notifier.run()
        yield "sinks", self.parts.exporters.run()
        yield "ledger", self.parts.ledger.run()
        yield "page", self.parts.page.run()
        yield "memory", give_memory_back()
        if self.parts.cluster:
            yield "cluster", self.parts.cluster.run()
        if self.parts.shared_log:
            yield "log", self.parts.shared_log.run()

    def _rebuild(self) -> None:
        """Rebuild the state from the journal: the same as if its rows had just arrived."""
        rebuild(
            self.parts.journal.database, self.parts.links, self.parts.sites, self.parts.capacities, datetime.now(UTC)
        )
        if self.parts.cluster:
            self.parts.cluster.publish_all()
            self.parts.cluster.exchange()
        else:
            with contained("rebuild"):
                self.parts.route_updater.restore()
        with contained("rebuild"):
            self.parts.incident_watch.restore()
            self.parts.notifier.restore()

    async def _keep_routes(self) -> None:
        if self.parts.cluster:
            await self.parts.cluster.filled()
            with contained("rebuild"):
                await asyncio.to_thread(self.parts.route_updater.restore)
        await self.parts.route_updater.run()

    async def _drain(self) -> None:
        self.parts.ingest.close()
        deadline = time.monotonic() + DRAIN_LIMIT_S
        ingest = self.parts.ingest
        while not ingest.at_rest and time.monotonic() < deadline:  # noqa: ASYNC110 – emptied by the ingest loop
            await asyncio.sleep(_POLL_S)


async def run(settings: CollectorSettings) -> None:
    """Run a collector until SIGTERM or SIGINT. Raises OperatorError, also out of any of its tasks."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def reload() -> None:  # the loop calls it when it turns next: with a daemon
        daemon.reload()

    # Before anything opens: whoever sees the port may send a signal, and its default would kill.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    daemon = CollectorDaemon(settings)
    try:
        settle()
        await daemon.run(stop)
    except BaseExceptionGroup as group:
        raise operator_error(group) or group from None
    finally:
        await daemon.close()
