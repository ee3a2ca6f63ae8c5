"""Tests by hand, from the hosts' names to what was found."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, cast

from linkweather.errors import MeasurementError
from probes.adhoc import latency_test as latency
from probes.adhoc import throughput_test as throughput
from probes.adhoc.adhoc_options import Options
from probes.adhoc.findings import Findings, Latency, Outcome, Target, Throughput
from probes.adhoc.progress import Job, Stop, Watch

_ENDS = (signal.SIGINT, signal.SIGTERM)
_FAMILY_NAMES: Mapping[int, str] = {socket.AF_INET: " for IPv4", socket.AF_INET6: " for IPv6"}


class _Begun(NamedTuple):
    """A test whose latency is measured."""

    job: Job
    latency: Latency | None


async def run(tests: Sequence[Options], watches: Sequence[Watch]) -> list[Outcome]:
    """Test the hosts: the latency of all at once, as of the same minute; then the throughput of one after the other.

    Ctrl-C (SIGINT) or SIGTERM ends it early, with what was measured until then; a second one aborts.
    Raises OperatorError for what this machine lacks.
    """
    stop = Stop()
    _end_by_signals(stop)
    try:
        async with asyncio.TaskGroup() as group:
            beginning = [
                group.create_task(_begin(options, watch, stop), name=f"latency[{options.host}]")
                for options, watch in zip(tests, watches, strict=True)
            ]
    except ExceptionGroup as errors:
        # What this machine lacks, it lacks for every host.
        raise errors.exceptions[0] from None
    return [await _finish(task.result()) for task in beginning]


def _end_by_signals(stop: Stop) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        for number in _ENDS:
            loop.remove_signal_handler(number)
        stop.ask()

    for number in _ENDS:
        loop.add_signal_handler(number, end)


async def _begin(options: Options, watch: Watch, stop: Stop) -> _Begun | Outcome:
    try:
        target = await resolve(options.host, options.family)
    except MeasurementError as error:
        return Outcome(options.host, failure=error.reason, detail=error.detail)
    job = Job(options, target, watch, stop)
    return _Begun(job, await latency.measure(job) if options.latency else None)


async def _finish(begun: _Begun | Outcome) -> Outcome:
    if isinstance(begun, Outcome):
        return begun
    job, found = begun
    one_way, other_way = await _throughput(job)
    at, interrupted = datetime.now(UTC), job.stop.asked
    findings = Findings(job.target, at, found, one_way, other_way, interrupted=interrupted)
    return Outcome(job.options.host, findings)


async def _throughput(job: Job) -> tuple[Throughput | None, Throughput | None]:
    """One way, then the other where both were asked for and somebody is there; never both at once."""
    load = job.options.load
    if job.options.throughput is False or job.stop.asked:
        return None, None
    first = await throughput.measure(job, reverse=load.reverse)
    if not load.both or job.stop.asked or first.row.failure in throughput.NOBODY:
        return first, None
    return first, await throughput.measure(job, reverse=not load.reverse)


async def resolve(host: str, family: int) -> Target:
    """The host's first address. Raises MeasurementError `unresolved`, in one sentence."""
    loop = asyncio.get_running_loop()
    try:
        answers = await loop.getaddrinfo(host, None, family=family, type=socket.SOCK_DGRAM)
        # Unlike the answer's own text, this keeps the interface of a link-local address.
        where = cast("tuple[str, int]", answers[0][4])
        address, _ = await loop.getnameinfo(where, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no host name"
        raise MeasurementError("unresolved", f"{host} has no address{_FAMILY_NAMES.get(family, '')}: {why}") from None
    return Target(host, address)
