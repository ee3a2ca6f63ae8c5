"""The service that keeps routes current: snapshot → router → decision log, MQTT and events; and answers questions."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice, permutations

from collector.linkstate.link_states import LinkStates
from collector.linkstate.snapshot import ConditionChanges, Snapshot
from collector.routing.active_routes import ActiveRoute
from collector.routing.costs import COSTINGS, GoodputEstimate
from collector.routing.evaluation import evaluate
from collector.routing.goodput_estimate import shrunk
from collector.routing.route_question import RouteQuestion
from collector.routing.router import Router
from collector.settings import EvaluationSettings, RoutingSettings
from collector.store.decision_log import DecisionLog, Occasion, PlacementDecision, RouteDecision
from collector.store.decision_writer import DecisionWriter
from collector.store.past_decisions import PastDecisions
from linkweather.containment import contained
from linkweather.mesh import Mesh
from linkweather.models.events import LinkEvent, RouteEvent
from linkweather.models.placements import PlacementAnswer
from linkweather.models.routes import MeshRoutes, NoRoute, Objective, RouteAnswer, SiteRoutes
from linkweather.models.scores import EvaluationAnswer
from linkweather.wire import AnyReport, PathRow, ThroughputRow, encode, topics

# Links age without any report; reports that come together are decided upon together.
LOOK_AGAIN_S = 1.0
GATHER_S = 0.1
# Goodputs widen with their age; their estimates are made again at least this often.
GOODPUTS_LAST_S = 30.0
# The figures in kept answers that many readers share are refreshed when they are older than this.
FIGURES_LAST_S = 10.0
# So much work in one go that others on this event loop do not wait long.
EVENTS_PER_ROUND = 100
SAMPLES_PER_ROUND = 40
SITES_PER_ROUND = 4
ANSWERS_PER_TURN = 50

Key = tuple[Objective, str, str]
Publish = Callable[[str, bytes], Awaitable[bool]]


class RouteUpdater:
    """Keeps the active routes of all pairs current by `run`, and answers questions; all on one event loop.

    `emit` takes events, `publish` says whether a broker took a message, `offline` are the sites that cannot relay, and
    `now` is in seconds since the epoch.
    """

    def __init__(
        self,
        mesh: Mesh,
        routing: RoutingSettings,
        settings: EvaluationSettings,
        *,
        links: LinkStates,
        log: DecisionLog,
        emit: Callable[[LinkEvent | RouteEvent], None],
        publish: Publish,
        offline: Callable[[], Collection[str]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._links = links
        self._log = log
        self._emit = emit
        self._offline = offline
        self._now = now
        self._router = Router(routing, mesh)
        self._conditions = ConditionChanges()
        self._estimates = _GoodputEstimates(mesh)
        self._writer = DecisionWriter(log)
        self._publisher = _SitePublisher(publish)
        self._news = asyncio.Event()
        self._changed: dict[Key, None] = {}  # at most one entry a pair and objective
        self._samples: Iterator[Key] = iter(())
        self._sampling = False
        self._sample_at = 0.0
        self._sites = tuple(mesh.sites)

    @property
    def dropped_decisions(self) -> int:
        """How many decisions the log never had, as its disk failed for long."""
        return self._writer.dropped

    def restore(self) -> None:
        """Take over the active routes from before the collector ended. Blocks; before `run`."""
        self._router.restore(route for one in self._log.active() if (route := ActiveRoute.of(one)) is not None)
        self._decide()

    def apply_mesh(self, mesh: Mesh) -> None:
        """Follow a changed mesh."""
        self._sites = tuple(mesh.sites)
        self._router.apply_mesh(mesh)
        self._estimates = _GoodputEstimates(mesh)
        self.on_connect()

    def on_reports(self, reports: Iterable[AnyReport]) -> None:
        """New reports are in the link states: decide again soon, and emit measured goodputs and changed paths."""
        now = self._now()
        for src, dst in _measured_anew(reports):
            self._estimates.outdate()
            self._emit_link(src, dst, now)
        self._news.set()

    def on_connect(self) -> None:
        """A broker is connected, perhaps an empty one: publish every site's routes."""
        self._publisher.add(self._sites)
        self._news.set()

    def route(self, question: RouteQuestion) -> RouteAnswer | NoRoute:
        """The answer to a person's or program's question, which is logged. Raises RouteQuestionError."""
        found = self.answer(question)
        self._log_route(found, "asked")
        return found

    def answer(self, question: RouteQuestion) -> RouteAnswer | NoRoute:
        """The same as an input of another answer: not logged for itself."""
        return self._router.route(question)

    async def routes(self, objective: Objective) -> MeshRoutes:
        """The active routes of all pairs; their figures are at most FIGURES_LAST_S old."""
        found, missing = await self._answers((objective, *pair) for pair in permutations(self._sites, 2))
        return MeshRoutes(at=_time(self._now()), objective=objective, routes=found, no_routes=missing)

    def log_placement(self, answer: PlacementAnswer) -> None:
        """A job was placed."""
        self._writer.put(PlacementDecision.of(answer))

    async def evaluation(self, since: datetime, until: datetime) -> EvaluationAnswer:
        """How the decisions of `[since, until)` did."""
        return await asyncio.to_thread(_evaluation, self._log, self._settings, self._sites, since, until)

    async def run(self) -> None:
        """Decide when there is news and every LOOK_AGAIN_S; log, emit and publish what changes; until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0 if self._changed or self._sampling else LOOK_AGAIN_S):
                    await self._news.wait()
            self._news.clear()
            for part in (self._decide, self._sample, self._announce):
                with contained("routing"):
                    part()
            with contained("routing"):
                await self._publisher.publish_some(self._site_routes)
                await self._writer.write()
            await asyncio.sleep(GATHER_S)

    async def finish(self) -> None:
        """Write what is not in the log yet."""
        await self._writer.write()

    def _decide(self) -> None:
        snapshot = self._links.snapshot(self._now())
        changed = self._conditions.changed(snapshot)
        for src, dst in changed:
            self._emit_link(src, dst, snapshot.at)
        if changed:
            self._estimates.outdate()
        goodputs = self._estimates.of(snapshot)
        self._changed.update(dict.fromkeys(self._router.decide(snapshot, goodputs=goodputs, offline=self._offline())))

    def _sample(self) -> None:
        """Log the active routes for their evaluation, a few pairs a round."""
        if not self._sampling and self._now() >= self._sample_at:
            self._sample_at = self._now() + self._settings.note_every_s
            self._samples = ((objective, *pair) for objective in COSTINGS for pair in permutations(self._sites, 2))
        keys = list(islice(self._samples, SAMPLES_PER_ROUND))
        self._sampling = len(keys) == SAMPLES_PER_ROUND
        for key in keys:
            found = self._active(key)
            if isinstance(found, RouteAnswer):
                self._log_route(found, "sampled")

    def _announce(self) -> None:
        """Log and emit changed routes, some a round, and have their sources' routes published."""
        for key in list(islice(self._changed, EVENTS_PER_ROUND)):
            del self._changed[key]
            found = self._active(key)
            if found is None:
                continue
            self._log_route(found, "changed")
            self._publisher.add([found.src])
            at = _time(self._now())
            if isinstance(found, RouteAnswer):
                self._emit(RouteEvent(at=at, route=found))
            else:
                self._emit(RouteEvent(at=at, no_route=found))

    def _active(self, key: Key) -> RouteAnswer | NoRoute | None:
        """The kept answer about an active route; None for sites that have left the mesh."""
        objective, src, dst = key
        if src not in self._sites or dst not in self._sites:
            return None
        return self._router.route(RouteQuestion(src=src, dst=dst, objective=objective), older_s=FIGURES_LAST_S)

    async def _answers(self, keys: Iterable[Key]) -> tuple[tuple[RouteAnswer, ...], tuple[NoRoute, ...]]:
        """The answers of many pairs, and those without a route; others have their turn meanwhile."""
        answers: list[RouteAnswer | NoRoute | None] = []
        for key in keys:
            answers.append(self._active(key))
            if len(answers) % ANSWERS_PER_TURN == 0:
                await asyncio.sleep(0)
        return (
            tuple(found for found in answers if isinstance(found, RouteAnswer)),
            tuple(found for found in answers if isinstance(found, NoRoute)),
        )

    async def _site_routes(self, site: str) -> SiteRoutes | None:
        """What is published for a site; None for one that has left the mesh."""
        if site not in self._sites:
            return None
        others = [other for other in self._sites if other != site]
        found, missing = await self._answers((objective, site, other) for objective in COSTINGS for other in others)
        return SiteRoutes(site=site, at=_time(self._now()), routes=found, no_routes=missing)

    def _emit_link(self, src: str, dst: str, now: float) -> None:
        link = self._links.link(src, dst, now)
        if link is not None:
            self._emit(LinkEvent(at=_time(now), link=link))

    def _log_route(self, found: RouteAnswer | NoRoute, occasion: Occasion) -> None:
        self._writer.put(RouteDecision.of(found, occasion, self._now()))


class _GoodputEstimates:
    """The estimate of all goodputs: made again when it is outdated, and at least every GOODPUTS_LAST_S."""

    def __init__(self, mesh: Mesh) -> None:
        self._operators = {name: site.operator for name, site in mesh.sites.items()}
        self._made: GoodputEstimate | None = None
        self._until = 0.0

    def outdate(self) -> None:
        """Something was measured, or a condition changed."""
        self._made = None

    def of(self, snapshot: Snapshot) -> GoodputEstimate:
        """The estimate for this snapshot."""
        if self._made is None or snapshot.at >= self._until:
            self._made = shrunk(snapshot, [self._operators.get(site) for site in snapshot.sites])
            self._until = snapshot.at + GOODPUTS_LAST_S
        return self._made


class _SitePublisher:
    """The sites whose routes are to be published, each once; without a broker they wait for one."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._waiting: dict[str, None] = {}

    def add(self, sites: Iterable[str]) -> None:
        """Publish these sites' routes soon."""
        self._waiting.update(dict.fromkeys(sites))

    async def publish_some(self, routes_of: Callable[[str], Awaitable[SiteRoutes | None]]) -> None:
        """Publish the routes of a few sites; a site of which there are none is forgotten."""
        for site in list(self._waiting)[:SITES_PER_ROUND]:
            del self._waiting[site]
            routes = await routes_of(site)
            if routes is not None and not await self._publish(topics.routes(site), encode(routes)):
                self._waiting[site] = None
                return


def _measured_anew(reports: Iterable[AnyReport]) -> Iterator[tuple[str, str]]:
    """The links with a new goodput, or another path below them."""
    for report in reports:
        for row in report.rows:
            if isinstance(row, ThroughputRow) or (isinstance(row, PathRow) and row.changed):
                yield row.src, row.dst


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _evaluation(
    log: DecisionLog, settings: EvaluationSettings, sites: Sequence[str], since: datetime, until: datetime
) -> EvaluationAnswer:
    within: Mapping[Objective, float] = {"latency": settings.latency_within_s, "goodput": settings.goodput_within_s}
    evaluations = []
    for objective, within_s in within.items():
        past = PastDecisions(log.database, objective, since, until)
        decisions = past.spread()
        measured = past.measured(sorted({one.at for one in decisions}), within_s)
        evaluations.append(evaluate(decisions, measured, past.changes(), objective, sites=sites, within_s=within_s))
    return EvaluationAnswer(since=since, until=until, evaluations=tuple(evaluations))
