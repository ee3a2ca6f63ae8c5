"""A test by hand, from the host's name to what was found."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from linkweather.errors import MeasurementError
from probes.byhand import latency, throughput
from probes.byhand.findings import Findings, Target, Throughput
from probes.byhand.options import Options
from probes.byhand.watching import Job, Stop, Watch

_ENDS = (signal.SIGINT, signal.SIGTERM)
_FAMILY_NAMES: Mapping[int, str] = {socket.AF_INET: " for IPv4", socket.AF_INET6: " for IPv6"}


async def run(options: Options, watch: Watch) -> Findings:
    """Run a test; Ctrl-C (SIGINT) or SIGTERM ends it early, with what was measured until then; a second one aborts.

    Raises MeasurementError `unresolved`, OperatorError for what this machine lacks.
    """
    stop = Stop()
    loop = asyncio.get_running_loop()

    def end() -> None:
        for number in _ENDS:
            loop.remove_signal_handler(number)
        stop.ask()

    for number in _ENDS:
        loop.add_signal_handler(number, end)
    target = await resolve(options.host, options.family)
    job = Job(options, target, watch, stop)
    latency_found = await latency.measure(job) if options.latency else None
    one_way, other_way = await _throughput(job)
    return Findings(target, datetime.now(UTC), latency_found, one_way, other_way, interrupted=stop.asked)


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
