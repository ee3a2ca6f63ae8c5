"""Samples what the kernel knows of a running iperf3: the CPU that it wants, and its connections when it sends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from pathlib import Path

from probes.throughput import tcpinfo
from probes.throughput.iperf3_output import Interval
from probes.throughput.limiting import SenderEvidence
from probes.throughput.tcpinfo import TcpConnection

LOOK_EVERY_S = 0.1
# Of an interval must have passed between two samples that make a rate.
MIN_SHARE = 0.5
# Segments are full where so much has come in order, and by their number hardly more.
PROOF_BYTES = 100_000
PROOF_SHARE = 1.02
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


class ArrivalSampler:
    """Counts what arrives at a test's local ports, in order or not: iperf3 counts what is in order.

    Over a long path a lost segment holds back what follows it for a round trip or two; what arrives does not stop.
    Segments are counted, so they have to be full ones (a proxy's may not be), and each for itself (a network card may
    join them, and the kernel counts one).
    """

    def __init__(self) -> None:
        self.arrived_bytes = 0
        self._proven = False
        self._before: tuple[float, int] | None = None
        self._rate_bps: float | None = None

    def look(self, ports: Collection[int], interval: Interval) -> Interval:
        """The interval that has just ended, with the rate of what arrived; as it was where the kernel cannot say."""
        found = [each for port in ports for each in _connections(port, remote=False)]
        return self.counted(found, interval, time.monotonic())

    def counted(self, found: Collection[TcpConnection], interval: Interval, now: float) -> Interval:
        """The interval by what the connections have received at `now`."""
        arrived, received = (sum(each.arrived_bytes for each in found), sum(each.received_bytes for each in found))
        self._proven = received <= arrived and (
            self._proven or (received >= PROOF_BYTES and arrived <= PROOF_SHARE * received)
        )
        if not self._proven or not found:
            self._before = self._rate_bps = None
            return interval
        self.arrived_bytes = arrived
        before = self._before or (now, arrived)
        # Lines that a busy host reads together end at one time: one rate stands for all of them.
        if now - before[0] > MIN_SHARE * (interval.end_s - interval.start_s):
            self._rate_bps = 8 * (arrived - before[1]) / (now - before[0])
            before = now, arrived
        self._before = before
        return interval if self._rate_bps is None else replace(interval, rate_bps=self._rate_bps)


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
