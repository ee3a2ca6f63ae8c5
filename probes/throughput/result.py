"""What one test with iperf3 found, by its transcript and how the program ended. Pure.

A test fails when its program says so, or ends without a result. One that ran and could not finish is a result all the
same: over a long or lossy path the closing exchange may not come in time, and the receiver's intervals are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from probes.throughput.iperf3_output import Datagrams, End, EndSummary, Fault, Interval, Transcript
from probes.throughput.limiting import LimitedBy, SenderEvidence, own_limit
from probes.throughput.stop_rule import MIN_SAMPLES, SteadyGoodput, StoppedBy, StopRule, estimate, over_10_s

CLOCKS = "the clocks of both sites must agree to 10 s for authentication"


@dataclass(frozen=True, slots=True)
class Result:
    """One test's outcome: a measurement, or a failure with its reason.

    `goodput_bps` is the receiver's. Where `intervals_of` is "receiver", it is the mean after slow start with its 95 %
    interval, and `goodput_10s_bps` is the 10-s equivalent (`stop_rule`). Where it is "sender", it is the receiver's
    mean of the whole test, and neither is given. `steady_s` is how long the steady rates took, until the end;
    `limited_by` is the limit as this end knows it; `cpu_demand` is how much of a core its iperf3 wanted. `datagrams` is
    a UDP test's, as its receiver counted. `sent` is what our kernel saw, where this end was the sender. `connected`
    says whether the other end had answered.
    """

    intervals: tuple[Interval, ...]
    intervals_of: End
    streams: int
    congestion: str | None = None
    goodput_bps: float | None = None
    goodput_low_bps: float | None = None
    goodput_high_bps: float | None = None
    goodput_10s_bps: float | None = None
    bytes: int | None = None
    duration_s: float | None = None
    retransmits: int | None = None
    stopped_by: StoppedBy | None = None
    steady_s: float | None = None
    limited_by: LimitedBy | None = None
    cpu_demand: float | None = None
    datagrams: Datagrams | None = None
    sent: SenderEvidence | None = None
    connected: bool = False
    failure: str | None = None
    detail: str | None = None


def conclude(
    transcript: Transcript,
    *,
    reverse: bool,
    congestion: str | None,
    ended: Fault | StoppedBy,
    status: int | None,
    cpu_demand: float | None,
    rule: StopRule,
) -> Result:
    """The result of an iperf3 that has ended: `ended` says by what, a Fault when the watchdog ended it.

    `rule` is the one that it ran by.
    """
    ends: End = "receiver" if reverse else "sender"
    common = Result(
        *(tuple(transcript.intervals), ends, transcript.streams, congestion),
        cpu_demand=cpu_demand,
        connected=bool(transcript.ports),
    )
    received = transcript.summaries.get("receiver")
    if received is None and reverse and ended_late(ended, transcript):
        received, ended = _of_intervals(transcript.intervals), "time"
    found = estimate(transcript.intervals, rule.rtt_s) if reverse else _of_summary(received)
    if transcript.fault is not None or isinstance(ended, Fault) or received is None or found is None:
        fault = _explained(transcript.fault or _without_result(ended, received, status))
        return replace(common, failure=fault.reason, detail=fault.detail)
    if received.rate_bps == 0.0:
        return replace(common, failure="stalled", detail="connected, but no data arrived")
    return _measured(common, transcript, received, found, ended, limit_bytes=rule.blocks_bytes)


def ended_late(ended: Fault | StoppedBy, transcript: Transcript) -> bool:
    """Whether the watchdog ended a test that was under way: its data still came, and is enough for an estimate."""
    if not isinstance(ended, Fault) or ended.reason != "timeout" or transcript.fault is not None:
        return False
    return len(transcript.intervals) >= MIN_SAMPLES and transcript.intervals[-1].rate_bps > 0


def _measured(
    common: Result,
    transcript: Transcript,
    received: EndSummary,
    found: SteadyGoodput,
    ended: StoppedBy,
    *,
    limit_bytes: int | None,
) -> Result:
    ends, reverse = common.intervals_of, common.intervals_of == "receiver"
    sent = transcript.summaries.get("sender")
    # A short test's duration, printed to 10 ms, is too coarse for what is known exactly.
    exact = limit_bytes if ended == "bytes" else None
    # What waits behind a lost segment has been moved as well.
    moved_bytes = exact or max(round(received.rate_bps * received.duration_s / 8), transcript.arrived_bytes)
    return replace(
        common,
        goodput_bps=found.goodput_bps,
        goodput_low_bps=found.low_bps,
        goodput_high_bps=found.high_bps,
        goodput_10s_bps=over_10_s(found.goodput_bps, moved_bytes, received.duration_s) if reverse else None,
        bytes=moved_bytes,
        duration_s=received.duration_s,
        retransmits=sent.retransmits if sent else None,
        stopped_by=ended,
        datagrams=received.datagrams,
        steady_s=received.duration_s * len(found.steady) / len(transcript.intervals) if reverse else None,
        limited_by=own_limit(ended, ends, filled=found.filled or not reverse, cpu_demand=common.cpu_demand),
    )


def _of_intervals(intervals: Sequence[Interval]) -> EndSummary:
    bits = sum(each.rate_bps * (each.end_s - each.start_s) for each in intervals)
    return EndSummary("receiver", intervals[-1].end_s, bits / intervals[-1].end_s)


def _without_result(ended: Fault | StoppedBy, received: EndSummary | None, status: int | None) -> Fault:
    if isinstance(ended, Fault):
        return ended
    if ended == "bytes" and received is not None:
        return Fault("too_short", "its limit in bytes was reached before anything could be measured")
    if received is not None:
        # A server of 3.12 whose client dies at once prints a summary, and no word of it.
        return Fault("died", "the test was over within its first interval")
    if status == 0:
        return Fault("garbage", "iperf3 ended without an error, but printed no result that we can read")
    return Fault("died", f"iperf3 ended with status {status} and without a result")


def _explained(fault: Fault) -> Fault:
    return Fault("auth", f"{fault.detail}; {CLOCKS}") if fault.reason == "auth" else fault


def _of_summary(received: EndSummary | None) -> SteadyGoodput | None:
    if received is None:
        return None
    return SteadyGoodput(received.rate_bps, None, None, (received.rate_bps,), filled=False)


def spanned(result: Result) -> Result:
    """The result with an interval that holds its own and its 10-s equivalent."""
    values = (result.goodput_low_bps, result.goodput_bps, result.goodput_high_bps, result.goodput_10s_bps)
    known = [value for value in values if value is not None]
    return replace(result, goodput_low_bps=min(known), goodput_high_bps=max(known)) if known else result
