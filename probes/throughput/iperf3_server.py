"""Runs the iperf3 program as a one-off server, for one invited peer: it sends, or we read what it receives."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from linkweather.errors import MeasurementError
from probes.throughput import iperf3_process as programs
from probes.throughput.credentials import CLOCK_SKEW_S, Guard, private_file, users_line
from probes.throughput.iperf3_client import follow
from probes.throughput.iperf3_output import Fault, Transcript
from probes.throughput.limiting import SenderEvidence
from probes.throughput.result import Result, conclude
from probes.throughput.sampler import CpuDemand, SenderSampler
from probes.throughput.stop_rule import StoppedBy, StopRule

DEFAULT_PORTS = range(5201, 5211)
START_LIMIT_S = 2.0
ACCEPT_LIMIT_S = 2.5


@dataclass(slots=True)
class OneOffServer:
    """A one-off server that listens."""

    port: int
    _process: asyncio.subprocess.Process
    _lines: AsyncIterator[str]
    _witness: SenderSampler

    @property
    def sent(self) -> SenderEvidence:
        """What our kernel saw of the test so far, or of all of it when it is over."""
        return self._witness.sent

    async def finished(self, accept_s: float = ACCEPT_LIMIT_S) -> str | None:
        """Wait until the test is over; None when it went well, else what the server says about it.

        The wait is for the client at most `accept_s`, and ends with the lease.
        """
        async with self._witness.watching():
            return await self._over(accept_s)

    async def received(self, rule: StopRule, accept_s: float = ACCEPT_LIMIT_S) -> Result:
        """What arrives from a client that sends: its intervals are the receiver's, and the rule stops the test."""
        transcript, cpu = Transcript(), CpuDemand(self._process.pid)
        ended = await self._hear(transcript, cpu, rule, accept_s)
        return conclude(
            transcript,
            reverse=True,
            congestion=None,
            ended=ended,
            status=self._process.returncode,
            cpu_demand=cpu.value,
            limit_bytes=rule.blocks_bytes,
        )

    async def _hear(self, transcript: Transcript, cpu: CpuDemand, rule: StopRule, accept_s: float) -> Fault | StoppedBy:
        try:
            async with asyncio.timeout(accept_s):
                said = await self._next("Accepted connection", "iperf3: error")
        except TimeoutError:
            return Fault("no_connection", f"the peer was to connect, and did not within {accept_s:g} s")
        transcript.feed(said or "")
        # SIGINT to a server that receives: it prints its summary and tells the client that the test is over.
        return await follow(self._process, self._lines, transcript, rule, lambda _: cpu.look())

    async def _over(self, accept_s: float) -> str | None:
        try:
            async with asyncio.timeout(accept_s):
                said = await self._next("Accepted connection", "iperf3: error")
        except TimeoutError:
            return "nobody came"
        if said is not None and "error" not in said:
            # A refused client leaves a one-off server of 3.12 listening: its error is the end for us.
            said = await self._next("iperf3: error")
        if said is None and await self._process.wait() != 0:
            return "ended before the test was over"
        return said

    async def _next(self, *wanted: str) -> str | None:
        async for line in self._lines:
            if line.startswith(wanted):
                return line
        return None


@contextlib.asynccontextmanager
async def serve_once(
    bind: str | None, ports: Sequence[int], *, guard: Guard | None, seconds: float
) -> AsyncIterator[OneOffServer]:
    """Serve one test on the first free port, for `seconds` at the most: then the watchdog kills the server.

    Raises MeasurementError: `ports_taken` when every port is in use, or why the server does not start;
    OperatorError when there is no iperf3.
    """
    program = programs.find()
    with _asked(guard) as options:
        for port in ports:
            # -B comes from our settings; an idle connection hangs a 3.12 server whatever its timeouts.
            command = [program, "-s", "-1", "-p", str(port), *(("-B", bind) if bind else ()), "--forceflush"]
            command += [
                "-i",
                "0.1",
                "-f",
                "k",
                "--idle-timeout",
                str(math.ceil(seconds)),
                "--rcv-timeout",
                "3000",
                "--snd-timeout",
                "3000",
            ]
            async with programs.child([*command, *options], {}) as process:
                said = programs.lines(process)
                fault = await _listening(said)
                if fault is None:
                    watchdog = asyncio.get_running_loop().call_later(seconds, programs.send, process, signal.SIGKILL)
                    try:
                        yield OneOffServer(port, process, said, SenderSampler(process.pid, port))
                    finally:
                        watchdog.cancel()
                    return
            if fault.reason != "port_taken":
                raise MeasurementError(fault.reason, fault.detail)
    raise MeasurementError("ports_taken", f"every port of {ports[0]}–{ports[-1]} is in use")


async def _listening(said: AsyncIterator[str]) -> Fault | None:
    transcript = Transcript()
    try:
        async with asyncio.timeout(START_LIMIT_S):
            async for line in said:
                transcript.feed(line)
                if line.startswith("Server listening"):
                    return None
    except TimeoutError:
        return Fault("timeout", f"the iperf3 server did not listen within {START_LIMIT_S:g} s")
    return transcript.fault or Fault("died", "the iperf3 server ended before it listened")


@contextlib.contextmanager
def _asked(guard: Guard | None) -> Iterator[Sequence[str]]:
    if guard is None:
        yield ()
        return
    folder: Path = guard.keys.private_path.parent
    with private_file(users_line(guard.user, guard.secret), folder) as users:
        yield (
            *("--rsa-private-key-path", str(guard.keys.private_path), "--authorized-users-path", str(users)),
            *("--time-skew-threshold", str(CLOCK_SKEW_S), *guard.padding),
        )
