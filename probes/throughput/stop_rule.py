"""Goodput of the full pipe, from a receiver's intervals: where slow start ends, its mean, its interval. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Literal

from probes.throughput.iperf3_output import Interval

# BBR (draft-cardwell-iccrg-bbr-congestion-control §4.3.1.2): the pipe is full when the rate has
# grown by less than a quarter three times in a row.
GROWTH = 1.25
FULL_AFTER = 3
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
    """Steady goodput; low and high are the 95 % interval of the mean, None when one sample is all there is.

    `steady` are the samples that it is made of; `filled` says whether the pipe filled before them.
    """

    goodput_bps: float
    low_bps: float | None
    high_bps: float | None
    steady: tuple[float, ...]
    filled: bool


def estimate(intervals: Sequence[Interval]) -> SteadyGoodput | None:
    """The steady part's mean; None without intervals.

    A pipe that never filled is judged by the second half of its test: the most that was seen of it.
    """
    rates = [interval.rate_bps for interval in _whole(intervals) if interval.end_s > interval.start_s]
    if not rates:
        return None
    full = pipe_full(rates)
    steady = tuple(rates[len(rates) // 2 if full is None else full :])
    mean = fmean(steady)
    if len(steady) == 1:
        return SteadyGoodput(mean, None, None, steady, full is not None)
    half_width = t_95(len(steady) - 1) * stdev(steady) / sqrt(len(steady))
    return SteadyGoodput(mean, max(0.0, mean - half_width), mean + half_width, steady, full is not None)


def _whole(intervals: Sequence[Interval]) -> Sequence[Interval]:
    # Only against its neighbour: an interval that a busy host drew out says nothing about the others.
    if len(intervals) < 2:
        return intervals
    before, last = (each.end_s - each.start_s for each in intervals[-2:])
    return intervals[:-1] if last < MIN_SHARE * before else intervals


def pipe_full(rates: Sequence[float]) -> int | None:
    """Index of the first of the three intervals that show a full pipe; None when it never filled."""
    highest, flat = 0.0, 0
    for index, rate in enumerate(rates):
        if rate >= GROWTH * highest and rate > 0:
            highest, flat = rate, 0
        elif highest > 0:
            flat += 1
        if flat == FULL_AFTER:
            return index - FULL_AFTER + 1
    return None


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
    """When to stop: after `max_duration_s`, after `max_bytes` of payload, and as soon as the estimate has converged."""

    max_duration_s: float
    until_converged: bool = False
    max_bytes: int | None = None

    @property
    def blocks_bytes(self) -> int | None:
        """`max_bytes` in whole blocks, at least one; None without such a limit."""
        return None if self.max_bytes is None else max(BLOCK_BYTES, self.max_bytes // BLOCK_BYTES * BLOCK_BYTES)

    @property
    def ends_itself(self) -> StoppedBy:
        """What ends iperf3 when nobody stops it: it takes one end condition, the bytes if they are limited."""
        return "time" if self.max_bytes is None else "bytes"

    def verdict(self, intervals: Sequence[Interval]) -> StoppedBy | None:
        """Why to stop now, after these intervals of the receiver; None: go on, or let iperf3 end by itself."""
        found = estimate(intervals) if self.until_converged else None
        if found is not None and converged(found):
            return "converged"
        # iperf3 counts its duration in whole seconds, takes 0.5 for "without end", and none when it counts bytes.
        alone = self.max_bytes is None and self.max_duration_s % 1 == 0
        over = bool(intervals) and intervals[-1].end_s >= self.max_duration_s - EARLY_S
        return "time" if over and not alone else None


def converged(found: SteadyGoodput) -> bool:
    """Whether more samples would hardly move the mean: enough of them, close together, and not drifting."""
    count, mean = len(found.steady), found.goodput_bps
    if not found.filled or count < MIN_SAMPLES or found.high_bps is None:
        return False
    first, second = fmean(found.steady[: count // 2]), fmean(found.steady[count // 2 :])
    return found.high_bps - mean < MAX_HALF_WIDTH * mean and abs(first - second) <= MAX_DRIFT * mean


def over_10_s(goodput_bps: float, moved_bytes: int, duration_s: float) -> float:
    """The mean rate of a test of 10 s that goes on as this one: slow start counts as much as it would there."""
    moved_bits = 8 * moved_bytes
    if duration_s >= REFERENCE_S:
        return moved_bits / duration_s
    return (moved_bits + goodput_bps * (REFERENCE_S - duration_s)) / REFERENCE_S
