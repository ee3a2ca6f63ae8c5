"""The publisher: everything that waits is sent, again after silence, and deleted only when committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from linkweather.broker import parse_broker
from linkweather.mqtt import Connection
from linkweather.wire import Committed, ReportRefusal, topics
from probes.outbox import Depth, Outbox
from probes.publisher import RESEND_FIRST_S, RESEND_MAX_S, WINDOW_REPORTS, Flight, Publisher


def test_each_report_is_due_once_and_again_after_the_resend_time() -> None:
    flight = Flight()
    assert flight.due([1, 2], now=0.0) == [1, 2]
    flight.sent([1, 2], now=0.0)
    assert flight.due([1, 2, 3], now=1.0) == [3]
    assert flight.due([1, 2, 3], now=RESEND_FIRST_S) == [1, 2, 3]


def test_patience_doubles_with_each_resend_up_to_a_minute_and_returns_when_the_collector_speaks() -> None:
    flight = Flight()
    flight.sent([1], now=0.0)
    waits = []
    for _ in range(7):
        flight.sent([1], now=0.0)
        waits.append(flight.wait_s(now=0.0))
    assert waits == [6.0, 12.0, 24.0, 48.0, RESEND_MAX_S, RESEND_MAX_S, RESEND_MAX_S]
    flight.settled([99])
    assert flight.wait_s(now=1.0) == 2.0
    flight.settled([1])
    assert flight.wait_s(now=0.0) is None


def test_a_new_connection_makes_everything_due() -> None:
    flight = Flight()
    flight.sent([1], now=0.0)
    flight.forget()
    assert flight.due([1], now=0.1) == [1]


def test_a_report_dropped_in_flight_is_not_waited_for() -> None:
    flight = Flight()
    flight.sent([1, 2], now=0.0)
    flight.due([2], now=1.0)
    flight.settled([2])
    assert flight.wait_s(now=5.0) is None


def test_a_wait_that_is_over_is_zero_and_not_negative() -> None:
    flight = Flight()
    flight.sent([1], now=0.0)
    assert flight.wait_s(now=100.0) == 0.0


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "outbox.sqlite", new_boot=lambda: "boot")
    yield box
    box.close()


def add(outbox: Outbox, count: int) -> None:
    for _ in range(count):
        outbox.add("latency", lambda boot, seq: f"{boot}:{seq}".encode())


@asynccontextmanager
async def publishing(outbox: Outbox, port: int) -> AsyncIterator[tuple[Publisher, Connection]]:
    connection = Connection(
        parse_broker(f"mqtt://127.0.0.1:{port}"),
        "site-a",
        subscriptions=(),
        handle=lambda _topic, _payload: None,
        on_connect=lambda: publisher.start_over(),  # noqa: PLW0108  (bound below)
    )
    publisher = Publisher(outbox, "a", connection.publish)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(connection.run(), name="mqtt"), group.create_task(publisher.run(), name="publisher")]
        try:
            yield publisher, connection
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
        await asyncio.wait_for(ready.wait(), 10)
        try:
            yield got
        finally:
            task.cancel()


async def test_what_waited_before_the_broker_came_is_published_in_order_and_stays_until_committed(
    outbox: Outbox, broker_port: int
) -> None:
    add(outbox, 3)
    async with listening(broker_port) as got, publishing(outbox, broker_port) as (publisher, _):
        arrived = [await asyncio.wait_for(got.get(), 10) for _ in range(3)]
        assert arrived == [(topics.report("a", "latency"), b"boot:%d" % seq) for seq in range(3)]
        assert outbox.depth().reports == 3
        publisher.handle_committed(
            Committed(boot="boot", seqs=(0, 1), refused=(ReportRefusal(seq=2, reason="foreign"),))
        )
        assert outbox.depth() == Depth(reports=0, dropped_reports=0, refused_reports=1)


async def test_more_than_a_window_is_drained_as_the_collector_commits(outbox: Outbox, broker_port: int) -> None:
    count = 2 * WINDOW_REPORTS + 5
    add(outbox, count)
    async with listening(broker_port) as got, publishing(outbox, broker_port) as (publisher, _):
        for seq in range(count):
            assert (await asyncio.wait_for(got.get(), 10))[1] == b"boot:%d" % seq
            publisher.handle_committed(Committed(boot="boot", seqs=(seq,)))
    assert outbox.depth().reports == 0


async def test_an_uncommitted_report_is_sent_again(
    outbox: Outbox, broker_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.publisher.RESEND_FIRST_S", 0.05)
    add(outbox, 1)
    async with listening(broker_port) as got, publishing(outbox, broker_port):
        arrived = [await asyncio.wait_for(got.get(), 10) for _ in range(3)]
    assert {payload for _, payload in arrived} == {b"boot:0"}


def test_what_cannot_be_deleted_on_a_full_disk_stays_and_the_probe_goes_on(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    async def publish(_topic: str, _payload: bytes) -> bool:
        return True

    add(outbox, 1)
    outbox._db.execute("PRAGMA query_only = 1")  # every write fails, as on a disk that is full
    publisher = Publisher(outbox, "a", publish)
    publisher.handle_committed(Committed(boot="boot", seqs=(0,)))
    assert "committed reports cannot be deleted from the outbox now" in caplog.text
    outbox._db.execute("PRAGMA query_only = 0")
    assert outbox.depth().reports == 1
    publisher.handle_committed(Committed(boot="boot", seqs=(0,)))
    assert outbox.depth().reports == 0
