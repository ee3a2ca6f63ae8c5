"""One follower for all who look: how often it asks, and what it does with what it hears."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from linkweather.client import AsyncClient
from linkweather.errors import CollectorUnavailableError
from linkweather.mesh import Mesh
from linkweather.models.events import Event, Gap, IncidentEvent, LinkEvent, RouteEvent
from linkweather.models.incidents import IncidentsAnswer
from linkweather.models.scores import EvaluationAnswer
from linkweather.models.state import MeshAnswer
from page import mesh_follower
from page.mesh_follower import MeshFollower, pace_s
from tests.page.pictures import NOON, incident, link, routes, site, week
from tests.waiting import running_task, until

LIMIT_S = 60.0


class FakeClient:
    """Answers at once, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.away = False
        self.events: asyncio.Queue[Event] = asyncio.Queue()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def answer(*_: str, **__: str) -> Any:
            self.asked[name] += 1
            if self.away:
                raise CollectorUnavailableError("the collector is away")
            return {
                "links": [link("a", "b")],
                "sites": [site("a"), site("b")],
                "incidents": IncidentsAnswer(at=NOON, sentence="", incidents=()),
                "mesh": MeshAnswer(
                    mesh=Mesh.model_validate({"name": "two", "sites": {"a": {"address": "192.0.2.1"}}}), links=1
                ),
                "routes": routes(),
                "sla": week(("a", "b", 0.01)),
                "evaluation": EvaluationAnswer(since=NOON, until=NOON),
            }[name]

        return answer

    async def watch(self) -> AsyncIterator[Event]:
        self.asked["watch"] += 1
        while True:
            yield await self.events.get()


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
async def follower(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MeshFollower]:
    monkeypatch.setattr(mesh_follower, "LEAST_GAP_S", 0.0)
    monkeypatch.setattr(mesh_follower, "POLL_S", 3600.0)  # only what is due
    found = MeshFollower(cast(AsyncClient, client))
    async with running_task(found.run()):
        yield found


async def test_nothing_is_asked_before_anybody_looks(follower: MeshFollower, client: FakeClient) -> None:
    await until(lambda: client.asked["watch"] == 1)
    assert client.asked == {"watch": 1}
    assert follower.version == 0


async def test_a_hundred_viewers_cost_one_stream_and_one_round_of_questions(
    follower: MeshFollower, client: FakeClient
) -> None:
    async with asyncio.timeout(LIMIT_S):
        views = await asyncio.gather(*(follower.first_look(LIMIT_S) for _ in range(100)))
    assert {view.name for view in views} == {"two"}
    assert client.asked == {"watch": 1, "links": 1, "sites": 1, "incidents": 1, "mesh": 1, "routes": 2}


async def test_an_event_changes_its_link_and_other_events_are_asked_for(
    follower: MeshFollower, client: FakeClient
) -> None:
    await follower.first_look(LIMIT_S)
    client.events.put_nowait(LinkEvent(at=NOON, link=link("a", "b", "down")))
    await until(lambda: follower.view.links["a", "b"].state == "down")
    assert client.asked["links"] == 1
    client.events.put_nowait(IncidentEvent(at=NOON, incident=incident()))
    await until(lambda: client.asked["incidents"] == 2)
    assert client.asked["links"] == 1
    client.events.put_nowait(Gap(missed=3))
    await until(lambda: client.asked["routes"] == 4)
    assert (client.asked["links"], follower.view.links["a", "b"].state) == (2, "fresh")


async def test_routes_are_asked_for_in_every_fifth_round_and_after_a_change_in_the_second(client: FakeClient) -> None:
    follower = MeshFollower(cast(AsyncClient, client))
    rounds = []
    for number in range(12):
        if number == 8:
            follower._hear(RouteEvent(at=NOON))
        before = client.asked["routes"]
        await follower._ask_all()
        rounds += [number] if client.asked["routes"] > before else []
    assert rounds == [0, 5, 8]


async def test_the_week_is_asked_for_once_in_half_an_hour(client: FakeClient) -> None:
    follower = MeshFollower(cast(AsyncClient, client))
    for _ in range(3):
        await follower.ask_usual()
    assert (client.asked["sla"], follower.view.usual_rtts_s) == (1, {("a", "b"): 0.01})


async def test_a_collector_that_is_away_is_a_problem_until_it_answers(
    follower: MeshFollower, client: FakeClient
) -> None:
    client.away = True
    assert (await follower.first_look(0.05)).at is None
    await until(lambda: follower.view.problem == "the collector is away")
    client.away = False
    client.events.put_nowait(Gap())
    await until(lambda: follower.view.problem is None and follower.view.at is not None)


@pytest.mark.parametrize(("links", "pace"), [(0, 2.0), (1000, 2.0), (2450, 4.9)])
def test_many_links_are_asked_for_less_often(links: int, pace: float) -> None:
    assert pace_s(links) == pace


async def test_the_score_is_asked_for_once_a_minute_however_many_look(client: FakeClient) -> None:
    follower = MeshFollower(cast(AsyncClient, client))
    for _ in range(3):
        assert await follower.score() == EvaluationAnswer(since=NOON, until=NOON)
    assert client.asked["evaluation"] == 1


async def test_without_an_answer_there_is_no_score(client: FakeClient) -> None:
    client.away = True
    assert await MeshFollower(cast(AsyncClient, client)).score() is None


async def test_a_score_that_fails_leaves_the_one_before(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_follower, "SCORE_EVERY_S", 0.0)
    follower = MeshFollower(cast(AsyncClient, client))
    first = await follower.score()
    client.away = True
    assert (await follower.score(), client.asked["evaluation"]) == (first, 2)
