"""Runs the iperf3 program as a client, for one test."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from linkweather.errors import MeasurementError
from probes.child_process import child, lines, send
from probes.throughput.credentials import Credential, private_file
from probes.throughput.iperf3_output import Build, End, Fault, Interval, Transcript
from probes.throughput.iperf3_program import command, knows, milliseconds
from probes.throughput.result import Result, conclude
from probes.throughput.sampler import ArrivalSampler, CpuDemand, SenderSampler
from probes.throughput.stop_rule import StoppedBy, StopRule
from probes.throughput.time_limits import limit_s

Options = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class ClientTest:
    """One test against an iperf3 server: from it to us, or with `reverse=False` from us to it.

    `rule` stops the test; `rule.until_converged` does nothing with `reverse=False`, where the receiver's intervals
    are not seen. `udp_rate_bps`: UDP at this rate, of each stream; None: TCP. `bind` is the local address. The
    time limits grow with the rule's RTT.
    """

    host: str
    port: int
    rule: StopRule
    reverse: bool = True
    streams: int = 1
    congestion: str | None = None
    udp_rate_bps: float | None = None
    bind: str | None = None
    credential: Credential | None = None


def _ignore(_: Interval) -> None:
    pass


async def _no_address(test: ClientTest) -> str | None:
    """Why the host's name has no address: iperf3's own words for it differ with the resolver, and may name none."""
    try:
        await asyncio.get_running_loop().getaddrinfo(test.host, test.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return (error.strerror if isinstance(error, OSError) else None) or "it is no host name"
    return None


async def run_client(test: ClientTest, build: Build, on_interval: Callable[[Interval], None] = _ignore) -> Result:
    """Run the test with the installed iperf3, whose `build` says which options it takes.

    A failure is a Result; where we send, the result has `sent`, what our kernel saw. Cancelling stops the program.
    Raises OperatorError when there is no iperf3.
    """
    why = await _no_address(test)
    if why is not None:
        end: End = "receiver" if test.reverse else "sender"
        return Result((), end, test.streams, failure="unresolved", detail=f"{test.host} has no address: {why}")
    # A sender's intervals vary several times as much as its receiver's; late ones stop nothing.
    timely = test.reverse and knows(build, "client", "--forceflush")
    rule = replace(test.rule, until_converged=test.rule.until_converged and timely)
    transcript = Transcript(test.streams)
    with _authenticated(test.credential) as (options, environment):
        arguments = command(build, "client", [*_options(test), *_end(rule), *options])
        async with child(arguments, environment) as process:
            cpu = CpuDemand(process.pid)
            sampler = SenderSampler(process.pid, test.port, remote=True)

            def hear(interval: Interval) -> None:
                cpu.look()
                on_interval(interval)

            watchdog_s = rule.max_duration_s + limit_s("margin", test.rule.rtt_s)
            async with contextlib.nullcontext() if test.reverse else sampler.watching():
                ended = await follow(process, lines(process), transcript, rule, on_interval=hear, watchdog_s=watchdog_s)
    result = conclude(
        transcript,
        reverse=test.reverse,
        congestion=test.congestion,
        ended=ended,
        status=process.returncode,
        cpu_demand=cpu.value,
        rule=rule,
    )
    return result if test.reverse else replace(result, sent=sampler.sent)


def _options(test: ClientTest) -> Options:
    silence = milliseconds(limit_s("silence", test.rule.rtt_s))
    optional = (
        # iperf3 refuses a receive timeout where it does not receive.
        ((("-R",), ("--rcv-timeout", silence)), test.reverse),
        ((("-C", str(test.congestion)),), test.congestion),
        ((("-B", str(test.bind)),), test.bind),
        ((("-u",), ("-b", str(round(test.udp_rate_bps or 0)))), test.udp_rate_bps),
    )
    return [
        ("-c", test.host),
        ("-p", str(test.port)),
        ("-i", "0.1"),
        ("-f", "k"),
        ("-P", str(test.streams)),
        ("--forceflush",),
        ("--connect-timeout", milliseconds(limit_s("connect", test.rule.rtt_s))),
        *(option for options, wanted in optional if wanted for option in options),
    ]


def _end(rule: StopRule) -> Options:
    if rule.blocks_bytes is not None:
        return [("-n", str(rule.blocks_bytes))]
    return [("-t", str(math.ceil(rule.max_duration_s)))]


@contextlib.contextmanager
def _authenticated(credential: Credential | None) -> Iterator[tuple[Options, dict[str, str]]]:
    """The options and the environment that show the secret; its public key is in a file while the block runs."""
    if credential is None:
        yield (), {}
        return
    with private_file(credential.public_key_pem) as path:
        options = [("--username", credential.user), ("--rsa-public-key-path", str(path))]
        yield [*options, *((word,) for word in credential.padding)], {"IPERF3_PASSWORD": credential.secret}


async def follow(
    process: asyncio.subprocess.Process,
    output: AsyncIterator[str],
    transcript: Transcript,
    rule: StopRule,
    *,
    on_interval: Callable[[Interval], None],
    watchdog_s: float,
) -> Fault | StoppedBy:
    """Read a test's client or server to its end, or its error; what ended it, a Fault when it was the watchdog."""
    stopped_by: StoppedBy | None = None
    arrivals = ArrivalSampler()
    try:
        async with asyncio.timeout(watchdog_s):
            async for line in output:
                interval = transcript.feed(line)
                if transcript.fault is not None:
                    # A refused client leaves a one-off server of 3.12 listening: its error is the end for us.
                    return rule.ends_itself
                if interval is None:
                    continue
                if rule.counts_arrivals:
                    interval = transcript.intervals[-1] = arrivals.look(transcript.ports, interval)
                    transcript.arrived_bytes = arrivals.arrived_bytes
                on_interval(interval)
                if stopped_by is None:
                    stopped_by = rule.verdict(transcript.intervals)
                    if stopped_by is not None:
                        send(process, signal.SIGINT)
            await process.wait()
    except TimeoutError:
        return Fault("timeout", f"the test was not over after {watchdog_s:g} s")
    except MeasurementError as error:
        return Fault(error.reason, error.detail)
    return stopped_by or rule.ends_itself
