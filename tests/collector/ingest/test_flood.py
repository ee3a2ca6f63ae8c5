"""A member's share, over a real broker into a real journal: one site floods, and the others wait no longer for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from collector.ingest.ingest import Ingest
from collector.ingest.waiting_messages import SITE_BYTES
from collector.store.columns import Entry
from collector.store.journal import Journal
from linkweather.broker import parse_broker
from linkweather.mesh import Mesh
from linkweather.mqtt import Connection
from linkweather.wire import Committed, decode, encode, topics
from tests import servers
from tests.collector.report_samples import NOON, latency
from tests.waiting import until

PEERS = [f"p{number}" for number in range(100)]
MESH = Mesh.model_validate({"name": "m", "sites": {name: {"address": f"h-{name}"} for name in ("a", "b", *PEERS)}})


class Measured:
    """The site b, over a broker: how many reports are committed from the arrival of one of its own until it is, too.

    A count, and no time: what else the machine does is in both.
    """

    def __init__(self, port: int, journal: Journal) -> None:
        broker = parse_broker(f"mqtt://127.0.0.1:{port}")
        self.ingest = Ingest(journal, publish=self._publish, on_committed=self._committed, now=lambda: NOON)
        self.ingest.apply_mesh(MESH)
        self.collector = Connection(broker, "c", subscriptions=[topics.ALL_REPORTS], handle=self._handle)
        self.site = Connection(broker, "b", subscriptions=[topics.committed("b")], handle=self._hear)
        self.backlogs: list[int] = []  # bytes that waited as a report of b came
        self.overtaken: list[int] = []
        self._before = 0
        self.heard: set[int] = set()

    async def _publish(self, topic: str, payload: bytes) -> bool:
        return await self.collector.publish(topic, payload)

    def _handle(self, topic: str, payload: bytes) -> None:
        if "/site/b/" in topic:
            self.backlogs.append(self.ingest.waiting_bytes)
            self._before = self.ingest.reports
        self.ingest.handle(topic, payload)

    def _committed(self, entries: list[Entry]) -> None:
        if any(entry.site == "b" for entry in entries):
            self.overtaken.append(self.ingest.reports - self._before)

    def _hear(self, _topic: str, payload: bytes) -> None:
        self.heard.update(decode(Committed, payload).seqs)

    async def report(self, seq: int) -> None:
        """Report, and wait until it is committed."""
        report = encode(latency(seq, site="b", peers=("a", *PEERS[:20])))
        assert await self.site.publish(topics.report("b", "latency"), report)
        await until(lambda: seq in self.heard)


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
    def long(seq: int) -> bytes:
        return encode(latency(seq, peers=tuple(PEERS[:25]), detail="x" * 1000))

    share = SITE_BYTES // len(long(1)) + 1
    with servers.mosquitto(tmp_path) as port:
        async with measured(port, tmp_path / "journal.duckdb") as sites:
            for turn in range(3):
                for seq in range(200):  # there at once: how fast the machine is says nothing
                    sites.ingest.handle(topics.report("a", "latency"), long(1000 * turn + seq))
                await sites.report(turn)
    assert max(sites.backlogs) > 4 * SITE_BYTES
    # The batch under way as it came, and the one that has it.
    assert max(sites.overtaken) <= 2 * (share + 1)


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
