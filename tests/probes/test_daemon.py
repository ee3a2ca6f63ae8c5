"""Whole daemons against a real broker: they measure each other, lose nothing, and follow the mesh."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from linkweather.broker import Broker, BrokerSettings, parse_broker
from linkweather.mesh import Mesh
from linkweather.mqtt import Connection
from linkweather.wire import Committed, LinkReport, LinkWeights, Row, Status, decode, decode_report, encode, topics
from probes.daemon import ProbeDaemon
from probes.delivery.outbox import Outbox
from probes.settings import ProbeSettings
from tests import servers
from tests.mesh_messages import mesh_messages, part_messages
from tests.waiting import until

LIMIT_S = 90.0
# Every test has addresses of loopback to itself: the reflectors' port is the same everywhere.
_ADDRESSES = (f"127.{random.randrange(100, 200)}.{random.randrange(1, 250)}.{n}" for n in itertools.count(1))


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No peer of these tests needs a second to learn of a goodbye, and a status that changed need not wait for ten."""
    monkeypatch.setattr("probes.presence.LINGER_S", 0.05)
    monkeypatch.setattr("probes.status_publisher.STATUS_EVERY_S", 0.5)


@dataclass
class Collector:
    """Stands in for the collector: keeps what arrives, and commits it while `committing` is set, as from the start."""

    port: int
    broker: Broker | None = None
    committing: asyncio.Event = field(default_factory=asyncio.Event)
    reports: dict[str, list[LinkReport]] = field(default_factory=lambda: defaultdict(list))
    statuses: dict[str, Status] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.committing.set()
        self.connection = Connection(
            self.broker or parse_broker(f"mqtt://127.0.0.1:{self.port}"),
            "collector",
            subscriptions=(topics.ALL_REPORTS, topics.ALL_STATUSES),
            handle=self.handle,
            on_connect=self.changed.set,
        )
        self.to_commit: asyncio.Queue[tuple[str, str, int]] = asyncio.Queue()

    def handle(self, topic: str, payload: bytes) -> None:
        parsed = topics.parse(topic)
        assert parsed is not None
        if parsed.name == "status":
            self.statuses[parsed.site] = decode(Status, payload)
        else:
            report = decode_report(parsed.site, parsed.detail, payload).report
            assert isinstance(report, LinkReport)
            self.reports[parsed.site].append(report)
            self.to_commit.put_nowait((parsed.site, report.boot, report.seq))
        self.changed.set()

    async def commit(self) -> None:
        while True:
            site, boot, seq = await self.to_commit.get()
            await self.committing.wait()
            await self.connection.publish(topics.committed(site), encode(Committed(boot=boot, seqs=(seq,))))

    async def mesh(self, *addresses: str, **more: Any) -> None:
        sites = {chr(ord("a") + number): {"address": address} for number, address in enumerate(addresses)}
        tests = {
            "latency": {"report_interval_s": 0.5, "interval_s": 0.05},
            "throughput": {"enabled": False},
            "path": {"enabled": False},
        }
        origin = {key: more.pop(key) for key in ("journal", "replaces") if key in more}
        mesh = Mesh.model_validate({"sites": sites} | tests | more)
        await self.publish(mesh_messages(mesh, **origin))

    async def publish(self, messages: Iterable[tuple[str, bytes]]) -> None:
        for topic, payload in messages:
            await self.connection.publish(topic, payload, retain=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def offline(self, *sites: str) -> None:
        """Wait for the last status of sites that were stopped: the broker has it before the collector."""
        await self.until(lambda: all(self.statuses[site].state == "offline" for site in sites))


@asynccontextmanager
async def collecting(port: int, broker: Broker | None = None) -> AsyncIterator[Collector]:
    collector = Collector(port, broker)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(collector.connection.run()), group.create_task(collector.commit())]
        try:
            await collector.until(lambda: collector.connection.connected)
            yield collector
        finally:
            for task in tasks:
                task.cancel()


@asynccontextmanager
async def probing(
    site: str, address: str, port: int, folder: Path, allow: tuple[str, ...] | None = None
) -> AsyncIterator[ProbeDaemon]:
    broker = BrokerSettings(url=f"mqtt://127.0.0.1:{port}")
    settings = ProbeSettings(site=site, broker=broker, data_dir=folder / site, bind=(address,), allow=allow)
    stop = asyncio.Event()
    daemon = ProbeDaemon(settings, iperf3=None, throughput_problem="iperf3 is too old")
    async with asyncio.TaskGroup() as group:
        group.create_task(daemon.run(stop), name=f"daemon[{site}]")
        try:
            yield daemon
        finally:
            stop.set()


def addresses(count: int) -> list[str]:
    return list(itertools.islice(_ADDRESSES, count))


async def test_two_sites_measure_each_other_and_forget_only_what_is_committed(broker_port: int, tmp_path: Path) -> None:
    both = addresses(2)
    async with collecting(broker_port) as collector:
        async with (
            probing("a", both[0], broker_port, tmp_path) as first,
            probing("b", both[1], broker_port, tmp_path) as second,
        ):
            collector.committing.clear()
            await collector.mesh(*both)
            await collector.until(lambda: all(len(collector.reports[site]) >= 3 for site in "ab"))
            await collector.until(lambda: any(row.failure is None for row in _rows(collector, "a")))
            row = next(row for row in _rows(collector, "a") if row.failure is None)
            assert (row.src, row.dst, row.method) == ("a", "b", "stamp")
            assert all(daemon._outbox.depth().reports >= 3 for daemon in (first, second))
            collector.committing.set()
            # Later ones wait meanwhile.
            last = [(first, collector.reports["a"][-1].seq), (second, collector.reports["b"][-1].seq)]
            await until(lambda: all(min(daemon._outbox.oldest(1), default=seq + 1) > seq for daemon, seq in last))
        await collector.offline("a", "b")
    assert set(collector.statuses) == {"a", "b"}


async def test_what_was_measured_while_the_broker_was_away_arrives_complete(tmp_path: Path) -> None:
    (address, peer), port = addresses(2), servers.free_port()
    async with AsyncExitStack() as stack:
        with servers.mosquitto(tmp_path, port):
            async with collecting(port) as collector, probing("a", address, port, tmp_path):
                await collector.mesh(address, peer)
                await collector.until(lambda: len(collector.reports["a"]) >= 1)
        # The broker is gone, and the second run of the daemon starts without it.
        daemon = await stack.enter_async_context(probing("a", address, port, tmp_path))
        await until(lambda: daemon._outbox.depth().reports >= 4)
        with servers.mosquitto(tmp_path, port):
            async with collecting(port) as collector:

                def complete() -> bool:  # new reports come beside the old ones
                    seqs = {report.seq for report in collector.reports["a"]}
                    return len(seqs) >= 4 and max(seqs) - min(seqs) == len(seqs) - 1

                await collector.until(complete)
                rows = [row for report in collector.reports["a"][:3] for row in report.links]
                assert {row.failure for row in rows} <= {"no_reply", "refused"}


async def test_a_changed_mesh_is_followed_without_a_restart(broker_port: int, tmp_path: Path) -> None:
    first, second, third = addresses(3)
    async with collecting(broker_port) as collector, probing("a", first, broker_port, tmp_path) as daemon:
        await collector.mesh(first, second)
        await collector.until(lambda: bool(collector.reports["a"]))
        await collector.mesh(first, second, third)
        await collector.until(lambda: {row.dst for row in collector.reports["a"][-1].links} == {"b", "c"})
        await collector.publish(part_messages("a", b'{"site":"a","sites":[]}'))
        await collector.connection.publish(topics.committed("a"), b"not JSON")
        count = len(collector.reports["a"])
        await collector.until(lambda: len(collector.reports["a"]) > count + 1)
        assert {row.dst for row in collector.reports["a"][-1].links} == {"b", "c"}
        assert daemon.ignored == {"malformed": 1}


async def test_status_says_when_the_next_tests_are_due_and_why_the_site_cannot_run_them(
    broker_port: int, tmp_path: Path
) -> None:
    both = addresses(2)
    async with collecting(broker_port) as collector:
        async with probing("a", both[0], broker_port, tmp_path):
            await collector.until(lambda: "a" in collector.statuses)
            assert collector.statuses["a"].throughput_problem == "iperf3 is too old"
            assert collector.statuses["a"].capabilities.count("throughput") == 0
            await collector.mesh(*both, throughput={"every_s": 3600.0, "slot_s": 5.0})
            await collector.until(lambda: bool(collector.statuses["a"].next_tests))
            (due,) = collector.statuses["a"].next_tests
            assert (due.src, due.reason, due.waits_for) == ("b", "first", None)
            assert abs(due.at.timestamp() - time.time()) <= 20  # three slots make a table
            weights = LinkWeights(site="a", at=due.at, src=("b",), rounds=(0.5,))
            await collector.connection.publish(topics.weights("a"), encode(weights), retain=True)
        async with probing("a", both[0], broker_port, tmp_path):
            await collector.until(lambda: [test.rounds for test in collector.statuses["a"].next_tests] == [0.5])
        await collector.offline("a")
    assert collector.statuses["a"].next_tests == ()


def waited_for_a_core_s() -> float:
    """For how long this thread could run and others did (Documentation/scheduler/sched-stats.rst)."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


async def test_a_disk_that_takes_150_ms_a_sync_makes_no_probe_late_by_more_than_a_slot(
    broker_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that waits for the disk once is late by 150 ms; a slot is 50 ms. A timer stands for the probes."""
    commit, sync, slow = Outbox._done, os.fsync, []

    def slow_commit(*args: Any) -> Any:
        time.sleep(0.15)
        slow.append("commit")
        return commit(*args)

    def slow_sync(file: int) -> None:
        time.sleep(0.15)
        slow.append("sync")
        sync(file)

    monkeypatch.setattr(Outbox, "_done", slow_commit)
    monkeypatch.setattr("linkweather.atomicfile.os.fsync", slow_sync)
    address, peer = addresses(2)
    latest_s = 0.0
    async with collecting(broker_port) as collector, probing("a", address, broker_port, tmp_path):
        await collector.mesh(address, peer, journal="j1")
        # The mesh and the followed journal, each a file and its folder.
        while len(collector.reports["a"]) < 4 or slow.count("sync") < 4:
            due, before_s = time.monotonic() + 0.005, waited_for_a_core_s()
            await asyncio.sleep(0.005)
            latest_s = max(latest_s, time.monotonic() - due - (waited_for_a_core_s() - before_s))
    assert slow.count("commit") > 8
    assert latest_s < 0.1


async def test_a_new_port_moves_the_reflector(broker_port: int, tmp_path: Path) -> None:
    both = addresses(2)
    async with collecting(broker_port) as collector, AsyncExitStack() as stack:
        for site, address in zip("ab", both, strict=True):
            await stack.enter_async_context(probing(site, address, broker_port, tmp_path))
        await collector.mesh(*both)
        await collector.until(lambda: any(row.failure is None for row in _rows(collector, "a")))
        moved = {site: {"address": address, "port": 8700} for site, address in zip("ab", both, strict=True)}
        collector.reports.clear()
        await collector.mesh(*both, sites=moved)
        await collector.until(lambda: len(collector.reports["a"]) >= 3)
        await collector.until(lambda: collector.reports["a"][-1].links[0].failure is None)


def _rows(collector: Collector, site: str) -> list[Row]:
    return [row for report in collector.reports[site] for row in report.links]


async def test_whom_a_site_does_not_allow_gets_no_reply_and_its_goodbye_says_how_many(
    broker_port: int, tmp_path: Path
) -> None:
    both = addresses(2)
    async with collecting(broker_port) as collector:
        async with (
            probing("a", both[0], broker_port, tmp_path),
            probing("b", both[1], broker_port, tmp_path, allow=("192.0.2.0/24",)),
        ):
            await collector.mesh(*both)
            await collector.until(lambda: any(row.failure == "no_reply" for row in _rows(collector, "a")))
            await collector.until(lambda: any(row.failure is None for row in _rows(collector, "b")))
        await collector.offline("a", "b")
    assert collector.statuses["a"].dropped_datagrams == 0
    assert collector.statuses["b"].dropped_datagrams > 0


@pytest.mark.parametrize("site", ["a", "zz"])
async def test_a_site_outside_the_mesh_only_waits(site: str, broker_port: int, tmp_path: Path) -> None:
    (address,) = addresses(1)
    async with collecting(broker_port) as collector:
        async with probing(site, address, broker_port, tmp_path):
            await collector.mesh(address, name="small")
            await collector.until(lambda: collector.statuses.get(site) is not None)
        await collector.offline(site)
    assert not collector.reports[site]


async def test_what_another_journal_has_committed_stays_in_the_outbox(
    broker_port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (address,) = addresses(1)
    async with collecting(broker_port) as collector, probing("a", address, broker_port, tmp_path) as daemon:
        await collector.mesh(address, "192.0.2.1", journal="j1")
        collector.committing.clear()
        await until(lambda: daemon._outbox.depth().reports > 0)
        await collector.mesh(address, journal="j2")
        await collector.connection.publish(
            topics.committed("a"), encode(Committed(journal="j2", boot=daemon._outbox.boot, seqs=tuple(range(100))))
        )
        await until(lambda: daemon.ignored["other_journal"] == 3)
        assert daemon._outbox.depth().reports > 0
        assert "a second collector, of the journal j2, is on this broker" in caplog.text
        collector.changed.clear()
        await collector.until(lambda: collector.statuses["a"].journal == "j1")
        await collector.mesh(address, "192.0.2.1", journal="j2", replaces=("j1",))
        await collector.until(lambda: collector.statuses["a"].journal == "j2")
