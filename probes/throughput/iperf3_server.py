"""Runs the iperf3 program as a one-off server, for one invited peer: it sends, or we read what it receives."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import signal
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from linkweather.errors import MeasurementError
from probes.child_process import child, lines, send
from probes.throughput.credentials import CLOCK_SKEW_S, Guard, private_file, users_line
from probes.throughput.iperf3_client import Options, follow
from probes.throughput.iperf3_output import Build, Fault, Transcript
from probes.throughput.iperf3_program import command, milliseconds
from probes.throughput.limiting import SenderEvidence
from probes.throughput.peer_filter import admit_only, strangers
from probes.throughput.result import Result, conclude
from probes.throughput.sampler import CpuDemand, SenderSampler
from probes.throughput.stop_rule import StoppedBy, StopRule
from probes.throughput.time_limits import limit_s

# A stranger who wants to be there first must not know where.
_RANDOM = random.SystemRandom()
DEFAULT_PORTS = range(5201, 5211)
# A vanished client is given up after this, beyond what the path's RTT needs.
_PEER_SILENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """Where one-off servers listen: the address that they bind, and the ports to pick from."""

    bind: str | None = None
    ports: Sequence[int] = DEFAULT_PORTS


@dataclass(slots=True)
class OneOffServer:
    """A one-off server that listens. `rtt_s` is the RTT to the peer, as far as it is known.

    `admitted` are the addresses from which the peer may call; empty: any. A test whose server another got hold of
    raises MeasurementError `disturbed`, or is a Result with that failure.
    """

    port: int
    rtt_s: float | None
    admitted: Collection[str]
    _process: asyncio.subprocess.Process
    _lines: AsyncIterator[str]
    _sampler: SenderSampler

    @property
    def sent(self) -> SenderEvidence:
        """What our kernel saw of the test so far, or of all of it when it is over."""
        return self._sampler.sent

    async def finished(self, accept_s: float | None = None) -> str | None:
        """Wait until the test is over; None when it went well, else what the server says about it.

        The client has `accept_s` to connect; the wait ends with the lease.
        """
        async with self._sampler.watching():
            try:
                first = await self._accepted(accept_s)
            except TimeoutError:
                return "no client connected"
            return await self._over(first)

    async def received(self, rule: StopRule, accept_s: float | None = None) -> Result:
        """What arrives from a client that sends: its intervals are the receiver's, and the rule stops the test."""
        transcript, cpu = Transcript(), CpuDemand(self._process.pid)
        return conclude(
            transcript,
            reverse=True,
            congestion=None,
            ended=await self._read(transcript, cpu, rule, accept_s),
            status=self._process.returncode,
            cpu_demand=cpu.value,
            rule=rule,
        )

    async def _read(
        self, transcript: Transcript, cpu: CpuDemand, rule: StopRule, accept_s: float | None
    ) -> Fault | StoppedBy:
        try:
            first = await self._accepted(accept_s)
        except MeasurementError as error:
            return Fault(error.reason, error.detail)
        except TimeoutError:
            return Fault("no_connection", f"the peer did not connect within {self._accept_s(accept_s):g} s")
        transcript.feed(first or "")
        watchdog_s = rule.max_duration_s + limit_s("margin", self.rtt_s)
        # SIGINT to a server that receives: it prints its summary and tells the client that the test is over.
        return await follow(
            *(self._process, self._lines, transcript, rule), on_interval=lambda _: cpu.look(), watchdog_s=watchdog_s
        )

    async def _over(self, first: str | None) -> str | None:
        said = first
        if said is not None and "error" not in said:
            # A refused client leaves a one-off server of 3.12 listening: its error is the end for us.
            said = await self._next("iperf3: error")
        if said is None and await self._process.wait() != 0:
            return "the server ended before the test was over"
        return said

    async def _accepted(self, accept_s: float | None) -> str | None:
        """The line that says that a client has connected, or an error. Raises TimeoutError, and as the class says."""
        try:
            async with asyncio.timeout(self._accept_s(accept_s)):
                return await self._next("Accepted connection", "iperf3: error")
        except TimeoutError:
            # iperf3 names a client when it knows what it wants: one that says no more holds it before.
            found = strangers(self.port, self.admitted) if self.admitted else []
            if found:
                raise MeasurementError("disturbed", f"{', '.join(found)} got hold of the server of this test") from None
            raise

    def _accept_s(self, accept_s: float | None) -> float:
        return limit_s("accept", self.rtt_s) if accept_s is None else accept_s

    async def _next(self, *wanted: str) -> str | None:
        async for line in self._lines:
            if line.startswith(wanted):
                return line
        return None


@contextlib.asynccontextmanager
async def serve_once(
    place: ServerPlace,
    build: Build,
    *,
    guard: Guard | None,
    seconds: float,
    rtt_s: float | None = None,
    admitted: Collection[str] = (),
) -> AsyncIterator[OneOffServer]:
    """Serve one test on a free port drawn at random, for `seconds` at the most: then the watchdog kills the server.

    Only the `admitted` addresses get through to it where the kernel lets us (`peer_filter`); none: any may.

    Raises MeasurementError: `ports_taken` when every port is in use, or why the server does not start;
    OperatorError when there is no iperf3.
    """
    with _guarded(guard) as options:
        for port in _RANDOM.sample(place.ports, len(place.ports)):
            arguments = command(build, "server", [*_options(place.bind, port, seconds, rtt_s), *options])
            async with child(arguments, {}) as process:
                output = lines(process)
                fault = await _listening(output)
                if fault is None:
                    admit_only(process.pid, port, admitted)
                    watchdog = asyncio.get_running_loop().call_later(seconds, send, process, signal.SIGKILL)
                    try:
                        yield OneOffServer(port, rtt_s, admitted, process, output, SenderSampler(process.pid, port))
                    finally:
                        watchdog.cancel()
                    return
            if fault.reason != "port_taken":
                raise MeasurementError(fault.reason, fault.detail)
    raise MeasurementError("ports_taken", f"every port of {place.ports[0]}–{place.ports[-1]} is in use")


def _options(bind: str | None, port: int, seconds: float, rtt_s: float | None) -> Options:
    silence = milliseconds(limit_s("silence", rtt_s) + _PEER_SILENCE_S)
    return [
        ("-s",),
        ("-1",),
        ("-p", str(port)),
        *([("-B", bind)] if bind else []),
        ("-i", "0.1"),
        ("-f", "k"),
        ("--forceflush",),
        # An idle connection holds a 3.12 server whatever its time-outs: for that there is the watchdog.
        ("--idle-timeout", str(math.ceil(seconds))),
        ("--rcv-timeout", silence),
        ("--snd-timeout", silence),
    ]


async def _listening(output: AsyncIterator[str]) -> Fault | None:
    transcript, start_s = Transcript(), limit_s("start", None)
    try:
        async with asyncio.timeout(start_s):
            async for line in output:
                transcript.feed(line)
                if line.startswith("Server listening"):
                    return None
    except TimeoutError:
        return Fault("timeout", f"the iperf3 server did not listen within {start_s:g} s")
    return transcript.fault or Fault("died", "the iperf3 server ended before it listened")


@contextlib.contextmanager
def _guarded(guard: Guard | None) -> Iterator[Options]:
    """The options that make the server ask for the secret; its list of users is a file while the block runs."""
    if guard is None:
        yield ()
        return
    folder: Path = guard.keys.private_path.parent
    with private_file(users_line(guard.user, guard.secret), folder) as users:
        yield [
            ("--rsa-private-key-path", str(guard.keys.private_path)),
            ("--authorized-users-path", str(users)),
            ("--time-skew-threshold", str(CLOCK_SKEW_S)),
            *((word,) for word in guard.padding),
        ]
