"""The forecasters: after every row of a series, each forecasts the next one. Pure numpy, many series at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
# By the newest row's share a smoothed mean rests on 2 / MEAN_WEIGHT − 1 rows, some twelve.
MEAN_WEIGHT: Final = 0.15
# Nearer than by rounding: where values hold, the mean and the row before are one.
NEARER: Final = 0.99
# (values, gaps) → forecasts, all of shape [rows, series], the newest row last and NaN before the first; a gap is the
# time since the row before, in steps.
Forecaster = Callable[[Floats, Floats], Floats]


def _last(values: Floats, _gaps: Floats) -> Floats:
    return values


def _mean(rows: int) -> Forecaster:
    def forecast(values: Floats, _gaps: Floats) -> Floats:
        known = np.isfinite(values)
        mean: Floats = _in_window(np.where(known, values, 0.0), rows) / _in_window(known, rows)
        return mean.astype(values.dtype)

    return forecast


def _in_window(values: npt.NDArray[np.generic], rows: int) -> Floats:
    """The sum of the last `rows` rows, at every row."""
    total = np.zeros((rows + len(values), values.shape[1]))
    for row in range(len(values)):  # row by row: numpy's cumsum goes along columns, which is ten times slower
        np.add(total[rows + row - 1], values[row], out=total[rows + row])
    difference: Floats = total[rows:] - total[:-rows]
    return difference


def _median(rows: int) -> Forecaster:
    def forecast(values: Floats, _gaps: Floats) -> Floats:
        before = np.full((rows - 1, values.shape[1]), np.nan, values.dtype)
        padded = np.concatenate([before, values])
        found = _middle(_windows(padded, rows))
        # Where the window is not full yet, NaN has come through: of what there is.
        missing = np.isnan(padded)
        early = rows + int(missing.any(axis=1).nonzero()[0].max(initial=-1))  # rows of `padded` from here on are full
        found[: early - rows + 1] = _median_of_known(padded[:early], missing[:early], rows)
        return found

    return forecast


def _windows(padded: Floats, rows: int) -> list[Floats]:
    """The values of each window of so many rows: the first of all windows, the second of all, and so on."""
    return [padded[first : first + len(padded) - rows + 1] for first in range(rows)]


def _median_of_known(padded: Floats, missing: npt.NDArray[np.bool_], rows: int) -> Floats:
    """The median of the known values of each window.

    What is missing counts as infinite, below and above by turns: so it leaves the middle where it is, but where an odd
    number is missing. There the two middle values are found by beginning with one turn and with the other.
    """
    odd = np.logical_xor.accumulate(missing, axis=0)
    middles = [
        _middle(_windows(np.where(missing, np.where(odd, end, -end), padded), rows)) for end in (np.inf, -np.inf)
    ]
    middle: Floats = (middles[0] + middles[1]) / 2
    return np.where(missing[rows - 1 :], np.nan, middle)


def _middle(values: list[Floats]) -> Floats:
    """The median of an odd number of arrays, element by element, by forgetful selection.

    Of more than half of the values, neither the least nor the greatest is the median of all: both are forgotten, and
    the next value takes their place. Minima and maxima of whole arrays cost a tenth of sorting their elements.
    """
    held, waiting = values[: len(values) // 2 + 2], values[len(values) // 2 + 2 :]
    while True:
        held = _without_greatest(_without_greatest(held, np.minimum, np.maximum), np.maximum, np.minimum)
        if not waiting:
            return held[0]
        held.append(waiting.pop())


def _without_greatest(values: list[Floats], least: np.ufunc, greatest: np.ufunc) -> list[Floats]:
    """The values but the greatest: or but the least, with the functions exchanged."""
    found, top = [], values[0]
    for value in values[1:]:
        found.append(least(top, value))
        top = greatest(top, value)
    return found


def _smoothed(steps: float) -> Forecaster:
    """Exponential smoothing over a time constant of `steps`, whatever the distance between rows.

    The weights are normalised, so that the first rows do not weigh too much.
    """

    def forecast(values: Floats, gaps: Floats) -> Floats:
        known = np.isfinite(values)
        kept = np.exp(-gaps / steps)
        # The sum of the values, and that of their weights.
        parts = np.stack([np.where(known, values, 0.0), known.astype(values.dtype)], axis=1)
        for row in range(1, len(parts)):
            parts[row] += parts[row - 1] * kept[row]
        found: Floats = parts[:, 0] / parts[:, 1]
        return found

    return forecast


def smoothed_mean(values: Floats) -> tuple[Floats, Floats]:
    """The mean of each series' rows, [rows, series], the newest last, and the share of rows that revert to it.

    Each row counts 1 − MEAN_WEIGHT of the next. A row reverts that lies nearer to the mean of those before than to the
    row before; the first two cannot. Neither is a forecast: what a path costs on average is a mean, spikes and all.
    """
    known = np.isfinite(values)
    total, weight = np.zeros((2, values.shape[1]), values.dtype)
    reverted = np.zeros(values.shape[1], np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0/0 without a row is NaN, which is nearer to nothing
        for row, value in enumerate(values):
            if row > 1:
                reverted += np.abs(value - total / weight) < NEARER * np.abs(value - values[row - 1])
            total = (1.0 - MEAN_WEIGHT) * total + np.where(known[row], value, 0.0)
            weight = (1.0 - MEAN_WEIGHT) * weight + known[row]
        could = np.maximum(known.sum(axis=0) - 2.0, 0.0)
        return total / weight, reverted / could


# Equal losses select the first: one that a single spike does not move.
FORECASTERS: Final[Mapping[str, Forecaster]] = {
    "median of 3": _median(3),
    "median of 5": _median(5),
    "median of 11": _median(11),
    "last value": _last,
    "mean of 5": _mean(5),
    "mean of 20": _mean(20),
    "smoothed over 1 step": _smoothed(1),
    "smoothed over 3 steps": _smoothed(3),
    "smoothed over 10 steps": _smoothed(10),
}


def forecasts(values: Floats, gaps: Floats) -> Floats:
    """What each forecaster expects after each row, of shape [forecasters, rows, series]."""
    with np.errstate(invalid="ignore", divide="ignore"):  # 0/0 before the first row is NaN, as intended
        return np.stack([forecaster(values, gaps) for forecaster in FORECASTERS.values()])
