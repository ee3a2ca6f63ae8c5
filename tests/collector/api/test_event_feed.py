"""The stream of events over real HTTP, read by our own clients and by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from collector.api import event_feed as events
from collector.api.api_requests import answer_errors
from collector.api.event_feed import EventFeed, add_events
from collector.api.http_server import HttpServer
from collector.settings import ApiSettings
from linkweather import AsyncClient, Client
from linkweather.containment import overflows
from linkweather.errors import CollectorUnavailableError
from linkweather.mesh import Mesh
from linkweather.models.events import Event, Gap, LinkEvent, RouteEvent
from linkweather.models.routes import NoRoute
from linkweather.models.state import LinkAnswer
from tests import servers
from tests.waiting import until

MESH = Mesh.model_validate(
    {
        "sites": {
            "a": {"address": "192.0.2.1"},
            "b": {"address": "192.0.2.2"},
            "c": {"address": "192.0.2.3", "compute_id": "ID-OF-C"},
        }
    }
)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LIMIT_S = 90.0


def changed(src: str, dst: str) -> LinkEvent:
    return LinkEvent(at=NOON, link=LinkAnswer(src=src, dst=dst, state="down"))


def dropped(queue: str) -> int:
    return overflows().get(queue, 0)


def lost(src: str, dst: str) -> RouteEvent:
    return RouteEvent(at=NOON, no_route=NoRoute(src=src, dst=dst, objective="latency", reason="down", why="no way"))


class FeedWorld:
    """A server with a feed, on a port that stays."""

    def __init__(self) -> None:
        self.port = servers.free_port()
        self.feed = EventFeed("boot")
        self.server: HttpServer | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, boot: str) -> None:
        self.feed = EventFeed(boot)
        app = FastAPI()
        answer_errors(app)
        add_events(app, self.feed, lambda: MESH)
        self.server = HttpServer(app, ApiSettings(port=self.port))
        self.task = asyncio.create_task(self.server.run(), name="server")

    async def stop(self) -> None:
        if self.server is not None and self.task is not None:
            self.feed.close()
            self.task.cancel()
            await asyncio.wait([self.task])
            self.server.close()

    async def heard_by(self, listeners: int) -> None:
        await until(lambda: self.feed.listeners == listeners)


@pytest.fixture
async def world() -> AsyncIterator[FeedWorld]:
    found = FeedWorld()
    found.start("first")
    yield found
    await found.stop()


async def take(stream: AsyncIterator[Event], number: int, into: list[Event]) -> None:
    async for event in stream:
        into.append(event)
        if len(into) == number:
            return


async def test_events_arrive_typed_and_in_order(world: FeedWorld) -> None:
    heard: list[Event] = []
    async with asyncio.timeout(LIMIT_S), AsyncClient(world.api) as client, asyncio.TaskGroup() as group:
        group.create_task(take(client.watch(), 2, heard), name="watch")
        await world.heard_by(1)
        world.feed.emit(changed("a", "b"))
        world.feed.emit(lost("a", "b"))
    assert heard == [changed("a", "b"), lost("a", "b")]


async def test_the_synchronous_client_watches_too(world: FeedWorld) -> None:
    heard: list[Event] = []

    def watch() -> None:
        with Client(world.api) as client:
            for event in client.watch(["link"]):
                heard.append(event)
                return

    thread = threading.Thread(target=watch)
    thread.start()
    await world.heard_by(1)
    world.feed.emit(lost("a", "b"))
    world.feed.emit(changed("a", "b"))
    await asyncio.to_thread(thread.join, LIMIT_S)
    assert heard == [changed("a", "b")]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"kind": "route"}, ["route"]),
        ({"kind": ["link", "route"], "site": "c"}, ["link"]),
        ({"site": "ID-OF-C"}, ["link"]),
        ({}, ["link", "route", "link"]),
    ],
)
async def test_a_listener_hears_the_kinds_and_the_site_that_it_asked_for(
    world: FeedWorld, asked: dict[str, Any], expected: list[str]
) -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        httpx.AsyncClient(base_url=world.api, trust_env=False) as http,
        http.stream("GET", "/api/v1/events", params=asked) as response,
    ):
        await world.heard_by(1)
        for event in (changed("a", "b"), lost("a", "b"), changed("c", "a")):
            world.feed.emit(event)
        world.feed.close()
        lines = [line async for line in response.aiter_lines()]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert [line.removeprefix("event: ") for line in lines if line.startswith("event: ")] == expected


async def test_a_restarted_collector_is_found_again_and_the_gap_is_said(world: FeedWorld) -> None:
    heard: list[Event] = []
    async with asyncio.timeout(LIMIT_S), AsyncClient(world.api) as client, asyncio.TaskGroup() as group:
        watching = group.create_task(take(client.watch(), 3, heard), name="watch")
        await world.heard_by(1)
        world.feed.emit(changed("a", "b"))
        await until(lambda: len(heard) == 1)
        await world.stop()
        world.start("second")
        await world.heard_by(1)
        world.feed.emit(changed("b", "a"))
        await watching
    assert heard == [changed("a", "b"), Gap(), changed("b", "a")]


async def test_without_reconnect_the_end_of_the_stream_is_said(world: FeedWorld) -> None:
    async with asyncio.timeout(LIMIT_S), AsyncClient(world.api) as client:
        watching = asyncio.create_task(take(client.watch(reconnect=False), 1, []), name="watch")
        await world.heard_by(1)
        world.feed.close()
        with pytest.raises(CollectorUnavailableError, match="has ended the stream"):
            await watching


async def told_after(feed: EventFeed, after: str) -> bytes:
    stream = feed.listen((), None, after)
    first = await anext(stream)
    feed.close()
    return b"".join([first, *[text async for text in stream]])


async def test_who_comes_back_gets_what_was_missed(world: FeedWorld) -> None:
    for name in ("b", "c", "d"):
        world.feed.emit(changed("a", name))
    text = await told_after(world.feed, "first.1")
    assert [line for line in text.decode().splitlines() if line.startswith("id")] == ["id: first.2", "id: first.3"]


async def test_who_comes_back_too_late_is_told_how_many_events_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEPT_EVENTS", 2)
    feed = EventFeed("first")
    for name in ("b", "c", "d", "e"):
        feed.emit(changed("a", name))
    text = (await told_after(feed, "first.1")).decode()
    assert 'id: first.2\nevent: gap\ndata: {"missed":1}' in text
    assert [line for line in text.splitlines() if line.startswith("id")][1:] == ["id: first.3", "id: first.4"]


async def test_a_listener_that_does_not_read_is_cut_off_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "WAITING_EVENTS", 2)
    feed = EventFeed("first")
    slow = feed.listen((), None, None)
    await anext(slow)
    before = dropped("events of a listener")
    for name in ("b", "c"):
        feed.emit(changed("a", name))
    assert (feed.listeners, dropped("events of a listener")) == (1, before)
    feed.emit(changed("a", "d"))
    assert feed.listeners == 0
    assert dropped("events of a listener") == before + 2  # which there was no room for, and which gave way to the end
    assert len([text async for text in slow]) == 1  # what still stood in its queue, and the end


async def test_a_listener_who_leaves_is_forgotten(world: FeedWorld) -> None:
    async with AsyncClient(world.api) as client:
        watching = asyncio.create_task(take(client.watch(), 1, []), name="watch")
        await world.heard_by(1)
        watching.cancel()
        await asyncio.wait([watching])
    await world.heard_by(0)


async def test_a_silent_stream_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.01)
    stream = EventFeed("first").listen((), None, None)
    assert (await anext(stream)).startswith(b":")
    assert await anext(stream) == b": still here\n\n"


async def test_listeners_beyond_the_bound_are_refused(world: FeedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_LISTENERS", 1)
    before = dropped("event listeners")
    async with httpx.AsyncClient(base_url=world.api, trust_env=False, timeout=LIMIT_S) as http:
        async with http.stream("GET", "/api/v1/events") as first:
            await world.heard_by(1)
            answer = await http.get("/api/v1/events")
        assert first.status_code == 200
        assert (answer.status_code, answer.json()["error"]) == (503, "1 programs listen already; try again later")
        assert dropped("event listeners") == before + 1
        await world.heard_by(0)
        async with http.stream("GET", "/api/v1/events") as third:
            assert third.status_code == 200


async def test_an_unknown_kind_is_one_sentence(world: FeedWorld) -> None:
    async with httpx.AsyncClient(base_url=world.api, trust_env=False) as http:
        answer = await http.get("/api/v1/events", params={"kind": "weather"})
    assert (answer.status_code, answer.json()["field"]) == (422, "kind")
    assert answer.json()["error"] == "kind = 'weather': input should be 'link', 'route' or 'incident'"


async def test_a_site_that_is_not_in_the_mesh_is_one_sentence_and_no_silence(world: FeedWorld) -> None:
    async with httpx.AsyncClient(base_url=world.api, trust_env=False) as http:
        answer = await http.get("/api/v1/events", params={"site": "z"})
    assert (answer.status_code, answer.json()["field"]) == (422, "site")
    assert answer.json()["error"] == "site = 'z': no such site; the mesh has a, b, c"
