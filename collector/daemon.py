"""The collector as one process: it makes the parts, connects them, and starts and stops them in order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
import uuid
from collections import Counter
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any

from collector.api.event_feed import EventFeed
from collector.api.http_server import HttpServer
from collector.api_wiring import ApiWiring
from collector.cluster.cluster import Cluster
from collector.incident_wiring import IncidentWiring
from collector.ingest.embedded_broker import EmbeddedBroker, Listen
from collector.ingest.ingest import Ingest
from collector.ingest.other_journals import OtherJournals
from collector.linkstate.link_states import LinkStates
from collector.linkstate.report_moments import ReportMoment
from collector.linkstate.site_states import Capacities, SiteStates
from collector.mesh_file import MeshFile
from collector.mesh_publisher import MeshPublisher
from collector.route_updater import RouteUpdater
from collector.settings import EMBEDDED, CollectorSettings
from collector.shared_log import SharedLog
from collector.sinks.exporters import Exporters
from collector.state_rebuild import rebuild
from collector.store.columns import Entry
from collector.store.decision_log import DecisionLog
from collector.store.journal import open_journal
from collector.store.retention import Retention
from collector.total_ledger import Ledger
from linkweather.containment import contained
from linkweather.errors import MessageError, operator_error
from linkweather.mesh import Mesh
from linkweather.mqtt import Connection
from linkweather.wire import CapacityReport, Status, decode, topics
from linkweather.wire.mesh_parts import MeshHead

log = logging.getLogger(__name__)

DRAIN_LIMIT_S = 10.0
_POLL_S = 0.02
_REFRESH_S = 0.1


class CollectorDaemon:
    """The parts of a collector. Construction opens the journal and the API's port; call `run` once, then `close`.

    Construction and `run` raise OperatorError: an invalid mesh, a journal in use, a taken port, a missing program.
    """

    def __init__(self, settings: CollectorSettings) -> None:
        self._settings = settings
        self._mesh = MeshFile(settings.mesh, self._apply_mesh)
        self._sites = SiteStates(self._mesh.mesh)
        self._links = LinkStates(self._mesh.mesh, settings.state, self._sites.next_test)
        self._capacities = Capacities(self._mesh.mesh, settings.capacity)
        self._bad_statuses: Counter[str] = Counter()
        self._cluster = self._cluster_of(settings)
        self._journal = open_journal(settings.data_dir, settings.journal)
        try:
            # Sites follow a cluster as one: whichever of its collectors has a report, it is in the cluster's record.
            self._journal_id = settings.cluster.name if settings.cluster else self._journal.id
            self._shared_log = self._shared_log_of(settings)
            self._ingest = Ingest(
                self._shared_log.record if self._shared_log else self._journal,
                publish=self._publish,
                on_committed=(lambda _entries: None) if self._shared_log else self._on_committed,
                sites=lambda: self._mesh.mesh.sites,
                max_packet_bytes=lambda: self._connection.max_packet_bytes,
                journal_id=self._journal_id,
            )
            self._other_journals = OtherJournals(self._journal_id, settings.journal.replaces)
            self._exporters = Exporters(self._journal.database, settings.sinks, settings.broker_address)
            self._ledger = Ledger(self._journal, self._exporters.by_name)
            name = self._cluster.collector if self._cluster else socket.gethostname()
            self._connection = Connection(
                settings.broker_address,
                f"linkweather-collector-{name}-{os.getpid()}",
                subscriptions=self._subscriptions,
                handle=self._handle,
                on_connect=self._on_connect,
            )
            self._mesh_publisher = self._mesh_publisher_of(settings)
            self._decision_log = DecisionLog(self._journal.database)
            self._feed = EventFeed(uuid.uuid4().hex[:12])
            self._route_updater = self._route_updater_of(settings)
            self._incident_watch, self._notifier = self._incident_wiring().build()
            self._server = HttpServer(self._api_wiring().application(), settings.api.host, settings.api.port)
        except BaseException:
            self._journal.close()
            raise

    def _api_wiring(self) -> ApiWiring:
        return ApiWiring(
            settings=self._settings,
            mesh=self._mesh,
            links=self._cluster.links if self._cluster else self._links,
            sites=self._sites,
            capacities=self._capacities,
            route_updater=self._route_updater,
            incident_watch=self._incident_watch,
            notifier=self._notifier,
            feed=self._feed,
            journal=self._journal,
            ingest=self._ingest,
            exporters=self._exporters,
            ledger=self._ledger,
            connection=self._connection,
            other_journals=self._other_journals,
            bad_statuses=self._bad_statuses,
            cluster=self._cluster,
            shared_log=self._shared_log,
        )

    def _incident_wiring(self) -> IncidentWiring:
        return IncidentWiring(
            settings=self._settings,
            database=self._journal.database,
            mesh=lambda: self._mesh.mesh,
            snapshot=(self._cluster.links if self._cluster else self._links).snapshot,
            sites=self._sites,
            route_updater=self._route_updater,
            feed=self._feed,
            ingest=self._ingest,
            exporters=self._exporters,
            owns=self._cluster.owns if self._cluster else lambda _site: True,
            connection=self._connection,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run all parts until `stop` is set; then commit what has arrived, and end."""
        await asyncio.to_thread(self._rebuild)
        async with asyncio.TaskGroup() as outer:
            # The broker starts first and ends last, so that the final commit is still acknowledged.
            broker = await self._start_broker(outer)
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
        yield "retention", self._retention().run()
        yield "forecasts", self._refresh_forecasts()
        yield "route updater", self._keep_routes()
        yield "incidents", self._incident_watch.run()
        yield "notifier", self._notifier.run()
        yield "sinks", self._exporters.run()
        yield "ledger", self._ledger.run()
        if self._cluster:
            yield "cluster", self._cluster.run()
        if self._shared_log:
            yield "log", self._shared_log.run()

    def _retention(self) -> Retention:
        settings = self._settings.journal
        return Retention(self._journal, self._decision_log, settings.row_days, minute_days=settings.minute_days)

    async def _start_broker(self, tasks: asyncio.TaskGroup) -> asyncio.Task[None] | None:
        settings = self._settings
        if settings.broker != EMBEDDED:
            return None
        broker = EmbeddedBroker(Listen(settings.broker_port, settings.broker_socket), settings.data_dir)
        await broker.start()
        return tasks.create_task(broker.run(), name="broker")

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

    async def _refresh_forecasts(self) -> None:
        # A little at a time: who asks for a snapshot finds little left to do, and does not hold up the event loop.
        while True:
            more = False
            with contained("forecasts"):
                more = self._links.refresh_some(time.time())
            await asyncio.sleep(0 if more else _REFRESH_S)

    def _handle(self, topic: str, payload: bytes) -> None:
        parsed = topics.parse(topic)
        name = "mesh" if topic == topics.MESH else parsed.name if parsed else ""
        if name == "state" and self._cluster and parsed:
            self._cluster.handle_row(parsed.site, payload)
            self._route_updater.on_rows()
            return
        if name not in {"mesh", "status"}:
            self._ingest.handle(topic, payload)
            return
        try:
            if parsed is None:
                self._mesh_publisher.handle_announcement(payload)
                self._other_journals.handle_mesh(payload)
            elif name == "mesh":
                self._mesh_publisher.handle_head(parsed.site, decode(MeshHead, payload))
            else:
                self._handle_status(parsed.site, decode(Status, payload))
        except MessageError as error:
            self._bad_statuses[f"{name}_{error.reason}"] += 1

    def _handle_status(self, site: str, status: Status) -> None:
        self._other_journals.handle_status(site, status)
        self._sites.status(site, status)
        self._route_updater.on_status()
        if site in self._mesh.mesh.sites:
            if self._cluster is None or self._cluster.owns(site):
                self._ledger.said(site, status)
        else:
            self._mesh_publisher.handle_stranger(site)

    def _on_committed(self, entries: list[Entry]) -> None:
        for entry in entries:
            with contained("committed report"):
                report = entry.report
                moment = ReportMoment.of(report.at, entry.received_at, report.boot, report.seq)
                if isinstance(report, CapacityReport):
                    self._capacities.observe(entry.site, moment, report.devices)
                else:
                    self._links.observe(moment, report.links)
                    self._sites.clocks.reported(entry.site, report.at.timestamp(), entry.received_at.timestamp())
                self._sites.reported(entry.site, moment.at)
        if self._cluster:
            self._cluster.on_reports({entry.site for entry in entries})
        self._route_updater.on_reports([entry.report for entry in entries])
        for sentence in self._sites.clocks.news(time.time()):
            log.warning("%s", sentence)

    def _on_connect(self) -> None:
        # The broker now sends every retained status again; a status that it no longer has is unknown.
        self._sites.forget_statuses()
        self._other_journals.forget()
        self._mesh_publisher.on_connect()
        self._route_updater.on_connect()
        if self._cluster:
            self._cluster.publish_all()

    def _apply_mesh(self, mesh: Mesh) -> None:
        self._links.apply_mesh(mesh)
        if self._cluster:
            self._cluster.apply_mesh(mesh)
        self._sites.apply_mesh(mesh)
        self._route_updater.apply_mesh(mesh)
        self._capacities.apply_mesh(mesh)
        self._mesh_publisher.apply_mesh(mesh)

    async def _publish(self, topic: str, payload: bytes) -> bool:
        return await self._connection.publish(topic, payload)

    async def _drain(self) -> None:
        self._ingest.close()
        deadline = time.monotonic() + DRAIN_LIMIT_S
        while not self._ingest.at_rest and time.monotonic() < deadline:  # noqa: ASYNC110 – emptied by the ingest loop
            await asyncio.sleep(_POLL_S)

    def _mesh_publisher_of(self, settings: CollectorSettings) -> MeshPublisher:
        return MeshPublisher(
            self._mesh.mesh,
            journal=self._journal_id,
            replaces=settings.journal.replaces,
            publish=lambda topic, payload: self._connection.publish(topic, payload, retain=True),
            connected=lambda: self._connection.connected,
            max_packet_bytes=lambda: self._connection.max_packet_bytes,
        )

    def _subscriptions(self) -> list[str]:
        reports = self._cluster.subscriptions() if self._cluster else [topics.ALL_REPORTS]
        return [*reports, topics.ALL_STATUSES, topics.ALL_MESHES, topics.MESH]

    async def _publish_retained(self, topic: str, payload: bytes) -> bool:
        return await self._connection.publish(topic, payload, retain=True)

    def _shared_log_of(self, settings: CollectorSettings) -> SharedLog | None:
        if settings.cluster is None or settings.cluster.kafka is None:
            return None
        return SharedLog(settings.cluster, self._journal, on_committed=self._on_committed, on_owned=self._on_owned)

    def _on_owned(self, shares: frozenset[int], count: int) -> None:
        for site in self._cluster.own(shares, count) if self._cluster else ():
            if status := self._sites.said(site):
                self._ledger.said(site, status)
            self._route_updater.publish_routes([site])

    async def _subscribe_again(self) -> None:
        await self._connection.subscribe_again()

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
            subscribe_again=self._subscribe_again,
        )

    def _route_updater_of(self, settings: CollectorSettings) -> RouteUpdater:
        return RouteUpdater(
            self._mesh.mesh,
            settings.routing,
            settings.evaluation,
            links=self._cluster.links if self._cluster else self._links,
            log=self._decision_log,
            listeners=self._feed,
            publish=self._publish_retained,
            offline=lambda: self._sites.offline,
            owns=self._cluster.owns if self._cluster else lambda _site: True,
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
