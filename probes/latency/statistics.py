"""Statistics of the few dozen samples of one window, in plain Python: a probe needs no numpy for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Distribution(NamedTuple):
    """A distribution; `stdev` is the sample's (n − 1), None for a single sample."""

    minimum: float
    mean: float
    p50: float
    p95: float
    p99: float
    maximum: float
    stdev: float | None


def summary(values: Sequence[float]) -> Distribution:
    """Summarise at least one value."""
    ordered = sorted(values)
    mean = math.fsum(ordered) / len(ordered)
    # Rounding may put the mean of equal values beside them.
    mean = min(max(mean, ordered[0]), ordered[-1])
    return Distribution(
        ordered[0],
        mean,
        quantile(ordered, 0.50),
        quantile(ordered, 0.95),
        quantile(ordered, 0.99),
        ordered[-1],
        _stdev(ordered, mean),
    )


def quantile(ordered: Sequence[float], q: float) -> float:
    """A quantile of sorted values, interpolated between neighbours (numpy's default, type 7)."""
    position = q * (len(ordered) - 1)
    low = int(position)
    if low + 1 == len(ordered):
        return ordered[low]
    # This form keeps quantiles of equal values exactly equal, and ordered.
    return ordered[low] + (position - low) * (ordered[low + 1] - ordered[low])


def _stdev(values: Sequence[float], mean: float) -> float | None:
    if len(values) < 2:
        return None
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


class Jitter:
    """The smoothed interarrival jitter of RFC 3550 §6.4.1, over RTTs in the order of their arrival.

    The RFC takes the difference of transit times, for which RTTs stand here: the clocks need not agree.
    """

    def __init__(self) -> None:
        self._previous: float | None = None
        self._jitter: float | None = None

    def add(self, rtts_s: Sequence[float]) -> float | None:
        """Go on with these RTTs; the jitter now, None before there were two RTTs."""
        for rtt_s in rtts_s:
            if self._previous is not None:
                jitter = self._jitter or 0.0
                self._jitter = jitter + (abs(rtt_s - self._previous) - jitter) / 16
            self._previous = rtt_s
        return self._jitter
