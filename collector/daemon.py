"""The collector as one process: it makes the parts, connects them, and starts and stops them in order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
import uuid
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any

from collector.api.event_feed import EventFeed
from collector.api.http_server import HttpServer
from collector.api_wiring import ApiWiring
from collector.arrivals import Arrivals
from collector.cluster.cluster import Cluster
from collector.complete_links import CompleteLinks
from collector.estimate_refresh import refresh_forecasts
from collector.incident_wiring import IncidentWiring
from collector.incidents.traced_paths import TracedPaths
from collector.ingest.embedded_broker import start_embedded
from collector.ingest.ingest import Ingest
from collector.ingest.other_journals import OtherJournals
from collector.interpreter import settle
from collector.linkstate.link_states import LinkStates
from collector.linkstate.site_states import Capacities, SiteStates
from collector.mesh_file import MeshFile
from collector.mesh_publisher import MeshPublisher
from collector.page_process import PageProcess
from collector.route_updater import RouteUpdater
from collector.settings import CollectorSettings
from collector.shared_log import SharedLog
from collector.sinks.exporters import Exporters
from collector.state_rebuild import rebuild
from collector.store.decision_log import DecisionLog
from collector.store.journal import open_journal
from collector.store.retention import Retention
from collector.total_ledger import Ledger
from linkweather.containment import contained
from linkweather.errors import operator_error
from linkweather.mqtt import Connection

log = logging.getLogger(__name__)

DRAIN_LIMIT_S = 10.0
_POLL_S = 0.02


class CollectorDaemon:
    """The parts of a collector. Construction opens the journal and the API's port; call `run` once, then `close`.

    Construction and `run` raise OperatorError: an invalid mesh, a journal in use, a taken port, a missing program.
    """

    def __init__(self, settings: CollectorSettings) -> None:
        self._settings = settings
        name = (settings.cluster.collector if settings.cluster else None) or socket.gethostname()
        self._mesh = MeshFile(settings.mesh, lambda mesh: self._arrivals.apply_mesh(mesh))
        self._connection = Connection(
            settings.broker_address,
            f"linkweather-collector-{name}-{os.getpid()}",
            subscriptions=lambda: self._arrivals.subscriptions(),
            handle=lambda topic, payload: self._arrivals.handle(topic, payload),
            on_connect=lambda: self._arrivals.on_connect(),
        )
        self._sites = SiteStates(self._mesh.mesh)
        self._paths = TracedPaths(self._mesh.mesh)
        self._links = LinkStates(self._mesh.mesh, settings.state, self._sites.next_test)
        self._capacities = Capacities(self._mesh.mesh, settings.capacity)
        self._cluster = self._cluster_of(settings)
        self._all_links = self._cluster.links if self._cluster else self._links
        self._owns = self._cluster.owns if self._cluster else lambda _site: True
        self._journal = open_journal(settings.data_dir, settings.journal)
        try:
            # Sites follow a cluster as one: whichever of its collectors has a report, it is in the cluster's record.
            self._journal_id = settings.cluster.name if settings.cluster else self._journal.id
            self._shared_log = self._shared_log_of(settings)
            self._ingest = self._ingest_of()
            self._other_journals = OtherJournals(self._journal_id, settings.journal.replaces)
            self._exporters = Exporters(self._journal.database, settings.sinks, settings.broker_address)
            self._ledger = Ledger(self._journal, self._exporters.by_name)
            self._mesh_publisher = self._mesh_publisher_of(settings)
            self._decision_log = DecisionLog(self._journal.database)
            self._feed = EventFeed(uuid.uuid4().hex[:12])
            self._complete_links = CompleteLinks(
                links=self._all_links,
                sites=self._sites,
                health=lambda: self._incident_watch.health,
                routes=lambda: self._route_updater.routes("latency"),
            )
            self._route_updater = self._route_updater_of(settings)
            self._arrivals = self._arrivals_of()
            self._incident_watch, self._notifier = self._incident_wiring().build()
            self._page = PageProcess(settings.page, settings.api)
            self._server = HttpServer(self._api_wiring().application(), settings.api.host, settings.api.port)
        except BaseException:
            self._journal.close()
            raise

    async def run(self, stop: asyncio.Event) -> None:
        """Run all parts until `stop` is set; then commit what has arrived, and end."""
        await asyncio.to_thread(self._rebuild)
        settle()
        async with asyncio.TaskGroup() as outer:
            # The broker starts first and ends last, so that the final commit is still acknowledged.
            broker = await start_embedded(self._settings, outer)
            async with asyncio.TaskGroup() as inner:
                tasks = [inner.create_task(part, name=name) for name, part in self._parts()]
                log.info("the API answers at http://%s:%d", self._settings.api.host, self._settings.api.port)
                await stop.wait()
                await self._drain()
                self._feed.close()
                for task in tasks:
                    task.cancel()
            if broker is not None:
                broker.cancel()

    async def close(self) -> None:
        """Close everything; writes under way end first."""
        await self._route_updater.finish()
        await self._incident_watch.finish()
        await asyncio.get_running_loop().shutdown_default_executor()
        self._server.close()
        self._exporters.close()
        self._ledger.write()
        self._journal.close()

    def reread_mesh(self) -> None:
        """Read the mesh file again now (SIGHUP)."""
        self._mesh.reread()

    def _parts(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        yield "connection", self._connection.run()
        yield "ingest", self._ingest.run()
        yield "api", self._server.run()
        yield "mesh file", self._mesh.watch()
        yield "mesh publisher", self._mesh_publisher.run()
        journal = self._settings.journal
        retention = Retention(self._journal, self._decision_log, journal.row_days, minute_days=journal.minute_days)
        yield "retention", retention.run()
        yield "forecasts", refresh_forecasts(self._links)
        yield "route updater", self._keep_routes()
        yield "incidents", self._incident_watch.run()
        yield "notifier", self._notifier.run()
        yield "sinks", self._exporters.run()
        yield "ledger", self._ledger.run()
        yield "page", self._page.run()
        if self._cluster:
            yield "cluster", self._cluster.run()
        if self._shared_log:
            yield "log", self._shared_log.run()

    def _rebuild(self) -> None:
        """Rebuild the state from the journal: the same as if its rows had just arrived."""
        rebuild(self._journal.database, self._links, self._sites, self._capacities, datetime.now(UTC))
        if self._cluster:
            self._cluster.publish_all()
            self._cluster.exchange()
        else:
            with contained("rebuild"):
                self._route_updater.restore()
        with contained("rebuild"):
            self._incident_watch.restore()
            self._notifier.restore()

    async def _keep_routes(self) -> None:
        if self._cluster:
            await self._cluster.filled()
            with contained("rebuild"):
                await asyncio.to_thread(self._route_updater.restore)
        await self._route_updater.run()

    async def _drain(self) -> None:
        self._ingest.close()
        deadline = time.monotonic() + DRAIN_LIMIT_S
        while not self._ingest.at_rest and time.monotonic() < deadline:  # noqa: ASYNC110 – emptied by the ingest loop
            await asyncio.sleep(_POLL_S)

    async def _publish_retained(self, topic: str, payload: bytes) -> bool:
        return await self._connection.publish(topic, payload, retain=True)

    def _ingest_of(self) -> Ingest:
        return Ingest(
            self._shared_log.record if self._shared_log else self._journal,
            publish=self._connection.publish,
            on_committed=lambda entries: None if self._shared_log else self._arrivals.on_committed(entries),
            sites=lambda: self._mesh.mesh.sites,
            max_packet_bytes=lambda: self._connection.max_packet_bytes,
            journal_id=self._journal_id,
        )

    def _shared_log_of(self, settings: CollectorSettings) -> SharedLog | None:
        if settings.cluster is None or settings.cluster.kafka is None:
            return None
        return SharedLog(
            settings.cluster,
            self._journal,
            on_committed=lambda entries: self._arrivals.on_committed(entries),
            on_owned=lambda shares, count: self._arrivals.on_owned(shares, count),
        )

    def _mesh_publisher_of(self, settings: CollectorSettings) -> MeshPublisher:
        return MeshPublisher(
            self._mesh.mesh,
            journal=self._journal_id,
            replaces=settings.journal.replaces,
            publish=self._publish_retained,
            connected=lambda: self._connection.connected,
            max_packet_bytes=lambda: self._connection.max_packet_bytes,
        )

    def _cluster_of(self, settings: CollectorSettings) -> Cluster | None:
        if settings.cluster is None:
            return None
        return Cluster(
            settings.cluster,
            self._mesh.mesh,
            settings.state,
            links=self._links,
            sites=self._sites,
            capacities=self._capacities,
            publish=self._publish_retained,
            subscribe_again=self._connection.subscribe_again,
        )

    def _route_updater_of(self, settings: CollectorSettings) -> RouteUpdater:
        return RouteUpdater(
            self._mesh.mesh,
            settings.routing,
            settings.evaluation,
            links=self._all_links,
            log=self._decision_log,
            listeners=self._feed,
            publish=self._publish_retained,
            offline=lambda: self._sites.offline,
            owns=self._owns,
            link=self._complete_links.link,
        )

    def _arrivals_of(self) -> Arrivals:
        return Arrivals(
            mesh=lambda: self._mesh.mesh,
            links=self._links,
            sites=self._sites,
            capacities=self._capacities,
            ingest=self._ingest,
            ledger=self._ledger,
            mesh_publisher=self._mesh_publisher,
            other_journals=self._other_journals,
            route_updater=self._route_updater,
            paths=self._paths,
            cluster=self._cluster,
        )

    def _api_wiring(self) -> ApiWiring:
        return ApiWiring(
            settings=self._settings,
            mesh=self._mesh,
            links=self._all_links,
            complete_links=self._complete_links,
            sites=self._sites,
            capacities=self._capacities,
            route_updater=self._route_updater,
            incident_watch=self._incident_watch,
            notifier=self._notifier,
            page=self._page.address,
            feed=self._feed,
            journal=self._journal,
            ingest=self._ingest,
            exporters=self._exporters,
            ledger=self._ledger,
            connection=self._connection,
            other_journals=self._other_journals,
            bad_statuses=self._arrivals.refused,
            cluster=self._cluster,
            shared_log=self._shared_log,
        )

    def _incident_wiring(self) -> IncidentWiring:
        return IncidentWiring(
            settings=self._settings,
            database=self._journal.database,
            mesh=lambda: self._mesh.mesh,
            snapshot=self._all_links.snapshot,
            sites=self._sites,
            route_updater=self._route_updater,
            feed=self._feed,
            ingest=self._ingest,
            exporters=self._exporters,
            owns=self._owns,
            connection=self._connection,
            paths=self._paths,
        )


async def run(settings: CollectorSettings) -> None:
    """Run a collector until SIGTERM or SIGINT. Raises OperatorError, also out of any of its tasks."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def reread() -> None:  # the loop calls it when it turns next: with a daemon
        daemon.reread_mesh()

    # Before anything opens: whoever sees the port may send a signal, and its default would kill.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reread)
    daemon = CollectorDaemon(settings)
    try:
        await daemon.run(stop)
    except BaseExceptionGroup as group:
        raise operator_error(group) or group from None
    finally:
        await daemon.close()
