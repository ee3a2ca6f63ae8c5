from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from linkweather.errors import MeasurementError
from probes.throughput import time_limits
from probes.throughput.credentials import Credential, Guard, key_pair
from probes.throughput.iperf3_output import Interval
from probes.throughput.iperf3_server import OneOffServer, ServerPlace, serve_once
from probes.throughput.stop_rule import StopRule
from probes.throughput.time_limits import Limit
from tests import servers
from tests.probes.throughput import programs
from tests.probes.throughput.ends import BUILD, call

HERE = "127.0.0.5"
THERE = "127.0.0.6"


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    servers.require("iperf3")
    yield
    assert programs.children() == []


def ports(count: int = 1) -> list[int]:
    return [servers.free_port() for _ in range(count)]


def serving(guard: Guard | None = None, seconds: float = 10.0) -> AbstractAsyncContextManager[OneOffServer]:
    return serve_once(ServerPlace(HERE, ports()), BUILD, guard=guard, seconds=seconds)


async def test_a_reversed_test_is_measured_at_the_receiver() -> None:
    seen: list[Interval] = []
    async with serving() as server:
        result = await call(HERE, server.port, duration_s=1, bind=THERE, on_interval=seen.append)
        assert await server.finished() is None
    assert (result.failure, result.intervals_of, result.stopped_by) == (None, "receiver", "time")
    assert tuple(seen) == result.intervals
    assert len(seen) >= 4  # ten, on a host that is not busy
    assert result.goodput_bps is not None
    assert result.goodput_low_bps is not None
    assert result.goodput_high_bps is not None
    assert result.goodput_low_bps < result.goodput_bps < result.goodput_high_bps
    assert result.duration_s == pytest.approx(1.0, abs=0.1)
    assert result.bytes is not None
    assert result.retransmits is not None


async def test_a_fraction_of_a_second_is_kept_although_iperf3_counts_in_seconds() -> None:
    async with serving() as server:
        result = await call(HERE, server.port, duration_s=0.5)
        await server.finished()
    assert result.failure is None
    assert result.duration_s == pytest.approx(0.5, abs=0.15)
    assert result.retransmits is None  # an interrupted sender does not say


async def test_over_ipv6_it_is_the_same() -> None:
    async with serve_once(ServerPlace("::1", ports()), BUILD, guard=None, seconds=10) as server:
        result = await call("::1", server.port, duration_s=1, bind="::1")
    assert result.failure is None


async def test_several_streams_are_one_result() -> None:
    async with serving() as server:
        result = await call(HERE, server.port, duration_s=1, streams=3, congestion="reno")
    assert (result.failure, result.streams, result.congestion) == (None, 3, "reno")
    starts = [interval.start_s for interval in result.intervals]
    assert starts == sorted(set(starts))


@pytest.mark.parametrize("reverse", [True, False])
async def test_udp_has_a_rate_and_counts_datagrams(reverse: bool) -> None:  # noqa: FBT001 - a parameter
    async with serving() as server:
        result = await call(HERE, server.port, duration_s=1, reverse=reverse, udp_rate_bps=8e6)
    assert (result.failure, result.retransmits) == (None, None)
    assert result.goodput_bps == pytest.approx(8e6, rel=0.25)
    assert result.datagrams is not None
    assert result.datagrams.sent > 0
    assert result.datagrams.lost <= result.datagrams.sent


async def test_forward_against_a_plain_server_the_receivers_summary_counts() -> None:
    async with serving() as server:
        result = await call(HERE, server.port, duration_s=1, reverse=False)
    assert (result.failure, result.intervals_of, result.goodput_low_bps) == (None, "sender", None)
    assert result.goodput_bps is not None
    assert result.retransmits is not None
    assert result.sent is not None
    # Where the machine is busy, the connection that controls the test is seen to wait, too.
    assert max(each.acked_bytes for each in result.sent.connections) > 1e6
    assert result.sent.retransmits is not None


async def test_a_server_that_receives_tells_by_its_own_intervals_and_ends_the_test() -> None:
    async with (
        serving() as server,
        asyncio.TaskGroup() as group,
    ):
        calling = group.create_task(call(HERE, server.port, duration_s=5, reverse=False), name="call")
        result = await server.received(StopRule(0.5))
    assert (result.failure, result.intervals_of, result.stopped_by) == (None, "receiver", "time")
    assert result.duration_s == pytest.approx(0.5, abs=0.15)
    assert result.goodput_low_bps is not None
    assert len(result.intervals) >= 4
    assert calling.result().failure == "died"  # its server has ended, and said so


async def test_a_client_that_dies_while_a_server_receives_is_named() -> None:
    async with (
        serving() as server,
        asyncio.TaskGroup() as group,
    ):
        started = asyncio.Event()
        test = call(HERE, server.port, duration_s=5, reverse=False, on_interval=lambda _: started.set())
        calling = group.create_task(test, name="call")
        receiving = group.create_task(server.received(StopRule(5.0)), name="receive")
        await started.wait()
        calling.cancel()
        result = await receiving
    assert result.failure == "died"


async def test_a_server_to_which_nobody_comes_received_nothing() -> None:
    async with serving() as server:
        assert (await server.received(StopRule(1.0), accept_s=0.1)).failure == "no_connection"


async def test_a_connection_that_says_nothing_is_none_to_a_server_that_receives() -> None:
    async with serving() as server:
        with socket.create_connection((HERE, server.port)):
            assert (await server.received(StopRule(0.5), accept_s=0.3)).failure == "no_connection"


async def test_a_client_that_stalls_while_a_server_receives_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(time_limits.LIMITS, "margin", Limit(0.2, 0))
    command = [servers.require("iperf3"), "-c", HERE, "-t", "5", "-i", "0.1", "--forceflush", "-p"]
    async with (
        serving() as server,
        asyncio.TaskGroup() as group,
    ):
        receiving = group.create_task(server.received(StopRule(1.0)), name="receive")
        stalling = await asyncio.create_subprocess_exec(*command, str(server.port), stdout=asyncio.subprocess.PIPE)
        try:
            assert stalling.stdout
            async for line in stalling.stdout:
                if b" sec " in line:  # an interval
                    stalling.send_signal(signal.SIGSTOP)
                    break
            result = await receiving
        finally:
            with contextlib.suppress(ProcessLookupError):
                stalling.kill()
            await stalling.communicate()
    assert (result.failure, result.detail) == ("timeout", "the test was not over after 1.2 s")


async def test_the_right_secret_opens_and_a_wrong_one_is_an_auth_failure(tmp_path: Path) -> None:
    keys = await key_pair(tmp_path)
    files = programs.files(tmp_path)
    async with serving(Guard(keys, "s3cret")) as server:
        right = await call(HERE, server.port, duration_s=1, credential=Credential("s3cret", keys.public_pem))
    async with serving(Guard(keys, "s3cret")) as server:
        wrong = await call(HERE, server.port, duration_s=1, credential=Credential("other", keys.public_pem))
        # 3.12 goes on listening after it refused a client; for us that test is over.
        assert "authorization failed" in (await server.finished() or "")
    assert right.failure is None
    assert wrong.failure == "auth"
    assert "clocks" in (wrong.detail or "")
    assert programs.files(tmp_path) == files


async def test_a_taken_port_is_passed_over_and_an_exhausted_range_is_a_reason() -> None:
    first, second = ports(2)
    async with serve_once(ServerPlace(HERE, [first]), BUILD, guard=None, seconds=10):
        async with serve_once(ServerPlace(HERE, [first, second]), BUILD, guard=None, seconds=10) as server:
            assert server.port == second
        with pytest.raises(MeasurementError, match="ports_taken"):
            async with serve_once(ServerPlace(HERE, [first]), BUILD, guard=None, seconds=10):
                pytest.fail("it listens on a taken port")


async def test_an_address_that_is_not_ours_is_a_reason() -> None:
    with pytest.raises(MeasurementError, match="bind"):
        async with serve_once(ServerPlace("192.0.2.1", ports()), BUILD, guard=None, seconds=10):
            pytest.fail("it listens on a foreign address")


async def test_a_server_to_which_nobody_comes_is_over_soon() -> None:
    async with serving() as server:
        assert await server.finished(accept_s=0.1) == "no client connected"


async def test_the_watchdog_ends_a_server_that_an_idle_connection_holds() -> None:
    async with serving(seconds=0.5) as server:
        with socket.create_connection((HERE, server.port)):
            assert await server.finished(accept_s=5) is not None


async def test_nobody_listening_is_refused() -> None:
    assert (await call(HERE, ports()[0], duration_s=1)).failure == "refused"


async def test_a_name_that_does_not_resolve_is_unresolved() -> None:
    assert (await call("no-such-host.invalid", 5201, duration_s=1)).failure == "unresolved"


async def test_a_busy_server_says_so() -> None:
    async with serving() as server:
        started = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            test = call(HERE, server.port, duration_s=1, on_interval=lambda _: started.set())
            first = group.create_task(test, name="first")
            await started.wait()
            second = await call(HERE, server.port, duration_s=1)
    assert second.failure == "busy"
    assert first.result().failure is None


async def test_a_server_that_dies_in_the_test_is_named() -> None:
    async with serve_once(
        ServerPlace(HERE, ports()), BUILD, guard=None, seconds=2.0
    ) as server:  # its watchdog kills it
        result = await call(HERE, server.port, duration_s=5)
    assert (result.failure, result.goodput_bps) == ("died", None)
    assert result.intervals


async def test_a_server_that_accepts_and_says_nothing_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(time_limits.LIMITS, "margin", Limit(0.2, 0))
    with socket.create_server((HERE, 0)) as silent:
        result = await call(HERE, silent.getsockname()[1], duration_s=1)
    assert (result.failure, result.detail) == ("timeout", "the test was not over after 1.2 s")


@pytest.mark.parametrize(
    ("fault", "reason"), [("hangs", "timeout"), ("garbage", "garbage"), ("flood", "garbage"), ("dies", "died")]
)
async def test_a_broken_program_is_a_named_result(
    fault: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.install_fault(tmp_path, fault, monkeypatch)
    # A busy machine may take seconds to start what is broken in another way.
    monkeypatch.setitem(time_limits.LIMITS, "margin", Limit(0.5 if reason == "timeout" else 60.0, 0))
    assert (await call(HERE, 5201, duration_s=1)).failure == reason


@pytest.mark.parametrize(("fault", "reason"), [("hangs", "timeout"), ("garbage", "died"), ("dies", "died")])
async def test_a_broken_server_program_is_a_reason(
    fault: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.install_fault(tmp_path, fault, monkeypatch)
    monkeypatch.setitem(time_limits.LIMITS, "start", Limit(0.5 if reason == "timeout" else 60.0, 0))
    with pytest.raises(MeasurementError, match=reason):
        async with serve_once(ServerPlace(HERE, [5201]), BUILD, guard=None, seconds=10):
            pytest.fail("it listens")


async def test_a_cancelled_test_leaves_no_process_and_frees_its_server() -> None:
    async with serving() as server:
        started = asyncio.Event()
        test = call(HERE, server.port, duration_s=30, on_interval=lambda _: started.set())
        task = asyncio.create_task(test, name="test")
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # SIGINT says goodbye to the server; a killed client would hold it until its timeout of 3 s.
        async with asyncio.timeout(2):
            await server.finished()
