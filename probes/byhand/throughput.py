"""The throughput half of a test by hand: one iperf3 client against `iperf3 -s` at the host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from linkweather.errors import OperatorError
from linkweather.messages import ThroughputRow
from probes.byhand.findings import HERE, THERE, Throughput
from probes.byhand.watching import Job
from probes.throughput.estimate import estimate
from probes.throughput.output import Interval
from probes.throughput.result import Result
from probes.throughput.runner import run_client

INTERVAL_S = 0.1
_NOBODY = {"refused", "timeout", "unreachable"}
# What a row and a result name alike.
_SHARED = (
    *("goodput_bps", "goodput_low_bps", "goodput_high_bps", "bytes", "duration_s", "streams"),
    *("retransmits", "congestion", "stopped_by", "failure", "detail"),
)


async def measure(job: Job) -> Throughput:
    """Test the throughput. Raises OperatorError when it was asked for and there is no iperf3 here."""
    options = job.options
    job.watch.connecting(options.iperf3_port, reverse=options.reverse)
    intervals: list[Interval] = []

    def hear(interval: Interval) -> None:
        intervals.append(interval)
        job.watch.interval(interval)

    try:
        result = await _client(job, hear)
    except OperatorError as error:
        if options.throughput:
            raise
        row = _failed("no_program", str(error), reverse=options.reverse)
    else:
        row = _row(result, job) if result else cut_short(intervals, reverse=options.reverse)
    rates = [interval.rate_bps for interval in intervals]
    return Throughput(row, rates, INTERVAL_S, options.reverse, options.iperf3_port, wanted=bool(options.throughput))


async def _client(job: Job, hear: Callable[[Interval], None]) -> Result | None:
    """The result; None when the user ended the test."""
    loop = asyncio.get_running_loop()
    options = job.options
    try:
        async with asyncio.timeout(None) as limit:
            with job.stop.by(lambda: limit.reschedule(loop.time())):
                return await run_client(
                    job.target.address,
                    options.iperf3_port,
                    duration_s=options.duration_s,
                    reverse=options.reverse,
                    on_interval=hear,
                )
    except TimeoutError:
        return None


def _row(result: Result, job: Job) -> ThroughputRow:
    host, port = job.target.host, job.options.iperf3_port
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    nobody = f"no iperf3 server at {where}: run `iperf3 -s` there" if result.failure in _NOBODY else result.detail
    shared = {name: getattr(result, name) for name in _SHARED}
    return _direction(reverse=job.options.reverse).model_copy(update={**shared, "detail": nobody})


def cut_short(intervals: Sequence[Interval], *, reverse: bool) -> ThroughputRow:
    """The row of a test that the user ended: what its intervals say."""
    found = estimate(intervals)
    if found is None:
        return _failed("interrupted", "interrupted before the first interval was over", reverse=reverse)
    moved = sum(each.rate_bps * (each.end_s - each.start_s) for each in intervals) / 8
    return _direction(reverse=reverse).model_copy(
        update={
            "goodput_bps": found.goodput_bps,
            "goodput_low_bps": found.low_bps,
            "goodput_high_bps": found.high_bps,
            "bytes": round(moved),
            "duration_s": intervals[-1].end_s,
            "stopped_by": "interrupt",
        }
    )


def _direction(*, reverse: bool) -> ThroughputRow:
    src, dst = (THERE, HERE) if reverse else (HERE, THERE)
    return ThroughputRow(src=src, dst=dst, method="iperf3")


def _failed(reason: str, detail: str, *, reverse: bool) -> ThroughputRow:
    return _direction(reverse=reverse).model_copy(update={"failure": reason, "detail": detail})
