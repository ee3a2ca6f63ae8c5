"""How long several transfers to one site take together. Pure.

Transfers run side by side. On a link that several paths share, their times add up. Transfers that share no link are
treated as independent, and each time as lognormal with the given p50 and p90.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

P50, P90 = 0.5, 0.9
_NORMAL = NormalDist()
_Z90 = _NORMAL.inv_cdf(P90)
_HALVINGS = 40  # 10^12 is finer than any forecast


@dataclass(frozen=True, slots=True)
class Spread:
    """A duration: its median, and what nine of ten cases do not exceed."""

    p50_s: float
    p90_s: float

    @property
    def sigma(self) -> float:
        """The standard deviation of the time's logarithm."""
        return math.log(self.p90_s / self.p50_s) / _Z90 if self.p50_s > 0 else 0.0

    def quantile_s(self, share: float) -> float:
        """The duration that this share of cases does not exceed."""
        return self.p50_s * math.exp(self.sigma * _NORMAL.inv_cdf(share))

    def share(self, time_s: float) -> float:
        """The share of cases that do not exceed `time_s`, which is positive."""
        if self.sigma == 0:
            return float(time_s >= self.p50_s)
        return _NORMAL.cdf(math.log(time_s / self.p50_s) / self.sigma)


NOTHING = Spread(0.0, 0.0)


def together(transfers: Sequence[tuple[Sequence[str], Spread]]) -> Spread:
    """When the last of these transfers is done; each is its path's sites and its time alone."""
    groups = [_busiest_link(group) for group in _sharing(transfers)]
    return latest(groups)


def latest(times: Sequence[Spread]) -> Spread:
    """The latest of independent times; nothing takes no time."""
    if len(times) < 2:
        return times[0] if times else NOTHING
    return Spread(_latest_s(times, P50), _latest_s(times, P90))


def _latest_s(times: Sequence[Spread], share: float) -> float:
    """All are done by t with the product of their shares at t: found by halving between two bounds."""
    low = max(time.quantile_s(share) for time in times)
    high = max(time.quantile_s(share ** (1 / len(times))) for time in times)
    for _ in range(_HALVINGS if high > low else 0):
        middle = (low + high) / 2
        done = math.prod(time.share(middle) for time in times)
        low, high = (middle, high) if done < share else (low, middle)
    return high


def _sharing(transfers: Sequence[tuple[Sequence[str], Spread]]) -> list[list[tuple[Sequence[str], Spread]]]:
    """The transfers in groups that have no link in common."""
    groups: list[tuple[set[tuple[str, str]], list[tuple[Sequence[str], Spread]]]] = []
    for transfer in transfers:
        links, members = set(pairwise(transfer[0])), [transfer]
        apart = []
        for other in groups:
            if links & other[0]:
                links |= other[0]
                members = other[1] + members
            else:
                apart.append(other)
        groups = [*apart, (links, members)]
    return [members for _, members in groups]


def _busiest_link(group: Sequence[tuple[Sequence[str], Spread]]) -> Spread:
    p50_s: Counter[tuple[str, str]] = Counter()
    p90_s: Counter[tuple[str, str]] = Counter()
    for path, time in group:
        for link in pairwise(path):
            p50_s[link] += time.p50_s  # type: ignore[assignment]  # a Counter adds up any numbers
            p90_s[link] += time.p90_s  # type: ignore[assignment]
    return Spread(max(p50_s.values()), max(p90_s.values()))
