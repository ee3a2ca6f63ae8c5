"""The decisions in force: on real link states and a real journal; what is published is kept by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from collector.api.event_feed import Feed
from collector.linkstate.link_states import LinkStates
from collector.route_updater import Decisions, Surroundings
from collector.routing.questions import Question
from collector.settings import DecisionSettings, RoutingSettings, StateSettings
from collector.store.decision_log import Decided, DecisionLog
from collector.store.journal import Journal
from linkweather.mesh import Mesh
from linkweather.models.placements import PlacementAnswer
from linkweather.models.routes import NoRoute, RouteAnswer, Routes
from linkweather.wire import LatencyReport, LatencyRow, ThroughputReport, ThroughputRow, decode, topics
from tests.collector.samples import entry
from tests.collector.waiting import until

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
    published: dict[str, Routes] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    offline: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.links = LinkStates(MESH, StateSettings())
        self.feed = Feed("boot")
        self.record = DecisionLog(self.journal.database)

    def decisions(self) -> Decisions:
        around = Surroundings(
            links=self.links,
            record=self.record,
            feed=self.feed,
            publish=self._publish,
            offline=lambda: self.offline,
            now=lambda: self.now,
        )
        return Decisions(MESH, RoutingSettings(), DecisionSettings(note_every_s=5.0), around)

    def measure(self, decisions: Decisions, rtts_s: dict[tuple[str, str], float | None]) -> None:
        self.now += 2.0
        found = report(rtts_s, self.now)
        self.links.observe(self.now, found.links)
        decisions.take([found])

    async def _publish(self, topic: str, payload: bytes) -> bool:
        if self.online:
            self.sent.append(topic)
            routes = decode(Routes, payload)
            self.published[routes.site] = routes
        return self.online

    def via(self, src: str, dst: str, objective: str = "latency") -> tuple[str, ...] | None:
        routes = self.published.get(src, Routes(site=src, at=datetime.fromtimestamp(self.now, UTC)))
        found = [one.relays for one in routes.routes if (one.dst, one.objective) == (dst, objective)]
        return found[0] if found else None

    def recorded(self) -> list[Decided]:
        return self.record.since(datetime.fromtimestamp(0, UTC), datetime.fromtimestamp(NOON * 2, UTC))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    journal = Journal(tmp_path / "journal.duckdb")
    yield World(journal)
    journal.close()


@asynccontextmanager
async def running(decisions: Decisions) -> AsyncIterator[None]:
    task = asyncio.create_task(decisions.run(), name="decisions")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        await decisions.finish()
    if not task.cancelled():
        task.result()


async def test_a_relay_that_is_better_is_published_recorded_and_told(world: World) -> None:
    decisions = world.decisions()
    world.measure(decisions, LONG_WAY)
    listening = world.feed.listen(["decision"], "b", None)
    await anext(listening)
    async with running(decisions):
        await until(lambda: world.via("a", "b") == ("c",))
        told = await anext(listening)
    assert b'"path":{"sites":["a","c","b"]' in told
    changed = [one for one in world.recorded() if (one.src, one.dst, one.occasion) == ("a", "b", "changed")]
    # Nobody knows the goodput of a → b: as long as it is in contact, it is kept to.
    assert {(one.objective, one.path) for one in changed} == {("latency", ("a", "c", "b")), ("goodput", ("a", "b"))}
    assert sorted(one.direct_p50 or 0.0 for one in changed) == pytest.approx([0.0, 0.1])


async def test_a_leg_that_goes_down_moves_the_path_back_and_nothing_else_is_published_again(world: World) -> None:
    decisions = world.decisions()
    world.measure(decisions, LONG_WAY)
    async with running(decisions):
        await until(lambda: world.via("a", "b") == ("c",) and world.via("b", "a") == ("c",))
        world.measure(decisions, {("c", "b"): None})
        await until(lambda: world.via("a", "b") == ())
        sent = len(world.sent)
        for _ in range(2):  # the second round begins when the first has ended
            world.measure(decisions, LONG_WAY | {("c", "b"): None})
            await until(lambda: not decisions._news.is_set())
    assert world.sent[sent:] == []
    answer = decisions.route(Question(src="a", dst="b"))
    assert isinstance(answer, RouteAnswer)
    assert answer.switched == "failed"


async def test_a_pair_without_any_way_is_said_to_have_none(world: World) -> None:
    decisions = world.decisions()
    world.measure(decisions, LONG_WAY)
    async with running(decisions):
        await until(lambda: world.via("b", "c") == ())
        world.measure(decisions, dict.fromkeys((pair for pair in PAIRS if "c" in pair), None))
        await until(lambda: world.via("b", "c") is None)
    assert {none.dst for none in world.published["b"].none} >= {"c"}
    assert isinstance(decisions.current(Question(src="b", dst="c")), NoRoute)
    assert not any(route.relays for route in decisions.routes("latency").routes)
    assert len(decisions.routes("latency").none) == 4


async def test_without_a_broker_decisions_wait_for_one(world: World) -> None:
    decisions = world.decisions()
    world.online = False
    world.measure(decisions, LONG_WAY)
    async with running(decisions):
        await until(lambda: bool(world.recorded()))
        world.online = True
        decisions.greet()
        await until(lambda: world.via("a", "b") == ("c",))
    assert set(world.sent) == {topics.routes(site) for site in "abc"}


async def test_after_a_restart_what_stood_still_stands_and_since_when(world: World) -> None:
    first = world.decisions()
    # Better by 15 %: more than the margin asks for.
    world.measure(first, {pair: 0.023 if set(pair) == {"a", "b"} else 0.0095 for pair in PAIRS})
    async with running(first):
        await until(lambda: world.via("a", "b") == ("c",))
    since = next(one.at for one in world.recorded() if (one.src, one.dst, one.occasion) == ("a", "b", "changed"))
    second = world.decisions()
    # Now hardly better than direct: enough to stay, not to begin.
    world.now += 2.0
    second.restore()
    answer = second.current(Question(src="a", dst="b"))
    assert isinstance(answer, RouteAnswer)
    assert (answer.relays, answer.since) == (("c",), since)


async def test_an_offline_site_relays_nothing(world: World) -> None:
    decisions = world.decisions()
    world.offline = ["c"]
    world.measure(decisions, LONG_WAY)
    async with running(decisions):
        await until(lambda: world.via("a", "b") is not None)
    assert world.via("a", "b") == ()


async def test_a_changed_condition_and_a_measured_goodput_are_told_of_their_links(world: World) -> None:
    decisions = world.decisions()
    world.measure(decisions, LONG_WAY)
    listening = world.feed.listen(["link"], None, None)
    await anext(listening)
    async with running(decisions):
        await until(lambda: world.via("a", "b") == ("c",))
        row = ThroughputRow(src="a", dst="b", method="iperf3", goodput_bps=1e8)
        found = ThroughputReport(boot="b", seq=2, at=datetime.fromtimestamp(world.now, UTC), links=(row,))
        world.links.observe(world.now, found.links)
        decisions.take([found])
        assert b'"goodput_bps":100000000.0' in await anext(listening)
        world.measure(decisions, {("b", "a"): None})
        heard = b""
        while b'"state":"down"' not in heard:
            heard = await anext(listening)
    assert b'"src":"b","dst":"a"' in heard


async def test_what_stands_is_noted_for_the_judge_and_judged_by_what_comes_after(world: World) -> None:
    decisions = world.decisions()
    world.measure(decisions, LONG_WAY)
    async with running(decisions):
        await until(lambda: sum(one.occasion == "noted" for one in world.recorded()) == 12)
    later = datetime.fromtimestamp(world.now + 10, UTC)
    verdict = (await decisions.judge(datetime.fromtimestamp(0, UTC), later)).verdicts[0]
    assert (verdict.objective, verdict.judged) == ("latency", 0)
    rows = report(LONG_WAY, world.now + 5)
    world.journal.commit([entry(rows)])
    verdict = (await decisions.judge(datetime.fromtimestamp(0, UTC), later)).verdicts[0]
    assert (verdict.judged, verdict.regret_mean_ratio, verdict.relayed) == (12, 0, 4)


async def test_decisions_are_written_when_the_disk_works_again(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decisions = world.decisions()
    world.measure(decisions, LONG_WAY)
    calls: list[int] = []

    def full(decided: list[Decided]) -> None:
        calls.append(len(decided))
        raise duckdb.IOException("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(world.record, "add", full)
        async with running(decisions):
            await until(lambda: len(calls) > 1)
    await decisions.finish()
    assert len(world.recorded()) >= calls[0]
    assert [record.message for record in caplog.records] == [
        "decisions cannot be recorded (the disk is full); trying again"
    ]


async def test_a_placement_goes_into_the_record(world: World) -> None:
    decisions = world.decisions()
    at = datetime.fromtimestamp(world.now, UTC)
    decisions.remember_placement(
        PlacementAnswer(job="train", at=at, site="b", done_p50_s=5.0, done_p90_s=7.0, why="soonest")
    )
    decisions.remember_placement(PlacementAnswer(job="huge", at=at, why="nowhere"))
    await decisions.finish()
    assert [(one.occasion, one.src, one.dst, one.p50, one.p90) for one in world.recorded()] == [
        ("placed", "train", "b", 5.0, 7.0),
        ("placed", "huge", "", None, None),
    ]
