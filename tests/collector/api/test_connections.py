"""What a hostile caller does to the server's connections: real sockets, a real server."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from collector.api import connections
from collector.api.access import AccessControl, AccessRules
from collector.api.api_requests import answer_errors
from collector.api.connections import ConnectionCounts
from collector.api.event_feed import EventFeed, add_events
from collector.settings import ApiSettings
from linkweather.containment import overflows
from linkweather.mesh import Mesh
from tests import servers
from tests.collector.api.serving import served
from tests.waiting import until


@contextlib.asynccontextmanager
async def three_paths(**settings: Any) -> AsyncIterator[int]:
    """The port of a server of three paths: one that answers, one whose body is read, one without end."""
    app = FastAPI()
    answer_errors(app)
    app.add_middleware(AccessControl, rules=AccessRules())

    @app.get("/ok")
    async def ok() -> str:
        return "ok"

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                yield bytes(1 << 20)
                await asyncio.sleep(0)

        return StreamingResponse(pieces())

    add_events(app, EventFeed("boot"), lambda: Mesh.model_validate({"sites": {}}), 2)
    port = servers.free_port()
    async with served(app, ApiSettings(port=port, **settings)):
        yield port


async def answered(port: int, source: str = "127.0.0.1") -> bool:
    transport = httpx.AsyncHTTPTransport(local_address=source)
    async with httpx.AsyncClient(transport=transport, timeout=60) as http:
        with contextlib.suppress(httpx.HTTPError):
            return (await http.get(f"http://127.0.0.1:{port}/ok")).is_success
    return False


@contextlib.asynccontextmanager
async def opened(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the server ends the connection; what it sends before is left out."""
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 20):
                pass
    return True


async def test_one_client_takes_its_share_of_the_connections_and_leaves_the_rest_to_others() -> None:
    before = overflows().get("connections", 0)
    async with three_paths(max_connections=10, max_connections_per_client=4) as port:
        async with contextlib.AsyncExitStack() as held:
            for _ in range(4):
                await held.enter_async_context(opened(port))
            assert await answered(port, "127.0.0.2")
            async with opened(port) as (refused, _):
                assert (await refused.read()).startswith(b"HTTP/1.1 503 ")
            assert overflows()["connections"] == before + 1
        async with asyncio.timeout(60):
            while not await answered(port):  # noqa: ASYNC110 – the server sees the end of each in its turn
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /ok HT",
        b"GET /ok HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /ok HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    ],
    ids=["nothing", "half a line", "no end of headers", "half a body"],
)
async def test_a_request_that_comes_a_byte_at_a_time_is_cut_off(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.2)
    monkeypatch.setattr(connections, "BODY_S", 0.2)
    async with three_paths() as port:
        async with opened(port) as (reader, writer):
            for byte in sent:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            assert await ended(reader)
        assert await answered(port)


async def test_a_caller_that_does_not_read_its_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "STALLED_S", 0.2)
    before = overflows().get("time of callers", 0)
    async with three_paths() as port:
        with socket.create_connection(("127.0.0.1", port)) as lazy:
            await asyncio.get_running_loop().run_in_executor(
                None, lazy.sendall, b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            await until(lambda: overflows().get("time of callers", 0) > before)
        assert await answered(port)


async def test_a_head_of_any_length_is_refused() -> None:
    async with three_paths() as port:
        async with opened(port) as (reader, writer):
            with contextlib.suppress(ConnectionError):
                writer.write(b"GET /ok HTTP/1.1\r\nX: " + b"x" * (2 * connections.HEADER_BYTES_MAX))
                await writer.drain()
            assert await ended(reader)
        assert await answered(port)


async def test_one_address_opens_few_streams() -> None:
    async with three_paths() as port, contextlib.AsyncExitStack() as stack:
        statuses, heard = [], []
        for source in ("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.2"):
            transport = httpx.AsyncHTTPTransport(local_address=source)
            http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, timeout=60))
            answer = await stack.enter_async_context(http.stream("GET", f"http://127.0.0.1:{port}/api/v1/events"))
            statuses.append(answer.status_code)
            if answer.is_success:
                heard.append(answer.aiter_bytes())
                await anext(heard[-1])
        assert statuses == [200, 200, 429, 200]


async def test_descriptors_used_up_cost_the_callers_that_come_then_and_nothing_else() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = overflows().get("connections", 0)
    async with three_paths(max_connections=1000, max_connections_per_client=1000) as port:
        assert await answered(port)
        callers = [socket.socket() for _ in range(8)]
        free = socket.socket()
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (free.fileno() + 1, hard))
            free.close()
            for caller in callers:
                caller.setblocking(False)  # noqa: FBT003 – the library's form
                caller.connect_ex(("127.0.0.1", port))
            await until(lambda: overflows().get("connections", 0) > before)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for caller in callers:
                caller.close()
        assert await answered(port)


def test_counts_forget_who_has_left() -> None:
    counts = ConnectionCounts(2, 1)
    assert [counts.admit(client) for client in ("a", "a", "b", "c")] == [True, False, True, False]
    counts.release("a")
    assert counts.admit("c")
    assert dict(counts._of) == {"b": 1, "c": 1}
