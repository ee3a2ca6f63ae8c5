"""What is kept of the rows of all links, as arrays: the newest row of a kind, and windows of the recent rows. Pure.

The links of one call are distinct: `report_moments.in_turn` splits rows such that they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from collector.linkstate.report_moments import Bools, Floats, Links, Moments, span
from collector.settings import StateSettings

Columns = Mapping[str, npt.NDArray[Any]]

LOSS_ROWS_MAX: Final = 100
# What a window keeps of a row. Losses of unknown direction are -1.
WINDOW_COLUMNS: Final = ("sent", "received", "lost_forward", "lost_back", "good")
_AT, _BOOT, _SEQ, _SENT, _RECEIVED, _FORWARD, _BACK, _GOOD = range(8)


class NewestRows:
    """The newest row of each link, by its report: some figures of it (NaN where it has none), and some texts (None)."""

    def __init__(self, count: int, figures: Iterable[str] = (), texts: Iterable[str] = ()) -> None:
        self.moments = Moments.never(count)
        self.columns: dict[str, npt.NDArray[Any]] = {name: np.full(count, np.nan) for name in figures}
        self.columns |= {name: np.full(count, None, object) for name in texts}

    def observe(self, links: Links, moments: Moments, rows: Columns) -> None:
        """Take in a row for each of `links`, which are distinct."""
        newer: Links | slice = slice(None)
        places = span(links)
        follows = moments.follows(self.moments.of(places))
        if not follows.all():
            newer = np.flatnonzero(follows)
            places = links[newer]
        self.moments.put(places, moments.of(newer))
        for name, column in self.columns.items():
            column[places] = rows[name][newer]

    @property
    def at(self) -> Floats:
        """When each link's row was measured, in seconds since the epoch; -inf where there is none."""
        return self.moments.at

    def adopt(self, other: NewestRows, before: Links, after: Links) -> None:
        """Take over the rows that another has at `before`, for the links at `after`."""
        self.moments.put(after, other.moments.of(before))
        for name, column in self.columns.items():
            column[after] = other.columns[name][before]


class RecentRows:
    """The newest latency rows of each link, as many as decide its loss and contact, and their sums.

    A window is a function of the set of its rows, where they are of one boot: late ones are inserted at their place.
    """

    def __init__(self, count: int, settings: StateSettings) -> None:
        self._settings = settings
        # [column, age, link], the newest at 0: zeros cost no memory until written, and hardly a link has old ones.
        self._rows = np.zeros((8, LOSS_ROWS_MAX, count))
        self.sizes = np.zeros(count, np.int16)
        self.at = np.full(count, -np.inf)
        """When each link's newest row was measured, in seconds since the epoch; -inf before the first."""
        self.sums = np.zeros((5, count))
        """Probes sent and received; and of rows that know the direction of losses: sent, lost forward, lost back."""
        self.up = np.zeros(count, bool)
        """Whether the newest rows are all good: after a bad one, as many as a recovery takes."""

    def observe(self, links: Links, moments: Moments, rows: Columns) -> Bools:
        """Take in a row for each of `links`, which are distinct; which of them are the newest now."""
        sample = np.stack([*moments, *(rows[name] for name in WINDOW_COLUMNS)])
        places = span(links)
        sizes = self.sizes[places].astype(np.intp)
        kept = self._rows[:, : int(sizes.max(initial=0)), places]
        place = _place(kept, sizes, moments)
        window = _inserted(kept, sample, place)
        sizes = self._needed(window[_SENT], sizes + 1)
        depth = int(sizes.max(initial=0))
        self._rows[:, :depth, places] = window[:, :depth]
        self.sizes[places], self.at[places] = sizes, window[_AT, 0]
        self._sum_up(places, window[:, :depth], sizes)
        newest: Bools = place == 0
        return newest

    def adopt(self, other: RecentRows, before: Links, after: Links) -> None:
        """Take over the rows that another has at `before`, for the links at `after`."""
        depth = int(other.sizes.max(initial=0))
        self._rows[:, :depth, after] = other._rows[:, :depth, before]
        for name in ("sizes", "at", "up"):
            getattr(self, name)[after] = getattr(other, name)[before]
        self.sums[:, after] = other.sums[:, before]

    def _needed(self, sent: Floats, sizes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """How many of the newest rows decide loss and contact."""
        count = np.arange(1, len(sent) + 1)[:, None]
        enough = np.cumsum(sent, axis=0) >= self._settings.loss_probes
        enough &= count >= self._settings.recover_after_rows
        enough |= count >= LOSS_ROWS_MAX
        needed: npt.NDArray[np.intp] = np.where(enough.any(axis=0), enough.argmax(axis=0) + 1, sizes)
        return np.minimum(needed, sizes)

    def _sum_up(self, links: Links | slice, window: Floats, sizes: npt.NDArray[np.intp]) -> None:
        counted = np.arange(window.shape[1])[:, None] < sizes
        directed = counted & (window[_FORWARD] >= 0) & (window[_BACK] >= 0)
        parts = ((_SENT, counted), (_RECEIVED, counted), (_SENT, directed), (_FORWARD, directed), (_BACK, directed))
        for total, (column, counts) in zip(self.sums, parts, strict=True):
            total[links] = np.where(counts, window[column], 0.0).sum(axis=0)
        recent = slice(self._settings.recover_after_rows)
        self.up[links] = (~counted[recent] | (window[_GOOD, recent] > 0)).all(axis=0)


def _place(kept: Floats, sizes: npt.NDArray[np.intp], moments: Moments) -> npt.NDArray[np.intp]:
    """How many of the kept rows are newer, counted from the newest: nearly always none."""
    if not kept.shape[1]:
        return np.zeros_like(sizes)
    older = moments.follows(Moments(kept[_AT], kept[_BOOT], kept[_SEQ]))
    older |= np.arange(kept.shape[1])[:, None] >= sizes
    place: npt.NDArray[np.intp] = np.where(older.any(axis=0), older.argmax(axis=0), kept.shape[1])
    return place


def _inserted(kept: Floats, sample: Floats, place: npt.NDArray[np.intp]) -> Floats:
    window = np.concatenate([sample[:, None], kept], axis=1)
    if place.any():
        age = np.arange(window.shape[1])[:, None]
        # Newer rows move to where the sample stands in the concatenation; it goes behind them.
        source = np.where(age < place, age + 1, np.where(age == place, 0, age))
        window = np.take_along_axis(window, source[None], axis=1)
    return window
