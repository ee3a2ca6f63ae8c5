"""A collector in this process, with a real broker, a real journal and real HTTP, and what a site has of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import httpx
import pytest

from collector.daemon import CollectorDaemon
from collector.settings import ApiSettings, CollectorBroker, CollectorSettings, JournalSettings
from linkweather.wire import LatencyReport, LatencyRow, encode
from tests import servers
from tests.waiting import until

TWO = '[sites.a]\naddress = "192.0.2.1"\n\n[sites.b]\naddress = "192.0.2.2"\n'
THREE = TWO + '\n[sites.c]\naddress = "192.0.2.3"\n'


def latency_report(seq: int, *, boot: str = "boot", p50_s: float = 0.02, ahead_s: float = 0, link: str = "ab") -> bytes:
    row = LatencyRow(
        src=link[0], dst=link[1], method="stamp", sent=50, received=49, rtt_p50_s=p50_s, rtt_p95_s=p50_s + 0.01
    )
    return encode(LatencyReport(boot=boot, seq=seq, at=datetime.now(UTC) + timedelta(seconds=ahead_s), links=(row,)))


@pytest.fixture
def settings(tmp_path: Path, broker_port: int) -> CollectorSettings:
    (tmp_path / "mesh.toml").write_text(TWO)
    return CollectorSettings(
        broker=CollectorBroker(url=f"mqtt://127.0.0.1:{broker_port}"),
        mesh=tmp_path / "mesh.toml",
        data_dir=tmp_path / "data",
        api=ApiSettings(port=servers.free_port()),
        journal=JournalSettings(memory_limit_mb=128),
    )


@dataclass
class RunningCollector:
    """A collector in this process, and ways to ask it."""

    settings: CollectorSettings
    http: httpx.AsyncClient
    daemon: CollectorDaemon

    async def get(self, path: str) -> Any:
        return (await self.http.get(path)).json()

    async def until(self, path: str, holds: Callable[[httpx.Response], bool]) -> httpx.Response:
        async with asyncio.timeout(90):
            while not holds(answer := await self.http.get(path)):  # noqa: ASYNC110 – a state behind HTTP
                await asyncio.sleep(0.02)
        return answer

    async def until_link(self, field: str, value: object) -> dict[str, Any]:
        answer = await self.until("/api/v1/links/a/b", lambda answer: answer.json().get(field) == value)
        link: dict[str, Any] = answer.json()
        return link


@contextlib.asynccontextmanager
async def running(settings: CollectorSettings) -> AsyncIterator[RunningCollector]:
    """A collector that is ready, stopped at the end as by SIGTERM."""
    found = CollectorDaemon(settings)
    stop = asyncio.Event()
    task = asyncio.create_task(found.run(stop), name="daemon")
    try:
        url = f"http://127.0.0.1:{settings.api.port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            await until(lambda: task.done() or found.parts.connection.connected)
            if task.done():
                await task
            yield RunningCollector(settings, http, found)
            stop.set()
            await task
    finally:
        task.cancel()
        await asyncio.wait([task])
        found.parts.exporters.close()
        found.parts.journal.close()
        found.parts.server.close()


@pytest.fixture
async def site(broker_port: int) -> AsyncIterator[aiomqtt.Client]:
    """What a site has of the broker: a plain MQTT client."""
    async with aiomqtt.Client("127.0.0.1", broker_port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        yield client


async def next_payload(client: aiomqtt.Client) -> bytes:
    async with asyncio.timeout(90):
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            return message.payload
    raise AssertionError("the connection ended")
