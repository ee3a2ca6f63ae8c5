"""Whether two samples differ by more than noise: a rank test, a test of shares, intervals. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import erfc, exp, inf, lgamma, sqrt
from statistics import fmean

# Two tests of an unchanged link differ by more than their samples show: the usual p of 0.05 is too weak.
ALPHA = 0.01
_MOST_CORRELATION = 0.95  # a higher correlation would leave no independent values
# Above so many losses the exact test takes long, and the normal approximation is as good.
_MANY = 2000
_TIES = 1e-7  # of a probability: what equals the observed one but for rounding


@dataclass(frozen=True, slots=True)
class NoiseVerdict:
    """`p` is two-sided, None where intervals decide; `rise` is positive where the values are higher now."""

    rise: float
    more_than_noise: bool
    p: float | None = None


def mann_whitney(before: Sequence[float], now: Sequence[float]) -> NoiseVerdict:
    """Whether values now tend to be higher or lower: the rank-sum test of Mann and Whitney (1947), none empty.

    By the normal approximation with its corrections for ties and continuity; good from about 8 values a side.
    The values are in the order of time: where neighbours are correlated fewer values are independent, and the variance
    grows as for a first-order autoregressive series. Without this, tests of an unchanged link would differ far more
    often than p says.
    """
    first, second = len(before), len(now)
    total = first + second
    counts = Counter([*before, *now])
    ranks, below = {}, 0
    for value in sorted(counts):
        ranks[value] = below + (counts[value] + 1) / 2
        below += counts[value]
    rise = sum(ranks[value] for value in now) - second * (total + 1) / 2
    ties = sum(count**3 - count for count in counts.values())
    variance = first * second / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance == 0:
        return NoiseVerdict(0.0, more_than_noise=False, p=1.0)
    correlation = _autocorrelation([[ranks[value] for value in values] for values in (before, now)])
    p = erfc(max(0.0, abs(rise) - 0.5) / sqrt(2 * variance * (1 + correlation) / (1 - correlation)))
    return NoiseVerdict(rise, p < ALPHA, p)


def fisher(lost_before: int, sent_before: int, lost_now: int, sent_now: int) -> NoiseVerdict:
    """Whether the share of losses differs: Fisher's exact test, two-sided; something was sent both times."""
    lost, sent = lost_before + lost_now, sent_before + sent_now
    rise = lost_now / sent_now - lost_before / sent_before
    if min(lost, sent - lost) > _MANY:
        share = lost / sent
        p = erfc(abs(rise) / sqrt(2 * share * (1 - share) * (1 / sent_before + 1 / sent_now)))
        return NoiseVerdict(rise, p < ALPHA, p)

    def log_probability(now: int) -> float:
        return _log_choices(sent_now, now) + _log_choices(sent_before, lost - now) - _log_choices(sent, lost)

    observed = log_probability(lost_now) + _TIES
    possible = range(max(0, lost - sent_before), min(lost, sent_now) + 1)  # at most _MANY + 1
    p = min(1.0, sum(exp(each) for each in map(log_probability, possible) if each <= observed))
    return NoiseVerdict(rise, p < ALPHA, p)


def apart(before: tuple[float, float], now: tuple[float, float]) -> NoiseVerdict:
    """Whether two 95 % intervals (low, high) have nothing in common: stricter than a test of their difference."""
    if now[0] > before[1]:
        return NoiseVerdict(inf, more_than_noise=True)
    if now[1] < before[0]:
        return NoiseVerdict(-inf, more_than_noise=True)
    return NoiseVerdict(0.0, more_than_noise=False)


def _autocorrelation(series: Sequence[Sequence[float]]) -> float:
    """The lag-1 autocorrelation within the series together, 0 where it is negative."""
    means = [fmean(values) for values in series]
    off = [[value - mean for value in values] for values, mean in zip(series, means, strict=True)]
    spread = sum(each**2 for values in off for each in values)
    shared = sum(one * next_one for values in off for one, next_one in pairwise(values))
    return min(max(0.0, shared / spread), _MOST_CORRELATION) if spread > 0 else 0.0


def _log_choices(of: int, chosen: int) -> float:
    return lgamma(of + 1) - lgamma(chosen + 1) - lgamma(of - chosen + 1)
