"""The decisions in force, kept current: snapshot → router → record, MQTT and listeners; and answers for who asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from collector.api.event_feed import EventFeed
from collector.linkstate.link_states import LinkStates
from collector.linkstate.snapshot import ConditionChanges
from collector.routing.costs import STANDING, GoodputEstimate
from collector.routing.evaluation import evaluate
from collector.routing.goodput_estimate import shrunk
from collector.routing.questions import RouteQuestion
from collector.routing.recording import active_route, decided, placed
from collector.routing.router import Router
from collector.settings import EvaluationSettings, RoutingSettings
from collector.store.decision_log import DecisionLog, Measurements, Occasion, RouteDecision
from linkweather.mesh import Mesh
from linkweather.models.evaluation import EvaluationAnswer
from linkweather.models.events import LinkEvent, RouteEvent
from linkweather.models.placements import PlacementAnswer
from linkweather.models.routes import MeshRoutes, NoRoute, Objective, RouteAnswer, SiteRoutes
from linkweather.wire import AnyReport, PathRow, ThroughputRow, encode, topics

log = logging.getLogger(__name__)

# Links age without any report; reports that come together are decided upon together.
LOOK_AGAIN_S = 1.0
GATHER_S = 0.1
# Goodput estimates widen with their age; what they lend each other is worked out again at least this often.
GOODPUTS_LAST_S = 30.0
# So much of a round's work that others on this event loop do not wait long.
TOLD_PER_ROUND = 100
NOTED_PER_ROUND = 40
SITES_PER_ROUND = 4
UNWRITTEN_MAX = 100_000

Key = tuple[Objective, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What decisions rest on and where they go. `publish` says whether a broker took it; `now` is since the epoch."""

    links: LinkStates
    record: DecisionLog
    feed: EventFeed
    publish: Callable[[str, bytes], Awaitable[bool]]
    offline: Callable[[], Collection[str]]
    now: Callable[[], float] = time.time


class RouteUpdater:
    """The paths in force between all sites. `run` keeps them current, `route` answers; all on one event loop."""

    def __init__(
        self, mesh: Mesh, routing: RoutingSettings, settings: EvaluationSettings, around: Surroundings
    ) -> None:
        self._settings = settings
        self._around = around
        self._router = Router(routing, mesh)
        self._know(mesh)
        self._conditions = ConditionChanges()
        self._goodputs: GoodputEstimate | None = None
        self._news = asyncio.Event()
        self._told: deque[Key] = deque()
        self._noted: deque[Key] = deque()
        self._note_at = 0.0
        self._unpublished: dict[str, None] = {}
        self._unwritten: deque[RouteDecision] = deque(maxlen=UNWRITTEN_MAX)
        self._last_error = ""

    def restore(self) -> None:
        """Take over what stood when the collector ended. Blocks; before `run`."""
        self._router.restore(path for one in self._around.record.standing() if (path := active_route(one)) is not None)
        self._decide()

    def apply_mesh(self, mesh: Mesh) -> None:
        """Follow a changed mesh."""
        self._router.apply_mesh(mesh)
        self._know(mesh)
        self._publish_all()
        self._news.set()

    def on_reports(self, reports: Iterable[AnyReport]) -> None:
        """New reports are in the link states: decide again soon, and tell of measured goodputs and changed routes."""
        now = self._around.now()
        for report in reports:
            for row in report.rows:
                if isinstance(row, ThroughputRow) or (isinstance(row, PathRow) and row.changed):
                    self._goodputs_until = 0.0
                    self._tell_link(row.src, row.dst, now)
        self._news.set()

    def on_connect(self) -> None:
        """A broker is there, perhaps one that knows nothing: it is to have every site's decisions."""
        self._publish_all()
        self._news.set()

    def route(self, question: RouteQuestion) -> RouteAnswer | NoRoute:
        """The path for one pair; what was asked goes into the record. Raises RouteQuestionError."""
        answer = self._router.route(question)
        self._remember(answer, "asked")
        return answer

    def answer(self, question: RouteQuestion) -> RouteAnswer | NoRoute:
        """The same, as an input of another answer: not recorded for itself."""
        return self._router.route(question)

    def routes(self, objective: Objective) -> MeshRoutes:
        """The paths in force of all pairs."""
        answers = [self._router.route(question) for question in self._questions(objective, self._sites)]
        return MeshRoutes(
            at=_time(self._around.now()),
            objective=objective,
            routes=tuple(answer for answer in answers if isinstance(answer, RouteAnswer)),
            no_routes=tuple(answer for answer in answers if isinstance(answer, NoRoute)),
        )

    def log_placement(self, answer: PlacementAnswer) -> None:
        """A job was placed: it goes into the record."""
        self._unwritten.append(placed(answer))

    async def evaluation(self, since: datetime, until: datetime) -> EvaluationAnswer:
        """How the decisions of `[since, until)` did."""
        return await asyncio.to_thread(_judge, self._around.record, self._settings, self._sites, since, until)

    async def run(self) -> None:
        """Decide when there is news and every LOOK_AGAIN_S; record, tell and publish what changes; until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0 if self._busy() else LOOK_AGAIN_S):
                    await self._news.wait()
            self._news.clear()
            self._decide()
            self._note()
            self._tell()
            await self._publish()
            await self._write()
            await asyncio.sleep(GATHER_S)

    async def finish(self) -> None:
        """Write what is not in the record yet."""
        await self._write()

    def _know(self, mesh: Mesh) -> None:
        self._sites = tuple(mesh.sites)
        self._operators = {name: site.operator for name, site in mesh.sites.items()}
        self._goodputs_until = 0.0

    def _busy(self) -> bool:
        return bool(self._told or self._noted)

    def _decide(self) -> None:
        snapshot = self._around.links.snapshot(self._around.now())
        changed = self._conditions.changed(snapshot)
        for src, dst in changed:
            self._tell_link(src, dst, snapshot.at)
        if changed or snapshot.at >= self._goodputs_until:
            self._goodputs = shrunk(snapshot, [self._operators.get(site) for site in snapshot.sites])
            self._goodputs_until = snapshot.at + GOODPUTS_LAST_S
        self._told.extend(self._router.decide(snapshot, goodputs=self._goodputs, offline=self._around.offline()))

    def _note(self) -> None:
        """Note what stands for the judge, a few pairs a round."""
        if not self._noted and self._around.now() >= self._note_at:
            self._note_at = self._around.now() + self._settings.note_every_s
            self._noted.extend(
                (question.objective, question.src, question.dst)
                for objective in STANDING
                for question in self._questions(objective, self._sites)
            )
        for answer in self._answers(self._noted, NOTED_PER_ROUND):
            if isinstance(answer, RouteAnswer):
                self._remember(answer, "noted")

    def _tell(self) -> None:
        for answer in self._answers(self._told, TOLD_PER_ROUND):
            self._remember(answer, "changed")
            self._unpublished[answer.src] = None
            at = _time(self._around.now())
            if isinstance(answer, RouteAnswer):
                self._around.feed.emit(RouteEvent(at=at, route=answer))
            else:
                self._around.feed.emit(RouteEvent(at=at, no_route=answer))

    def _answers(self, keys: deque[Key], most: int) -> list[RouteAnswer | NoRoute]:
        """What is to be said of the next keys; of sites that have left the mesh meanwhile nothing."""
        taken = [keys.popleft() for _ in range(min(most, len(keys)))]
        return [
            self._router.route(RouteQuestion(src=src, dst=dst, objective=objective))
            for objective, src, dst in taken
            if {src, dst} <= set(self._sites)
        ]

    def _questions(self, objective: Objective, sources: Collection[str]) -> list[RouteQuestion]:
        return [
            RouteQuestion(src=src, dst=dst, objective=objective) for src in sources for dst in self._sites if src != dst
        ]

    def _tell_link(self, src: str, dst: str, now: float) -> None:
        link = self._around.links.link(src, dst, now)
        if link is not None:
            self._around.feed.emit(LinkEvent(at=_time(now), link=link))

    def _publish_all(self) -> None:
        self._unpublished.update(dict.fromkeys(self._sites))

    async def _publish(self) -> None:
        """Publish the decisions of a few sites where any changed; without a broker they wait for one."""
        for site in list(self._unpublished)[:SITES_PER_ROUND]:
            if site in self._sites and not await self._around.publish(topics.routes(site), encode(self._site(site))):
                return
            self._unpublished.pop(site)

    def _site(self, site: str) -> SiteRoutes:
        answers = [
            self._router.route(question) for objective in STANDING for question in self._questions(objective, (site,))
        ]
        return SiteRoutes(
            site=site,
            at=_time(self._around.now()),
            routes=tuple(answer for answer in answers if isinstance(answer, RouteAnswer)),
            no_routes=tuple(answer for answer in answers if isinstance(answer, NoRoute)),
        )

    def _remember(self, answer: RouteAnswer | NoRoute, occasion: Occasion) -> None:
        self._unwritten.append(decided(answer, occasion, self._around.now()))

    async def _write(self) -> None:
        batch = list(self._unwritten)
        writing = asyncio.create_task(asyncio.to_thread(self._around.record.add, batch), name="record decisions")
        try:
            await asyncio.shield(writing)
        except duckdb.Error as error:
            self._report(f"decisions cannot be recorded ({str(error).splitlines()[0]}); trying again")
            return
        except asyncio.CancelledError:
            # A thread cannot be cancelled: what it writes must not be written again by `finish`.
            await asyncio.wait([writing])
            if writing.exception() is None:
                self._written(batch)
            raise
        self._report("")
        self._written(batch)

    def _written(self, batch: Sequence[RouteDecision]) -> None:
        for _ in batch:
            self._unwritten.popleft()

    def _report(self, sentence: str) -> None:
        if sentence and sentence != self._last_error:
            log.warning("%s", sentence)
        self._last_error = sentence


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _judge(
    record: DecisionLog, settings: EvaluationSettings, sites: Sequence[str], since: datetime, until: datetime
) -> EvaluationAnswer:
    decided_ = record.since(since, until)
    asked: Sequence[tuple[Objective, Callable[[datetime], Measurements], float]] = (
        ("latency", record.latencies, settings.latency_within_s),
        ("goodput", record.goodputs, settings.goodput_within_s),
    )
    evaluations = tuple(
        evaluate(decided_, measured(since), objective, sites=sites, within_s=within_s)
        for objective, measured, within_s in asked
    )
    return EvaluationAnswer(since=since, until=until, evaluations=evaluations)
