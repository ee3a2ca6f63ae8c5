"""Wires the watch for incidents and the notifier to the parts of the collector: what they see, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from collector.api.event_feed import EventFeed
from collector.incident_watch import IncidentSources, IncidentWatch
from collector.incidents.conditions import Evidence, Subject
from collector.incidents.traced_paths import TracedPaths
from collector.ingest.ingest import Ingest
from collector.linkstate.site_devices import Capacities
from collector.linkstate.site_states import SiteStates
from collector.linkstate.snapshot import Snapshot
from collector.notifier import Notifier
from collector.route_updater import RouteUpdater
from collector.routing.route_question import RouteQuestion
from collector.settings import CollectorSettings
from collector.sinks.exporters import Exporters
from collector.store.database import Database
from collector.store.incident_log import IncidentLog, NoteLog
from collector.store.recorded_rows import RecordedRows
from linkweather.mesh import Mesh
from linkweather.models.incidents import IncidentAnswer
from linkweather.mqtt import Connection

RECENT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentWiring:
    """The parts that are watched."""

    settings: CollectorSettings
    database: Database
    mesh: Callable[[], Mesh]
    snapshot: Callable[[float], Snapshot]
    sites: SiteStates
    capacities: Capacities
    route_updater: RouteUpdater
    feed: EventFeed
    ingest: Ingest
    exporters: Exporters
    owns: Callable[[str], bool]
    connection: Connection
    paths: TracedPaths

    def build(self) -> tuple[IncidentWatch, Notifier]:
        """The watch, and the notifier that it feeds. Raises OperatorError for a target that can never work."""

        def notify(incident: IncidentAnswer) -> None:  # the notifier asks the watch, and so comes after it
            notifier.add(incident)

        watch = IncidentWatch(self.settings.incidents, IncidentLog(self.database), self._sources(notify))
        notifier = Notifier(self.settings.notify, NoteLog(self.database), watch.lasting_answers)
        return watch, notifier

    def _sources(self, notify: Callable[[IncidentAnswer], None]) -> IncidentSources:
        return IncidentSources(
            mesh=self.mesh,
            snapshot=self._recent_snapshot,
            sites=self.sites.sites,
            failing=self._failing,
            route=lambda src, dst: self.route_updater.answer(RouteQuestion(src=src, dst=dst)),
            emit=self.feed.emit,
            notify=notify,
            degraded=self.route_updater.on_health,
            paths=self.paths,
            recorded_paths=RecordedRows(self.database).newest_paths,
            waiting_s=self.ingest.waiting_s,
            not_hearing=self.sites.not_hearing,
            clock_news=self.sites.clocks.news,
            claimed=self.capacities.claimed,
            suspect=self.sites.suspect,
            owns=self.owns,
        )

    def _recent_snapshot(self, now: float) -> Snapshot:
        """What was decided on last, unless that is long ago: to make a snapshot of many sites takes a while."""
        last = self.route_updater.last_snapshot
        return last if last is not None and 0 <= now - last.at <= RECENT_S else self.snapshot(now)

    def _failing(self) -> Iterator[tuple[Subject, Evidence]]:
        """What fails besides links and sites: sinks, the journal, and the connection by which reports come."""
        for name, exporter in self.exporters.by_name.items():
            if exporter.trouble:
                yield Subject("sink", name=name), Evidence(detail=exporter.trouble.sentence)
        if not self.connection.connected:
            yield Subject("collector", name="the connection to the broker"), Evidence(detail=self.connection.last_error)
        if self.ingest.last_error:
            yield Subject("collector", name="the journal"), Evidence(detail=self.ingest.last_error)
