"""Runs the iperf3 program as a client, for one test."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace

from linkweather.errors import MeasurementError
from probes.throughput import iperf3_process as programs
from probes.throughput.credentials import Credential, private_file
from probes.throughput.iperf3_output import Fault, Interval, Transcript
from probes.throughput.result import Result, conclude
from probes.throughput.sampler import CpuDemand, SenderSampler
from probes.throughput.stop_rule import StoppedBy, StopRule

CONNECT_LIMIT_S = 1.0
SILENCE_LIMIT_S = 2.0
# Connecting, exchanging parameters and results: what a test takes beyond its duration, at the most.
MARGIN_S = 3.0


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
    Where we send, the result has `sent`, what our kernel saw.
    A failure is a Result. Cancelling stops the program. Raises OperatorError when there is no iperf3.
    """
    # A sender's intervals vary several times as much as its receiver's.
    rule = StopRule(duration_s, until_converged=until_converged and reverse, max_bytes=max_bytes)
    command = [programs.find(), "-c", host, "-p", str(port), *_limit(rule), *_options(streams, reverse=reverse)]
    command += ["-C", congestion] if congestion else []
    command += ["-B", bind] if bind else []
    command += ["-u", "-b", str(round(udp_rate_bps))] if udp_rate_bps else []
    transcript = Transcript(streams)
    with _shown(credential) as (options, environment):
        async with programs.child([*command, *options], environment) as process:
            cpu = CpuDemand(process.pid)
            witness = SenderSampler(process.pid, port, remote=True)

            def hear(interval: Interval) -> None:
                cpu.look()
                on_interval(interval)

            async with contextlib.nullcontext() if reverse else witness.watching():
                ended = await follow(process, programs.lines(process), transcript, rule, hear)
    result = conclude(
        transcript,
        reverse=reverse,
        congestion=congestion,
        ended=ended,
        status=process.returncode,
        cpu_demand=cpu.value,
        limit_bytes=rule.blocks_bytes,
    )
    return result if reverse else replace(result, sent=witness.sent)


def _options(streams: int, *, reverse: bool) -> Sequence[str]:
    how = ("-i", "0.1", "-f", "k", "--forceflush", "--connect-timeout", _ms(CONNECT_LIMIT_S), "-P", str(streams))
    # iperf3 refuses a receive timeout where it does not receive.
    return (*how, "-R", "--rcv-timeout", _ms(SILENCE_LIMIT_S)) if reverse else how


def _limit(rule: StopRule) -> Sequence[str]:
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


async def follow(
    process: asyncio.subprocess.Process,
    said: AsyncIterator[str],
    transcript: Transcript,
    rule: StopRule,
    on_interval: Callable[[Interval], None],
) -> Fault | StoppedBy:
    """Read a test's client or server to its end, or its error; what ended it, a Fault when it was the watchdog."""
    limit_s = rule.max_duration_s + MARGIN_S
    stopped_by: StoppedBy | None = None
    try:
        async with asyncio.timeout(limit_s):
            async for line in said:
                interval = transcript.feed(line)
                if transcript.fault is not None:
                    # A refused client leaves a one-off server of 3.12 listening: its error is the end for us.
                    return rule.ends_itself
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
