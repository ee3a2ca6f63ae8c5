"""Wires the HTTP API to the parts of the collector: which part answers each question, and what /metrics reads."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from fastapi import FastAPI
from prometheus_client import generate_latest

from collector import self_metrics as metrics
from collector.alto.alto_api import AltoSources, add_alto
from collector.api.access import AccessRules
from collector.api.api_requests import ApiError, without_folders
from collector.api.app import AppSources, HistoryQuery, create_app
from collector.api.costly_questions import CostlyQuestions
from collector.api.event_feed import EventFeed, add_events
from collector.api.history_api import HistorySources, add_link_history, add_link_marks, add_sla
from collector.api.incident_api import SilenceSources, add_incidents, add_silences
from collector.api.ledger_api import add_ledger, add_sinks
from collector.api.link_series import link_series
from collector.api.placement_api import add_capacity, add_placements
from collector.api.request_rates import RequestRates
from collector.api.route_api import RouteSources, add_routes
from collector.cluster.cluster import Cluster
from collector.cluster.cluster_links import ClusterLinks
from collector.complete_links import CompleteLinks
from collector.incident_watch import IncidentWatch
from collector.ingest.ingest import Ingest
from collector.ingest.other_journals import OtherJournals
from collector.linkstate.link_answers import LinkTable, whole_answers
from collector.linkstate.link_states import LinkStates
from collector.linkstate.site_devices import Capacities
from collector.linkstate.site_states import SiteStates
from collector.mesh_file import MeshFile
from collector.notifier import Notifier
from collector.placement.placement import NoTransfer, PlacementInputs, PlannedTransfer, transfer_of
from collector.route_updater import RouteUpdater
from collector.routing.route_question import RouteQuestion
from collector.settings import CollectorSettings
from collector.shared_log import SharedLog
from collector.sinks.exporters import Exporters
from collector.store.journal import Journal
from collector.store.link_history import HistorySpan, LinkHistoryReader
from collector.store.link_marks import LinkMarksReader
from collector.store.recorded_rows import RecordedRows, metric_source
from collector.store.sla_reader import SlaReader
from collector.total_ledger import Ledger
from linkweather.containment import faults, overflows
from linkweather.models.link_history import LinkHistoryAnswer, LinkMarksAnswer, SlaAnswer
from linkweather.models.state import HistoryBucket, LinkAnswer, MeshAnswer
from linkweather.mqtt import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiWiring:
    """The parts that the API asks."""

    settings: CollectorSettings
    mesh: MeshFile
    links: LinkStates | ClusterLinks
    complete_links: CompleteLinks
    sites: SiteStates
    capacities: Capacities
    route_updater: RouteUpdater
    incident_watch: IncidentWatch
    notifier: Notifier
    feed: EventFeed
    journal: Journal
    ingest: Ingest
    exporters: Exporters
    ledger: Ledger
    connection: Connection
    other_journals: OtherJournals
    bad_statuses: Mapping[str, int]
    page: Callable[[str], str | None]
    questions: CostlyQuestions
    access: AccessRules
    alto_streams: Counter[str] = field(default_factory=Counter)
    cluster: Cluster | None = None
    shared_log: SharedLog | None = None

    def application(self) -> FastAPI:
        """Build the API."""
        app = create_app(self._sources())
        updater, mesh = self.route_updater, self.mesh
        add_routes(
            app,
            RouteSources(
                now=time.time,
                mesh=lambda: mesh.mesh,
                route=updater.route,
                routes=updater.routes,
                evaluation=lambda since, until: self.questions.ask("evaluation", updater.evaluation, since, until),
            ),
        )
        add_events(app, self.feed, lambda: mesh.mesh, self.settings.api.max_streams_per_client)
        add_capacity(app, lambda: self.capacities.capacities(time.time()))
        add_incidents(
            app,
            time.time,
            lambda: mesh.mesh,
            partial(self.incident_watch.incidents, ask=partial(self.questions.ask, "incidents")),
        )
        add_silences(app, self._silence_sources())
        add_ledger(app, self.ledger.answer, self.questions)
        spans = self._history_sources()
        add_link_history(app, spans)
        add_link_marks(app, spans)
        add_sla(app, spans)
        add_sinks(app, self.exporters, self.questions)
        add_placements(app, self._placement_inputs, updater.log_placement)
        add_alto(app, self._alto_sources())
        return app

    def _history_sources(self) -> HistorySources:
        return HistorySources(
            now=time.time,
            mesh=lambda: self.mesh.mesh,
            history=self._link_history,
            marks=self._link_marks,
            link_sla=self._link_sla,
            site_sla=SlaReader(self.journal.database).of_site,
            mesh_sla=SlaReader(self.journal.database).of_mesh,
            settings=self.settings.journal,
            questions=self.questions,
        )

    def _alto_sources(self) -> AltoSources:
        return AltoSources(
            now=time.time,
            mesh=lambda: self.mesh.mesh,
            links=self._measured_links,
            route=lambda src, dst, _now: self.route_updater.answer(RouteQuestion(src=src, dst=dst)),
            capacities=self.capacities.capacities,
            stopping=lambda: self.feed.closed,
            count_streams=partial(self.alto_streams.__setitem__, "open"),
            most_streams_per_client=self.settings.api.max_streams_per_client,
        )

    def _measured_links(self, now: float) -> Callable[[], list[LinkAnswer]]:
        table = self.links.table(now)
        return lambda: list(whole_answers(table))

    def _silence_sources(self) -> SilenceSources:
        watch = self.incident_watch
        return SilenceSources(
            now=time.time,
            mesh=lambda: self.mesh.mesh,
            lasting=lambda: [one.id for one in watch.lasting],
            silences=watch.silences,
            add=watch.silence,
            remove=watch.end_silence,
        )

    async def _all_links(self, now: float) -> Callable[[], LinkTable]:
        return self.complete_links.whole(now, await self._link_parts(now))

    async def _link_parts(self, now: float) -> list[LinkTable]:
        parts = []
        for part in self.complete_links.parts(now):
            parts.append(part)
            await asyncio.sleep(0)
        return parts

    def _placement_inputs(self) -> PlacementInputs:
        now = time.time()
        return PlacementInputs(
            at=datetime.fromtimestamp(now, UTC),
            mesh=self.mesh.mesh,
            capacities=self.capacities.capacities(now),
            transfer=self._transfer,
            suspects=self.sites.suspects,
        )

    def _transfer(self, src: str, dst: str, bytes_: int) -> PlannedTransfer | NoTransfer:
        question = RouteQuestion(src=src, dst=dst, objective="completion", bytes=bytes_)
        return transfer_of(self.route_updater.answer(question), bytes_)

    def _sources(self) -> AppSources:
        return AppSources(
            now=time.time,
            page=self.page,
            links=self._all_links,
            link_page=self.complete_links.page,
            link=self.complete_links.link,
            sites=self.sites.sites,
            history=self._history,
            mesh=self._mesh_answer,
            push_mesh=self._push_mesh,
            not_ready=self._not_ready,
            metrics=self._metrics,
            degraded=self._degraded,
            access=self.access,
            rates=RequestRates(self.settings.api.requests_per_s, self.settings.api.requests_at_once),
        )

    def _degraded(self) -> list[str]:
        ours = self.sites.clocks.findings(time.time()).ours
        return [
            *self.exporters.failing(),
            *self.notifier.failing(),
            *([ours] if ours else []),
            *self.other_journals.sentences(),
            *self.connection.refusals.complaints(),
            *self.sites.damage(),
            *(self.cluster.sentences() if self.cluster else ()),
            *self.journal.damage.recent(datetime.now(UTC)),
        ]

    def _mesh_answer(self) -> MeshAnswer:
        mesh, refused = self.mesh.mesh, self.mesh.refused
        return MeshAnswer(mesh=mesh, links=mesh.link_count, refused=refused and without_folders(refused))

    async def _push_mesh(self, text: str) -> None:
        await self.mesh.replace(text)

    def _refuse_others(self, src: str, dst: str, publisher: str) -> None:
        """Raise ApiError where another collector keeps the rows of a link that this site publishes."""
        if self.cluster and (owner := self.cluster.owner(publisher)):
            raise ApiError(421, f"the record of {src} → {dst} is kept by {owner}: ask there")

    def _link_history(self, src: str, dst: str, wanted: HistorySpan) -> LinkHistoryAnswer:
        self._refuse_others(src, dst, src)
        return LinkHistoryReader(self.journal.database).history(src, dst, wanted)

    def _link_marks(self, src: str, dst: str, since: datetime, until: datetime) -> LinkMarksAnswer:
        self._refuse_others(src, dst, src)
        return LinkMarksReader(self.journal.database).marks(src, dst, since, until)

    def _link_sla(self, src: str, dst: str, wanted: HistorySpan) -> SlaAnswer:
        self._refuse_others(src, dst, src)
        return SlaReader(self.journal.database).of_link(src, dst, wanted)

    async def _history(self, query: HistoryQuery) -> list[HistoryBucket]:
        table, _ = metric_source(query.metric) or ("latency", "")
        self._refuse_others(query.src, query.dst, query.dst if table == "throughput" else query.src)
        return await self.questions.ask("history", RecordedRows(self.journal.database).history, **asdict(query))

    def _not_ready(self) -> list[str]:
        reasons = []
        if not self.connection.connected:
            reasons.append(self.connection.last_error or "the broker is not connected yet")
        if self.ingest.last_error:
            reasons.append(self.ingest.last_error)
        if self.shared_log and self.shared_log.last_error:
            reasons.append(self.shared_log.last_error)
        return reasons

    async def _metrics(self) -> Iterator[bytes]:
        now, links = time.time(), self.mesh.mesh.link_count
        settings = self.settings.metrics
        shown = settings.links and links <= settings.max_links
        states = self.complete_links.states(await self._link_parts(now)) if shown else None
        readings = replace(self._readings(now), links_without_series=links if states is None else 0)

        def pieces() -> Iterator[bytes]:  # in a thread
            yield generate_latest(metrics.registry(replace(readings, sinks=self.exporters.sinks())))
            if states is not None:
                yield from link_series(states())

        return pieces()

    def _readings(self, now: float) -> metrics.Readings:
        ingest = self.ingest
        return metrics.Readings(
            links=self.complete_links.counts(self.links.counts(now)),
            sites=self.sites.sites(now),
            broker_connected=self.connection.connected,
            reports=ingest.reports,
            rows=ingest.rows,
            duplicates=ingest.duplicates,
            overflowed=ingest.overflowed,
            refused={**ingest.refused, **self.bad_statuses, **(self.cluster.refused if self.cluster else {})},
            waiting_bytes=ingest.waiting_bytes,
            last_commit_s=ingest.last_commit_s,
            refused_rows=ingest.refused_rows,
            dropped_decisions=self.route_updater.dropped_decisions,
            faults=faults(),
            overflows=overflows(),
            listeners={"events": self.feed.listeners, "alto": self.alto_streams["open"]},
            journal_damage=self.journal.damage.found,
            journal_lost=self.journal.damage.lost,
            unpublished=self.connection.refusals.counts,
            incidents=Counter(incident.severity for incident in self.incident_watch.lasting),
        )
