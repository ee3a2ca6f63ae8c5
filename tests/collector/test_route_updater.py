"""The updater in force: on real link states and a real journal; what is published is kept by the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from collector.api.event_feed import EventFeed
from collector.linkstate.link_states import LinkStates
from collector.route_updater import RouteUpdater, _lost
from collector.routing.route_question import RouteQuestion
from collector.settings import EvaluationSettings, RoutingSettings, StateSettings
from collector.store.decision_log import DecisionLog, RouteDecision
from collector.store.journal import Journal
from linkweather.mesh import Mesh
from linkweather.models.placements import PlacementAnswer
from linkweather.models.routes import NoRoute, RouteAnswer, SiteRoutes
from linkweather.wire import LatencyReport, LatencyRow, LinkWeights, ThroughputReport, ThroughputRow, decode, topics
from tests.collector.report_samples import entry, moment
from tests.waiting import running_task, until

MESH = Mesh.model_validate({"sites": {name: {"address": f"192.0.2.{number}"} for number, name in enumerate("abc", 1)}})
NOON = 1_800_000_000.0
PAIRS = [(src, dst) for src in "abc" for dst in "abc" if src != dst]


def report(rtts_s: dict[tuple[str, str], float | None], at: float) -> LatencyReport:
    rows = tuple(
        LatencyRow(src=src, dst=dst, method="stamp", sent=50, received=0 if rtt_s is None else 50, rtt_p50_s=rtt_s)
        for (src, dst), rtt_s in rtts_s.items()
    )
    return LatencyReport(boot="b", seq=1, at=datetime.fromtimestamp(at, UTC), links=rows)


# a → b takes 100 ms directly and 20 ms through c.
LONG_WAY: dict[tuple[str, str], float | None] = {pair: 0.1 if set(pair) == {"a", "b"} else 0.01 for pair in PAIRS}


@dataclass
class World:
    """A clock that the test sets, and a broker that may be away."""

    journal: Journal
    now: float = NOON
    online: bool = True
    published: dict[str, SiteRoutes] = field(default_factory=dict)
    weights: dict[str, LinkWeights] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    offline: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.links = LinkStates(MESH, StateSettings())
        self.feed = EventFeed("boot")
        self.record = DecisionLog(self.journal.database)

    def updater(self) -> RouteUpdater:
        return RouteUpdater(
            MESH,
            RoutingSettings(),
            EvaluationSettings(note_every_s=5.0),
            links=self.links,
            log=self.record,
            listeners=self.feed,
            publish=self._publish,
            offline=lambda: self.offline,
            now=lambda: self.now,
        )

    def measure(self, updater: RouteUpdater, rtts_s: dict[tuple[str, str], float | None]) -> None:
        self.now += 2.0
        found = report(rtts_s, self.now)
        self.links.observe(moment(self.now), found.links)
        updater.on_reports([found])

    async def _publish(self, topic: str, payload: bytes) -> bool:
        if self.online:
            if topic.endswith("/weights"):
                self.weights[topic] = decode(LinkWeights, payload)
                return True
            self.sent.append(topic)
            routes = decode(SiteRoutes, payload)
            self.published[routes.site] = routes
        return self.online

    def via(self, src: str, dst: str, objective: str = "latency") -> tuple[str, ...] | None:
        if src not in self.published:
            return None
        routes = self.published[src]
        hop = getattr(routes, objective).next_hop[routes.dst.index(dst)]
        return None if hop is None else () if hop == dst else (hop,)

    def recorded(self) -> list[RouteDecision]:
        return self.record.since(datetime.fromtimestamp(0, UTC), datetime.fromtimestamp(NOON * 2, UTC))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    journal = Journal(tmp_path / "journal.duckdb")
    yield World(journal)
    journal.close()


@asynccontextmanager
async def running(updater: RouteUpdater) -> AsyncIterator[None]:
    try:
        async with running_task(updater.run()):
            yield
    finally:
        await updater.finish()


async def test_a_relay_that_is_better_is_published_recorded_and_told(world: World) -> None:
    updater = world.updater()
    world.measure(updater, LONG_WAY)
    listening = world.feed.listen(["route"], "b", None)
    await anext(listening)
    async with running(updater):
        await until(lambda: world.via("a", "b") == ("c",))
        told = await anext(listening)
    assert b'"path":{"sites":["a","c","b"]' in told
    changed = [one for one in world.recorded() if (one.src, one.dst, one.occasion) == ("a", "b", "changed")]
    # Nobody knows the goodput of a → b: as long as it is in contact, it is kept to.
    assert {(one.objective, one.path) for one in changed} == {("latency", ("a", "c", "b")), ("goodput", ("a", "b"))}
    assert sorted(one.direct_p50 or 0.0 for one in changed) == pytest.approx([0.0, 0.1])


async def test_a_leg_that_goes_down_moves_the_path_back_and_nothing_else_is_published_again(world: World) -> None:
    updater = world.updater()
    world.measure(updater, LONG_WAY)
    async with running(updater):
        await until(lambda: world.via("a", "b") == ("c",) and world.via("b", "a") == ("c",))
        world.measure(updater, {("c", "b"): None})
        await until(lambda: world.via("a", "b") == ())
        sent = len(world.sent)
        for _ in range(2):  # the second round begins when the first has ended
            world.measure(updater, LONG_WAY | {("c", "b"): None})
            await until(lambda: not updater._pace._news)
    assert world.sent[sent:] == []
    answer = updater.route(RouteQuestion(src="a", dst="b"))
    assert isinstance(answer, RouteAnswer)
    assert answer.switch_reason == "failed"


async def test_a_pair_without_any_way_is_said_to_have_none(world: World) -> None:
    updater = world.updater()
    world.measure(updater, LONG_WAY)
    async with running(updater):
        await until(lambda: world.via("b", "c") == ())
        world.measure(updater, dict.fromkeys((pair for pair in PAIRS if "c" in pair), None))
        await until(lambda: world.via("b", "c") is None)
    published = world.published["b"]
    assert published.latency.reason[published.dst.index("c")] == "down"
    assert isinstance(updater.answer(RouteQuestion(src="b", dst="c")), NoRoute)
    view = updater.routes("latency")
    assert view is not None
    assert view.columns(view.every_pair()).next_hop().tolist() == [1, -1, 0, -1, -1, -1]


async def test_without_a_broker_decisions_wait_for_one(world: World) -> None:
    updater = world.updater()
    world.online = False
    world.measure(updater, LONG_WAY)
    async with running(updater):
        await until(lambda: bool(world.recorded()))
        world.online = True
        updater.on_connect()
        await until(lambda: world.via("a", "b") == ("c",))
    assert set(world.sent) == {topics.routes(site) for site in "abc"}


async def test_after_a_restart_what_stood_still_stands_and_since_when(world: World) -> None:
    first = world.updater()
    # Better by 15 %: more than the margin asks for.
    world.measure(first, {pair: 0.023 if set(pair) == {"a", "b"} else 0.0095 for pair in PAIRS})
    async with running(first):
        await until(lambda: world.via("a", "b") == ("c",))
    since = next(one.at for one in world.recorded() if (one.src, one.dst, one.occasion) == ("a", "b", "changed"))
    second = world.updater()
    # Now hardly better than direct: enough to stay, not to begin.
    world.now += 2.0
    second.restore()
    answer = second.answer(RouteQuestion(src="a", dst="b"))
    assert isinstance(answer, RouteAnswer)
    assert (answer.relays, answer.since) == (("c",), since)


async def test_an_offline_site_relays_nothing(world: World) -> None:
    updater = world.updater()
    world.offline = ["c"]
    world.measure(updater, LONG_WAY)
    async with running(updater):
        await until(lambda: world.via("a", "b") is not None)
    assert world.via("a", "b") == ()


async def test_each_site_is_sent_how_often_the_links_to_it_are_worth_a_test(world: World) -> None:
    row = ThroughputRow(src="a", dst="b", method="iperf3", goodput_bps=1e8)
    world.links.observe(moment(world.now), [row])
    async with running(world.updater()):
        await until(lambda: topics.weights("b") in world.weights and topics.weights("c") in world.weights)
    assert world.weights[topics.weights("b")].src == ("a",)
    assert world.weights[topics.weights("c")].src == ()


async def test_a_changed_condition_and_a_measured_goodput_are_told_of_their_links(world: World) -> None:
    updater = world.updater()
    world.measure(updater, LONG_WAY)
    listening = world.feed.listen(["link"], None, None)
    await anext(listening)
    async with running(updater):
        await until(lambda: world.via("a", "b") == ("c",))
        row = ThroughputRow(src="a", dst="b", method="iperf3", goodput_bps=1e8)
        found = ThroughputReport(boot="b", seq=2, at=datetime.fromtimestamp(world.now, UTC), links=(row,))
        world.links.observe(moment(world.now), found.links)
        updater.on_reports([found])
        assert b'"goodput_bps":100000000.0' in await anext(listening)
        world.measure(updater, {("b", "a"): None})
        heard = b""
        while b'"state":"down"' not in heard:
            heard = await anext(listening)
    assert b'"src":"b","dst":"a"' in heard


async def test_active_routes_are_sampled_and_evaluated_by_what_is_measured_afterwards(world: World) -> None:
    updater = world.updater()
    world.measure(updater, LONG_WAY)
    async with running(updater):
        await until(lambda: sum(one.occasion == "sampled" for one in world.recorded()) == 12)
    later = datetime.fromtimestamp(world.now + 10, UTC)
    evaluation = updater.evaluation(datetime.fromtimestamp(0, UTC), later).evaluations[0]
    assert (evaluation.objective, evaluation.evaluated) == ("latency", 0)
    rows = report(LONG_WAY, world.now + 5)
    world.journal.commit([entry(rows)])
    evaluation = updater.evaluation(datetime.fromtimestamp(0, UTC), later).evaluations[0]
    assert (evaluation.evaluated, evaluation.regret_mean_ratio, evaluation.relayed) == (12, 0, 4)


async def test_decisions_are_written_when_the_disk_works_again(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    updater = world.updater()
    world.measure(updater, LONG_WAY)
    calls: list[int] = []

    def full(decided: list[RouteDecision]) -> None:
        calls.append(len(decided))
        raise duckdb.IOException("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(world.record, "add", full)
        async with running(updater):
            await until(lambda: len(calls) > 1)
    await updater.finish()
    assert len(world.recorded()) >= calls[0]
    assert [record.message for record in caplog.records] == [
        "decisions cannot be logged (the disk is full); trying again"
    ]


async def test_a_placement_goes_into_the_log(world: World) -> None:
    updater = world.updater()
    at = datetime.fromtimestamp(world.now, UTC)
    updater.log_placement(PlacementAnswer(job="train", at=at, site="b", done_p50_s=5.0, done_p90_s=7.0, why="soonest"))
    updater.log_placement(PlacementAnswer(job="huge", at=at, why="nowhere"))
    await updater.finish()
    logged = world.record.placements(at, at + timedelta(seconds=1))
    assert [(one.job, one.site, one.done_p50_s, one.done_p90_s) for one in logged] == [
        ("train", "b", 5.0, 7.0),
        ("huge", None, None, None),
    ]
    judged = updater.evaluation(at, at + timedelta(seconds=1)).placements
    assert judged is not None
    assert (judged.decisions, judged.evaluated) == (2, 0)
    assert world.recorded() == []


@pytest.mark.parametrize(("received", "failure", "lost"), [(0, None, True), (0, "behind_nat", False), (5, None, False)])
def test_a_link_that_was_not_probed_is_not_lost(*, received: int, failure: str | None, lost: bool) -> None:
    sent = 0 if failure else 5
    row = LatencyRow(src="a", dst="b", method="stamp", sent=sent, received=received, failure=failure)
    assert _lost(row) == lost
