from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from probes.throughput.iperf3_output import Interval
from probes.throughput.sampler import ArrivalSampler, CpuDemand, SenderSampler
from probes.throughput.tcpinfo import TcpConnection

DEFAULT_CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
SPIN = "while True: pass"


def await_demand(pid: int, wanted: Callable[[float], bool]) -> None:
    """Look at a process until its demand is as wanted: it has to start, and the kernel counts a wait when it is over.

    The time limit of a test ends it.
    """
    found = -1.0
    while not (found >= 0 and wanted(found)):
        demand = CpuDemand(pid)
        demand.look()
        assert demand.value is None  # one look is none
        threading.Event().wait(0.2)
        demand.look()
        assert demand.value is not None
        found = demand.value


def test_a_process_that_sleeps_wants_nothing() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            await_demand(process.pid, lambda demand: demand < 0.1)
        finally:
            process.kill()


def test_two_spinning_processes_on_one_core_each_want_all_of_it() -> None:
    core = str(min(os.sched_getaffinity(0)))
    spinning = [subprocess.Popen(["taskset", "-c", core, sys.executable, "-c", SPIN]) for _ in range(2)]
    try:
        await_demand(spinning[0].pid, lambda demand: demand > 0.9)
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def test_a_process_that_is_gone_has_no_value() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    demand = CpuDemand(process.pid)
    demand.look()
    demand.look()
    assert demand.value is None


def fill(sending: socket.socket) -> None:
    """Send until the receiver's window and our buffer are full."""
    while True:
        sending.send(bytes(65536))


async def test_the_kernel_tells_of_our_connection_while_it_sends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        sending, _ = server.accept()
        witness = SenderSampler(os.getpid(), server.getsockname()[1])
        with sending:
            sending.settimeout(0)
            with pytest.raises(BlockingIOError):
                fill(sending)
            watching = asyncio.create_task(witness.sample(), name="watch")
            async with asyncio.timeout(90):
                # The peer reads nothing: its window is full, and we wait for it.
                while witness.sent.limited_by != "receiver host":  # noqa: ASYNC110 - the kernel sets no Event
                    await asyncio.sleep(0.01)
            watching.cancel()
    assert witness.sent.retransmits is not None
    assert witness.sent.congestion == DEFAULT_CONGESTION


# Computes for as long as nobody else wants the processor, and sends a little now and then.
SLOW_SENDER = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
peer, _ = server.accept()
while True:
    peer.send(bytes(1000))
    sum(range(100_000))
"""


async def test_a_sender_that_computes_all_the_time_is_limited_by_its_host() -> None:
    sender = await asyncio.create_subprocess_exec(sys.executable, "-c", SLOW_SENDER, stdout=asyncio.subprocess.PIPE)
    assert sender.stdout is not None
    port = int(await sender.stdout.readline())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    witness = SenderSampler(sender.pid, port)
    watching = asyncio.create_task(witness.sample(), name="watch")
    try:
        async with asyncio.timeout(90):
            while witness.sent.limited_by != "sender host":
                assert await reader.read(65536)
    finally:
        watching.cancel()
        sender.kill()
        await sender.wait()
        writer.close()
    assert len(witness.sent.connections) == 1


async def test_where_the_kernel_does_not_tell_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(socket, "socket", refuse)
    witness = SenderSampler(os.getpid(), 5201)
    watching = asyncio.create_task(witness.sample(), name="watch")
    await asyncio.sleep(0)
    watching.cancel()
    assert witness.sent.connections == ()
    assert witness.sent.limited_by is None


def came(received: int, arrived: int) -> list[TcpConnection]:
    """A connection that has data, and the one that controls its test."""
    data, control = ((received, arrived), (100, 100))
    return [TcpConnection(b"", 0, 0, 0.0, 0.0, 0.0, None, *each) for each in (data, control)]


STALLED = Interval(1.0, 1.1, 0.0)


def test_what_waits_behind_a_lost_segment_has_arrived() -> None:
    arrivals = ArrivalSampler()
    assert arrivals.counted(came(1_000_000, 1_000_000), STALLED, 5.0) is STALLED  # one sample makes no rate
    assert arrivals.counted(came(1_000_000, 1_500_000), STALLED, 5.1).rate_bps == pytest.approx(40e6)
    assert arrivals.counted(came(2_250_000, 2_250_000), STALLED, 5.25).rate_bps == pytest.approx(40e6)
    assert arrivals.arrived_bytes == 2_250_100


def test_lines_that_are_read_together_share_a_rate() -> None:
    arrivals = ArrivalSampler()
    arrivals.counted(came(100_000, 100_000), STALLED, 5.0)
    late = arrivals.counted(came(100_000, 400_000), STALLED, 5.3)
    assert arrivals.counted(came(100_000, 401_000), STALLED, 5.301) == late
    # 100,000 since the first of those lines.
    assert arrivals.counted(came(100_000, 500_000), STALLED, 5.4).rate_bps == pytest.approx(8e6)


def test_segments_that_a_network_card_joined_count_for_nothing() -> None:
    arrivals = ArrivalSampler()
    arrivals.counted(came(1_000_000, 1_000_000), STALLED, 5.0)
    assert arrivals.counted(came(1_500_000, 1_400_000), STALLED, 5.1) is STALLED
    assert arrivals.counted(came(1_500_000, 1_600_000), STALLED, 5.2) is STALLED
    assert arrivals.counted([], STALLED, 5.3) is STALLED


def test_segments_that_are_not_full_count_for_nothing() -> None:
    arrivals = ArrivalSampler()
    # A few say nothing; of many, a fiftieth more is what control and the ends of blocks explain.
    assert arrivals.counted(came(50_000, 50_000), STALLED, 5.0) is STALLED
    assert arrivals.counted(came(1_000_000, 1_021_000), STALLED, 5.1) is STALLED
    assert arrivals.counted(came(2_000_000, 2_100_000), STALLED, 5.2) is STALLED
    arrivals.counted(came(3_000_000, 3_060_000), STALLED, 5.3)
    assert arrivals.counted(came(3_000_000, 3_560_000), STALLED, 5.4).rate_bps == pytest.approx(40e6)
    assert arrivals.counted([], STALLED, 5.5) is STALLED


def test_the_kernel_says_what_came_in_order_and_how_many_segments_that_took() -> None:
    arrivals = ArrivalSampler()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as receiving,
    ):
        sending, _ = server.accept()
        port = receiving.getsockname()[1]
        with sending:
            for _ in range(200):  # of one size, and each acknowledged: all segments are full
                sending.sendall(bytes(1_000))
                assert receiving.recv(1_000, socket.MSG_WAITALL)
            assert arrivals.look([port], STALLED) is STALLED
            assert arrivals.arrived_bytes == 200_000
