"""The forecasters: after every row of a series, each forecasts the next one. Pure numpy, many series at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Floats = npt.NDArray[np.floating]
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
    total = np.concatenate([np.zeros((rows, values.shape[1])), np.cumsum(values, axis=0, dtype=float)])
    difference: Floats = total[rows:] - total[:-rows]
    return difference


def _median(rows: int) -> Forecaster:
    def forecast(values: Floats, _gaps: Floats) -> Floats:
        before = np.full((rows - 1, values.shape[1]), np.nan, values.dtype)
        ordered = np.sort(sliding_window_view(np.concatenate([before, values]), rows, axis=0), axis=-1)
        known = np.isfinite(ordered).sum(axis=-1, keepdims=True)  # NaN is sorted to the end
        low = np.take_along_axis(ordered, np.maximum(known - 1, 0) // 2, axis=-1)
        high = np.take_along_axis(ordered, np.minimum(known // 2, rows - 1), axis=-1)
        middle: Floats = ((low + high) / 2)[..., 0]
        return middle

    return forecast


def _smoothed(steps: float) -> Forecaster:
    """Exponential smoothing over a time constant of `steps`, whatever the distance between rows.

    The weights are normalised, so that the first rows do not weigh too much.
    """

    def forecast(values: Floats, gaps: Floats) -> Floats:
        known = np.isfinite(values)
        kept = np.exp(-gaps / steps)
        found = np.empty_like(values)
        total = weight = np.zeros(values.shape[1], values.dtype)
        for row, value in enumerate(np.where(known, values, 0.0)):
            total = total * kept[row] + value
            weight = weight * kept[row] + known[row]
            found[row] = total / weight
        return found

    return forecast


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
