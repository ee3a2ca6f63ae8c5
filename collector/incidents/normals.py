"""What is normal for each link: slow medians of its own figures, which an hour's trouble does not move far.

Theory. A running median by signed steps: the estimate moves towards each new value by a fixed step, however far that
value lies, so that an outlier weighs no more than any other value and no rows have to be kept. Steps are on logarithms.
They are large at first, 1/n for the n-th value, so that a few minutes find the level; then at most `STEP_PER_HOUR`
a hour, so that a link that became slower is named for hours before its new level is the normal one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.intp]

STEP_PER_HOUR = 0.1
_FIRST_STEP = 0.2
ENOUGH_VALUES = 10  # below it nothing is called abnormal


class SlowMedians:
    """The slow median of one positive figure of each link, as a matrix; NaN before the first value."""

    def __init__(self, sites: int) -> None:
        self._log = np.full((sites, sites), np.nan)
        self._count = np.zeros((sites, sites), np.int64)
        self._at = np.full((sites, sites), np.nan)

    @property
    def level(self) -> Floats:
        """What is normal; NaN where too few values came to say."""
        return np.where(self._count >= ENOUGH_VALUES, np.exp(self._log), np.nan)

    def take(self, values: Floats, at: float) -> None:
        """Take in a value of each link, `at` seconds since the epoch; NaN and what is not positive is no value."""
        known = values > 0
        logs = np.log(np.where(known, values, 1.0))
        first = known & (self._count == 0)
        self._log = np.where(first, logs, self._log)
        hours = np.clip(at - self._at, 0.0, 60.0) / 3600
        step = np.maximum(_FIRST_STEP / np.maximum(self._count, 1), STEP_PER_HOUR * hours)
        move = np.clip(logs - self._log, -step, step)
        self._log = np.where(known & ~first, self._log + move, self._log)
        self._count += known
        self._at = np.where(known, at, self._at)

    def put(self, src: int, dst: int, level: float, at: float) -> None:
        """Set a level that is known from before a restart."""
        self._log[src, dst], self._count[src, dst], self._at[src, dst] = np.log(level), ENOUGH_VALUES, at

    def moved(self, origins: Indices) -> SlowMedians:
        """The same for the sites whose positions were `origins`, -1 for new ones."""
        found = SlowMedians(len(origins))
        stay = np.flatnonzero(origins >= 0)
        into, out_of = np.ix_(stay, stay), np.ix_(origins[stay], origins[stay])
        found._log[into] = self._log[out_of]
        found._count[into] = self._count[out_of]
        found._at[into] = self._at[out_of]
        return found
