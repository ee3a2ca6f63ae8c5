"""The service that keeps routes current: snapshot → router → decision log, MQTT and events; and answers questions."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

import numpy as np

from collector.estimate_refresh import GoodputEstimates
from collector.linkstate.snapshot import ConditionChanges, Snapshot
from collector.route_events import Listeners, RouteEvents, RouteKey
from collector.route_publisher import Publish, RoutePublisher
from collector.route_samples import evaluation_of, sample_routes
from collector.routing.costs import COSTINGS
from collector.routing.decision_pace import DecisionPace
from collector.routing.route_columns import RouteView
from collector.routing.route_question import RouteQuestion
from collector.routing.router import RouteChanges, Router
from collector.settings import EvaluationSettings, RoutingSettings
from collector.store.decision_log import DecisionLog, LoggedRoutes, PlacementDecision, RouteDecision
from collector.store.decision_writer import DecisionWriter
from collector.weight_publisher import Known, WeightPublisher
from linkweather.containment import contained
from linkweather.mesh import Mesh
from linkweather.models.placements import PlacementAnswer
from linkweather.models.routes import NoRoute, Objective, RouteAnswer
from linkweather.models.scores import EvaluationAnswer
from linkweather.models.state import LinkAnswer
from linkweather.wire import AnyReport, LatencyReport, LatencyRow, PathReport, PathRow, ThroughputReport
from linkweather.wire.latency import NOT_PROBED

# What was decided is in the log so soon.
WRITE_EVERY_S = 0.5


class DecidedLinks(Protocol):
    """The links that routes are decided by: link states, or a cluster's."""

    def refresh_some(self, now: float) -> bool:
        """Bring some of the forecasts up to date, for some milliseconds; whether there is more to do."""

    def snapshot(self, now: float) -> Snapshot:
        """What decisions are made from."""

    def link(self, src: str, dst: str, now: float) -> LinkAnswer | None:
        """One link; None where the mesh has no such link."""


def _lost(row: LatencyRow) -> bool:
    return not row.received and row.failure not in NOT_PROBED


class RouteUpdater:
    """Keeps the active routes of all pairs current by `run`, and answers questions; all on one event loop.

    `listeners` take events, `publish` says whether a broker took a message, `offline` are the sites that cannot relay,
    `suspects` those whose claims cannot be, with a sentence,
    and `now` is in seconds since the epoch. Routes are logged, published and emitted of the sources that this
    collector `owns`: in a cluster others do the others'. `link` makes the answers of the events about links.
    """

    def __init__(
        self,
        mesh: Mesh,
        routing: RoutingSettings,
        settings: EvaluationSettings,
        *,
        links: DecidedLinks,
        log: DecisionLog,
        listeners: Listeners,
        publish: Publish,
        offline: Callable[[], Collection[str]],
        suspects: Callable[[], Mapping[str, str]] = dict,
        now: Callable[[], float] = time.time,
        owns: Callable[[str], bool] = lambda _site: True,
        link: Callable[[str, str, float], LinkAnswer | None] | None = None,
    ) -> None:
        self._settings = settings
        self.last_snapshot: Snapshot | None = None  # what was decided on last
        self._links = links
        self._owns = owns
        self._log = log
        self._offline, self._suspects = offline, suspects
        self._now = now
        self._router = Router(routing, mesh)
        self._conditions = ConditionChanges()
        self._estimates = GoodputEstimates(mesh)
        self._writer = DecisionWriter(log)
        self._publisher = RoutePublisher(self._router, publish)
        self._weights = WeightPublisher(mesh, publish, owns)
        self._events = RouteEvents(listeners, link=link or links.link, route=self._active, now=now)
        self._pace = DecisionPace()
        self._woken, self._decided = asyncio.Event(), asyncio.Event()
        self._were_offline: frozenset[str] = frozenset()
        self._restored: list[RouteChanges] = []
        self._sites = tuple(mesh.sites)

    @property
    def dropped_decisions(self) -> int:
        """How many decisions the log never had, as its disk failed for long."""
        return self._writer.dropped

    def restore(self) -> None:
        """Take over the active routes from before the collector ended. Blocks; before `run`."""
        for objective in COSTINGS:
            self._router.restore(self._log.active(objective, self._sites))
        self.last_snapshot = snapshot = self._links.snapshot(self._now())
        self._conditions.changed(snapshot)
        self._estimates.make(snapshot)
        self._restored = list(self._steps(snapshot))

    def apply_mesh(self, mesh: Mesh) -> None:
        """Follow a changed mesh."""
        self._sites = tuple(mesh.sites)
        self._router.apply_mesh(mesh)
        self._estimates = GoodputEstimates(mesh)
        self._weights.apply_mesh(mesh)
        self.on_connect()

    def on_reports(self, reports: Iterable[AnyReport]) -> None:
        """New reports are in the link states: decide again soon, at once where a link may be lost."""
        for report in reports:
            if isinstance(report, LatencyReport):
                self._note(lost=any(_lost(row) and self._router.usable(row.src, row.dst) for row in report.links))
            elif isinstance(report, ThroughputReport | PathReport):
                measured = [(row.src, row.dst) for row in report.links if not isinstance(row, PathRow) or row.changed]
                if measured:  # a goodput, or another path below the link
                    self._estimates.outdate()
                    self._events.add(len(measured), measured)
                    self._note()

    def on_rows(self) -> None:
        """Other collectors say something new of their sites' links."""
        self._note()

    def on_health(self, count: int, links: Iterable[tuple[str, str]]) -> None:
        """So many links became degraded, or are so no more: listeners learn of it."""
        self._events.add(count, links)

    def on_status(self) -> None:
        """A site's status has come: decide at once where it can no longer relay."""
        if not self._were_offline.issuperset(self._offline()):
            self._note(lost=True)

    def on_connect(self) -> None:
        """A broker is connected, perhaps an empty one: publish every site's routes."""
        self.publish_routes(filter(self._owns, self._sites))
        self._weights.on_connect()

    def publish_routes(self, sites: Iterable[str]) -> None:
        """Publish all routes of these sites soon."""
        self._publisher.add(sites)
        self._note()

    def route(self, question: RouteQuestion) -> RouteAnswer | NoRoute:
        """The answer to a person's or program's question, which is logged. Raises RouteQuestionError."""
        found = self.answer(question)
        self._writer.put(RouteDecision.of(found, "asked", self._now()))
        return found

    def answer(self, question: RouteQuestion) -> RouteAnswer | NoRoute:
        """The same as an input of another answer: not logged for itself."""
        found, suspects = self._router.route(question), self._suspects()
        ends = [site for site in (question.src, question.dst) if site in suspects]
        said = "".join(f"; {site} is suspect: {suspects[site]}" for site in ends)
        return found.model_copy(update={"why": f"{found.why.rstrip('.')}{said}."}) if said else found

    def routes(self, objective: Objective) -> RouteView | None:
        """The active routes of all pairs, which any thread may read; None before the first decision."""
        return self._router.view(objective)

    def log_placement(self, answer: PlacementAnswer) -> None:
        """A job was placed."""
        self._writer.put(PlacementDecision.of(answer))

    def evaluation(self, since: datetime, until: datetime) -> EvaluationAnswer:
        """How the decisions of `[since, until)` did. Blocks; raises duckdb.Error."""
        return evaluation_of(self._log, self._settings, self._sites, (since, until), self._suspects())

    async def run(self) -> None:
        """Decide as `DecisionPace` says; log, publish and emit what changes, and sample; until cancelled."""
        for changes in self._restored:
            self._announce(changes)
        async with asyncio.TaskGroup() as group:
            for name, work in (
                ("decide", self._decide_on),
                ("sample decisions", self._sample_on),
                ("log decisions", self._write_on),
                ("publish routes", self._publisher.run),
                ("publish link weights", self._weigh_on),
                ("emit events", self._events.run),
            ):
                group.create_task(work(), name=name)

    async def finish(self) -> None:
        """Write what is not in the log yet."""
        await self._writer.write()

    def _note(self, *, lost: bool = False) -> None:
        self._pace.note(lost=lost)
        self._woken.set()

    async def _decide_on(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            while wait_s := self._pace.wait_s(clock()):
                self._woken.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._woken.wait()
            with contained("routing"):
                if self._pace.only_lost(clock()):
                    await self._decide_lost(clock())
                else:
                    await self._decide_all(clock)

    async def _decide_all(self, clock: Callable[[], float]) -> None:
        """Decide all routes; those that are lost meanwhile come first."""
        self._pace.began(clock())
        await self._refresh()
        begun_s = time.thread_time()
        snapshot = self._snapshot()
        spent_s = time.thread_time() - begun_s
        await asyncio.sleep(0)
        await self._estimates.refresh(snapshot)
        begun_s = time.thread_time()
        for step in self._steps(snapshot):
            self._announce(step)
            spent_s += time.thread_time() - begun_s
            await asyncio.sleep(0)
            if self._pace.only_lost(clock()):
                await self._decide_lost(clock())
            begun_s = time.thread_time()
        self._pace.ended(spent_s)
        self._decided.set()

    async def _decide_lost(self, at: float) -> None:
        self._pace.looked(at)
        await self._refresh()
        begun_s, spent_s = time.thread_time(), 0.0
        for step in self._steps(self._snapshot(), only_lost=True):
            self._announce(step)
            spent_s += time.thread_time() - begun_s
            await asyncio.sleep(0)
            begun_s = time.thread_time()
        self._pace.decided_lost(spent_s)

    async def _refresh(self) -> None:
        """When the time has come to forecast all links anew, begin that here: a snapshot would do it in one go."""
        self._links.refresh_some(self._now())
        await asyncio.sleep(0)

    def _snapshot(self) -> Snapshot:
        self.last_snapshot = snapshot = self._links.snapshot(self._now())
        changed = self._conditions.changed(snapshot)
        if len(changed):
            self._estimates.outdate()
            self._events.add(len(changed), changed)
        return snapshot

    def _steps(self, snapshot: Snapshot, *, only_lost: bool = False) -> Iterator[RouteChanges]:
        self._were_offline = frozenset(self._offline())
        goodputs = self._estimates.of(snapshot)
        return self._router.steps(snapshot, goodputs=goodputs, offline=self._were_offline, only_lost=only_lost)

    def _announce(self, changes: RouteChanges) -> None:
        """Have changed routes logged, published and emitted."""
        changes = self._of_own(changes)
        for objective, pairs in changes.pairs.items():
            view = self._router.view_now(objective) if len(pairs[0]) else None
            if view is not None:
                self._writer.put(LoggedRoutes("changed", view.columns(pairs).decisions))
                self._publisher.add(changes.sites[site] for site in np.unique(pairs[0]))
        self._events.add(len(changes), changes)

    def _of_own(self, changes: RouteChanges) -> RouteChanges:
        own = np.array([self._owns(site) for site in changes.sites])
        if own.all():
            return changes
        pairs = {objective: (src[own[src]], dst[own[src]]) for objective, (src, dst) in changes.pairs.items()}
        return replace(changes, pairs=pairs)

    def _active(self, key: RouteKey) -> RouteAnswer | NoRoute | None:
        """The answer about an active route; None for sites that have left the mesh."""
        objective, src, dst = key
        if src not in self._sites or dst not in self._sites:
            return None
        return self._router.route(RouteQuestion(src=src, dst=dst, objective=objective))

    async def _sample_on(self) -> None:
        await self._decided.wait()
        await sample_routes(self._router.view, self._writer, self._owns, self._settings.note_every_s)

    async def _weigh_on(self) -> None:
        await self._decided.wait()
        await self._weights.run(self._weighable)

    def _weighable(self) -> Known | None:
        known, view = self._estimates.newest, self._router.view_now("goodput")
        if known is None or view is None or view.snapshot.sites != known[0].sites:
            return None  # the mesh has just changed
        return *known, self._router.relays("goodput")

    async def _write_on(self) -> None:
        while True:
            with contained("decision log"):
                await self._writer.write()
            await asyncio.sleep(WRITE_EVERY_S)
