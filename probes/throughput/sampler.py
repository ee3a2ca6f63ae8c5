"""Samples what the kernel knows of a running iperf3: the CPU that it wants, and its connections when it sends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from probes.throughput import tcpinfo
from probes.throughput.limiting import SenderEvidence
from probes.throughput.tcpinfo import TcpConnection

LOOK_EVERY_S = 0.1
_FAMILIES = (socket.AF_INET, socket.AF_INET6)  # a socket of IPv6 may carry IPv4
_NS_PER_S = 1e9


class CpuDemand:
    """How much of a core the busiest thread of a process wants: the time it ran, and the time it waited to run."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._first: tuple[float, Mapping[str, float]] | None = None
        self.value: float | None = None

    def look(self) -> None:
        """Read the counters; `value` is there from the second time on, if this kernel counts."""
        now, wanted = time.monotonic(), _wanted_s(self._pid)
        if not wanted:
            return
        if self._first is None:
            self._first = now, wanted
            return
        began, before = self._first
        self.value = max(each - before.get(thread, 0.0) for thread, each in wanted.items()) / (now - began)


class SenderSampler:
    """Samples one iperf3 that sends; `sent` is the last sample.

    `port` is the server's: ours, or the `remote` one where our iperf3 is the client.
    """

    def __init__(self, pid: int, port: int, *, remote: bool = False) -> None:
        self._port = port
        self._remote = remote
        self._cpu = CpuDemand(pid)
        # By cookie: the data's connection ends before the one that controls the test.
        self._connections: dict[bytes, TcpConnection] = {}

    @property
    def sent(self) -> SenderEvidence:
        """What the samples showed so far."""
        return SenderEvidence(tuple(self._connections.values()), self._cpu.value)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Take samples while the block runs."""
        # No TaskGroup: it would wrap what the block raises, and the block says why a test failed.
        task = asyncio.create_task(self.sample(), name=f"sampler[{self._port}]")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def sample(self) -> None:
        """Take a sample every `LOOK_EVERY_S` until cancelled; the CPU counts from the first connection on."""
        while True:
            found = [each for each in _connections(self._port, remote=self._remote) if each.busy_s > 0]
            if found:
                self._connections |= {each.cookie: each for each in found}
                self._cpu.look()
            await asyncio.sleep(LOOK_EVERY_S)


def _wanted_s(pid: int) -> dict[str, float]:
    """Thread → seconds that it ran or waited to run (Documentation/scheduler/sched-stats.rst); empty when unknown."""
    found: dict[str, float] = {}
    # The process or one of its threads may end meanwhile; then there is no value, or one thread fewer.
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError, ValueError):
                ran, waited, _ = (thread / "schedstat").read_text(encoding="ascii").split()
                found[thread.name] = (int(ran) + int(waited)) / _NS_PER_S
    return found


def _connections(port: int, *, remote: bool) -> list[TcpConnection]:
    """The connections from a local port, or to a remote one; none where this kernel has no sock_diag."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, tcpinfo.NETLINK_SOCK_DIAG) as asking:
            asking.settimeout(LOOK_EVERY_S)  # the kernel answers within the call
            return [each for family in _FAMILIES for each in _ask(asking, tcpinfo.request(family, port, remote=remote))]
    except OSError:
        return []


def _ask(asking: socket.socket, request: bytes) -> list[TcpConnection]:
    asking.send(request)
    found: list[TcpConnection] = []
    while True:
        more, last = tcpinfo.connections(asking.recv(1 << 16))
        found += more
        if last:
            return found
