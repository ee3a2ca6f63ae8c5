"""A member's share, over a real broker into a real journal: one site floods, and the others wait no longer for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from statistics import median

import pytest

from collector.ingest.ingest import Ingest
from collector.store.journal import Journal
from linkweather.broker import parse_broker
from linkweather.mesh import Mesh
from linkweather.mqtt import Connection
from linkweather.wire import Committed, decode, encode, topics
from tests import servers
from tests.collector.report_samples import NOON, latency
from tests.collector.waiting import until

PEERS = [f"p{number}" for number in range(100)]
MESH = Mesh.model_validate({"name": "m", "sites": {name: {"address": f"h-{name}"} for name in ("a", "b", *PEERS)}})
SLACK_S = 0.5  # two cores that others use as well


class Measured:
    """The site b, over a broker: how long its reports take until they are committed."""

    def __init__(self, port: int, journal: Journal) -> None:
        broker = parse_broker(f"mqtt://127.0.0.1:{port}")
        self.ingest = Ingest(journal, publish=self._publish, now=lambda: NOON)
        self.ingest.apply_mesh(MESH)
        self.collector = Connection(broker, "c", subscriptions=[topics.ALL_REPORTS], handle=self.ingest.handle)
        self.site = Connection(broker, "b", subscriptions=[topics.committed("b")], handle=self._hear)
        self._heard: dict[int, asyncio.Event] = {}
        self._seq = 0

    async def _publish(self, topic: str, payload: bytes) -> bool:
        return await self.collector.publish(topic, payload)

    def _hear(self, _topic: str, payload: bytes) -> None:
        for seq in decode(Committed, payload).seqs:
            self._heard[seq].set()

    async def times(self, count: int) -> list[float]:
        """Report one after the other, as sites do, at a distance."""
        found = []
        for _ in range(count):
            self._seq += 1
            self._heard[self._seq] = asyncio.Event()
            report = encode(latency(self._seq, site="b", peers=("a", *PEERS[:20])))
            started = time.monotonic()
            assert await self.site.publish(topics.report("b", "latency"), report)
            async with asyncio.timeout(90):
                await self._heard[self._seq].wait()
            found.append(time.monotonic() - started)
            await asyncio.sleep(0.05)
        return found


@contextlib.asynccontextmanager
async def measured(port: int, path: Path) -> AsyncIterator[Measured]:
    journal = Journal(path)
    sites = Measured(port, journal)
    works = (sites.site.run, sites.collector.run, sites.ingest.run)
    tasks = [asyncio.create_task(work(), name="test") for work in works]
    try:
        await until(lambda: sites.site.connected and sites.collector.connected)
        yield sites
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await sites.ingest.finish()
        journal.close()


@contextlib.contextmanager
def flood(port: int, log: Path, *peers: str) -> Iterator[None]:
    with servers.running(sys.executable, "-m", "tests.collector.ingest.flooding", str(port), *peers, log=log):
        yield


async def test_a_site_that_floods_delays_itself(tmp_path: Path) -> None:
    with servers.mosquitto(tmp_path, extra="max_inflight_messages 1000\n") as port:
        async with measured(port, tmp_path / "journal.duckdb") as sites:
            quiet = median(await sites.times(8))
            with flood(port, tmp_path / "flood.log", *PEERS):
                await until(lambda: sites.ingest.reports > 50)
                before = sites.ingest.reports
                flooded = median(await sites.times(8))
            assert sites.ingest.reports > before + 8
    assert flooded <= 2 * quiet + SLACK_S


async def test_invented_links_do_not_reach_the_journal_and_their_site_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    with servers.mosquitto(tmp_path) as port:
        async with measured(port, tmp_path / "journal.duckdb") as sites:
            with flood(port, tmp_path / "flood.log", "p1", *(f"invented-{number}" for number in range(50))):
                await until(lambda: sites.ingest.refused_rows > 200)
            with flood(port, tmp_path / "flood.log", "elsewhere"):
                await until(lambda: sites.ingest.refused["unknown_link"] > 3)
            rows = sites.ingest._quarantine._database.rows("SELECT DISTINCT dst FROM latency")
    assert rows == [("p1",)]
    (record,) = caplog.records
    assert "the site a reports links that the mesh does not have (the mesh has no site " in record.getMessage()
