"""Which links are degraded, by what and since when; and since when each link is in its state. Pure, in columns.

Theory. A state that people look at must be calm: what is wrong with a link counts once it has been wrong for a while
without a break, and until it has been well for a while, by the same times as incidents. All of this is arithmetic on
matrices [src, dst]: a mesh of 200 sites has 40,000 links, and is looked at every two seconds. Of a look only the links
that changed their state are named one by one.

A matrix is never changed in place: a view of the health holds those of one look, and any thread may read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt

from collector.linkstate.snapshot import LINK_STATES, Snapshot
from collector.settings import IncidentSettings
from linkweather.models.state import DegradedKind

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]
Codes = npt.NDArray[np.integer]
Indices = npt.NDArray[np.intp]

KINDS: Final[tuple[DegradedKind, ...]] = get_args(DegradedKind)
FRESH, DEGRADED, DOWN, UNKNOWN = (LINK_STATES.index(name) for name in ("fresh", "degraded", "down", "unknown"))


@dataclass(frozen=True, slots=True)
class LinkTest:
    """Which links are wrong in one way at a moment; their figures, what is normal, and the limits that some exceed."""

    wrong: Bools
    value: Floats
    normal: Floats
    limit: Floats


@dataclass(frozen=True, slots=True)
class KindHealth:
    """The links that are degraded in one way: since when, in seconds since the epoch, and their figures now."""

    open: Bools
    since: Floats
    value: Floats
    normal: Floats
    limit: Floats


@dataclass(frozen=True, eq=False, slots=True)
class LinkHealth:
    """How all links were at one look: `states` are places in LINK_STATES, `since` is NaN for before the first look."""

    sites: tuple[str, ...]
    states: Codes
    since: Floats
    kinds: Mapping[DegradedKind, KindHealth]

    @classmethod
    def none(cls) -> LinkHealth:
        """The health before the first look: of no link anything is known."""
        empty = np.zeros((0, 0))
        return cls((), empty.astype(np.uint8), empty, {})


@dataclass(frozen=True, eq=False, slots=True)
class StateChanges:
    """The links whose state changed at a look: positions of their ends, and places in LINK_STATES before and after."""

    src: Indices
    dst: Indices
    before: Codes
    after: Codes

    def __len__(self) -> int:
        return len(self.src)

    @classmethod
    def none(cls) -> StateChanges:
        """No link."""
        places, codes = np.zeros(0, np.intp), np.zeros(0, np.uint8)
        return cls(places, places, codes, codes)

    def of(self, chosen: Bools) -> StateChanges:
        """Some of them."""
        return StateChanges(self.src[chosen], self.dst[chosen], self.before[chosen], self.after[chosen])

    def names(self, sites: Sequence[str]) -> Iterator[tuple[str, str]]:
        """The links as (src, dst), made one by one as they are read."""
        return ((sites[src], sites[dst]) for src, dst in zip(self.src.tolist(), self.dst.tolist(), strict=True))


class HealthBook:
    """The health of the links between `sites`, look by look."""

    def __init__(self, settings: IncidentSettings, sites: Sequence[str]) -> None:
        self._settings = settings
        self._sites = tuple(sites)
        shape = (len(sites), len(sites))
        self._states: Codes | None = None  # before the first look
        self._since = np.full(shape, np.nan)
        self._held = {kind: _HeldTroubles(shape) for kind in KINDS}
        self._restored: list[tuple[int, int, float]] = []

    def restore(self, src: int, dst: int, kind: str, since: float, now: float) -> None:
        """Go on with what was wrong with a link before a restart: since then it is degraded, or not fresh."""
        held = self._held.get(kind)  # type: ignore[call-overload]  # other kinds are none of these
        if held is None:
            self._restored.append((src, dst, since))
        else:
            held.restore(src, dst, since, now)

    def look(self, snapshot: Snapshot, tests: Mapping[DegradedKind, LinkTest]) -> tuple[LinkHealth, StateChanges]:
        """How the links are at the snapshot's moment, and what has changed since the last look."""
        now, degraded = snapshot.at, np.zeros(snapshot.usable.shape, bool)
        kinds = {}
        for kind, test in tests.items():
            held = self._held[kind]
            held.look(test.wrong, now, self._settings.hold_s(kind), self._settings.close_after_s)
            kinds[kind] = KindHealth(held.open, held.began, test.value, test.normal, test.limit)
            degraded |= held.open
        states = np.where(degraded & (snapshot.contact == FRESH), DEGRADED, snapshot.contact).astype(np.uint8)
        changes = self._follow_states(states, kinds.values(), now)
        return LinkHealth(self._sites, states, self._since, kinds), changes

    def moved(self, sites: tuple[str, ...], origins: Indices) -> HealthBook:
        """The same for other sites, whose positions were `origins`, -1 for new ones."""
        found = HealthBook(self._settings, sites)
        if self._states is not None:
            found._states = moved(self._states, origins, UNKNOWN)
        found._since = moved(self._since, origins, np.nan)
        found._held = {kind: held.moved(origins) for kind, held in self._held.items()}
        return found

    def _follow_states(self, states: Codes, kinds: Iterable[KindHealth], now: float) -> StateChanges:
        first, before = self._states is None, states if self._states is None else self._states
        changed = states != before
        since = np.where(changed, now, self._since)
        for *cell, at in self._restored if first else ():
            since[tuple(cell)] = at if states[tuple(cell)] != FRESH else np.nan
        self._restored.clear()
        # Degraded since the first thing that is wrong began, not since it counts.
        began = np.fmin.reduce([np.where(kind.open, kind.since, np.nan) for kind in kinds])
        fell = (states == DEGRADED) & (changed | first)
        self._since = np.where(fell, began, since)
        self._states = states
        src, dst = np.argwhere(changed).T
        return StateChanges(src, dst, before[src, dst], states[src, dst])


class _HeldTroubles:
    """What is wrong in one way, held on and off."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.open = np.zeros(shape, bool)
        self.began, self.seen_at = np.full(shape, np.nan), np.full(shape, np.nan)

    def look(self, wrong: Bools, now: float, hold_s: float, close_s: float) -> None:
        self.seen_at = np.where(wrong, now, self.seen_at)
        lasts = wrong | (self.open & (now - self.seen_at < close_s))
        self.began = np.where(lasts, np.fmin(self.began, now), np.nan)
        self.open = lasts & (self.open | (now - self.began >= hold_s))

    def restore(self, src: int, dst: int, since: float, now: float) -> None:
        self.open[src, dst], self.began[src, dst], self.seen_at[src, dst] = True, since, now

    def moved(self, origins: Indices) -> _HeldTroubles:
        found = _HeldTroubles((len(origins), len(origins)))
        found.open = moved(self.open, origins, fill=False)
        found.began, found.seen_at = (moved(one, origins, np.nan) for one in (self.began, self.seen_at))
        return found


def moved(matrix: npt.NDArray[Any], origins: Indices, fill: Any) -> npt.NDArray[Any]:
    """A matrix over other sites, whose positions were `origins`, -1 for new ones."""
    found = np.full((len(origins), len(origins)), fill, matrix.dtype)
    stay = np.flatnonzero(origins >= 0)
    found[np.ix_(stay, stay)] = matrix[np.ix_(origins[stay], origins[stay])]
    return found
