"""What happens to what arrives: messages, committed reports, a broker, a changed mesh, a share of a cluster."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from collector.cluster.cluster import Cluster
from collector.incidents.traced_paths import TracedPaths
from collector.ingest.ingest import Ingest
from collector.ingest.other_journals import OtherJournals
from collector.linkstate.link_states import LinkStates, ReportRows
from collector.linkstate.report_moments import ReportMoment
from collector.linkstate.site_devices import Capacities
from collector.linkstate.site_states import SiteStates
from collector.mesh_publisher import MeshPublisher
from collector.route_updater import RouteUpdater
from collector.store.columns import Entry
from collector.total_ledger import Ledger
from linkweather.containment import contained
from linkweather.errors import MessageError
from linkweather.mesh import Mesh
from linkweather.wire import CapacityReport, PathReport, Status, decode, topics
from linkweather.wire.mesh_parts import MeshHead


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """The parts that are concerned. `refused` counts the messages, other than reports, that cannot be."""

    mesh: Callable[[], Mesh]
    links: LinkStates
    sites: SiteStates
    capacities: Capacities
    ingest: Ingest
    ledger: Ledger
    mesh_publisher: MeshPublisher
    other_journals: OtherJournals
    route_updater: RouteUpdater
    paths: TracedPaths
    cluster: Cluster | None
    refused: Counter[str] = field(default_factory=Counter)

    def handle(self, topic: str, payload: bytes) -> None:
        """A message has come."""
        parsed = topics.parse(topic)
        name = "mesh" if topic == topics.MESH else parsed.name if parsed else ""
        if name == "state" and self.cluster and parsed:
            self.cluster.handle_row(parsed.site, payload)
            self.route_updater.on_rows()
            return
        if name not in {"mesh", "status"}:
            self.ingest.handle(topic, payload)
            return
        try:
            topics.check_size(name, payload)
            if parsed is None:
                self.mesh_publisher.handle_announcement(payload)
                self.other_journals.handle_mesh(payload)
            elif name == "mesh":
                self.mesh_publisher.handle_head(parsed.site, decode(MeshHead, payload))
            else:
                self._handle_status(parsed.site, decode(Status, payload))
        except MessageError as error:
            self.refused[f"{name}_{error.reason}"] += 1

    def on_committed(self, entries: Sequence[Entry]) -> None:
        """These reports are in the journal, and are new."""
        measured: list[ReportRows] = []
        for entry in entries:
            with contained("committed report"):
                measured += self._observe(entry)
        self.links.observe_all(measured)
        if self.cluster:
            self.cluster.on_reports({entry.site for entry in entries})
        self.route_updater.on_reports([entry.report for entry in entries])

    def on_connect(self) -> None:
        """A broker is connected, and has the subscriptions."""
        # The broker now sends every retained status again; a status that it no longer has is unknown.
        self.sites.forget_statuses()
        self.sites.not_hearing(time.time())
        self.other_journals.forget()
        self.mesh_publisher.on_connect()
        self.route_updater.on_connect()
        if self.cluster:
            self.cluster.publish_all()

    def apply_mesh(self, mesh: Mesh) -> None:
        """The mesh has changed."""
        self.ingest.apply_mesh(mesh)
        self.links.apply_mesh(mesh)
        if self.cluster:
            self.cluster.apply_mesh(mesh)
        self.sites.apply_mesh(mesh)
        self.paths.apply_mesh(mesh)
        self.route_updater.apply_mesh(mesh)
        self.capacities.apply_mesh(mesh)
        self.mesh_publisher.apply_mesh(mesh)

    def on_owned(self, shares: frozenset[int], count: int) -> None:
        """This collector owns these of `count` shares of a cluster's sites from now on."""
        for site in self.cluster.own(shares, count) if self.cluster else ():
            if status := self.sites.said(site):
                self.ledger.said(site, status)
            self.route_updater.publish_routes([site])

    def subscriptions(self) -> list[str]:
        """The topics of what is to arrive."""
        reports = self.cluster.subscriptions() if self.cluster else [topics.ALL_REPORTS]
        return [*reports, topics.ALL_STATUSES, topics.ALL_MESHES, topics.MESH]

    def _observe(self, entry: Entry) -> Iterator[ReportRows]:
        """Take in what a report says of its site; what it says of links is left."""
        report = entry.report
        moment = ReportMoment.of(report.at, entry.received_at, report.boot, report.seq)
        if isinstance(report, CapacityReport):
            self.capacities.observe(entry.site, moment, report.devices)
        else:
            self.sites.clocks.reported(entry.site, report.at.timestamp(), entry.received_at.timestamp())
            yield moment, report.links
            if isinstance(report, PathReport):
                for row in report.links:
                    self.paths.observe(row)
        self.sites.reported(entry.site, moment.at, entry.received_at.timestamp())

    def _handle_status(self, site: str, status: Status) -> None:
        self.other_journals.handle_status(site, status)
        self.sites.status(site, status)
        self.route_updater.on_status()
        if site in self.mesh().sites:
            if self.cluster is None or self.cluster.owns(site):
                self.ledger.said(site, status)
        else:
            self.mesh_publisher.handle_stranger(site)
