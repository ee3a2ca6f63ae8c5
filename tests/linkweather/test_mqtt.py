"""The kept-up connection, against a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from linkweather.broker import parse_broker
from linkweather.containment import faults, overflows
from linkweather.mqtt import Connection
from linkweather.mqtt_client import MESSAGE_BYTES, MessageQueue
from linkweather.mqtt_refusals import MOST_COMPLAINTS
from linkweather.wire import topics
from tests import servers
from tests.waiting import running_task

ACCESS_RULES = Path("/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so")


async def test_a_handler_that_fails_costs_its_message(broker_port: int) -> None:
    """A fault on connecting and one for the first message; the second message comes all the same."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    connected = asyncio.Event()

    def handle(_topic: str, payload: bytes) -> None:
        if payload == b"bad":
            raise UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range")
        heard.put_nowait(payload)

    def on_connect() -> None:
        connected.set()
        raise RuntimeError("not ready")

    before = faults()
    connection = Connection(
        parse_broker(f"mqtt://127.0.0.1:{broker_port}"), "a", subscriptions=("t",), handle=handle, on_connect=on_connect
    )
    async with running_task(connection.run()):
        async with asyncio.timeout(90):
            await connected.wait()
            for payload in (b"bad", b"good"):
                assert await connection.publish("t", payload)
            assert await heard.get() == b"good"
    for place in ("message", "connection"):
        assert faults()[place] == before.get(place, 0) + 1


@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_a_connection_that_is_cancelled_while_it_is_made_leaves_nothing_open(
    broker_port: int, turns: int, caplog: pytest.LogCaptureFixture
) -> None:
    """After so many turns of the loop: before the socket is there, before CONNACK, after it."""
    broker = parse_broker(f"mqtt://127.0.0.1:{broker_port}")
    running = asyncio.create_task(
        Connection(broker, "a", subscriptions=("t",), handle=lambda _topic, _payload: None).run(), name="connection"
    )
    for _ in range(turns):
        await asyncio.sleep(0.0001)
    running.cancel()
    await asyncio.wait([running])
    gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert "Traceback" not in caplog.text


async def test_two_clients_of_one_name_are_told_so(broker_port: int) -> None:
    broker = parse_broker(f"mqtt://127.0.0.1:{broker_port}")
    connected = [asyncio.Event(), asyncio.Event()]
    connections = [
        Connection(broker, "site-a", subscriptions=(), handle=lambda _topic, _payload: None, on_connect=event.set)
        for event in connected
    ]
    first = asyncio.create_task(connections[0].run(), name="first")
    second = None
    try:
        async with asyncio.timeout(90):
            await connected[0].wait()
            second = asyncio.create_task(connections[1].run(), name="second")
            await connected[1].wait()
            while not connections[0].last_error:  # noqa: ASYNC110 - it sets no event
                await asyncio.sleep(0.01)
        assert connections[0].last_error == (
            f"the broker {broker} closed the connection: "
            "if it does so again and again, another client uses our name, too"
        )
    finally:
        tasks = [task for task in (first, second) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_a_client_that_steps_back_disconnects_and_returns_after_its_pause(broker_port: int) -> None:
    connects, moments = 0, []
    returned = asyncio.Event()

    def on_connect() -> None:
        nonlocal connects
        connects += 1
        moments.append(time.monotonic())
        if connects == 2:
            returned.set()

    connection = Connection(
        parse_broker(f"mqtt://127.0.0.1:{broker_port}"),
        "site-a",
        subscriptions=("here",),
        handle=lambda _topic, _payload: connection.step_back(1.0),
        on_connect=on_connect,
    )
    async with running_task(connection.run()):
        async with asyncio.timeout(90):
            while not await connection.publish("here", b""):  # noqa: ASYNC110 - it sets no event
                await asyncio.sleep(0.01)
            await returned.wait()
        assert moments[1] - moments[0] >= 1.0
        assert connection.last_error == ""


async def test_a_broker_s_last_known_address_is_used_while_its_name_does_not_resolve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connects: asyncio.Queue[None] = asyncio.Queue()
    look_up, known = socket.getaddrinfo, ["broker.test"]

    def resolve(host: str, *rest: Any, **more: Any) -> Any:
        if host in known:
            return look_up("127.0.0.1", *rest, **more)
        if host == "broker.test":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with contextlib.ExitStack() as first:
        port = first.enter_context(servers.mosquitto(tmp_path))
        connection = Connection(
            parse_broker(f"mqtt://broker.test:{port}"),
            "site-a",
            subscriptions=(),
            handle=lambda _topic, _payload: None,
            on_connect=lambda: connects.put_nowait(None),
        )
        async with running_task(connection.run()):
            async with asyncio.timeout(60):
                await connects.get()
                known.clear()
                first.close()
                with servers.mosquitto(tmp_path, port):
                    await connects.get()


async def test_what_is_larger_than_the_broker_takes_is_not_sent_and_said_once_with_size_and_limit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The longest packet that fits is taken: 1,000 octets are topic (1), payload and 16 of headers at most."""
    connected = asyncio.Event()
    with servers.mosquitto(tmp_path, extra="max_packet_size 1000\n") as port:
        broker = parse_broker(f"mqtt://127.0.0.1:{port}")
        connection = Connection(
            broker, "collector", subscriptions=(), handle=lambda _topic, _payload: None, on_connect=connected.set
        )
        async with running_task(connection.run()):
            async with asyncio.timeout(90):
                await connected.wait()
                assert connection.max_packet_bytes == 1000
                assert await connection.publish("t", bytes(983))
                assert not await connection.publish("t", bytes(984))
                assert not await connection.publish("t", bytes(5000), retain=True)
                assert await connection.publish("t", b"small")
                assert connection.connected
    assert connection.max_packet_bytes is None
    assert connection.refusals.counts == {"oversized": 2}
    assert caplog.text.count("t: 1001 bytes, and the broker") == 1
    assert caplog.text.count("takes packets of 1000 at most") == 1


async def test_no_more_is_in_flight_than_the_broker_receives(tmp_path: Path) -> None:
    connected = asyncio.Event()
    with servers.mosquitto(tmp_path, extra="max_inflight_messages 7\n") as port:
        broker = parse_broker(f"mqtt://127.0.0.1:{port}")
        connection = Connection(
            broker, "a", subscriptions=(), handle=lambda _topic, _payload: None, on_connect=connected.set
        )
        async with running_task(connection.run()):
            async with asyncio.timeout(90):
                await connected.wait()
                assert connection._client is not None
                assert connection._client._client._max_inflight_messages == 7
                assert all(await asyncio.gather(*(connection.publish("t", b"x") for _ in range(50))))


@asynccontextmanager
async def connected(port: int, *topics: str) -> AsyncIterator[Connection]:
    up = asyncio.Event()
    broker = parse_broker(f"mqtt://127.0.0.1:{port}")
    connection = Connection(broker, "a", subscriptions=topics, handle=lambda *_: None, on_connect=up.set)
    async with running_task(connection.run()):
        async with asyncio.timeout(90):
            await up.wait()
            yield connection


async def reconnected(connection: Connection) -> None:
    while not await connection.publish(topics.MESH, b"x"):  # noqa: ASYNC110 - it says itself whether it is up
        await asyncio.sleep(0.05)


async def test_a_publication_that_the_broker_refuses_has_not_arrived_is_counted_said_once_and_tried_again_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its PUBACK has a reason code (MQTT 5 §3.4.2.1), which aiomqtt passes over; mosquitto closes the connection."""
    (tmp_path / "acl").write_text(f"topic readwrite {topics.MESH}\n")
    rules = f"user root\nacl_file {tmp_path}/acl\n"
    port = servers.free_port()
    sentence = (
        f"linkweather/v1/site/+/routes: the broker mqtt://127.0.0.1:{port} refuses this (Not authorized): "
        "allow it in the broker's access rules"
    )
    with servers.mosquitto(tmp_path, port, extra=rules):
        async with connected(port) as connection:
            assert await connection.publish(topics.MESH, b"x")
            for site in "abc":  # of one rule: the others are held back
                assert not await connection.publish(topics.routes(site), b"x", retain=True)
            await reconnected(connection)
            assert connection.refusals.complaints() == [sentence]
            assert connection.refusals.counts == {"not_authorized": 1}
            connection.refusals._held_until = dict.fromkeys(connection.refusals._held_until, 0.0)  # a minute later
            assert not await connection.publish(topics.routes("b"), b"x", retain=True)
            assert connection.refusals.counts == {"not_authorized": 2}
            await reconnected(connection)
            assert connection.refusals.complaints() == [sentence]
    with servers.mosquitto(tmp_path, port):
        async with connected(port) as connection:
            connection.refusals.publication_refused(topics.routes("a"), "Not authorized", 0.0)
            connection.refusals._held_until.clear()
            assert await connection.publish(topics.routes("b"), b"x", retain=True)
            assert connection.refusals.complaints() == []
    assert caplog.text.count(sentence) == 2


async def test_so_many_topics_are_named_of_those_that_the_broker_refuses(tmp_path: Path) -> None:
    with servers.mosquitto(tmp_path, extra="max_packet_size 1000\n") as port:
        async with connected(port) as connection:
            for number in range(MOST_COMPLAINTS + 5):
                assert not await connection.publish(f"t/{number}", bytes(1000))
    assert len(connection.refusals.complaints()) == MOST_COMPLAINTS
    assert connection.refusals.counts == {"oversized": MOST_COMPLAINTS + 5}


@pytest.mark.skipif(not ACCESS_RULES.exists(), reason="needs mosquitto's plug-in for access rules")
async def test_a_subscription_that_the_broker_refuses_is_counted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = {"publishClientSend": True, "publishClientReceive": True, "subscribe": False, "unsubscribe": True}
    settings = {"defaultACLAccess": rules, "clients": [], "groups": [], "roles": []}
    (tmp_path / "rules.json").write_text(json.dumps(settings))
    extra = f"plugin {ACCESS_RULES}\nplugin_opt_config_file {tmp_path}/rules.json\n"
    with servers.mosquitto(tmp_path, extra=extra) as port:
        async with connected(port, "t/+", "u") as connection:
            assert connection.refusals.counts == {"not_authorized": 2}
            assert [sentence.partition(":")[0] for sentence in connection.refusals.complaints()] == ["t/+", "u"]
    assert caplog.text.count("does not let us read this (Not authorized)") == 2


def test_what_comes_faster_than_it_is_handled_is_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 1000
    monkeypatch.setattr("linkweather.mqtt_client.MAX_WAITING_BYTES", 10 * (MESSAGE_BYTES + size))
    arrivals = MessageQueue()
    before = overflows().get("mqtt messages", 0)
    for number in range(15):
        arrivals.put_nowait(aiomqtt.Message("t", bytes(size), 0, False, number, None))  # noqa: FBT003 - aiomqtt's own
    assert arrivals.qsize() == 10
    assert overflows()["mqtt messages"] == before + 5
    assert arrivals.get_nowait().mid == 0
    arrivals.put_nowait(aiomqtt.Message("t", bytes(size), 0, False, 15, None))  # noqa: FBT003
    assert arrivals.qsize() == 10


async def test_a_publication_that_waits_as_the_connection_ends_does_not_wait_on() -> None:
    """A broker that closes instead of acknowledging: aiomqtt alone would wait its 10 s."""
    received = asyncio.Event()

    async def accept_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)  # CONNECT
        writer.write(b"\x20\x03\x00\x00\x00")  # CONNACK, success, no properties
        await reader.read(4096)  # PUBLISH
        received.set()
        await asyncio.sleep(0.1)  # so that the publication waits
        writer.close()

    server = await asyncio.start_server(accept_and_close, "127.0.0.1", 0)
    connected = asyncio.Event()
    connection = Connection(
        parse_broker(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"),
        "a",
        subscriptions=(),
        handle=lambda _topic, _payload: None,
        on_connect=connected.set,
    )
    running = asyncio.create_task(connection.run(), name="connection")
    try:
        async with asyncio.timeout(30):
            await connected.wait()
            publishing = asyncio.create_task(connection.publish("t", b"x"), name="publishing")
            await received.wait()
        async with asyncio.timeout(8):  # less than aiomqtt waits
            assert not await publishing
    finally:
        running.cancel()
        server.close()
        await asyncio.wait([running])
