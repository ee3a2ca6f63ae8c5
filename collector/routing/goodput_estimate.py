"""Goodput estimates: what to expect of every link, each measurement shrunk towards what similar links predict.

One goodput test is a weak estimate, but a mesh has many: two sites that see the network alike see a third site alike,
a link's reverse crosses the same distance, and a site's links share its limits. So each link is predicted from the
others, and its own measurements are drawn to that prediction, the less the more there are. What the predictions of an
operator's links miss, their residuals, says how far to trust predictions and measurements there.

No prediction of a link uses that link itself (but for its share in saying which sites are alike), so that residuals are
honest. All arithmetic is on logarithms: units do not matter. Matrices are [src, dst], NaN where unknown, and what is
unknown stays unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from collector.linkstate.snapshot import Snapshot
from collector.routing.arrays import Bools, Floats
from collector.routing.costs import GoodputEstimate

Indices = npt.NDArray[np.intp]

# Found by cross-validation on two grids of clouds, each decided on and scored on the other.
# One measurement above its prediction counts for this much against it, one below for this much: what disturbs a
# measurement (other traffic, slow start, a lost burst) takes away, and hardly ever adds.
BELIEF_ABOVE = 0.77
BELIEF_BELOW = 0.30
# No link repeats itself better than this from one day to the next, as a standard deviation of the logarithm.
DRIFT = 0.04
# The cautious estimate lies so many standard deviations below the expected one.
CAUTION = 0.95
# A relay must beat direct by so many times the median absolute residual of the source's links.
DOUBT = 1.3
# The doubt of a source is that of all links until it has about so many links.
_LINKS_OF_A_SOURCE = 2.0
# The median deviation of the normal distribution, in standard deviations.
_MEDIAN_DEVIATION = 0.6745
# The 10th percentile of the normal distribution, in standard deviations below its median.
_P10 = 1.2816
_LEAST_RATIO = 1e-6

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
# The mean square of a block is that of all links until it has about so many links.
_LINKS_OF_A_BLOCK = 5.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Observed:
    """Logarithms of goodput [src, dst], NaN where unknown, of how many measurements, and their spread.

    `spread` is the standard deviation of the logarithm by the link's own measurements, NaN where there are too few.
    """

    log: Floats
    samples: Floats
    spread: Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimated:
    """Logarithms of goodput [src, dst]: expected, and their standard deviation; NaN where unknown.

    `doubt` [src, 1] is how far the links of a source usually lie from their estimates.
    """

    log: Floats
    spread: Floats
    doubt: Floats

    def goodputs(self) -> GoodputEstimate:
        """The expected goodput, and the cautious one, `CAUTION` standard deviations below, which ranks relays.

        Direct and a relay share the source, so they are compared by what is expected of both; the bar rises with the
        source's doubt: an unsteady source needs a larger gain, a steady one hardly any.
        """
        expected_bps = np.exp(self.log)
        return GoodputEstimate(
            expected_bps=expected_bps,
            cautious_bps=np.exp(self.log - CAUTION * self.spread),
            weighed_bps=expected_bps,
            bar_bps=np.exp(self.log + DOUBT * self.doubt),
        )


def shrunk(snapshot: Snapshot, operators: Sequence[str | None]) -> GoodputEstimate:
    """The forecasts of a snapshot, shrunk; `operators` are those of its sites, in order."""
    return estimated(observed(snapshot), operators).goodputs()


def observed(snapshot: Snapshot) -> Observed:
    """The forecasts as observations. A goodput of zero has no logarithm, and does not count for other links."""
    p50, p10 = snapshot.goodput_p50_bps, snapshot.goodput_p10_bps
    known, samples = p50 > 0, snapshot.goodput_samples.astype(float)
    log = np.log(np.where(known, p50, np.nan))
    # A 10th percentile of zero is as far below as numbers can say.
    ratio = np.maximum(np.where(known, p10, np.nan) / np.where(known, p50, np.nan), _LEAST_RATIO)
    return Observed(
        log=log,
        samples=np.where(known, np.maximum(samples, 1.0), 0.0),
        spread=np.where(samples > 1, -np.log(ratio) / _P10, np.nan),
    )


def estimated(observations: Observed, operators: Sequence[str | None]) -> Estimated:
    """What to expect of every observed link. O(sites³), in matrix products."""
    blocks = Blocks.of(operators, observations.log)
    predictions = predicted(observations.log, blocks)
    residuals = observations.log - predictions
    belief = np.where(residuals > 0, BELIEF_ABOVE, BELIEF_BELOW)
    # The prior odds of the link's own mean: n measurements are n times the odds of one.
    odds = observations.samples * belief / (1.0 - belief)
    own = odds / (1.0 + odds)
    alone = np.clip((own - belief) / (1.0 - belief), 0.0, 1.0)  # 0 with one measurement, towards 1 with many
    spread = np.nan_to_num(observations.spread)
    variance = (1.0 - alone) * blocks.mean_squares(residuals) + alone * spread**2
    log = predictions + own * residuals
    return Estimated(
        log=log,
        spread=np.where(np.isnan(log), np.nan, np.sqrt(variance + DRIFT**2)),
        doubt=_doubt((1.0 - alone) * np.abs(residuals) + alone * _MEDIAN_DEVIATION * spread),
    )


def _doubt(deviations: Floats) -> Floats:
    """The median of every row, shrunk towards that of all where a row has few; [src, 1]."""
    links = np.isfinite(deviations).sum(axis=1)
    medians, overall = _medians(deviations), _medians(deviations.reshape(1, -1))
    doubts: Floats = (links * medians + _LINKS_OF_A_SOURCE * overall) / (links + _LINKS_OF_A_SOURCE)
    return doubts[:, None]


def _medians(values: Floats) -> Floats:
    """The median of the known values of every row; 0 where there are none."""
    ranked, known = np.sort(values, axis=1), np.isfinite(values).sum(axis=1)  # NaN is sorted last
    rows, last = np.arange(len(values)), np.maximum(known - 1, 0)
    medians: Floats = (ranked[rows, last // 2] + ranked[rows, (last + 1) // 2]) / 2
    return np.where(known > 0, medians, 0.0)


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

    def sums(self, values: Floats) -> Floats:
        """The same, [src, dst]: each link has the sum of its block."""
        return self.totals(values)[self.of_link]

    def mean_squares(self, values: Floats) -> Floats:
        """The mean square of each link's block, shrunk towards that of all links where the block has few."""
        squares, known = self.totals(values**2), self.totals(np.isfinite(values).astype(float))
        overall = squares.sum() / max(known.sum(), 1.0)
        means: Floats = (squares + _LINKS_OF_A_BLOCK * overall) / (known + _LINKS_OF_A_BLOCK)
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
