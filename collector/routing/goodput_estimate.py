"""What goodput to expect of every link, with strength shrunk from the links that are alike.

One measurement says little, but it is not alone: sites that see the network alike see a third site alike, a link's
reverse crosses the same distance, and a site's links share its limits. Each link is predicted from the others; what
the predictions of an operator's links miss tells how far to trust measurements and predictions there. A link with
many measurements is believed for itself. All of it is arithmetic on logarithms: units do not matter, and what is
missing stays missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from collector.linkstate.snapshot import Snapshot
from collector.routing.alikeness import Blocks, predicted
from collector.routing.costs import GoodputEstimate

Floats = npt.NDArray[np.floating]

# Found by cross-validation on two grids of clouds, each decided on and scored on the other.
# One measurement above its prediction counts for this much against it, one below for this much: what disturbs a
# measurement (other traffic, slow start, a lost burst) takes away, and hardly ever adds.
BELIEF_ABOVE = 0.77
BELIEF_BELOW = 0.30
# No link repeats itself better than this from one day to the next, as a standard deviation of the logarithm.
DRIFT = 0.04
# The cautious estimate lies so many standard deviations below the expected one.
CAUTION = 0.95
# A relay must beat direct by this many times what the links of the source miss their predictions by in the median.
DOUBT = 1.3
# The doubt of a source is that of all links until it has some links of its own.
_LINKS_OF_ITS_OWN = 2.0
# The median deviation of the normal distribution, in standard deviations.
_MEDIAN_DEVIATION = 0.6745
# The 10th percentile of the normal distribution, in standard deviations below its median.
_P10 = 1.2816
_LEAST_RATIO = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class Observed:
    """Logarithms of goodput [src, dst], NaN where unknown; of how many measurements; how far the next one may lie.

    `spread` is that standard deviation of the logarithm by the link's own measurements, NaN where they cannot tell.
    """

    log: Floats
    samples: Floats
    spread: Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimated:
    """Logarithms of goodput [src, dst]: expected, and their standard deviation; NaN where unknown.

    `doubt` [src, 1] is how far the links of a source usually lie from what is expected of them.
    """

    log: Floats
    spread: Floats
    doubt: Floats

    def goodputs(self) -> GoodputEstimate:
        """Expected, and what can be counted on: `CAUTION` standard deviations below.

        That chooses among relays. Direct and a relay share the source, and whether the relay is worth it is asked of
        what is expected of both: an unsteady source needs a larger gain, a steady one hardly any.
        """
        expected_bps = np.exp(self.log)
        return GoodputEstimate(
            expected_bps=expected_bps,
            cautious_bps=np.exp(self.log - CAUTION * self.spread),
            weighed_bps=expected_bps,
            bar_bps=np.exp(self.log + DOUBT * self.doubt),
        )


def shrunk(snapshot: Snapshot, operators: Sequence[str | None]) -> GoodputEstimate:
    """The forecasts of a snapshot, each with what the others say of it; `operators` are of its sites, in order."""
    return estimated(observed(snapshot), operators).goodputs()


def observed(snapshot: Snapshot) -> Observed:
    """The forecasts as observations. A goodput of zero has no logarithm, and nothing to say of other links."""
    p50, p10 = snapshot.goodput_p50_bps, snapshot.goodput_p10_bps
    known, samples = p50 > 0, snapshot.goodput_samples.astype(float)
    log = np.log(np.where(known, p50, np.nan))
    # A 10th percentile of nothing is as far below as it can be told in numbers.
    ratio = np.maximum(np.where(known, p10, np.nan) / np.where(known, p50, np.nan), _LEAST_RATIO)
    return Observed(
        log=log,
        samples=np.where(known, np.maximum(samples, 1.0), 0.0),
        spread=np.where(samples > 1, -np.log(ratio) / _P10, np.nan),
    )


def pooled(grids: Sequence[Floats], operators: Sequence[str | None], recency: float = 0.75) -> Observed:
    """Grids of goodput, the latest last, as observations; each earlier one counts `recency` of its successor.

    What the days differ by tells how links of these operators vary.
    """
    logs = np.log(np.stack(grids))
    weights = np.where(np.isfinite(logs), (recency ** np.arange(len(logs))[::-1])[:, None, None], 0.0)
    samples, total = np.isfinite(logs).sum(axis=0), weights.sum(axis=0)
    log = _ratio(np.sum(weights * np.nan_to_num(logs), axis=0), total)
    apart = np.nansum((logs - log) ** 2, axis=0)
    blocks = Blocks.of(operators, log)
    freedom = np.where(samples > 1, samples - 1.0, 0.0)
    variance = _ratio(blocks.sums(apart * (freedom > 0)), blocks.sums(freedom))
    return Observed(log=log, samples=samples.astype(float), spread=np.where(freedom > 0, np.sqrt(variance), np.nan))


def estimated(observations: Observed, operators: Sequence[str | None]) -> Estimated:
    """What to expect of every observed link. O(sites³), in matrix products."""
    blocks = Blocks.of(operators, observations.log)
    guess = predicted(observations.log, blocks)
    missed = observations.log - guess
    belief = np.where(missed > 0, BELIEF_ABOVE, BELIEF_BELOW)
    # The prior odds of the link's own mean: n measurements are n times the odds of one.
    odds = observations.samples * belief / (1.0 - belief)
    own = odds / (1.0 + odds)
    alone = np.clip((own - belief) / (1.0 - belief), 0.0, 1.0)  # 0 with one measurement, towards 1 with many
    spread = np.nan_to_num(observations.spread)
    variance = (1.0 - alone) * blocks.mean_squares(missed) + alone * spread**2
    log = guess + own * missed
    return Estimated(
        log=log,
        spread=np.where(np.isnan(log), np.nan, np.sqrt(variance + DRIFT**2)),
        doubt=_doubt((1.0 - alone) * np.abs(missed) + alone * _MEDIAN_DEVIATION * spread),
    )


def _doubt(deviations: Floats) -> Floats:
    """The median of every row, drawn to that of all where a row has few; [src, 1]."""
    links = np.isfinite(deviations).sum(axis=1)
    medians, overall = _medians(deviations), _medians(deviations.reshape(1, -1))
    doubts: Floats = (links * medians + _LINKS_OF_ITS_OWN * overall) / (links + _LINKS_OF_ITS_OWN)
    return doubts[:, None]


def _medians(values: Floats) -> Floats:
    """The median of what is known of every row; 0 where nothing is."""
    ranked, known = np.sort(values, axis=1), np.isfinite(values).sum(axis=1)  # NaN is sorted last
    rows, last = np.arange(len(values)), np.maximum(known - 1, 0)
    medians: Floats = (ranked[rows, last // 2] + ranked[rows, (last + 1) // 2]) / 2
    return np.where(known > 0, medians, 0.0)


def _ratio(above: Floats, below: Floats) -> Floats:
    shares: Floats = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
    return shares
