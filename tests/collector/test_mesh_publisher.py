"""Publishing the mesh, over a real broker: what goes out, what does not, and what a site makes of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from collector import mesh_publisher
from collector.mesh_publisher import MeshPublisher
from linkweather.broker import parse_broker
from linkweather.mesh import Mesh
from linkweather.mesh.site_mesh import SiteMesh, site_mesh
from linkweather.mqtt import Connection
from linkweather.wire import decode, topics
from linkweather.wire.mesh_parts import MeshAssembly, MeshHead, MeshOrigin
from tests import servers
from tests.waiting import running_task, until


def mesh(*names: str, **more: object) -> Mesh:
    sites = {name: {"address": f"192.0.2.{number}"} for number, name in enumerate(names, 1)}
    return Mesh.model_validate({"sites": sites} | more)


class Publishing:
    """A publisher, its connection as the collector has it, and what it published by topic."""

    def __init__(self, port: int, whole: Mesh, *, journal: str = "j1", replaces: tuple[str, ...] = ()) -> None:
        self.published: Counter[str] = Counter()
        self.dies_at: str | None = None
        self.connection = Connection(
            parse_broker(f"mqtt://127.0.0.1:{port}"),
            "collector",
            subscriptions=(topics.ALL_MESHES, topics.MESH),
            handle=self.handle,
            on_connect=self.on_connect,
        )
        self.publisher = MeshPublisher(
            whole,
            journal=journal,
            replaces=replaces,
            publish=self.publish,
            connected=lambda: self.connection.connected,
            max_packet_bytes=lambda: self.connection.max_packet_bytes,
        )

    def on_connect(self) -> None:
        self.publisher.on_connect()

    def handle(self, topic: str, payload: bytes) -> None:
        parsed = topics.parse(topic)
        if parsed is None:
            self.publisher.handle_announcement(payload)
        else:
            self.publisher.handle_head(parsed.site, decode(MeshHead, payload))

    async def publish(self, topic: str, payload: bytes) -> bool:
        if topic == self.dies_at:
            await asyncio.Event().wait()
        self.published[topic] += 1
        return await self.connection.publish(topic, payload, retain=True)

    @property
    def settled(self) -> bool:
        return self.publisher.settled


@asynccontextmanager
async def publishing(port: int, whole: Mesh, **more: object) -> AsyncIterator[Publishing]:
    found = Publishing(port, whole, **more)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(found.connection.run()), group.create_task(found.publisher.run())]
        try:
            yield found
        finally:
            for task in tasks:
                task.cancel()


class Listener:
    """A site that puts its part together, as a probe does; `meshes` are all that it ever had."""

    def __init__(self, port: int, site: str) -> None:
        self._assembly = MeshAssembly()
        self.meshes: list[SiteMesh] = []
        self.connection = Connection(
            parse_broker(f"mqtt://127.0.0.1:{port}"),
            site,
            subscriptions=(topics.mesh(site), topics.part(site, "+")),
            handle=self.handle,
        )

    def handle(self, topic: str, payload: bytes) -> None:
        parsed = topics.parse(topic)
        assert parsed is not None
        if parsed.name == "mesh":
            whole = self._assembly.take_head(decode(MeshHead, payload))
        else:
            whole = self._assembly.take_part(parsed.detail, payload)
        if whole is not None:
            found = SiteMesh.model_validate_json(whole)
            if not self.meshes or self.meshes[-1] != found:
                self.meshes.append(found)


@asynccontextmanager
async def listening(port: int, site: str) -> AsyncIterator[Listener]:
    found = Listener(port, site)
    async with running_task(found.connection.run()):
        await until(lambda: found.connection.connected)
        yield found


async def test_a_new_broker_gets_every_part_and_each_site_has_its_own(broker_port: int) -> None:
    whole = mesh("a", "b", "c", links=[{"src": "a", "dst": "b"}])
    async with (
        publishing(broker_port, whole) as found,
        listening(broker_port, "b") as b,
        listening(broker_port, "c") as c,
    ):
        await until(lambda: bool(b.meshes and c.meshes) and found.settled)
        assert (b.meshes, c.meshes) == ([site_mesh(whole, "b")], [site_mesh(whole, "c")])
        assert found.published == Counter(
            [topics.MESH, *(topic for site in "abc" for topic in (topics.part(site, 0), topics.mesh(site)))]
        )


async def test_a_change_goes_to_the_sites_that_it_changes(broker_port: int) -> None:
    links = [{"src": "a", "dst": "b"}, {"src": "c", "dst": "d"}]
    async with publishing(broker_port, mesh(*"abcd", links=links)) as found:
        await until(lambda: found.settled)
        found.published.clear()
        after = mesh(*"abcd", links=[*links, {"src": "d", "dst": "c"}], name="mesh")
        slots = {site_mesh(each, "a").slots for each in (after, mesh(*"abcd", links=links))}
        found.publisher.apply_mesh(after)
        async with listening(broker_port, "c") as c:
            await until(lambda: bool(c.meshes) and c.meshes[-1].sources("c") == ["d"] and found.settled)
        changed = "cd" if len(slots) == 1 else "abcd"
        assert set(found.published) == {
            topic for site in changed for topic in (topics.part(site, 0), topics.mesh(site))
        }


async def test_a_collector_that_comes_back_publishes_only_that_it_is_there(broker_port: int) -> None:
    whole = mesh(*"abc")
    async with publishing(broker_port, whole) as found:
        await until(lambda: found.settled)
    async with publishing(broker_port, whole) as again:
        await until(lambda: again.settled)
        assert again.published == Counter([topics.MESH])


async def test_a_broker_that_lost_everything_gets_everything(tmp_path: Path) -> None:
    port = servers.free_port()
    with servers.mosquitto(tmp_path, port):
        async with publishing(port, mesh(*"ab")) as found:
            await until(lambda: found.settled)
            first = found.published.copy()
    with servers.mosquitto(tmp_path, port):
        async with publishing(port, mesh(*"ab")) as found:
            await until(lambda: found.settled)
            assert found.published == first


async def test_of_a_collector_that_dies_between_two_messages_no_site_has_half_a_mesh(tmp_path: Path) -> None:
    before, after = mesh(*"abc", name="before"), mesh(*"abcd", name="after")
    with servers.mosquitto(tmp_path, extra="max_packet_size 400\n") as port:
        async with listening(port, "a") as a:
            async with publishing(port, before) as found:
                await until(lambda: found.settled)
                assert found.published[topics.part("a", 1)] == 1  # several messages
            for dies_at in (topics.part("a", 1), topics.mesh("a")):
                async with publishing(port, after) as dying:
                    dying.dies_at = dies_at
                    await until(dying.publisher._heads_came.is_set)
                    await until(lambda: dying.published[topics.part("a", 0)] == 1)
            async with listening(port, "a") as late:
                assert late.meshes == []
                async with publishing(port, after) as found:
                    await until(lambda: bool(late.meshes) and found.settled)
                assert late.meshes == [site_mesh(after, "a")]
            await until(lambda: len(a.meshes) == 2)
            assert a.meshes == [site_mesh(before, "a"), site_mesh(after, "a")]


async def test_what_a_part_needs_no_more_is_taken_from_the_broker(tmp_path: Path) -> None:
    with servers.mosquitto(tmp_path, extra="max_packet_size 400\n") as port:
        large, small = mesh(*(f"s{number}" for number in range(40))), mesh("s0", "s1")
        async with publishing(port, large) as found:
            await until(lambda: found.settled)
            found.publisher.apply_mesh(small)
            async with listening(port, "s0") as s0:
                await until(lambda: bool(s0.meshes) and s0.meshes[-1] == site_mesh(small, "s0") and found.settled)
            async with listening(port, "s0") as again:
                await until(lambda: bool(again.meshes))
                # The broker has no more messages than the part consists of.
                head, parts = again._assembly._head, again._assembly._parts
                assert head is not None
                assert sorted(parts) == list(range(head.parts))


async def test_a_site_that_left_the_mesh_learns_it_also_from_the_next_collector(broker_port: int) -> None:
    async with publishing(broker_port, mesh(*"abc")) as found:
        await until(lambda: found.settled)
    async with publishing(broker_port, mesh(*"ab")) as found, listening(broker_port, "c") as c:
        await until(lambda: bool(c.meshes) and c.meshes[-1].sites == {} and found.settled)
        found.publisher.apply_mesh(mesh(*"abc"))
        await until(lambda: list(c.meshes[-1].sites) == ["c", "a", "b"])


async def test_a_stranger_learns_that_the_mesh_does_not_have_it(
    broker_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh_publisher, "MOST_STRANGERS", 1)
    async with publishing(broker_port, mesh(*"ab")) as found, listening(broker_port, "x") as x:
        await until(lambda: found.settled)
        found.published.clear()
        for site in ("x", "x", "a", "y"):
            found.publisher.handle_stranger(site)
        await until(lambda: bool(x.meshes) and found.settled)
        assert x.meshes[-1].sites == {}
        assert found.published == Counter([topics.part("x", 0), topics.mesh("x")])  # y is one too many


async def test_the_sites_of_another_journal_s_mesh_are_left_alone_unless_ours_replaces_it(broker_port: int) -> None:
    async with publishing(broker_port, mesh(*"xy"), journal="theirs") as found:
        await until(lambda: found.settled)
    async with publishing(broker_port, mesh(*"ab")) as found, listening(broker_port, "x") as x:
        await until(lambda: found.settled)
        found.publisher.handle_stranger("x")
        assert [each.peers("x") for each in x.meshes] == [["y"]]
    async with publishing(broker_port, mesh(*"ab"), replaces=("theirs",)) as found, listening(broker_port, "x") as x:
        await until(lambda: bool(x.meshes) and x.meshes[-1].sites == {} and found.settled)


async def test_each_connection_says_on_the_topic_of_the_mesh_whose_it_is(broker_port: int) -> None:
    heard: list[MeshOrigin] = []
    ear = Connection(
        parse_broker(f"mqtt://127.0.0.1:{broker_port}"),
        "ear",
        subscriptions=(topics.MESH,),
        handle=lambda _, payload: heard.append(decode(MeshOrigin, payload)),
    )
    task = asyncio.create_task(ear.run())
    await until(lambda: ear.connected)
    for number in (1, 2):
        async with publishing(broker_port, mesh(*"ab"), journal="j1", replaces=("j0",)) as found:
            await until(lambda: len(heard) == number and found.settled)  # noqa: B023 - awaited at once
    task.cancel()
    await asyncio.wait([task])
    assert heard == [MeshOrigin(journal="j1", replaces=("j0",))] * 2
