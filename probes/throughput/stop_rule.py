"""When a throughput test has seen enough, and what its figure means. Pure: a receiver's intervals go in.

A test is a sequence of rates, one for each interval of 0.1 s, as its receiver counted them. (A sender's say when it
filled its buffer: they vary five times as much.) The question after each one is whether the next would change the
answer. Three parts decide:

1. **Where the pipe is full.** TCP doubles its rate in slow start, and these rates are not what the path can carry.
   The pipe is full at the first of three round trips in a row whose rates do not exceed the highest by a quarter: BBR's
   rule; or, on a long path, of one and a half that are level. From there on the rates are the *steady* ones, and their
   mean is the goodput. What comes late behind a lost segment is spread over the stall before it (`slow_start`); on a
   long path the rates are of what arrives, in order or not, where the kernel says (`sampler.ArrivalSampler`).
2. **How sure the mean is.** With n steady rates of mean m and standard deviation s, the 95 % interval is
   m ± t·s/√n, with Student's t for n − 1 degrees of freedom. The test may stop when n ≥ 8 and the half-width is
   below 5 % of m. Eight, because the t interval of a few lucky samples is narrow by chance; on a long path that is
   level the five or more of one and a half round trips do, for each of them costs 4 % of the bytes of 10 s.
3. **Whether it drifts.** The t interval takes the rates for independent, and they are not: a rate that climbs slowly
   has a narrow interval at every moment. So the means of the first and the second half must agree within 5 % of m.

A test that never satisfies all three, or is in a stall, ends by its cap in time or in bytes. The cap in time is longer
on a long path, by the round trips that slow start takes (`time_limits.duration_s`). Where the pipe never filled, the
second half of the rates stands for the steady ones, and `limited_by` says `application`: our own cap held the rate
down.

Measured over 68 tests of 10 s on steady paths (50 to 300 Mbit/s, RTT 0.2 to 300 ms): one that stops by this rule moves
8 to 13 % of the bytes, and is within 10 % of the mean of 10 s in all of them. Where other flows come and go beside, it
is in 15 of 54.

What is stated in the end is wider than m ± t·s/√n. That interval says how well *this second* is known; on a variable
path two tests of 10 s agree within 10 % in only two cases of three, and no rule within one test can know that. So the
stated interval spans this test's own interval, its 10-s equivalent, and those of the last tests of the link, and some
more (`past_tests`). The 10-s equivalent is what a test of 10 s that went on at m would have found: its slow start
weighs as much as it would there, which makes short tests comparable with the long ones of other tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Literal

from probes.throughput.iperf3_output import Interval
from probes.throughput.slow_start import level_from, pipe_full, settled

INTERVAL_S = 0.1
# The last interval of an interrupted test is a fragment, and its rate is noise.
MIN_SHARE = 0.5
# Two-sided 95 % quantiles of Student's t, by degrees of freedom from 1.
T_95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
Z_95 = 1.95996


@dataclass(frozen=True, slots=True)
class SteadyGoodput:
    """The mean of the `steady` rates; low and high are its 95 % interval, None where there is only one rate.

    `filled` says whether the pipe filled before them, `stalled` whether the last of them wait for a lost segment,
    `level` whether they begin with 1.5 round trips of a long path that were level.
    """

    goodput_bps: float
    low_bps: float | None
    high_bps: float | None
    steady: tuple[float, ...]
    filled: bool
    stalled: bool = False
    level: bool = False


def estimate(intervals: Sequence[Interval], rtt_s: float | None = None) -> SteadyGoodput | None:
    """The steady part's mean, of the second half where the pipe never filled; None without intervals."""
    rates = [interval.rate_bps for interval in _whole(intervals) if interval.end_s > interval.start_s]
    if not rates:
        return None
    per_rtt = _per_rtt(rtt_s)
    level = level_from(rates, per_rtt)
    full = min((each for each in (level, pipe_full(rates, per_rtt)) if each is not None), default=None)
    found, stall = (rates[len(rates) // 2 :], []) if full is None else settled(rates, full, per_rtt)
    steady = (*found, *stall)
    mean, low, high = _interval(steady)
    level_now = full is not None and full == level
    return SteadyGoodput(mean, low, high, steady, filled=full is not None, stalled=bool(stall), level=level_now)


def _per_rtt(rtt_s: float | None) -> int:
    return max(1, round((rtt_s or 0.0) / INTERVAL_S))


def _interval(steady: Sequence[float]) -> tuple[float, float | None, float | None]:
    mean = fmean(steady)
    if len(steady) == 1:
        return mean, None, None
    half_width = t_95(len(steady) - 1) * stdev(steady) / sqrt(len(steady))
    return mean, max(0.0, mean - half_width), mean + half_width


def _whole(intervals: Sequence[Interval]) -> Sequence[Interval]:
    # Compared with its neighbour only: an interval that a busy host stretched says nothing about the others.
    if len(intervals) < 2:
        return intervals
    before, last = (each.end_s - each.start_s for each in intervals[-2:])
    return intervals[:-1] if last < MIN_SHARE * before else intervals


def t_95(degrees: int) -> float:
    """Student's t; above the table by its expansion in 1/degrees, good to 0.1 % there."""
    if degrees <= len(T_95):
        return T_95[degrees - 1]
    return Z_95 + (Z_95**3 + Z_95) / (4 * degrees)


StoppedBy = Literal["converged", "time", "bytes"]

MIN_SAMPLES = 8
MAX_HALF_WIDTH = 0.05  # of the mean
MAX_DRIFT = 0.05  # of the mean, between the means of the halves
# What iperf3 measured may end this much before the duration that it was asked for.
EARLY_S = 0.05
# iperf3 writes blocks of this size, and counts whole ones.
BLOCK_BYTES = 128 * 1024
REFERENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class StopRule:
    """When to stop: after `max_duration_s`, after `max_bytes` of payload, and as soon as the estimate has converged.

    `rtt_s` is the path's RTT as far as it is known: by it slow start is told from variation.
    """

    max_duration_s: float
    until_converged: bool = False
    max_bytes: int | None = None
    rtt_s: float | None = None

    @property
    def blocks_bytes(self) -> int | None:
        """`max_bytes` in whole blocks, at least one; None without such a limit."""
        return None if self.max_bytes is None else max(BLOCK_BYTES, self.max_bytes // BLOCK_BYTES * BLOCK_BYTES)

    @property
    def counts_arrivals(self) -> bool:
        """Whether the rates should be of what arrives, in order or not: over a long path losses hold much back."""
        return self.until_converged and _per_rtt(self.rtt_s) > 1

    @property
    def ends_itself(self) -> StoppedBy:
        """What ends an iperf3 that we do not stop: it takes one end condition, the bytes if they are limited."""
        return "time" if self.max_bytes is None else "bytes"

    def verdict(self, intervals: Sequence[Interval]) -> StoppedBy | None:
        """Why to stop now, after these intervals of the receiver; None: go on, or let iperf3 end the test."""
        found = estimate(intervals, self.rtt_s) if self.until_converged else None
        if found is not None and converged(found):
            return "converged"
        # iperf3 counts its duration in whole seconds, takes 0.5 for "without end", and takes none beside bytes.
        ends_itself = self.max_bytes is None and self.max_duration_s % 1 == 0
        over = bool(intervals) and intervals[-1].end_s >= self.max_duration_s - EARLY_S
        return "time" if over and not ends_itself else None


def converged(found: SteadyGoodput) -> bool:
    """Whether more rates would hardly move the mean: enough of them, close together, without a drift."""
    count, mean = len(found.steady), found.goodput_bps
    enough = found.filled and (found.level or count >= MIN_SAMPLES)
    if not enough or found.stalled or found.high_bps is None:
        return False
    first, second = fmean(found.steady[: count // 2]), fmean(found.steady[count // 2 :])
    return found.high_bps - mean < MAX_HALF_WIDTH * mean and abs(first - second) <= MAX_DRIFT * mean


def over_10_s(goodput_bps: float, moved_bytes: int, duration_s: float) -> float:
    """The mean rate of a test of 10 s that went on at this goodput after what this one has moved."""
    moved_bits = 8 * moved_bytes
    if duration_s >= REFERENCE_S:
        return moved_bits / duration_s
    return (moved_bits + goodput_bps * (REFERENCE_S - duration_s)) / REFERENCE_S
