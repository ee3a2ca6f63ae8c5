"""Collectors with shares, as a whole: a real broker, three real collectors, and a fourth alone on its own broker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import aiomqtt
import httpx
import pytest

from collector.cluster.shares import share_of
from collector.settings import ApiSettings, ClusterSettings, CollectorBroker, CollectorSettings, JournalSettings
from linkweather.wire import Committed, DeviceRow, LatencyReport, LatencyRow, Status, decode, encode, topics
from linkweather.wire.capacity import CapacityReport
from linkweather.wire.state_rows import StateRow, decode_state_row, encode_state_row
from linkweather.wire.throughput import ThroughputReport, ThroughputRow
from tests import servers
from tests.collector.running_collector import RunningCollector, running

SITES = [f"s{number}" for number in range(6)]
MESH = "".join(f'[sites.{site}]\naddress = "192.0.2.{number}"\n' for number, site in enumerate(SITES, start=1))


@pytest.fixture
def lone_broker(tmp_path: Path) -> Iterator[int]:
    with servers.mosquitto(tmp_path) as port:
        yield port


def settings_of(folder: Path, port: int, share: str | None, **cluster: Any) -> CollectorSettings:
    folder.mkdir()
    (folder / "mesh.toml").write_text(MESH)
    name = share.replace("/", "-of-") if share else None
    return CollectorSettings(
        broker=CollectorBroker(url=f"mqtt://127.0.0.1:{port}"),
        mesh=folder / "mesh.toml",
        data_dir=folder / "data",
        api=ApiSettings(port=servers.free_port()),
        journal=JournalSettings(memory_limit_mb=128),
        cluster=ClusterSettings(name="hubs", share=share, collector=name, **cluster) if share else None,
    )


@contextlib.asynccontextmanager
async def cluster_of(folder: Path, port: int, count: int = 3) -> AsyncIterator[list[RunningCollector]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                running(settings_of(folder / f"collector-{number}", port, f"{number}/{count}"))
            )
            for number in range(1, count + 1)
        ]


def client(port: int) -> aiomqtt.Client:
    return aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5)


def rtt_s(src: str, dst: str) -> float:
    """Everything is near s0, and far from everything else: relays by s0 are worth it."""
    return 0.010 if "s0" in (src, dst) else 0.050 + 0.001 * (int(src[1]) + int(dst[1]))


def reports(site: str, start: int) -> list[tuple[str, bytes]]:
    now, others = datetime.now(UTC), [other for other in SITES if other != site]
    links = tuple(
        LatencyRow(src=site, dst=dst, method="stamp", sent=50, received=50, rtt_p50_s=rtt_s(site, dst), rtt_p95_s=0.06)
        for dst in others
    )
    tests = tuple(ThroughputRow(src=src, dst=site, method="iperf3", goodput_bps=1e9) for src in others)
    found = [LatencyReport(boot="boot", seq=start + number, at=now, links=links) for number in range(3)]
    tested = ThroughputReport(boot="boot", seq=start + 3, at=now, links=tests)
    devices = CapacityReport(boot="boot", seq=start + 4, at=now, devices=(DeviceRow(type="a100", total=8),))
    return [(topics.report(site, one.kind), encode(one)) for one in (*found, tested, devices)]


async def play(broker: aiomqtt.Client, start: int = 0) -> dict[str, list[Committed]]:
    """Publish each site's reports and wait until all of them are committed: the receipts of each site."""
    await broker.subscribe(topics.committed("+"), qos=1)
    for site in SITES:
        for topic, payload in reports(site, start):
            await broker.publish(topic, payload, qos=1)
    receipts: dict[str, list[Committed]] = {site: [] for site in SITES}
    async with asyncio.timeout(30):
        async for message in broker.messages:
            parsed = topics.parse(message.topic.value)
            assert parsed is not None
            assert isinstance(message.payload, bytes)
            receipts[parsed.site].append(decode(Committed, message.payload))
            done = [{seq for one in found for seq in one.seqs} for found in receipts.values()]
            if all(set(range(start, start + 5)) <= seqs for seqs in done):
                return receipts
    raise AssertionError


async def until_decided(collector: RunningCollector) -> None:
    """Wait until every pair goes through s0: each collector decides so by all rows alone."""
    expected = {
        (src, dst): [src, dst] if "s0" in (src, dst) else [src, "s0", dst] for src, dst in permutations(SITES, 2)
    }

    def as_expected(answer: httpx.Response) -> bool:
        return {(one["src"], one["dst"]): one["path"]["sites"] for one in answer.json().get("routes", ())} == expected

    await collector.until("/api/v1/routes?objective=latency", as_expected)


def all_fresh(answer: httpx.Response) -> bool:
    """Whether every link is, by its owners' rows where they are others'."""
    return all((one["state"], one["goodput_state"]) == ("fresh", "fresh") for one in answer.json())


async def test_three_collectors_are_one(tmp_path: Path, broker_port: int, lone_broker: int) -> None:
    """Each report is in one record; any of them answers any question as a collector does that has all reports."""
    async with (
        cluster_of(tmp_path, broker_port) as cluster,
        running(settings_of(tmp_path / "alone", lone_broker, None)) as alone,
        client(broker_port) as sites,
        client(lone_broker) as same_sites,
    ):
        for site in SITES:
            await sites.publish(topics.status(site), encode(Status(state="online")), qos=1, retain=True)
        receipts = await play(sites)
        assert {one.journal for found in receipts.values() for one in found} == {"hubs"}
        await play(same_sites)
        for collector in (alone, *cluster):
            await until_decided(collector)
        ledgers = [await collector.get("/api/v1/ledger") for collector in cluster]
        assert [one["total"]["committed"] for one in ledgers] == [
            5 * sum(share_of(site, 3) == share for site in SITES) for share in range(3)
        ]
        assert all(one["balanced"] for one in ledgers)
        for collector in cluster:
            await collector.until("/api/v1/links", all_fresh)
            capacity = await collector.until("/api/v1/capacity", lambda found: len(found.json()) == len(SITES))
            assert {one["total"] for one in capacity.json()} == {8}
            assert (await collector.get("/readyz"))["degraded"] == []


async def test_a_history_is_asked_of_the_collector_that_keeps_it(tmp_path: Path, broker_port: int) -> None:
    async with cluster_of(tmp_path, broker_port) as cluster, client(broker_port) as sites:
        first = await cluster[0].http.get(_history("rtt_p50_s"))
        assert first.status_code in (200, 421)
        await play(sites)
        for number, collector in enumerate(cluster):
            for metric, end in (("rtt_p50_s", "s1"), ("goodput_bps", "s2")):
                owner = share_of(end, 3)
                if owner == number:
                    answer = await collector.until(_history(metric), lambda answer: answer.status_code == 200)
                    assert sum(one["count"] for one in answer.json()["buckets"]) == (3 if metric == "rtt_p50_s" else 1)
                else:
                    sentence = f"the collector {owner + 1}-of-3: ask there"
                    async with asyncio.timeout(30):
                        while sentence not in (answer := await collector.http.get(_history(metric))).text:  # noqa: ASYNC110
                            await asyncio.sleep(0.05)
                    assert answer.status_code == 421


async def test_a_history_over_any_span_is_that_of_the_source_s_collector(tmp_path: Path, broker_port: int) -> None:
    async with cluster_of(tmp_path, broker_port, count=2) as cluster:
        statuses = [(await one.http.get("/api/v1/history?src=s1&dst=s2")).status_code for one in cluster]
        assert statuses == [200 if share_of("s1", 2) == number else 421 for number in range(2)]


def _history(metric: str) -> str:
    return f"/api/v1/links/s1/s2/history?metric={metric}"


async def test_a_collector_that_starts_knows_all_links_by_the_retained_rows(tmp_path: Path, broker_port: int) -> None:
    """Also those of its own sites, where its disk is lost."""
    async with client(broker_port) as sites:
        async with cluster_of(tmp_path, broker_port) as cluster:
            await play(sites)
            for collector in cluster:
                await collector.until("/api/v1/links", all_fresh)
        (tmp_path / "again").mkdir()
        async with cluster_of(tmp_path / "again", broker_port) as cluster:
            for collector in cluster:
                await until_decided(collector)


async def test_two_collectors_with_one_share_say_so(tmp_path: Path, broker_port: int) -> None:
    async with client(broker_port) as sites, cluster_of(tmp_path, broker_port, count=1) as (collector,):
        await play(sites)
        site = SITES[0]
        await sites.subscribe(topics.state(site))
        async with asyncio.timeout(30):
            async for message in sites.messages:
                if message.topic.value == topics.state(site):
                    break
        row = decode_state_row(message.payload)
        for head in ({"mesh": "of-another"}, {"by": "another", "at": row.head.at + 100}):
            other = StateRow(row.head.model_copy(update=head), row.columns)
            await sites.publish(topics.state(site), encode_state_row(other), qos=1)
        await sites.publish(topics.state(site), b"no row", qos=1)
        await sites.publish(topics.state("of-no-mesh"), b"no row", qos=1)
        ready = await collector.until("/readyz", lambda answer: len(answer.json()["degraded"]) == 1)
        assert "the collector another publishes the state of s0, which is in" in ready.json()["degraded"][0]
        metrics = await collector.until("/metrics", lambda answer: 'reason="state_malformed"} 1.0' in answer.text)
        assert 'reason="state_of_another_mesh"} 1.0' in metrics.text


async def _send_again(sites: aiomqtt.Client, topic: str, payload: bytes) -> None:
    """As a site does until its report is committed: its owner may not have subscribed yet."""
    while True:
        await sites.publish(topic, payload, qos=1)
        await asyncio.sleep(1)


async def test_a_site_that_joins_the_mesh_is_listened_to(tmp_path: Path, broker_port: int) -> None:
    async with client(broker_port) as sites, cluster_of(tmp_path, broker_port, count=2) as cluster:
        for collector in cluster:
            mesh = collector.settings.mesh
            mesh.write_text(MESH + '[sites.new]\naddress = "192.0.2.99"\n')
            collector.daemon.reload()
            await collector.until("/api/v1/sites", lambda answer: len(answer.json()) == len(SITES) + 1)
        await sites.subscribe(topics.committed("new"), qos=1)
        row = LatencyRow(src="new", dst="s1", method="stamp", sent=50, received=50, rtt_p50_s=0.01)
        report = LatencyReport(boot="b", seq=0, at=datetime.now(UTC), links=(row,))
        sending = asyncio.create_task(_send_again(sites, topics.report("new", "latency"), encode(report)))
        async with asyncio.timeout(90):
            async for message in sites.messages:
                assert decode(Committed, message.payload).seqs == (0,)
                break
        sending.cancel()
        for collector in cluster:
            await collector.until("/api/v1/links/new/s1", lambda answer: answer.json()["state"] == "fresh")
