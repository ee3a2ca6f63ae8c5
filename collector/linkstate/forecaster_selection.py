"""Selects each series' forecaster, and says how far from its forecast the next row will be. Pure numpy, many at once.

Theory. No forecaster is the best of every link: RTTs that wander want smoothing, RTTs that hold and then jump want the
last value, spikes want a median. So all of FORECASTERS forecast every row before it comes, and each is judged by its
one-step-ahead errors (as the Network Weather Service does: Wolski, Spring and Hayes, 1999).

*Loss.* At each row, forecaster f with error e_f loses e_f / (e_f + mean of all forecasters' errors): between 0 and 1,
so that one spike weighs no more than any other row. A row where all were right judges none.

*Selection.* A series' mean loss, with weights that fade by _CHOICE_KEPT a row, is shrunk towards the mean of all
series (empirical Bayes): (own sum + k · mean of all) / (own weight + k). The forecaster with the least is selected. k,
`shrinkage_rows`, is how many rows a series needs before its own history counts as much as all others'. It
follows from how much the series differ lastingly: if the mean losses in the older half of their rows predict those in
the newer half (their covariance is a large share s of the variance), k = rows · (1 − s) / s is small; where the halves
agree by chance only, k is large, and all series get the forecaster that is best of all together.

*Scale.* The typical error of a forecaster on a series is its mean absolute error, fading by _SCALE_KEPT a row, with a
prior of one row's weight: the bank's typical relative error times the series' level. So a series with one row has an
interval as wide as other series' errors suggest.

*Interval.* Errors divided by the scale of their time are comparable among series. The interval is forecast + scale ·
the 10 % and 90 % quantiles of the selected forecaster's normalised errors: the series' own rows, and with a weight of
_POOL_ROWS rows the distribution over all series. It always holds the forecast. `forecast_bank` widens it with age.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from collector.linkstate.forecasters import FORECASTERS, Floats, forecasts

QUANTILES: Final = (0.1, 0.9)
# What an error keeps of its weight at each further row, for the selection and for the scale.
_CHOICE_KEPT: Final = 0.95
_SCALE_KEPT: Final = 0.85
# The others' errors count as much as this many of the series' own.
_POOL_ROWS: Final = 7.0
_POOL_POINTS: Final = 40
_MIN_POOL_ERRORS: Final = 512
# Errors spread evenly over ± this have their 10 % and 90 % points at ±1.28, as normal errors have.
_USUAL_SPREAD: Final = 1.6
_USUAL_ERRORS: Final = 10
_SHRINKAGE_ROWS_MIN: Final = 2.0
_SHRINKAGE_ROWS_MAX: Final = 300.0
_SHRINKAGE_ROWS_UNKNOWN: Final = 10.0
_MIN_COMPARED: Final = 8


@dataclass(frozen=True, slots=True)
class SeriesRows:
    """The rows of some series, of shape [rows, series], the newest last, NaN before the first; gaps are in steps."""

    values: Floats
    gaps: Floats
    log: bool


@dataclass(frozen=True, slots=True)
class ErrorPool:
    """What all series together show of the forecasters.

    `relative_error` is the typical error as a share of the level, `loss` each forecaster's mean loss, which counts as
    much as `shrinkage_rows` rows of a series; `errors` are points of the distribution of normalised errors, [points,
    forecasters].
    """

    relative_error: float
    loss: Floats
    shrinkage_rows: float
    errors: Floats


@dataclass(frozen=True, slots=True)
class SelectedForecasts:
    """The forecaster selected for each series, an index of FORECASTERS, and its forecast of the next row."""

    forecaster: npt.NDArray[np.intp]
    p10: Floats
    p50: Floats
    p90: Floats


@dataclass(frozen=True, slots=True)
class _Errors:
    """Errors of all forecasters over the replayed rows: [forecasters, series], weights [series].

    `scale` is the typical error now; before the first error it is the prior alone.
    """

    next: Floats
    loss_sum: Floats
    loss_weight: Floats
    losses: Floats  # [forecasters, rows, series]
    error_sum: Floats
    error_weight: Floats
    level: Floats
    scale: Floats
    normalised: Floats  # [forecasters, rows, series]


def unknown_pool(relative_error: float) -> ErrorPool:
    """The pool before the first error: normal errors of the usual size."""
    spread = np.linspace(-_USUAL_SPREAD, _USUAL_SPREAD, _POOL_POINTS)
    return ErrorPool(
        relative_error,
        np.zeros(len(FORECASTERS)),
        _SHRINKAGE_ROWS_UNKNOWN,
        np.repeat(spread[:, None], len(FORECASTERS), axis=1),
    )


def pool(rows: SeriesRows, usual_error: float) -> ErrorPool:
    """The pool of the given series; `usual_error`, a share of the level, stands in while they have no errors."""
    first = _replay(rows, usual_error)
    if not first.error_weight.any():
        return unknown_pool(usual_error)
    loss = first.loss_sum.sum(axis=1) / max(float(first.loss_weight.sum()), 1.0)
    best = int(loss.argmin())
    seen = first.error_weight > 0
    relative = float(np.median(first.error_sum[best, seen] / first.error_weight[seen] / first.level[best, seen]))
    relative = relative if relative > 0 else usual_error
    return ErrorPool(relative, loss, _shrinkage_rows(first.losses), _points(_replay(rows, relative).normalised))


def select_forecasters(rows: SeriesRows, pooled: ErrorPool) -> SelectedForecasts:
    """Select each series' forecaster; its forecast and interval of the next row."""
    errors = _replay(rows, pooled.relative_error)
    shrunk = errors.loss_sum + pooled.shrinkage_rows * pooled.loss[:, None]
    selected = (shrunk / (errors.loss_weight + pooled.shrinkage_rows)).argmin(axis=0)
    p50 = _of(selected, errors.next)
    scale = _of(selected, errors.scale)
    own = np.take_along_axis(errors.normalised, selected[None, None], axis=0)[0]
    low, high = _quantiles(own, pooled.errors[:, selected])
    return SelectedForecasts(selected, np.minimum(p50 + scale * low, p50), p50, np.maximum(p50 + scale * high, p50))


def _of(selected: npt.NDArray[np.intp], values: Floats) -> Floats:
    found: Floats = np.take_along_axis(values, selected[None], axis=0)[0]
    return found


def _replay(rows: SeriesRows, relative_error: float) -> _Errors:
    forecast = forecasts(rows.values, rows.gaps)
    errors = rows.values[1:] - forecast[:, :-1]
    sizes = np.abs(errors)
    levels = np.ones_like(forecast) if rows.log else np.abs(forecast)
    losses = _losses(sizes)
    loss_sum, loss_weight = _faded(losses, _CHOICE_KEPT)
    error_sum, error_weight = _faded(sizes, _SCALE_KEPT)
    scales = (error_sum + relative_error * levels) / (error_weight + 1.0)
    return _Errors(
        next=forecast[:, -1],
        loss_sum=loss_sum[:, -1],
        loss_weight=loss_weight[-1],
        losses=losses,
        error_sum=error_sum[:, -1],
        error_weight=error_weight[-1],
        level=levels[:, -1],
        scale=scales[:, -1],
        normalised=errors / scales[:, :-1],
    )


def _losses(sizes: Floats) -> Floats:
    """Each error beside the mean error of all forecasters at that row, in 0 to 1: no spike outweighs the other rows.

    NaN where all were right: that judges none.
    """
    mean = sizes.mean(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(mean > 0, sizes / (sizes + mean), np.nan)


def _faded(values: Floats, kept: float) -> tuple[Floats, Floats]:
    """The exponentially weighted sum before each row and after the last, and its weight; NaN neither counts nor fades.

    Shapes are [forecasters, rows + 1, series] and [rows + 1, series].
    """
    counts = np.isfinite(values[0])
    added, fade = np.where(counts, values, 0.0), np.where(counts, kept, 1.0).astype(values.dtype)
    found = np.zeros((values.shape[0], values.shape[1] + 1, values.shape[2]), values.dtype)
    weight = np.zeros(found.shape[1:], values.dtype)
    for row in range(values.shape[1]):
        np.multiply(found[:, row], fade[row], out=found[:, row + 1])
        found[:, row + 1] += added[:, row]
        weight[row + 1] = weight[row] * fade[row] + counts[row]
    return found, weight


def _shrinkage_rows(losses: Floats) -> float:
    """How many rows of its own a series needs before it counts as much as all of them together.

    Estimated from how much the series differ lastingly: the covariance of their mean losses in the older and the newer
    half of their rows, as a share of the variance of their mean losses over all rows.
    """
    judged = np.isfinite(losses[0])
    count = judged.sum(axis=0)
    compared = count >= 2
    if compared.sum() < _MIN_COMPARED:
        return _SHRINKAGE_ROWS_UNKNOWN
    losses, judged, count = losses[..., compared], judged[:, compared], count[compared]
    older = judged & (np.cumsum(judged, axis=0) <= count / 2)
    halves = [_centred_means(losses, half) for half in (older, judged & ~older)]
    lasting = float((halves[0] * halves[1]).mean())
    whole = float((_centred_means(losses, judged) ** 2).mean())
    # Of the variance that mean losses over `count` rows have, this share is the series' own.
    share = min(max(lasting / whole, 1e-3), 1.0) if whole > 0 else 1e-3
    return float(np.clip(count.mean() * (1 - share) / share, _SHRINKAGE_ROWS_MIN, _SHRINKAGE_ROWS_MAX))


def _centred_means(losses: Floats, counts: npt.NDArray[np.bool_]) -> Floats:
    means = np.where(counts, losses, 0.0).sum(axis=1) / counts.sum(axis=0)
    centred: Floats = means - means.mean(axis=1, keepdims=True)
    return centred


def _points(normalised: Floats) -> Floats:
    """Points of the distribution of the newest errors, of as few rows as give enough of them, and of a few normal ones.

    The normal ones keep a bank of one or two links, whose errors may all have been 0 so far, from certainty.
    """
    rows = max(1, -(-_MIN_POOL_ERRORS // normalised.shape[2]))
    newest = normalised[:, -rows:].reshape(len(normalised), -1)
    newest = newest[:, np.isfinite(newest[0])]
    usual = np.broadcast_to(np.linspace(-_USUAL_SPREAD, _USUAL_SPREAD, _USUAL_ERRORS), (len(newest), _USUAL_ERRORS))
    levels = (np.arange(_POOL_POINTS) + 0.5) / _POOL_POINTS
    points: Floats = np.quantile(np.concatenate([newest, usual], axis=1), levels, axis=1).astype(normalised.dtype)
    return points


def _quantiles(own: Floats, others: Floats) -> tuple[Floats, Floats]:
    """QUANTILES of each series' own normalised errors [rows, series] together with points of the others'."""
    points = np.concatenate([own, others])
    weights = np.concatenate(
        [np.isfinite(own).astype(own.dtype), np.full(others.shape, _POOL_ROWS / len(others), own.dtype)]
    )
    order = np.argsort(points, axis=0)  # NaN is sorted to the end, and weighs nothing
    points, weights = np.take_along_axis(points, order, axis=0), np.take_along_axis(weights, order, axis=0)
    place = -weights / 2
    total = np.zeros_like(weights[0])
    for row, weight in enumerate(weights):  # row by row: numpy's cumsum goes along columns
        total += weight
        place[row] += total
    place /= total
    low, high = (_at_level(points, place, level) for level in QUANTILES)
    return low, high


def _at_level(points: Floats, place: Floats, level: float) -> Floats:
    above = np.maximum((place >= level).argmax(axis=0), 1)[None]
    (x0, x1), (p0, p1) = (
        [np.take_along_axis(values, row, axis=0)[0] for row in (above - 1, above)] for values in (points, place)
    )
    found: Floats = x0 + (x1 - x0) * np.clip((level - p0) / (p1 - p0), 0.0, 1.0)
    return found
