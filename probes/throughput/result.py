"""What one test with iperf3 found, from its transcript and how the program ended. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from probes.throughput.estimate import Estimate, estimate
from probes.throughput.output import End, Fault, Interval, Summary, Transcript

CLOCKS = "the clocks of both sites must agree to 10 s for authentication"


@dataclass(frozen=True, slots=True)
class Result:
    """One test's outcome: a measurement, or a failure with its reason.

    `goodput_bps` is the receiver's. Where `intervals_of` is "receiver" it is the mean after slow
    start with its 95 % interval; where it is "sender" it is the receiver's mean of the whole test,
    and no interval is given, for a sender's intervals say when it filled its buffer.
    """

    intervals: tuple[Interval, ...]
    intervals_of: End
    streams: int
    congestion: str | None = None
    goodput_bps: float | None = None
    goodput_low_bps: float | None = None
    goodput_high_bps: float | None = None
    bytes: int | None = None
    duration_s: float | None = None
    retransmits: int | None = None
    stopped_by: str | None = None
    failure: str | None = None
    detail: str | None = None


def conclude(
    transcript: Transcript, *, reverse: bool, congestion: str | None, ended: Fault | None, status: int | None
) -> Result:
    """The result of a client that has ended: `ended` says that we had to end it, and why."""
    ends: End = "receiver" if reverse else "sender"
    common = Result(tuple(transcript.intervals), ends, transcript.streams, congestion)
    received = transcript.summaries.get("receiver")
    found = estimate(transcript.intervals) if reverse else _of_summary(received)
    if transcript.fault is not None or ended is not None or received is None or found is None:
        fault = _explained(transcript.fault or ended or _without_result(status))
        return replace(common, failure=fault.reason, detail=fault.detail)
    if received.rate_bps == 0.0:
        return replace(common, failure="stalled", detail="connected, but no data arrived")
    sent = transcript.summaries.get("sender")
    return replace(
        common,
        goodput_bps=found.goodput_bps,
        goodput_low_bps=found.low_bps,
        goodput_high_bps=found.high_bps,
        bytes=round(received.rate_bps * received.duration_s / 8),
        duration_s=received.duration_s,
        retransmits=sent.retransmits if sent else None,
        stopped_by="time",
    )


def _without_result(status: int | None) -> Fault:
    if status == 0:
        return Fault("garbage", "iperf3 ended well but printed no result that we understand")
    return Fault("died", f"iperf3 ended with status {status} and without a result")


def _explained(fault: Fault) -> Fault:
    return Fault("auth", f"{fault.detail}; {CLOCKS}") if fault.reason == "auth" else fault


def _of_summary(received: Summary | None) -> Estimate | None:
    return None if received is None else Estimate(received.rate_bps, None, None, 1)
