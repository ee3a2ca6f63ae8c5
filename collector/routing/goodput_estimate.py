"""Goodput estimates: believe a link as far as its own tests outweigh what similar links say.

One goodput test is a weak estimate, but a mesh has many: two sites that see the network alike see a third site alike,
a link's reverse crosses the same distance, and a site's links share its limits. So each link is predicted from the
others, and what is expected of it lies between the prediction and its own tests, the nearer to these the more and the
newer they are. What the predictions of an operator's links miss, their residuals, says how far to trust them there.

A relay is taken when its pessimistic worst leg beats an optimistic direct: both differ from what is expected by a
share of the noise, what tests alone would scatter by. The best of many relays is partly the luckiest, so the share
grows with the number of relays to choose from.

No prediction of a link uses that link itself (but for its share in saying which sites are alike), so that residuals are
honest. All arithmetic is on logarithms: units do not matter. Matrices are [src, dst], NaN where unknown, and what is
unknown stays unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from collector.linkstate.forecasters import MEAN_WEIGHT
from collector.linkstate.snapshot import Snapshot
from collector.routing.arrays import Bools, Floats
from collector.routing.costs import GoodputEstimate

Indices = npt.NDArray[np.intp]

# One test, just made, has these odds against the prediction …
ODDS: Final = 1.5
# … which age divides by 1 + age / this; and noise grows by the square root of 1 + age / that.
ODDS_LAST_DAYS: Final = 200.0
NOISE_LASTS_DAYS: Final = 300.0
# By how many times the noise a relay's legs count for less, and direct for more, where MANY_SITES can relay.
CAUTION: Final = 0.55
MANY_SITES: Final = 64
# The mean absolute deviation of the normal distribution, in standard deviations.
MEAN_DEVIATION: Final = 0.798
# The 10th percentile of the normal distribution, in standard deviations below its median.
_P10: Final = 1.2816
# A smoothed mean rests on no more tests than this.
_MEAN_ROWS: Final = 2.0 / MEAN_WEIGHT - 1.0
_LEAST_RATIO: Final = 1e-6
_DAY_S: Final = 86400.0

# Fewer sites than this are no kind of their own: their blocks would be too small to learn from.
_SITES_OF_A_KIND = 5
# Logarithms of two limits that differ by less are the same limit.
_LIMITS_APART = 0.15
# Sites count by this power of the inverse variance between what they see, and never infinitely much.
_POWER = 1.75
_SOFT = 2e-5
# Two sites that share fewer destinations are not comparable.
_SHARED = 3
# Ridge penalties: of the coefficients of all links towards zero, of a block's towards those of all links.
_PENALTY_ALL = 1.0
_PENALTY_BLOCK = 1.0
# The constant's penalty is smaller than those of the features that vary.
_PENALTY_CONSTANT = 0.1
# The mean deviation of a block is that of all links until it has about so many links.
_LINKS_OF_A_BLOCK = 5.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Observed:
    """Logarithms of goodput [src, dst], NaN where unknown, of how many tests, and the age of the newest in days.

    `spread` is by how much the next test lies off, as a standard deviation of the logarithm: it includes the age, and
    is NaN where there are too few tests to say.
    """

    log: Floats
    samples: Floats
    spread: Floats
    age_days: Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimated:
    """Logarithms of goodput [src, dst]: expected, the noise of that, and by how much the next test lies off.

    NaN where unknown. `caution` is by how many times the noise a relay has to be better.
    """

    log: Floats
    noise: Floats
    spread: Floats
    caution: float

    def goodputs(self) -> GoodputEstimate:
        """Relays are ranked by what a leg carries at least; taken where the pessimistic leg beats optimistic direct."""
        return GoodputEstimate(
            expected_bps=np.exp(self.log),
            p10_bps=np.exp(self.log - _P10 * self.spread),
            cautious_bps=np.exp(self.log - self.noise),
            weighed_bps=np.exp(self.log - self.caution * self.noise),
            bar_bps=np.exp(self.log + self.caution * self.noise),
        )


def shrunk(snapshot: Snapshot, operators: Sequence[str | None]) -> GoodputEstimate:
    """The forecasts of a snapshot, shrunk; `operators` are those of its sites, in order."""
    return estimated(observed(snapshot), operators).goodputs()


def observed(snapshot: Snapshot) -> Observed:
    """The smoothed means as observations, by the spread of the forecasts.

    A goodput of zero has no logarithm, and does not count for other links.
    """
    p50, p10 = snapshot.goodput_p50_bps, snapshot.goodput_p10_bps
    known, samples = (p50 > 0) & (snapshot.goodput_mean_bps > 0), snapshot.goodput_samples.astype(float)
    log = np.log(np.where(known, snapshot.goodput_mean_bps, np.nan))
    # A 10th percentile of zero is as far below as numbers can say.
    ratio = np.maximum(np.where(known, p10, np.nan) / np.where(known, p50, np.nan), _LEAST_RATIO)
    return Observed(
        log=log,
        samples=np.where(known, np.clip(samples, 1.0, _MEAN_ROWS), 0.0),
        spread=np.where(samples > 1, -np.log(ratio) / _P10, np.nan),  # a forecast's interval widens with its age
        age_days=np.where(known, snapshot.goodput_age_s, 0.0) / _DAY_S,
    )


def estimated(observations: Observed, operators: Sequence[str | None]) -> Estimated:
    """What to expect of every observed link. O(sites³), in matrix products."""
    log, samples, age_days = observations.log, observations.samples, observations.age_days
    blocks = Blocks.of(operators, log)
    predictions = predicted(log, blocks)
    residuals = log - predictions
    odds = ODDS * samples / (1.0 + age_days / ODDS_LAST_DAYS)
    weight = odds / (1.0 + odds)
    missed = np.where(np.isfinite(log), (blocks.mean_sizes(residuals) / MEAN_DEVIATION) ** 2, np.nan)
    missed *= 1.0 + age_days / NOISE_LASTS_DAYS
    own = np.where(np.isfinite(observations.spread), weight, 0.0)  # one test cannot say how well it repeats itself
    again = np.nan_to_num(observations.spread) ** 2
    return Estimated(
        log=predictions + weight * residuals,
        noise=np.sqrt((1.0 - own) * missed + own * np.minimum(1.0, 2.0 / np.maximum(samples, 1.0)) * again),
        spread=np.sqrt((1.0 - own) * missed + own * again),
        caution=caution(int(np.isfinite(log).any(axis=0).sum())),
    )


def caution(sites: int) -> float:
    """By how many times the noise a relay has to be better: by as much as the best of so many is expected to be lucky.

    The expected maximum of n normal deviations is that of the quantile (n − 3/8) / (n + 1/4), after Blom.
    """
    return CAUTION * min(1.0, _luck(sites - 2) / _luck(MANY_SITES - 2))


def _luck(relays: int) -> float:
    return NormalDist().inv_cdf((relays - 0.375) / (relays + 0.25)) if relays > 1 else 0.0


@dataclass(frozen=True, eq=False)
class Blocks:
    """Links by the kinds of site at their two ends: `of_link` [src, dst] are block numbers below `count`."""

    of_link: Indices
    count: int

    @classmethod
    def of(cls, operators: Sequence[str | None], log: Floats) -> Self:
        """Blocks by operator where it has enough sites; the other sites are grouped by how much they can send."""
        names = [f"of {name}" if name is not None else None for name in operators]
        limits = [f"limit {limit}" for limit in _limits(log)]
        kinds = [known or limit for known, limit in zip(_enough(names), limits, strict=True)]
        unique, of_site = np.unique([kind or "few" for kind in _enough(kinds)], return_inverse=True)
        return cls(of_link=of_site[:, None] * len(unique) + of_site, count=len(unique) ** 2)

    def totals(self, values: Floats) -> Floats:
        """The sum of every block, [block]; NaN counts as nothing."""
        weights = np.nan_to_num(values).ravel()
        sums: Floats = np.bincount(self.of_link.ravel(), weights=weights, minlength=self.count).astype(float)
        return sums

    def mean_sizes(self, values: Floats) -> Floats:
        """The mean size of each link's block, signs aside, drawn to that of all links where the block has few."""
        sizes, known = self.totals(np.abs(values)), self.totals(np.isfinite(values).astype(float))
        overall = sizes.sum() / max(known.sum(), 1.0)
        means: Floats = (sizes + _LINKS_OF_A_BLOCK * overall) / (known + _LINKS_OF_A_BLOCK)
        return means[self.of_link]


def _enough(names: Sequence[str | None]) -> list[str | None]:
    sizes = Counter(names)
    return [name if sizes[name] >= _SITES_OF_A_KIND else None for name in names]


def _limits(log: Floats) -> Indices:
    """Which sites send at most about the same: an operator's machines have one limit. Numbers from 0, [site]."""
    most = np.max(log, axis=1, initial=-np.inf, where=np.isfinite(log))
    order = np.argsort(most)
    limits = np.zeros(len(log), np.intp)
    ranked = most[order]
    # Two sites that have sent nothing at all lie no step apart.
    steps = np.subtract(ranked[1:], ranked[:-1], out=np.zeros(len(order) - 1), where=np.isfinite(ranked[1:]))
    limits[order[1:]] = np.cumsum(steps > _LIMITS_APART)
    return limits


def predicted(log: Floats, blocks: Blocks) -> Floats:
    """Each link as the others predict it; NaN where the link itself is unknown."""
    known = np.isfinite(log)
    if not known.any():
        return np.full_like(log, np.nan)
    plain = _site_effects(log)
    by_src, by_dst = _by_alike_sources(log, plain), _by_alike_sources(log.T, plain.T).T
    alike = (by_src + by_dst) / 2
    features = np.stack(
        [
            by_src - by_dst,
            np.nan_to_num((log - alike).T),  # the residual of the reverse link …
            np.nan_to_num(log.T - alike),  # … and how far it lies from our prediction
            plain - alike,
            np.ones_like(log),
        ],
        axis=-1,
    )
    predictions = alike + _corrections(features, np.where(known, log - alike, 0.0), known, blocks)
    return np.where(known, predictions, np.nan)


def _site_effects(log: Floats, rounds: int = 20) -> Floats:
    """The mean, plus the effects of source and destination, each shrunk towards 0 by one link's worth."""
    known = np.isfinite(log)
    mean = log[known].mean()
    src, dst = np.zeros((len(log), 1)), np.zeros((1, len(log)))
    for _ in range(rounds):
        src = np.nansum(log - mean - dst, axis=1, keepdims=True) / (known.sum(axis=1, keepdims=True) + 1)
        dst = np.nansum(log - mean - src, axis=0, keepdims=True) / (known.sum(axis=0, keepdims=True) + 1)
    effects: Floats = mean + src + dst
    return effects


def _by_alike_sources(log: Floats, otherwise: Floats) -> Floats:
    """The mean of what other sources see of a destination, weighted by similarity, each corrected by its offset."""
    known, values = np.isfinite(log).astype(float), np.nan_to_num(log)
    weights, offsets = _alike(known, values)
    total = weights @ known
    seen = weights @ values + (weights * offsets) @ known
    expected: Floats = np.divide(seen, total, out=otherwise.copy(), where=total > 0)
    return expected


def _alike(known: Floats, values: Floats) -> tuple[Floats, Floats]:
    """For each pair of sources its weight, and by how much the first sees more than the second."""
    shared = known @ known.T
    sums, squares = values @ known.T, (values * values) @ known.T
    some = np.maximum(shared, 1.0)
    offsets = (sums - sums.T) / some
    variances = np.maximum((squares + squares.T - 2 * values @ values.T) / some - offsets**2, 0.0)
    # Two links' worth of the mean variance: few shared destinations are weak evidence.
    variances = (variances * shared + 2 * variances.mean()) / (shared + 2)
    weights = np.where(shared >= _SHARED, 1.0 / (variances**_POWER + _SOFT), 0.0)
    np.fill_diagonal(weights, 0.0)
    return weights, offsets


def _corrections(features: Floats, residuals: Floats, known: Bools, blocks: Blocks) -> Floats:
    """A ridge regression of residuals on `features` [src, dst, feature]: over all links, then per block."""
    penalties = np.ones(features.shape[-1])
    penalties[-1] = _PENALTY_CONSTANT
    squares, products = _normal_equations(np.where(known[..., None], features, 0.0), residuals, blocks)
    overall = np.linalg.solve(squares.sum(axis=0) + np.diag(_PENALTY_ALL * penalties), products.sum(axis=0))
    ridge = np.diag(_PENALTY_BLOCK * penalties)
    coefficients = np.linalg.solve(squares + ridge, (products + ridge @ overall)[..., None])[..., 0]
    corrections: Floats = np.einsum("sdk,sdk->sd", features, coefficients[blocks.of_link])
    return corrections


def _normal_equations(features: Floats, residuals: Floats, blocks: Blocks) -> tuple[Floats, Floats]:
    """X'X [block, feature, feature] and X'y [block, feature]."""
    count = features.shape[-1]
    squares = [[blocks.totals(features[..., one] * features[..., two]) for two in range(count)] for one in range(count)]
    products = [blocks.totals(features[..., one] * residuals) for one in range(count)]
    return np.moveaxis(np.array(squares), -1, 0), np.moveaxis(np.array(products), -1, 0)
