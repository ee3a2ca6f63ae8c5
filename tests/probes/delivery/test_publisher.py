"""The publisher: everything that waits is sent, again after silence, and deleted only when committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from linkweather.broker import parse_broker
from linkweather.containment import overflows
from linkweather.mqtt import Connection
from linkweather.wire import (
    CONFLICT,
    Committed,
    LatencyReport,
    LatencyRow,
    ReportRefusal,
    SplitFrom,
    decode,
    encode,
    topics,
)
from probes.delivery.flight import WINDOW_REPORTS
from probes.delivery.outbox import Outbox, OutboxDepth
from probes.delivery.publisher import Publisher
from tests import servers
from tests.waiting import running_task, until


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "outbox.sqlite", new_boot=lambda: "boot")
    yield box
    box.close()


def add(outbox: Outbox, count: int) -> None:
    for _ in range(count):
        outbox.add("latency", lambda boot, seq: f"{boot}:{seq}".encode())


class Publishing(NamedTuple):
    publisher: Publisher
    connection: Connection
    sent: list[bytes]  # through the connection, whether or not it arrived


@asynccontextmanager
async def publishing(outbox: Outbox, port: int) -> AsyncIterator[Publishing]:
    sent: list[bytes] = []

    async def publish(topic: str, payload: bytes) -> bool:
        if connection.connected:
            sent.append(payload)
        return await connection.publish(topic, payload)

    connection = Connection(
        parse_broker(f"mqtt://127.0.0.1:{port}"),
        "site-a",
        subscriptions=(),
        handle=lambda _topic, _payload: None,
        on_connect=lambda: publisher.on_connect(connection.max_packet_bytes),
    )
    publisher = Publisher(outbox, "a", publish)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(connection.run(), name="mqtt"), group.create_task(publisher.run(), name="publisher")]
        try:
            yield Publishing(publisher, connection, sent)
        finally:
            for task in tasks:
                task.cancel()


@asynccontextmanager
async def listening(port: int) -> AsyncIterator[asyncio.Queue[tuple[str, bytes]]]:
    """What a collector would get."""
    got: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    ready = asyncio.Event()
    connection = Connection(
        parse_broker(f"mqtt://127.0.0.1:{port}"),
        "collector",
        subscriptions=(topics.ALL_REPORTS,),
        handle=lambda topic, payload: got.put_nowait((topic, payload)),
        on_connect=ready.set,
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(connection.run(), name="listener")
        await asyncio.wait_for(ready.wait(), 90)
        try:
            yield got
        finally:
            task.cancel()


async def test_what_waited_before_the_broker_came_is_published_in_order_and_stays_until_committed(
    outbox: Outbox, broker_port: int
) -> None:
    add(outbox, 3)
    async with listening(broker_port) as got, publishing(outbox, broker_port) as (publisher, _, sent):
        arrived = [await asyncio.wait_for(got.get(), 90) for _ in range(3)]
        assert arrived == [(topics.report("a", "latency"), b"boot:%d" % seq) for seq in range(3)]
        assert outbox.depth().reports == 3
        publisher.handle_committed(
            Committed(boot="boot", seqs=(0, 1), refused=(ReportRefusal(seq=2, reason="foreign"),))
        )
        await until(lambda: outbox.depth() == OutboxDepth(reports=0, dropped_reports=0, refused_reports=1))
    assert sorted(sent) == [b"boot:%d" % seq for seq in range(3)]


async def test_more_than_a_window_is_drained_as_the_collector_commits(outbox: Outbox, broker_port: int) -> None:
    count = 2 * WINDOW_REPORTS + 5
    add(outbox, count)
    async with listening(broker_port) as got, publishing(outbox, broker_port) as (publisher, _, sent):
        arrived = []
        for _ in range(count):
            seq = int((await asyncio.wait_for(got.get(), 90))[1].removeprefix(b"boot:"))
            arrived.append(seq)
            publisher.handle_committed(Committed(boot="boot", seqs=(seq,)))
        await until(lambda: outbox.depth().reports == 0)
    assert sorted(arrived) == list(range(count))
    assert sorted(sent) == sorted(b"boot:%d" % seq for seq in range(count))


async def test_an_uncommitted_report_is_sent_again(
    outbox: Outbox, broker_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.delivery.flight.RESEND_LEAST_S", 0.05)
    monkeypatch.setattr("probes.delivery.flight.COMMIT_UNKNOWN_S", 0.0)
    add(outbox, 1)
    async with listening(broker_port) as got, publishing(outbox, broker_port):
        arrived = [await asyncio.wait_for(got.get(), 90) for _ in range(3)]
    assert {payload for _, payload in arrived} == {b"boot:0"}


async def test_what_cannot_be_deleted_on_a_full_disk_stays_and_is_said_once(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    async def publish(_topic: str, _payload: bytes) -> bool:
        return True

    add(outbox, 2)
    outbox._db.execute("PRAGMA query_only = 1")  # every write fails, as on a disk that is full
    publisher = Publisher(outbox, "a", publish)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(publisher.run(), name="publisher")
        publisher.handle_committed(Committed(boot="boot", seqs=(0,)))
        await until(lambda: "committed reports cannot be deleted from the outbox now" in caplog.text)
        publisher.handle_committed(Committed(boot="boot", seqs=(0,)))
        await until(lambda: not publisher._receipts)
        outbox._db.execute("PRAGMA query_only = 0")
        assert outbox.depth().reports == 2
        publisher.handle_committed(Committed(boot="boot", seqs=(0, 1)))
        await until(lambda: outbox.depth().reports == 0)
        task.cancel()
    assert len(caplog.records) == 1


PEERS = tuple(f"site-{number}" for number in range(11))


def one_report(boot: str, seq: int) -> bytes:
    """What a site of twelve says of its links: some 2,700 octets."""
    values: dict[str, Any] = dict.fromkeys(
        ("rtt_min_s", "rtt_mean_s", "rtt_p50_s", "rtt_p95_s", "rtt_p99_s"), 0.0123456789
    )
    rows = tuple(
        LatencyRow(src="a", dst=peer, method="stamp", sent=50, received=50, timestamp="kernel", window_s=10.0, **values)
        for peer in PEERS
    )
    return encode(LatencyReport(boot=boot, seq=seq, at=datetime.now(UTC), links=rows))


@pytest.mark.parametrize("max_packet_bytes", [700, 1500])
async def test_a_broker_with_small_packets_gets_every_row_once(
    outbox: Outbox, tmp_path: Path, max_packet_bytes: int
) -> None:
    """What was written before the limit was known, and what is written after."""
    outbox.add("latency", one_report)
    rows: list[tuple[str, SplitFrom | None]] = []
    with servers.mosquitto(tmp_path, extra=f"max_packet_size {max_packet_bytes}\n") as port:
        async with listening(port) as got, publishing(outbox, port) as (publisher, connection, sent):
            await until(lambda: bool(sent))  # only what fits is sent: by now the outbox knows the limit
            outbox.add("latency", one_report)
            publisher.wake()
            while len(rows) < 2 * len(PEERS):
                report = decode(LatencyReport, (await asyncio.wait_for(got.get(), 90))[1])
                rows += [(row.dst, report.split_from) for row in report.links]
                publisher.handle_committed(Committed(boot=report.boot, seqs=(report.seq,)))
            assert connection.connected
            assert not connection.refusals.counts
            await until(lambda: not outbox.depth().reports)
    assert outbox.depth() == OutboxDepth(reports=0, dropped_reports=0, refused_reports=0)
    assert sorted(dst for dst, whole in rows if whole) == sorted(PEERS)
    assert sorted(dst for dst, whole in rows if whole is None) == sorted(PEERS)
    assert len(sent) == len(set(sent))
    assert sum(len(decode(LatencyReport, payload).links) for payload in sent) == 2 * len(PEERS)


@asynccontextmanager
async def sending(outbox: Outbox) -> AsyncIterator[tuple[Publisher, list[bytes]]]:
    """A publisher without a broker, and what it sends."""
    sent: list[bytes] = []

    async def publish(_: str, payload: bytes) -> bool:
        sent.append(payload)
        return True

    publisher = Publisher(outbox, "a", publish)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(publisher.run(), name="publisher")
        try:
            yield publisher, sent
        finally:
            task.cancel()


async def test_receipts_beyond_the_bound_are_dropped_and_counted_and_a_connection_is_not(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.delivery.publisher.MAX_RECEIPTS", 2)
    add(outbox, 1)
    before = overflows().get("receipts", 0)
    async with sending(outbox) as (publisher, sent):
        publisher.on_connect(None)
        for _ in range(3):
            publisher.handle_committed(Committed(boot="another"))
        assert overflows()["receipts"] == before + 1
        await until(lambda: bool(sent))
        publisher.handle_committed(Committed(boot="boot", seqs=(0,)))
        await until(lambda: outbox.depth().reports == 0)


async def test_of_two_connections_during_a_slow_write_the_newer_ones_limit_holds(outbox: Outbox) -> None:
    async with sending(outbox) as (publisher, sent):
        publisher.on_connect(None)
        publisher.on_connect(1500)  # before the outbox has heard of the first
        outbox.add("latency", one_report)
        publisher.wake()
        await until(lambda: bool(sent))
        before = len(sent)
        outbox.add("latency", one_report)
        publisher.wake()
        await until(lambda: len(sent) >= before + 2)
    assert max(map(len, sent)) < 1500


async def test_reports_whose_numbers_are_taken_are_sent_again_under_others(
    outbox: Outbox, broker_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.add("latency", one_report)
    async with listening(broker_port) as got, publishing(outbox, broker_port) as (publisher, _, sent):
        first = decode(LatencyReport, (await asyncio.wait_for(got.get(), 90))[1])
        taken = ReportRefusal(seq=first.seq, reason=CONFLICT)
        publisher.handle_committed(Committed(boot=first.boot, refused=(taken,)))
        again = decode(LatencyReport, (await asyncio.wait_for(got.get(), 90))[1])
    assert again.model_copy(update={"seq": first.seq}) == first
    assert again.seq == first.seq + 1
    assert sent == [encode(first), encode(again)]
    assert "the numbers of 1 reports belong to others in the collector's journal" in caplog.text


async def test_through_a_new_connection_each_report_is_sent_once_when_the_collector_is_heard(outbox: Outbox) -> None:
    """As after a broker's restart: it had us back first, and what it got before the collector came would be lost."""
    sent: list[bytes] = []

    async def publish(_: str, payload: bytes) -> bool:
        sent.append(payload)
        return True

    publisher = Publisher(outbox, "a", publish, collector_wait_s=60.0)
    add(outbox, 3)
    publisher.on_connect(None)
    async with running_task(publisher.run()):
        await until(lambda: publisher._limited and not publisher._wake.is_set())
        assert not sent
        publisher.start_over()
        await until(lambda: len(sent) == 3)
    assert sent == [b"boot:0", b"boot:1", b"boot:2"]
