"""What the figures of each link are held to: what is normal for it, and the limits of the mesh. Pure.

What is normal are slow medians of its own figures, which an hour's trouble does not move far. A limit must not be
exceeded, whatever is normal.

Theory. A running median by signed steps: the estimate moves towards each new value by a fixed step, however far that
value lies, so that an outlier weighs no more than any other value and no rows have to be kept. Steps are on logarithms.
They are large at first, 1/n for the n-th value, so that a few minutes find the level; then at most `STEP_PER_HOUR`
a hour, so that a link that became slower is named for hours before its new level is the normal one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from linkweather.mesh import Limits, Mesh

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


@dataclass(frozen=True, eq=False, slots=True)
class LinkLimits:
    """Limits as matrices [src, dst] over the sites, or of shape [1, 1] where all links have the same; NaN is none."""

    sites: tuple[str, ...]
    loss_ratio: Floats
    rtt_s: Floats
    jitter_s: Floats
    goodput_bps: Floats

    @classmethod
    def of(cls, mesh: Mesh) -> Self:
        """Those of all links of a mesh."""
        sites = tuple(mesh.sites)
        groups = [mesh.tests_of(number).limits for number in range(len(mesh.groups) + 1)]
        places = _groups(mesh, sites) if any(limits != groups[0] for limits in groups) else np.zeros((1, 1), np.intp)
        return cls(sites, *(_matrix(groups, name)[places] for name in Limits.model_fields))

    @classmethod
    def none(cls, sites: tuple[str, ...]) -> Self:
        """No limits."""
        return cls(sites, *(np.full((1, 1), np.nan) for _ in Limits.model_fields))


def _matrix(groups: list[Limits], name: str) -> Floats:
    found = (getattr(limits, name) for limits in groups)
    return np.array([np.nan if limit is None else limit for limit in found])


def _groups(mesh: Mesh, sites: tuple[str, ...]) -> npt.NDArray[np.intp]:
    """The number of the group that says how each link is measured."""
    position = {site: place for place, site in enumerate(sites)}
    found = np.zeros((len(sites), len(sites)), np.intp)
    for src, dst in mesh.pairs():
        found[position[src], position[dst]] = mesh.group_of(src, dst)
    return found
