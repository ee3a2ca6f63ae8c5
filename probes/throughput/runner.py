"""Runs the iperf3 program: a client for one test, a one-off server for one invited peer."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from linkweather.errors import MeasurementError
from probes.throughput import process as programs
from probes.throughput.convergence import Rule, StoppedBy
from probes.throughput.credentials import CLOCK_SKEW_S, Credential, Guard, private_file, users_line
from probes.throughput.limits import Sent
from probes.throughput.output import Fault, Interval, Transcript
from probes.throughput.result import Result, conclude
from probes.throughput.witness import CpuDemand, Witness

DEFAULT_PORTS = range(5201, 5211)
CONNECT_LIMIT_S = 1.0
SILENCE_LIMIT_S = 2.0
# Connecting, exchanging parameters and results: what a test takes beyond its duration, at the most.
MARGIN_S = 3.0
START_LIMIT_S = 2.0
ACCEPT_LIMIT_S = 2.5


def _nobody(_: Interval) -> None:
    pass


async def run_client(
    host: str,
    port: int,
    *,
    duration_s: float,
    until_converged: bool = False,
    max_bytes: int | None = None,
    streams: int = 1,
    congestion: str | None = None,
    bind: str | None = None,
    credential: Credential | None = None,
    reverse: bool = True,
    udp_rate_bps: float | None = None,
    on_interval: Callable[[Interval], None] = _nobody,
) -> Result:
    """Test throughput against an iperf3 server: from it to us, or with `reverse=False` from us to it.

    `duration_s` and `max_bytes` are limits; `until_converged` stops when the receiver's intervals say enough,
    and does nothing with `reverse=False`, where they are not seen.
    `udp_rate_bps`: UDP at this rate, of each stream; TCP when None.
    A failure is a Result. Cancelling stops the program. Raises OperatorError when there is no iperf3.
    """
    # A sender's intervals vary several times as much as its receiver's.
    rule = Rule(duration_s, until_converged=until_converged and reverse, max_bytes=max_bytes)
    command = [programs.find(), "-c", host, "-p", str(port), *_limit(rule)]
    command += ["-i", "0.1", "-f", "k", "--forceflush", "--connect-timeout", _ms(CONNECT_LIMIT_S), "-P", str(streams)]
    # iperf3 refuses a receive timeout where it does not receive.
    command += ["-R", "--rcv-timeout", _ms(SILENCE_LIMIT_S)] if reverse else []
    command += ["-C", congestion] if congestion else []
    command += ["-B", bind] if bind else []
    command += ["-u", "-b", str(round(udp_rate_bps))] if udp_rate_bps else []
    transcript = Transcript(streams)
    with _shown(credential) as (options, environment):
        async with programs.child([*command, *options], environment) as process:
            cpu = CpuDemand(process.pid)

            def hear(interval: Interval) -> None:
                cpu.look()
                on_interval(interval)

            ended = await _follow(process, transcript, rule, hear)
    return conclude(
        transcript,
        reverse=reverse,
        congestion=congestion,
        ended=ended,
        status=process.returncode,
        cpu_demand=cpu.value,
        limit_bytes=rule.blocks_bytes,
    )


def _limit(rule: Rule) -> Sequence[str]:
    if rule.blocks_bytes is not None:
        return "-n", str(rule.blocks_bytes)
    return "-t", str(math.ceil(rule.max_duration_s))


def _ms(seconds: float) -> str:
    return str(round(1000 * seconds))


@contextlib.contextmanager
def _shown(credential: Credential | None) -> Iterator[tuple[Sequence[str], dict[str, str]]]:
    if credential is None:
        yield (), {}
        return
    with private_file(credential.public_key_pem) as path:
        options = ("--username", credential.user, "--rsa-public-key-path", str(path), *credential.padding)
        yield options, {"IPERF3_PASSWORD": credential.secret}


async def _follow(
    process: asyncio.subprocess.Process,
    transcript: Transcript,
    rule: Rule,
    on_interval: Callable[[Interval], None],
) -> Fault | StoppedBy:
    """Read the client to its end; what ended it, a Fault when it was the watchdog."""
    limit_s = rule.max_duration_s + MARGIN_S
    stopped_by: StoppedBy | None = None
    try:
        async with asyncio.timeout(limit_s):
            async for line in programs.lines(process):
                interval = transcript.feed(line)
                if interval is None:
                    continue
                on_interval(interval)
                if stopped_by is None:
                    stopped_by = rule.verdict(transcript.intervals)
                    if stopped_by is not None:
                        programs.send(process, signal.SIGINT)
            await process.wait()
    except TimeoutError:
        return Fault("timeout", f"the test was not over after {limit_s:g} s")
    except MeasurementError as error:
        return Fault(error.reason, error.detail)
    return stopped_by or rule.ends_itself


@dataclass(slots=True)
class Server:
    """A one-off server that listens."""

    port: int
    _process: asyncio.subprocess.Process
    _lines: AsyncIterator[str]
    _witness: Witness

    @property
    def sent(self) -> Sent:
        """What our kernel saw of the test so far, or of all of it when it is over."""
        return self._witness.sent

    async def finished(self, accept_s: float = ACCEPT_LIMIT_S) -> str | None:
        """Wait until the test is over; None when it went well, else what the server says about it.

        The wait is for the client at most `accept_s`, and ends with the lease.
        """
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._witness.watch(), name=f"witness[{self.port}]")
            said = await self._over(accept_s)
            watching.cancel()
        return said

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
) -> AsyncIterator[Server]:
    """Serve one test on the first free port, for `seconds` at the most: then the watchdog kills the server.

    Raises MeasurementError: `ports_taken` when every port is in use, or why the server does not start;
    OperatorError when there is no iperf3.
    """
    program = programs.find()
    with _asked(guard) as options:
        for port in ports:
            # -B comes from our settings; an idle connection hangs a 3.12 server whatever its timeouts.
            command = [program, "-s", "-1", "-p", str(port), *(("-B", bind) if bind else ()), "--forceflush"]
            command += ["--idle-timeout", str(math.ceil(seconds)), "--rcv-timeout", "3000", "--snd-timeout", "3000"]
            async with programs.child([*command, *options], {}) as process:
                said = programs.lines(process)
                fault = await _listening(said)
                if fault is None:
                    watchdog = asyncio.get_running_loop().call_later(seconds, programs.send, process, signal.SIGKILL)
                    try:
                        yield Server(port, process, said, Witness(process.pid, port))
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
