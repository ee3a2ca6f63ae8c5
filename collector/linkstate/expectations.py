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

    `mean` is the smoothed mean of the rows, which spikes raise. `reverts` is the share of rows, from the third on, that
    lie nearer to the mean of those before than to the row before: near 0 where values hold until they move for good,
    above a half where they scatter about a level; NaN before the third row.
    """

    p10: Floats
    p50: Floats
    p90: Floats
    mean: Floats
    samples: npt.NDArray[np.integer]
    age_s: Floats
    reverts: Floats


@dataclass(frozen=True, slots=True)
class Expectations:
    """What each series is expected to show next, before it ages; `forecast` makes forecasts of it.

    p10 to p90 and the mean are logarithms where the kind's arithmetic is, `step` is the mean step between rows, in the
    kind's steps, and `newest_at` the time of the newest row, in seconds since the epoch.
    """

    p10: Floats
    p50: Floats
    p90: Floats
    mean: Floats
    step: Floats
    samples: npt.NDArray[np.integer]
    newest_at: Floats
    reverts: Floats

    def forecast(self, now: float, kind: SeriesKind) -> Forecast:
        """Every series' forecast at `now`, its interval widened by its age."""
        columns = (self.p10, self.p50, self.p90, self.mean, self.step)
        p10, p50, p90, mean, step = (np.asarray(one, float) for one in columns)
        # What single precision could not compute is no forecast.
        samples = np.where(np.isfinite(p10 + p50 + p90 + mean + step), self.samples, 0)
        age_s = np.where(samples > 0, np.maximum(0.0, now - self.newest_at), np.nan)
        wider = np.maximum(1.0, age_s / kind.step_s / np.maximum(step, 1.0))
        late = wider > 1.0  # few: powers are dear
        wider[late] **= kind.growth
        low, high = p50 - (p50 - p10) * wider, p50 + (p90 - p50) * wider
        if kind.log:
            low, p50, high, mean = np.exp(low), np.exp(p50), np.exp(high), np.exp(mean)
        none = (samples == 0) | ~np.isfinite(high)
        shown = (np.maximum(low, 0.0), p50, high, mean)
        low, p50, high, mean = (np.where(none, np.nan, value) for value in shown)
        return Forecast(low, p50, high, mean, np.where(none, 0, samples), age_s, np.where(none, np.nan, self.reverts))
