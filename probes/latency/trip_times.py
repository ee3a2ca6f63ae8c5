"""What the times of a probe and of its reply say: the RTT, the one-way delays, and whether they can be. Pure."""

from __future__ import annotations

from typing import NamedTuple

from probes.latency.clocks import NS_PER_S, decode_error, to_ns
from probes.latency.prober import TimestampSource
from probes.latency.tally import SentProbe, TimedReply

# By how much the wall clock and the monotonic one may part: our two readings of them are not one moment,
# and a clock that is slewed does so by at most 500 ppm (adjtimex).
_STEP_NS = 1e6
_SLEW = 5e-4
# A reflector that claims to have held a reply shortens its own RTTs: no more than this is taken from one, or this share
# of it where that is more. A reply of ours is held for less than a millisecond.
_HELD_NS = 5e6
_HELD_SHARE = 0.25


class TripTime(NamedTuple):
    """A probe's RTT, whose clock it is by, and why it cannot be, if so.

    `held`: the reflector says that it held the reply for longer than may be taken from an RTT.
    """

    rtt_s: float
    source: TimestampSource
    impossible: str | None
    held: bool = False


def round_trip(probe: SentProbe, arrival: TimedReply) -> TripTime:
    """From sending to arrival, less the time that the reflector held the reply, as far as that counts."""
    reply = arrival.reply
    residence_ns = to_ns(reply.timestamp, reply.error) - to_ns(reply.received, reply.error)
    elapsed_ns, source = _elapsed(probe, arrival)
    impossible = _impossible(elapsed_ns, residence_ns, probe, arrival)
    counted_ns = min(residence_ns, max(_HELD_NS, _HELD_SHARE * elapsed_ns))
    return TripTime((elapsed_ns - counted_ns) / NS_PER_S, source, impossible, held=counted_ns < residence_ns)


def elapsed_s(probe: SentProbe, arrival: TimedReply) -> float:
    """How long the reply took, for its timeout: we may have read it late, the kernel did not."""
    seen_s = arrival.now - probe.sent_s
    if arrival.kernel_ns is None:
        return seen_s
    kernel_s = (arrival.kernel_ns - (probe.stamp_ns or probe.sent_ns)) / NS_PER_S
    # A stepped clock is no measure.
    return kernel_s if 0 <= kernel_s <= seen_s else seen_s


def add_one_way(probe: SentProbe, arrival: TimedReply) -> None:
    """Add the one-way delays to the probe's tally, where both clocks are synchronised."""
    reply, clock = arrival.reply, probe.tally.clock
    theirs = decode_error(reply.error)
    if not (clock.synchronised and theirs.synchronised) or theirs.error_s is None:
        return
    left_ns = probe.sent_ns if probe.stamp_ns is None else probe.stamp_ns
    came_ns = arrival.wall_ns if arrival.kernel_ns is None else arrival.kernel_ns
    probe.tally.add_one_way(
        (to_ns(reply.received, reply.error) - left_ns) / NS_PER_S,
        (came_ns - to_ns(reply.timestamp, reply.error)) / NS_PER_S,
        clock.error_s + theirs.error_s,
    )


def _elapsed(probe: SentProbe, arrival: TimedReply) -> tuple[float, TimestampSource]:
    """From sending to arrival in ns: by the kernel's stamps where both are there, else by our monotonic clock."""
    if probe.stamp_ns is not None and arrival.kernel_ns is not None:
        return arrival.kernel_ns - probe.stamp_ns, "kernel"
    return (arrival.now - probe.sent_s) * NS_PER_S, "user"


def _impossible(elapsed_ns: float, residence_ns: int, probe: SentProbe, arrival: TimedReply) -> str | None:
    """Why these times cannot be: the kernel's are wall-clock times, and a wall clock may be stepped."""
    seen_ns = (arrival.now - probe.sent_s) * NS_PER_S
    went_ns = arrival.wall_ns - probe.sent_ns
    if not 0 <= elapsed_ns <= seen_ns or abs(went_ns - seen_ns) > _STEP_NS + _SLEW * seen_ns:
        return "clock_stepped"
    if residence_ns < 0:
        return "negative_residence"
    if residence_ns > elapsed_ns:
        return "negative_rtt"
    return None
