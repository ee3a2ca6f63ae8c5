from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from probes.throughput.witness import CpuDemand, Witness

DEFAULT_CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
SPIN = "while True: pass"


def cpu_demand_of(pid: int) -> float:
    demand = CpuDemand(pid)
    demand.look()
    assert demand.value is None  # one look is none
    threading.Event().wait(0.3)
    demand.look()
    assert demand.value is not None
    return demand.value


def test_a_process_that_sleeps_wants_nothing() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            assert cpu_demand_of(process.pid) < 0.1
        finally:
            process.kill()


def test_two_spinning_processes_on_one_core_each_want_all_of_it() -> None:
    core = str(min(os.sched_getaffinity(0)))
    spinning = [subprocess.Popen(["taskset", "-c", core, sys.executable, "-c", SPIN]) for _ in range(2)]
    try:
        # Until taskset has become Python, its thread is the same.
        assert cpu_demand_of(spinning[0].pid) > 0.9
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
        witness = Witness(os.getpid(), server.getsockname()[1])
        with sending:
            sending.settimeout(0)
            with pytest.raises(BlockingIOError):
                fill(sending)
            watching = asyncio.create_task(witness.watch(), name="watch")
            async with asyncio.timeout(10):
                # The peer reads nothing: its window is full, and we wait for it.
                while witness.sent.limited_by != "receiver host":  # noqa: ASYNC110 - the kernel sets no Event
                    await asyncio.sleep(0.01)
            watching.cancel()
    assert witness.sent.retransmits is not None
    assert witness.sent.congestion == DEFAULT_CONGESTION


async def test_where_the_kernel_does_not_tell_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(socket, "socket", refuse)
    witness = Witness(os.getpid(), 5201)
    watching = asyncio.create_task(witness.watch(), name="watch")
    await asyncio.sleep(0)
    watching.cancel()
    assert witness.sent.connections == []
    assert witness.sent.limited_by is None
