"""The throughput half of an ad hoc test: one iperf3 client against `iperf3 -s` at the host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from linkweather.errors import OperatorError
from linkweather.wire import ThroughputRow
from probes.adhoc.adhoc_job import AdhocJob
from probes.adhoc.findings import HERE, THERE, UDP, ThroughputFindings
from probes.throughput.iperf3_client import ClientTest, run_client
from probes.throughput.iperf3_output import Build, Datagrams, Interval
from probes.throughput.iperf3_program import installed, too_old_for_udp
from probes.throughput.result import Result
from probes.throughput.stop_rule import StopRule, estimate

INTERVAL_S = 0.1
# After these the other direction would fail as well.
NO_SERVER = {"no_program", "refused", "timeout", "unreachable"}
# An iperf3 that does not name its version gets the options that every version takes.
_UNKNOWN_BUILD = Build((), authentication=False)
# What a row and a result name alike.
_SHARED = (
    *("goodput_bps", "goodput_low_bps", "goodput_high_bps", "bytes", "duration_s", "streams"),
    *("retransmits", "congestion", "stopped_by", "failure", "detail"),
)


async def measure(job: AdhocJob, *, reverse: bool) -> ThroughputFindings:
    """Test the throughput one way. Raises OperatorError when it was asked for and no iperf3 here can do it."""
    options, load = job.options, job.options.load
    job.watch.connecting(load.port, reverse=reverse)
    intervals: list[Interval] = []
    datagrams: Datagrams | None = None

    def hear(interval: Interval) -> None:
        intervals.append(interval)
        job.watch.interval(interval)

    try:
        result = await _client(job, hear, reverse=reverse)
    except OperatorError as error:
        if options.throughput:
            raise
        row = _failed("no_program", str(error), reverse=reverse)
    else:
        row = _row(result, job, reverse=reverse) if result else cut_short(intervals, job.rtt_s, reverse=reverse)
        datagrams = result.datagrams if result else None
    return ThroughputFindings(
        row if load.udp_rate_bps is None else row.model_copy(update={"method": UDP}),
        [interval.rate_bps for interval in intervals],
        INTERVAL_S,
        reverse,
        load.port,
        wanted=bool(options.throughput),
        udp_rate_bps=load.udp_rate_bps,
        datagrams=datagrams,
    )


async def _client(job: AdhocJob, hear: Callable[[Interval], None], *, reverse: bool) -> Result | None:
    """The result; None when the user ended the test."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit:
            with job.stop.by(lambda: limit.reschedule(loop.time())):
                return await run_client(_test(job, reverse=reverse), await _build(job), hear)
    except TimeoutError:
        return None


async def _build(job: AdhocJob) -> Build:
    build = await installed() or _UNKNOWN_BUILD
    problem = too_old_for_udp(build) if job.options.load.udp_rate_bps is not None else None
    if problem:
        raise OperatorError(problem)
    return build


def _test(job: AdhocJob, *, reverse: bool) -> ClientTest:
    load = job.options.load
    return ClientTest(
        job.target.address,
        load.port,
        StopRule(load.limit_s(reverse=reverse), until_converged=load.converges(reverse=reverse), rtt_s=job.rtt_s),
        reverse,
        load.streams,
        load.congestion,
        # iperf3 gives every stream the whole rate.
        udp_rate_bps=load.udp_rate_bps and load.udp_rate_bps / load.streams,
    )


def _row(result: Result, job: AdhocJob, *, reverse: bool) -> ThroughputRow:
    shared = {name: getattr(result, name) for name in _SHARED}
    detail = _explained(result, job.target.host, job.options.load.port)
    return _measured({**shared, "detail": detail}, reverse=reverse)


def _explained(result: Result, host: str, port: int) -> str | None:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if result.failure == "timeout" and result.connected:
        return f"the iperf3 server at {where} answered, but the test was not finished: {result.detail}"
    if result.failure == "timeout":
        # No server there, another program that accepts and says nothing, or a firewall in between.
        return f"no answer from an iperf3 server at {where} ({result.detail}): is it `iperf3 -s`, and not filtered?"
    return f"no iperf3 server at {where}: run `iperf3 -s` there" if result.failure in NO_SERVER else result.detail


def cut_short(intervals: Sequence[Interval], rtt_s: float | None, *, reverse: bool) -> ThroughputRow:
    """The row of a test that the user ended: what its intervals say."""
    found = estimate(intervals, rtt_s)
    if found is None:
        return _failed("interrupted", "interrupted before the first interval was over", reverse=reverse)
    moved = sum(each.rate_bps * (each.end_s - each.start_s) for each in intervals) / 8
    values = {
        "goodput_bps": found.goodput_bps,
        "goodput_low_bps": found.low_bps,
        "goodput_high_bps": found.high_bps,
        "bytes": round(moved),
        "duration_s": intervals[-1].end_s,
        "stopped_by": "interrupt",
    }
    return _measured(values, reverse=reverse)


def _failed(reason: str, detail: str, *, reverse: bool) -> ThroughputRow:
    return _measured({"failure": reason, "detail": detail}, reverse=reverse)


def _measured(values: Mapping[str, Any], *, reverse: bool) -> ThroughputRow:
    src, dst = (THERE, HERE) if reverse else (HERE, THERE)
    return ThroughputRow(src=src, dst=dst, method="iperf3", **values)
