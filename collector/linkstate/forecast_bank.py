"""A bank of forecasts: it keeps the newest rows of many series and forecasts each one's next row.

Theory. A bank's state is a function of the set of rows that it was given, not of their order: per series it keeps the
newest rows, sorted by time, and replays them when it is asked. So a bank that is rebuilt from the journal answers as
the one before it did. `forecaster_selection` says which of the `forecasters` is selected from a replay, and how wide
its interval for the next row is; what all series together show (the pool) is taken at multiples of some steps, so that
answers do not depend on how often one asks. In between a row costs a replay of its series alone; one that comes late
is in the others' forecasts from the next pool on.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from collector.linkstate.expectations import Expectations, Forecast, SeriesKind
from collector.linkstate.forecaster_selection import ErrorPool, SeriesRows, pool, select_forecasters, unknown_pool
from collector.linkstate.forecasters import FORECASTERS, forecasts, smoothed_mean
from collector.linkstate.report_moments import in_turn, span

Indices = npt.NDArray[np.intp]
Floats = npt.NDArray[np.floating]

# The pool changes slowly, and a new one has every series forecast anew: that many steps are from one to the next.
_POOL_STEPS: Final = 12
# Kept beyond the rows that a replay uses: rows that may have come since the moment of the pool.
_SPARE_ROWS: Final = _POOL_STEPS + 2
_POOL_SERIES: Final = 512
# One value whose square single precision does not hold would spoil the pool, and so every series.
_MOST: Final = 1e18
_CHUNK_SERIES: Final = 512  # the working set stays in the cache


class ForecastBank:
    """The forecasts of `count` series."""

    def __init__(self, count: int, kind: SeriesKind) -> None:
        self._kind = kind
        kept = kind.window + _SPARE_ROWS
        # Zeros cost no memory until they are written, and most series of a big mesh may never be.
        self._values = np.zeros((count, kept), np.float32)
        self._times = np.zeros((count, kept))
        self._kept = np.zeros(count, np.int16)
        self._expected = np.full((6, count), np.nan, np.float32)  # as Expectations: p10, p50, p90, mean, reverts, step
        self._samples = np.zeros(count, np.int16)
        self._stale = np.zeros(count, bool)  # had rows since its forecast was made
        self._outdated = np.zeros(count, bool)  # its forecast was made with an earlier pool
        self._pool = unknown_pool(kind.usual_error)
        self._pool_at = -np.inf
        self._first_at = np.inf

    def horizon_s(self, expired_s: float) -> float:
        """Rows older than this change no forecast of a series that had a row within `expired_s`."""
        memory_s = self._kind.memory_s
        return max(2 * (memory_s + _POOL_STEPS * self._kind.step_s), expired_s + memory_s)

    def observe(self, series: Indices, at: npt.ArrayLike, values: npt.ArrayLike) -> None:
        """Take in a row for each of `series`, measured `at`; values not above 0, or above _MOST, are skipped."""
        measured = np.asarray(values, np.float32)
        times = np.broadcast_to(np.asarray(at, np.float64), measured.shape)
        good = np.flatnonzero((measured > 0) & (measured < _MOST))
        if not len(good):
            return
        series, times, measured = series[good], times[good], measured[good]
        if not self._kept[series].any():
            self._fill(series, times, measured)
        else:
            for turn in in_turn(series):
                self._insert(series[turn], times[turn], measured[turn])
        self._stale[series] = True
        self._first_at = min(self._first_at, float(times.min(initial=np.inf)))

    def forecast(self, now: float, series: Indices | slice = slice(None)) -> Forecast:
        """The forecast of every series, or of some, at `now`, its interval widened by its age."""
        self._refresh(now)
        return self._aged(series, now)

    def expectations(self, series: Indices, now: float) -> Expectations:
        """What these series are expected to show, as `forecast` would age it."""
        self._refresh(now)
        return self._expectations(series)

    def every(self) -> Floats:
        """What each forecaster alone expects, [forecasters, series]: to compare with."""
        expected = np.full((len(FORECASTERS), len(self._kept)), np.nan)
        known = np.flatnonzero(self._kept)
        for start in range(0, len(known), _CHUNK_SERIES):
            series = known[start : start + _CHUNK_SERIES]
            rows, _ = self._rows(series)
            expected[:, series] = forecasts(rows.values, rows.gaps)[:, -1]
        return np.exp(expected) if self._kind.log else expected

    def newest(self, series: Indices | slice = slice(None)) -> Floats:
        """When each series, or each of some, had its newest row; -inf before the first."""
        return np.where(self._kept[series] > 0, self._times[series, -1], -np.inf)

    def moved(self, before: Indices, after: Indices, count: int, kind: SeriesKind) -> ForecastBank:
        """A bank of `count` series, of which those at `after` keep the rows that those at `before` have here."""
        bank = ForecastBank(count, kind)
        kept = min(self._values.shape[1], bank._values.shape[1])
        bank._values[after, -kept:] = self._values[before, -kept:]
        bank._times[after, -kept:] = self._times[before, -kept:]
        bank._kept[after] = np.minimum(self._kept[before], kept)
        bank._stale[after] = bank._kept[after] > 0
        bank._first_at = self._first_at
        return bank

    def _fill(self, series: Indices, at: npt.NDArray[np.float64], values: npt.NDArray[np.float32]) -> None:
        """Insert many rows of series that have none yet: what a start does with all that it reads."""
        order = np.lexsort((at, series))
        series, at, values = series[order], at[order], values[order]
        last = np.append(series[1:] != series[:-1], True)
        ends = np.flatnonzero(last)
        counts = np.diff(ends, prepend=-1)
        age = np.repeat(ends, counts) - np.arange(len(series))
        size = self._values.shape[1]
        kept = age < size
        places = series[kept], size - 1 - age[kept]
        self._values[places], self._times[places] = values[kept], at[kept]
        self._kept[series[ends]] = np.minimum(counts, size)

    def _insert(self, series: Indices, at: npt.NDArray[np.float64], values: npt.NDArray[np.float32]) -> None:
        """Insert a row of each series by its time; a full memory drops one that is older than all it has."""
        late = self.newest(series) > at
        if late.any():
            self._insert_late(series[late], at[late], values[late])
            series, at, values = series[~late], at[~late], values[~late]
        places = span(series)
        for kept, new in ((self._times, at), (self._values, values)):
            kept[places, :-1] = kept[places, 1:]
            kept[places, -1] = new
        self._kept[places] = np.minimum(self._kept[places] + 1, self._values.shape[1])

    def _insert_late(self, series: Indices, at: npt.NDArray[np.float64], values: npt.NDArray[np.float32]) -> None:
        times, count = self._times[series], self._kept[series]
        size = times.shape[1]
        column = np.arange(size)
        newer = ((times > at[:, None]) & (column >= size - count[:, None])).sum(axis=1)
        room = newer < size
        series, at, values, times, newer = series[room], at[room], values[room], times[room], newer[room]
        place = (size - 1 - newer)[:, None]
        # What is older than the row moves by one.
        source = np.minimum(np.where(column < place, column + 1, column), size - 1)
        for kept, new in ((self._times, at), (self._values, values)):
            moved = np.take_along_axis(kept[series], source, axis=1)
            np.put_along_axis(moved, place, new[:, None], axis=1)
            kept[series] = moved
        self._kept[series] = np.minimum(self._kept[series] + 1, size)

    def refresh_some(self, now: float) -> bool:
        """Bring some series up to date, for some milliseconds; whether there is more to do."""
        self._pool_until(now)
        # Rows since the last forecast first: what waits for a new pool alone has an answer meanwhile.
        waiting = np.flatnonzero(self._stale)[:_CHUNK_SERIES]
        waiting = waiting if len(waiting) else np.flatnonzero(self._outdated)[:_CHUNK_SERIES]
        self._replay(waiting)
        return len(waiting) == _CHUNK_SERIES

    def _refresh(self, now: float) -> None:
        if self._pool_until(now):
            self._stale |= self._outdated
        stale = np.flatnonzero(self._stale)
        for start in range(0, len(stale), _CHUNK_SERIES):
            self._replay(stale[start : start + _CHUNK_SERIES])

    def _pool_until(self, now: float) -> bool:
        """Make the pool anew if its time has come; whether it has."""
        # As of a multiple of the step, not of the last call: the answer does not depend on how often one asks.
        step_s = self._kind.step_s
        long_s = _POOL_STEPS * step_s
        at = now // long_s * long_s
        if self._first_at > at - long_s:  # a young bank learns at every step
            at = now // step_s * step_s
        if at == self._pool_at:
            return False
        self._pool, self._pool_at = self._pooled(at), at
        self._outdated = self._kept > 0
        return True

    def _replay(self, series: Indices) -> None:
        if not len(series):
            return
        self._stale[series] = self._outdated[series] = False
        rows, samples = self._rows(series)
        expected = select_forecasters(rows, self._pool)
        self._expected[:3, series] = expected.p10, expected.p50, expected.p90
        self._expected[3:5, series] = smoothed_mean(rows.values)
        self._expected[5, series] = np.nansum(rows.gaps, axis=0) / np.maximum(samples - 1, 1)
        self._samples[series] = samples

    def _pooled(self, at: float) -> ErrorPool:
        oldest = at - self._kind.memory_s
        known = self._kept > 0
        alive = np.flatnonzero(known & (self._times[:, -1] >= oldest))
        chosen = alive[:: max(1, -(-len(alive) // _POOL_SERIES))]
        return pool(self._rows(chosen, until=at)[0], self._kind.usual_error)

    def _rows(self, series: Indices, until: float = np.inf) -> tuple[SeriesRows, npt.NDArray[np.intp]]:
        """The rows to replay, of at most `window` rows up to `until`, and how many there are of each series."""
        kept = self._values.shape[1]
        times = self._times[series].T
        number = np.arange(kept)[:, None]
        counts = (number >= kept - self._kept[series]) & (times <= until)
        newest = np.where(counts, times, -np.inf).max(axis=0, initial=-np.inf)
        counts &= times >= newest - self._kind.memory_s
        values = self._values[series].T
        if until < np.inf:
            # Rows after `until` leave a gap at the end: each series is moved to its end.
            order = np.argsort(counts, axis=0, kind="stable")
            counts, times = np.take_along_axis(counts, order, axis=0), np.take_along_axis(times, order, axis=0)
            values = np.take_along_axis(values, order, axis=0)
        counts &= number >= kept - self._kind.window
        values = np.where(counts, values, np.float32(np.nan))
        samples = counts.sum(axis=0)
        gaps = np.zeros_like(times)
        gaps[1:] = np.where(counts[1:] & counts[:-1], np.diff(times, axis=0), 0.0) / self._kind.step_s
        kind = self._kind
        most = int(samples.max(initial=1))
        shown = slice(kept - most, None)  # rows that no series has are not replayed
        logarithm = np.log(values[shown]) if kind.log else values[shown]
        return SeriesRows(logarithm, gaps[shown].astype(np.float32), kind.log), samples

    def _aged(self, series: Indices | slice, now: float) -> Forecast:
        return self._expectations(series).forecast(now, self._kind)

    def _expectations(self, series: Indices | slice) -> Expectations:
        p10, p50, p90, mean, reverts, step = self._expected[:, series]
        return Expectations(p10, p50, p90, mean, step, self._samples[series], self._times[series, -1], reverts)
