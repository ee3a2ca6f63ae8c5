"""The latency half of an ad hoc test: choose a method by trying, then probe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from linkweather import settings
from linkweather.errors import OperatorError
from linkweather.mesh import LatencyTests, MethodName
from linkweather.wire import LatencyRow
from probes.adhoc.adhoc_job import AdhocJob
from probes.adhoc.findings import HERE, THERE, LatencyFindings
from probes.adhoc.method_choice import AUTO, Attempt, ProbeSeries, choice, site
from probes.latency.engine import LatencyEngine
from probes.latency.prober import Method, load
from probes.latency.session import ProbeOutcome
from probes.latency.targets import LatencyPeer

_ONE_WINDOW_S = 1e9  # windows end at multiples of this: the whole test lies in one
_PLAIN_SILENCE = {None, "no_reply", "late"}
_ANSWERED_OTHERWISE = {"short_reply", "wrong_key"}


class _Aim(NamedTuple):
    """A method, and the host as it probes it."""

    method: Method
    peer: LatencyPeer

    def attempt(self, *, answered: bool, reason: str = "", instead: str = "") -> Attempt:
        wording, port = self.method.prober.wording, self.peer.port
        return Attempt(self.method.name, wording, port, answered=answered, reason=reason, instead=instead)


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
    aim = _aim(job, name)
    job.watch.chosen(choice(aim.attempt(answered=False), attempts), options.count)
    rtts_s: dict[int, float | None] = {}

    def take(sample: ProbeOutcome) -> bool:
        if sample.rtt_s is not None or sample.sequence not in rtts_s:
            rtts_s[sample.sequence] = sample.rtt_s
            job.watch.probe(sample.rtt_s)
        return False

    row = await _probe(job, aim, ProbeSeries(options.count, options.interval_s, options.timeout_s), take)
    attempts.append(_attempt(job, aim, row))
    return LatencyFindings(row, [rtts_s[sequence] for sequence in sorted(rtts_s)], attempts)


async def _try_in_order(job: AdhocJob) -> list[Attempt]:
    """Attempts until one is answered, or the user asks to stop."""
    attempts: list[Attempt] = []
    for name, series in AUTO.items():
        aim = _aim(job, name)
        job.watch.trying(aim.method.prober.wording.title)
        try:
            row = await _probe(job, aim, series, _is_reply)
        except OperatorError as error:
            # ICMP may need privileges that we have not; the next method needs none.
            attempts.append(aim.attempt(answered=False, reason=str(error)))
            continue
        attempts.append(_attempt(job, aim, row))
        if job.stop.asked or row.received > 0:
            break
    return attempts


async def _probe(
    job: AdhocJob, aim: _Aim, series: ProbeSeries, on_sample: Callable[[ProbeOutcome], bool]
) -> LatencyRow:
    """One series of probes; `on_sample` says whether that was enough."""
    rows: list[LatencyRow] = []
    key = job.options.key
    tests = LatencyTests(
        interval_s=series.interval_s,
        timeout_s=series.timeout_s,
        report_interval_s=_ONE_WINDOW_S,
        authenticated=key is not None,
    )

    def take(sample: ProbeOutcome) -> None:
        if on_sample(sample):
            engine.stop()

    def keep(_: datetime, window: Sequence[LatencyRow]) -> None:
        rows.extend(window)

    engine = LatencyEngine(HERE, aim.method, tests, on_window=keep, on_sample=take, key=key, count=series.probes)
    engine.set_peers([aim.peer], tests)
    with job.stop.by(engine.stop):
        await engine.run()
    return rows[0] if rows else _empty(aim.method.name)


def _aim(job: AdhocJob, name: MethodName) -> _Aim:
    """The method with the host and ports that the options name. Raises OperatorError for options it refuses."""
    asked = job.options
    method = load(name)
    options = settings.validate(asked.method_options, method.prober.options, f"--method {name}")
    host, port = method.prober.destination(site(asked.host, asked.port, asked.tcp_port), options)
    address = job.target.address if host == asked.host else host
    return _Aim(method, LatencyPeer(THERE, address, port, options=options, host=host))


def _attempt(job: AdhocJob, aim: _Aim, row: LatencyRow) -> Attempt:
    if row.failure in _ANSWERED_OTHERWISE:
        return aim.attempt(answered=False, instead=row.detail or row.failure)
    reason = ": ".join(filter(None, (row.failure, row.detail)))
    if row.failure in _PLAIN_SILENCE:
        reason = aim.method.prober.wording.with_key if job.options.key and not row.received else ""
    return aim.attempt(answered=row.received > 0, reason=reason)


def _is_reply(sample: ProbeOutcome) -> bool:
    return sample.outcome == "received"


def _empty(name: MethodName) -> LatencyRow:
    return LatencyRow(src=HERE, dst=THERE, method=name, failure="no_reply")
