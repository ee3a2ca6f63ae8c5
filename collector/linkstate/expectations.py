"""What series are expected to show next, and the forecasts that this becomes as it ages. Pure.

An interval that was right for the next row is too narrow for a later one. After an age of n mean steps its width
grows by n ** growth, on either side of p50: 0.5 would be a random walk, 0 noise about a level; 0.25 is between what
was measured of RTTs between Internet hosts (0.0 to 0.1) and of values that hold and jump (above 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class SeriesKind:
    """What a bank forecasts: rows come about every `step_s`; rows `memory_s` older than the newest no longer count.

    `window` rows are replayed. With `log` all arithmetic is on logarithms. `usual_error` is the expected error of a
    forecast, as a share of its level, before the first error. The error grows with the `growth`-th power of the age
    in steps.
    """

    step_s: float
    memory_s: float
    window: int = 32
    log: bool = False
    usual_error: float = 0.03
    growth: float = 0.25


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast of each series at one moment; NaN and 0 samples where a series has no rows.

    `follows` is where p50 is the newest row itself: no smoother forecaster does better.
    """

    p10: Floats
    p50: Floats
    p90: Floats
    samples: npt.NDArray[np.integer]
    age_s: Floats
    follows: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Expectations:
    """What each series is expected to show next, before it ages; `forecast` makes forecasts of it.

    p10 to p90 are logarithms where the kind's arithmetic is, `step` is the mean step between rows, in the kind's steps,
    and `newest_at` the time of the newest row, in seconds since the epoch.
    """

    p10: Floats
    p50: Floats
    p90: Floats
    step: Floats
    samples: npt.NDArray[np.integer]
    newest_at: Floats
    follows: npt.NDArray[np.bool_]

    def forecast(self, now: float, kind: SeriesKind) -> Forecast:
        """Every series' forecast at `now`, its interval widened by its age."""
        p10, p50, p90, step = (np.asarray(one, float) for one in (self.p10, self.p50, self.p90, self.step))
        # What single precision could not compute is no forecast.
        samples = np.where(np.isfinite(p10 + p50 + p90 + step), self.samples, 0)
        age_s = np.where(samples > 0, np.maximum(0.0, now - self.newest_at), np.nan)
        wider = np.maximum(1.0, age_s / kind.step_s / np.maximum(step, 1.0)) ** kind.growth
        low, high = p50 - (p50 - p10) * wider, p50 + (p90 - p50) * wider
        if kind.log:
            low, p50, high = np.exp(low), np.exp(p50), np.exp(high)
        none = (samples == 0) | ~np.isfinite(high)
        low, p50, high = (np.where(none, np.nan, value) for value in (np.maximum(low, 0.0), p50, high))
        return Forecast(low, p50, high, np.where(none, 0, samples), age_s, self.follows & ~none)
