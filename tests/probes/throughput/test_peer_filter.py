"""What a stranger at the port of a test's server can do, with real sockets and a real iperf3."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from linkweather.mesh import Site
from linkweather.wire import Answer, ThroughputRow, decode
from probes.throughput import peer_filter
from probes.throughput.iperf3_server import ServerPlace, serve_once
from probes.throughput.peer_filter import admitted_addresses, is_among, local_addresses, program, resolved
from tests import servers
from tests.probes.throughput import ends
from tests.probes.throughput.test_negotiation import ADDRESS, BUILD, TESTS, Wire, failure, serving, site, until_free

PEER, STRANGER = "127.0.0.21", "127.0.0.22"
COOKIE = b"a" * 36 + b"\0"  # with which every iperf3 client begins


def may_filter() -> bool:
    """Whether this kernel lets us attach a filter to a TCP socket."""
    with socket.create_server(("127.0.0.1", 0)) as mine:
        try:
            peer_filter._attach(mine, program({PEER}))
        except PermissionError:
            return False
    return True


def _forbidden(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def knock(host: str, port: int, source: str) -> socket.socket:
    """A connection from an address. Raises TimeoutError when none is made."""
    return socket.create_connection((host, port), timeout=1.0, source_address=(source, 0))


@pytest.mark.parametrize("bind", ["127.0.0.1", None, "::1"])
async def test_only_the_admitted_addresses_reach_a_server(bind: str | None) -> None:
    servers.require("iperf3")
    if not may_filter():
        pytest.skip("this kernel wants CAP_NET_ADMIN for a filter at a TCP socket")
    host = bind or "127.0.0.1"
    place, admitted = ServerPlace(bind, [servers.free_port()]), {"::1"} if host == "::1" else {PEER}
    async with serve_once(place, BUILD, guard=None, seconds=30, admitted=admitted) as server:
        stranger = "::1" if host == "::1" else STRANGER
        if stranger not in admitted:
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(knock, host, server.port, stranger)
        async with asyncio.TaskGroup() as group:
            finished = group.create_task(server.finished(accept_s=20), name="finished")
            found = await ends.call(host, server.port, duration_s=1.0, bind=min(admitted))
    assert (found.failure, finished.result()) == (None, None)


async def test_a_connection_that_says_nothing_does_not_hold_the_server() -> None:
    servers.require("iperf3")
    place = ServerPlace("127.0.0.1", [servers.free_port()])
    async with serve_once(place, BUILD, guard=None, seconds=30) as server:
        with await asyncio.to_thread(knock, "127.0.0.1", server.port, STRANGER):
            async with asyncio.TaskGroup() as group:
                finished = group.create_task(server.finished(accept_s=20), name="finished")
                found = await ends.call("127.0.0.1", server.port, duration_s=1.0)
    assert (found.failure, finished.result()) == (None, None)


@contextlib.asynccontextmanager
async def spoiled(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """A stranger that knows the port of every offer first, and speaks iperf3's protocol."""
    said: list[str] = []
    publish = wire.publish
    with contextlib.ExitStack() as connections:

        async def late(topic: str, payload: bytes) -> bool:
            answer = decode(Answer, payload) if "/answer/" in topic else None
            if answer is not None and answer.port is not None:
                try:
                    knocking = await asyncio.to_thread(knock, ADDRESS["a"], answer.port, STRANGER)
                except TimeoutError:
                    said.append("dropped")
                else:
                    connections.enter_context(knocking).sendall(COOKIE)
                    said.append("connected")
            return await publish(topic, payload)

        monkeypatch.setattr(wire, "publish", late)
        yield said


async def test_a_test_that_a_third_party_spoiled_says_so_where_no_filter_is_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_filter, "_attach", _forbidden)
    wire = Wire()
    async with spoiled(wire, monkeypatch) as said:
        a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
        async with serving(a, b):
            row = await b.measure("a", ADDRESS["a"], TESTS)
            await until_free(wire, "a")
    assert said == ["connected"]
    assert isinstance(row, ThroughputRow)
    assert (row.failure, row.detail) == ("disturbed", "another connection got hold of the server of this test at a")


async def test_a_client_without_the_secret_that_comes_first_spoils_the_test_and_is_not_the_links_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_filter, "_attach", _forbidden)
    wire = Wire()
    publish = wire.publish

    async def late(topic: str, payload: bytes) -> bool:
        answer = decode(Answer, payload) if "/answer/" in topic else None
        if answer is not None and answer.port is not None:
            refused = await ends.call(ADDRESS["a"], answer.port, duration_s=1.0, bind=STRANGER)
            assert refused.failure == "auth"
        return await publish(topic, payload)

    monkeypatch.setattr(wire, "publish", late)
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
    async with serving(a, b):
        row = await b.measure("a", ADDRESS["a"], TESTS)
        await until_free(wire, "a")
    assert isinstance(row, ThroughputRow)
    assert row.failure == "disturbed"
    assert "b" in a._again_s  # who spoils its own tests keeps the site busy no longer than others do


async def test_a_stranger_that_knows_the_port_spoils_nothing_where_the_filter_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not may_filter():
        pytest.skip("this kernel wants CAP_NET_ADMIN for a filter at a TCP socket")
    wire = Wire()
    async with spoiled(wire, monkeypatch) as said:
        a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
        async with serving(a, b):
            assert failure(await b.measure("a", ADDRESS["a"], TESTS)) is None
            await until_free(wire, "a")
    assert said == ["dropped"]


async def test_a_peer_may_call_from_its_address_in_the_mesh_and_those_that_it_names_and_from_any_behind_nat() -> None:
    fixed, behind_nat = Site(address="192.0.2.2"), Site(address="192.0.2.3", nat=True)
    assert await admitted_addresses(fixed, ["10.0.0.2"]) == {"192.0.2.2", "10.0.0.2"}
    for peer, named in ((fixed, []), (behind_nat, ["10.0.0.2"]), (None, ["10.0.0.2"])):
        assert await admitted_addresses(peer, named) == frozenset()


async def test_the_addresses_of_a_call_are_those_of_our_routes_or_the_one_that_we_bind() -> None:
    assert await local_addresses("127.0.0.1", None) == ("127.0.0.1",)
    assert await local_addresses("192.0.2.1", "127.0.0.5") == ("127.0.0.5",)
    assert await local_addresses("no-such-host.invalid", None) == ()
    assert await resolved("127.0.0.1") == {"127.0.0.1"}


def test_what_is_no_address_passes_nothing() -> None:
    assert program({"no-such-host.invalid", ""}) == [(0x06, 0, 0, 0)]
    # Version, source, pass; else drop.
    assert len(program({"192.0.2.1"})) == 7
    assert len(program({"2001:db8::1"})) == 3 + 4 * 2 + 1 + 1


def test_who_is_connected_to_a_port_and_should_not_be() -> None:
    for family, address, source in ((socket.AF_INET, "127.0.0.1", STRANGER), (socket.AF_INET6, "::1", "::1")):
        with socket.create_server((address, 0), family=family) as mine:
            port = mine.getsockname()[1]
            with knock(address, port, source):
                assert peer_filter.strangers(port, {PEER}) == [source]
                assert peer_filter.strangers(port, {source}) == []
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as mine:
        port = mine.getsockname()[1]
        with knock("127.0.0.1", port, STRANGER):
            assert peer_filter.strangers(port, {PEER}) == [STRANGER]


def test_an_ipv4_address_mapped_to_ipv6_is_the_same() -> None:
    assert is_among("::ffff:192.0.2.1", {"192.0.2.1"})
    assert not is_among("192.0.2.9", {"192.0.2.1"})


async def test_the_port_is_drawn_at_random() -> None:
    servers.require("iperf3")
    first = servers.free_port()
    ports = range(first, first + 40) if first < 65_000 else range(first - 40, first)
    drawn = set()
    for _ in range(4):
        async with serve_once(ServerPlace("127.0.0.1", ports), BUILD, guard=None, seconds=30) as server:
            drawn.add(server.port)
    assert len(drawn) > 1
