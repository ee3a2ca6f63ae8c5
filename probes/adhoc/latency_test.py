"""The latency half of a test by hand: choose a method by trying, then probe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from linkweather.errors import OperatorError
from linkweather.mesh import LatencyTests
from linkweather.wire import LatencyRow
from probes.adhoc.adhoc_job import AdhocJob
from probes.adhoc.findings import HERE, THERE, LatencyFindings
from probes.adhoc.method_choice import METHODS, ORDER, Attempt, MethodName, Series, choice, port
from probes.latency.methods import SENDERS
from probes.latency.session import ProbeOutcome
from probes.latency.targets import LatencyPeer

_ONE_WINDOW_S = 1e9  # windows end at multiples of this: the whole test lies in one
_PLAIN_SILENCE = {None, "no_reply", "late"}


async def measure(job: AdhocJob) -> LatencyFindings:
    """Probe the target, by the method asked for or by the first one that it answers."""
    options = job.options
    attempts: list[Attempt] = []
    name = options.method
    if name is None:
        attempts = await _try_in_order(job)
        name = attempts[-1].method
        if not attempts[-1].answered:
            return LatencyFindings(_empty(name), (), attempts)
        attempts.pop()
    job.watch.chosen(choice(Attempt(name, _port(job, name), answered=False), attempts), options.count)
    rtts_s: dict[int, float | None] = {}

    def hear(sample: ProbeOutcome) -> bool:
        if sample.rtt_s is not None or sample.sequence not in rtts_s:
            rtts_s[sample.sequence] = sample.rtt_s
            job.watch.probe(sample.rtt_s)
        return False

    row = await _probe(job, name, Series(options.count, options.interval_s, options.timeout_s), hear)
    attempts.append(_attempt(job, name, row))
    return LatencyFindings(row, [rtts_s[sequence] for sequence in sorted(rtts_s)], attempts)


async def _try_in_order(job: AdhocJob) -> list[Attempt]:
    """Attempts until one is answered, or the user asks to stop."""
    attempts: list[Attempt] = []
    for name in ORDER:
        job.watch.trying(name)
        try:
            row = await _probe(job, name, METHODS[name].trial, _is_reply)
        except OperatorError as error:
            # ICMP may need privileges that we have not; the next method needs none.
            attempts.append(Attempt(name, _port(job, name), answered=False, reason=str(error)))
            continue
        attempts.append(_attempt(job, name, row))
        if job.stop.asked or row.received > 0:
            break
    return attempts


async def _probe(
    job: AdhocJob, name: MethodName, series: Series, on_sample: Callable[[ProbeOutcome], bool]
) -> LatencyRow:
    """One series of probes; `on_sample` says whether that was enough."""
    rows: list[LatencyRow] = []
    key = job.options.key if name == "stamp" else None
    tests = LatencyTests(
        interval_s=series.interval_s,
        timeout_s=series.timeout_s,
        report_interval_s=_ONE_WINDOW_S,
        authenticated=key is not None,
    )

    def hear(sample: ProbeOutcome) -> None:
        if on_sample(sample):
            sender.stop()

    def keep(_: datetime, window: Sequence[LatencyRow]) -> None:
        rows.extend(window)

    sender = SENDERS[name](HERE, tests, on_window=keep, on_sample=hear, key=key, count=series.probes)
    sender.set_peers([LatencyPeer(THERE, job.target.address, _port(job, name))], tests)
    with job.stop.by(sender.stop):
        await sender.run()
    return rows[0] if rows else _empty(name)


def _port(job: AdhocJob, name: MethodName) -> int:
    return port(name, job.options.port, job.options.tcp_port)


def _attempt(job: AdhocJob, name: MethodName, row: LatencyRow) -> Attempt:
    reason = "" if row.failure in _PLAIN_SILENCE else str(row.failure)
    return Attempt(name, _port(job, name), answered=row.received > 0, reason=reason)


def _is_reply(sample: ProbeOutcome) -> bool:
    return sample.outcome == "received"


def _empty(name: MethodName) -> LatencyRow:
    return LatencyRow(src=HERE, dst=THERE, method=name, failure="no_reply")
