"""The parts of a collector, made and connected."""

from __future__ import annotations

import secrets
import socket
import uuid
from urllib.parse import urlsplit

from collector.api.access import AccessRules, refuse_exposed
from collector.api.costly_questions import CostlyQuestions
from collector.api.event_feed import EventFeed
from collector.api.http_server import HttpServer
from collector.api.listening import PATH_BYTES_MAX
from collector.api.tokens import TokenFile
from collector.api_wiring import ApiWiring
from collector.arrivals import Arrivals
from collector.cluster.cluster import Cluster
from collector.complete_links import CompleteLinks
from collector.incident_wiring import IncidentWiring
from collector.incidents.traced_paths import TracedPaths
from collector.ingest.ingest import Ingest
from collector.ingest.other_journals import OtherJournals
from collector.linkstate.link_states import LinkStates
from collector.linkstate.site_devices import Capacities
from collector.linkstate.site_states import SiteStates
from collector.mesh_file import MeshFile
from collector.mesh_publisher import MeshPublisher
from collector.page_process import PageProcess
from collector.route_updater import RouteUpdater
from collector.settings import LOOPBACK, CollectorSettings, is_loopback
from collector.shared_log import SharedLog
from collector.sinks.exporters import Exporters
from collector.store.decision_log import DecisionLog
from collector.store.journal import open_journal
from collector.total_ledger import Ledger
from linkweather.api_place import socket_name
from linkweather.mqtt import Connection


class CollectorParts:
    """Everything that a collector consists of. Construction opens the journal and the API's port.

    Construction raises OperatorError: an invalid mesh, a journal in use, a taken port, a missing program.
    """

    def __init__(self, settings: CollectorSettings) -> None:
        self.settings = settings
        name = (settings.cluster.collector if settings.cluster else None) or socket.gethostname()
        self.mesh = MeshFile(settings.mesh, lambda mesh: self.arrivals.apply_mesh(mesh))
        self.connection = Connection(
            settings.broker_address,
            f"linkweather-collector-{name}-{secrets.token_hex(16)}",
            subscriptions=lambda: self.arrivals.subscriptions(),
            handle=lambda topic, payload: self.arrivals.handle(topic, payload),
            on_connect=lambda: self.arrivals.on_connect(),
        )
        self.sites = SiteStates(self.mesh.mesh)
        self.paths = TracedPaths(self.mesh.mesh)
        self.links = LinkStates(self.mesh.mesh, settings.state, self.sites.next_test)
        self.capacities = Capacities(self.mesh.mesh, settings.capacity)
        self.cluster = self._cluster_of(settings)
        self.all_links = self.cluster.links if self.cluster else self.links
        self.owns = self.cluster.owns if self.cluster else lambda _site: True
        self.journal = open_journal(settings.data_dir, settings.journal)
        try:
            self._make_record(settings)
            self._make_decisions(settings)
            self._make_server(settings)
        except BaseException:
            self.journal.close()
            raise

    def _make_record(self, settings: CollectorSettings) -> None:
        # Sites follow a cluster as one: whichever of its collectors has a report, it is in the cluster's record.
        self.journal_id = settings.cluster.name if settings.cluster else self.journal.id
        self.shared_log = self._shared_log_of(settings)
        self.ingest = self._ingest_of()
        self.ingest.apply_mesh(self.mesh.mesh)
        self.other_journals = OtherJournals(self.journal_id, settings.journal.replaces)
        self.exporters = Exporters(self.journal.database, settings.sinks, settings.broker_address)
        self.ledger = Ledger(self.journal, self.exporters.by_name)
        self.mesh_publisher = self._mesh_publisher_of(settings)

    def _make_decisions(self, settings: CollectorSettings) -> None:
        self.decision_log = DecisionLog(self.journal.database)
        self.questions = CostlyQuestions(self.journal.database.time_limit)
        self.feed = EventFeed(uuid.uuid4().hex[:12])
        self.complete_links = CompleteLinks(
            links=self.all_links,
            sites=self.sites,
            health=lambda: self.incident_watch.health,
            routes=lambda: self.route_updater.routes("latency"),
        )
        self.route_updater = self._route_updater_of(settings)
        self.arrivals = self._arrivals_of()
        self.incident_watch, self.notifier = self._incident_wiring().build()

    def _make_server(self, settings: CollectorSettings) -> None:
        self.tokens = TokenFile(settings.data_dir)
        refuse_exposed(settings.api, any_token=self.tokens.any or settings.api.token_file is not None)
        self.page = self._page_of(settings)
        self.server = HttpServer(self._api_wiring().application(), settings.api, settings.data_dir)

    async def _publish_retained(self, topic: str, payload: bytes) -> bool:
        return await self.connection.publish(topic, payload, retain=True)

    def _ingest_of(self) -> Ingest:
        return Ingest(
            self.shared_log.record if self.shared_log else self.journal,
            publish=self.connection.publish,
            on_committed=lambda entries: None if self.shared_log else self.arrivals.on_committed(entries),
            sites=lambda: self.mesh.mesh.sites,
            max_packet_bytes=lambda: self.connection.max_packet_bytes,
            journal_id=self.journal_id,
        )

    def _shared_log_of(self, settings: CollectorSettings) -> SharedLog | None:
        if settings.cluster is None or settings.cluster.kafka is None:
            return None
        return SharedLog(
            settings.cluster,
            self.journal,
            on_committed=lambda entries: self.arrivals.on_committed(entries),
            on_owned=lambda shares, count: self.arrivals.on_owned(shares, count),
        )

    def _mesh_publisher_of(self, settings: CollectorSettings) -> MeshPublisher:
        return MeshPublisher(
            self.mesh.mesh,
            journal=self.journal_id,
            replaces=settings.journal.replaces,
            publish=self._publish_retained,
            connected=lambda: self.connection.connected,
            max_packet_bytes=lambda: self.connection.max_packet_bytes,
        )

    def _cluster_of(self, settings: CollectorSettings) -> Cluster | None:
        if settings.cluster is None:
            return None
        return Cluster(
            settings.cluster,
            self.mesh.mesh,
            settings.state,
            links=self.links,
            sites=self.sites,
            capacities=self.capacities,
            publish=self._publish_retained,
            subscribe_again=self.connection.subscribe_again,
        )

    def _route_updater_of(self, settings: CollectorSettings) -> RouteUpdater:
        return RouteUpdater(
            self.mesh.mesh,
            settings.routing,
            settings.evaluation,
            links=self.all_links,
            log=self.decision_log,
            listeners=self.feed,
            publish=self._publish_retained,
            offline=lambda: [*self.sites.offline, *self.sites.suspects],
            suspects=lambda: self.sites.suspects,
            owns=self.owns,
            link=self.complete_links.link,
        )

    def _arrivals_of(self) -> Arrivals:
        return Arrivals(
            mesh=lambda: self.mesh.mesh,
            links=self.links,
            sites=self.sites,
            capacities=self.capacities,
            ingest=self.ingest,
            ledger=self.ledger,
            mesh_publisher=self.mesh_publisher,
            other_journals=self.other_journals,
            route_updater=self.route_updater,
            paths=self.paths,
            cluster=self.cluster,
        )

    def _page_of(self, settings: CollectorSettings) -> PageProcess:
        host = settings.api.host if settings.api.insecure or is_loopback(settings.api.host) else LOOPBACK
        local = settings.data_dir.resolve() / socket_name(settings.api.port)
        fits = len(str(local).encode()) <= PATH_BYTES_MAX  # else it asks as any other program does
        return PageProcess(settings.page, host, f"unix://{local}" if fits else f"http://{LOOPBACK}:{settings.api.port}")

    def _names(self) -> list[str]:
        """By which other machines may know this one."""
        url = self.settings.cluster.url if self.settings.cluster else None
        return [socket.gethostname(), *([urlsplit(url).hostname or ""] if url else ())]

    def _api_wiring(self) -> ApiWiring:
        return ApiWiring(
            settings=self.settings,
            mesh=self.mesh,
            links=self.all_links,
            complete_links=self.complete_links,
            sites=self.sites,
            capacities=self.capacities,
            route_updater=self.route_updater,
            incident_watch=self.incident_watch,
            notifier=self.notifier,
            page=self.page.address,
            questions=self.questions,
            access=AccessRules.of(self.settings.api, self.tokens, self._names()),
            feed=self.feed,
            journal=self.journal,
            ingest=self.ingest,
            exporters=self.exporters,
            ledger=self.ledger,
            connection=self.connection,
            other_journals=self.other_journals,
            bad_statuses=self.arrivals.refused,
            cluster=self.cluster,
            shared_log=self.shared_log,
        )

    def _incident_wiring(self) -> IncidentWiring:
        return IncidentWiring(
            settings=self.settings,
            database=self.journal.database,
            mesh=lambda: self.mesh.mesh,
            snapshot=self.all_links.snapshot,
            sites=self.sites,
            capacities=self.capacities,
            route_updater=self.route_updater,
            feed=self.feed,
            ingest=self.ingest,
            exporters=self.exporters,
            owns=self.owns,
            connection=self.connection,
            paths=self.paths,
        )
