"""TCP connect time against real ports: one that listens, one that refuses, one that keeps silent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime

import pytest

from linkweather.mesh import LatencyTests
from linkweather.wire import LatencyRow
from probes.latency.engine import LatencyEngine
from probes.latency.prober import load
from probes.latency.session import ProbeOutcome
from probes.latency.targets import LatencyPeer
from probes.latency.tcp import REFUSED
from tests import servers

HERE = "127.0.0.1"


class Measured:
    def __init__(self) -> None:
        self.rows: list[LatencyRow] = []
        self.samples: list[ProbeOutcome] = []

    def window(self, at: datetime, rows: list[LatencyRow]) -> None:
        del at
        self.rows.extend(rows)


async def measure(*ports: int, address: str = HERE, timeout_s: float = 1.0, count: int = 10) -> Measured:
    measured = Measured()
    tests = LatencyTests(interval_s=0.01, timeout_s=timeout_s, report_interval_s=1e9)
    engine = LatencyEngine(
        "a",
        load("tcp"),
        tests,
        on_window=measured.window,
        on_sample=measured.samples.append,
        count=count,
        key=bytes(32),
    )
    engine.set_peers([LatencyPeer(f"b{number}", address, port) for number, port in enumerate(ports)], tests)
    await engine.run()
    assert engine._exchanges is not None
    assert not engine._exchanges._running
    return measured


@pytest.fixture(params=[(socket.AF_INET, HERE), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"])
def listening(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    family, address = request.param
    with socket.create_server((address, 0), family=family) as server:
        yield server.getsockname()[:2]


async def test_a_listening_port_is_timed_by_the_kernel(listening: tuple[str, int]) -> None:
    address, port = listening
    (row,) = (await measure(port, address=address)).rows
    assert (row.method, row.sent, row.received, row.failure, row.detail) == ("tcp", 10, 10, None, None)
    assert row.timestamp == "kernel"
    assert row.rtt_min_s is not None
    assert row.rtt_min_s > 0


async def test_a_refusal_is_a_reply_on_the_user_clock() -> None:
    (row,) = (await measure(servers.free_port())).rows
    assert (row.sent, row.received, row.failure, row.detail, row.timestamp) == (10, 10, None, REFUSED, "user")


async def test_several_peers_are_told_apart(listening: tuple[str, int]) -> None:
    address, port = listening
    closed = servers.free_port()
    rows = (await measure(port, closed, address=address)).rows
    assert {row.dst: row.detail for row in rows} == {"b0": None, "b1": REFUSED}


async def test_a_silent_port_is_a_loss_at_the_timeout() -> None:
    # A full accept queue drops further SYNs: one connection more than the backlog fits in.
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind((HERE, 0))
        full.listen(0)
        for connection in (first, second):
            connection.settimeout(0.0)
            connection.connect_ex(full.getsockname())
        measured = await measure(full.getsockname()[1], timeout_s=0.1, count=3)
    (row,) = measured.rows
    assert (row.sent, row.received, row.failure, row.rtt_p50_s) == (3, 0, "no_reply", None)
    assert [sample.outcome for sample in measured.samples] == ["lost"] * 3


async def test_a_name_that_nobody_knows_is_a_failure_with_its_reason() -> None:
    tests = LatencyTests(interval_s=0.01, report_interval_s=0.1)
    rows: list[LatencyRow] = []

    def window(at: datetime, those: list[LatencyRow]) -> None:
        del at
        rows.extend(those)
        engine.stop()

    engine = LatencyEngine("a", load("tcp"), tests, on_window=window)
    engine.set_peers([LatencyPeer("b", "no-such-host.invalid", 443)], tests)
    await engine.run()
    assert {(row.method, row.failure) for row in rows} == {("tcp", "unresolved")}


async def test_what_our_own_kernel_refuses_is_a_failure_at_once() -> None:
    # TCP has no broadcast.
    measured = await measure(80, address="255.255.255.255", count=3)
    (row,) = measured.rows
    assert (row.sent, row.received, row.failure) == (3, 0, "unreachable")
    assert [sample.outcome for sample in measured.samples] == ["lost"] * 3
