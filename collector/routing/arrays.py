"""Matrices over the sites of a mesh: the best relays of pairs by row-wise arithmetic, and following a changed mesh.

Costs are lower the better, and infinite where a link must not be used; no cost is NaN. `join` makes the cost of a path
from the costs of its legs: `np.add` for times, `np.maximum` where the worst leg decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Singles = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Vias = npt.NDArray[np.int32]  # of each pair its relay's position, or one of the codes below
Indices = npt.NDArray[np.integer]
Positions = npt.NDArray[np.intp]
Pairs = tuple[Indices, Indices]  # sources, destinations
Selection = Any  # whatever indexes a matrix
Relays = tuple[int, ...]  # positions of a path's relays, none for direct
Scalar = TypeVar("Scalar", bound=np.generic)

# In place of a relay's position: the relay left the mesh, there is no path, the path is direct.
GONE, NONE, DIRECT = -3, -2, -1
# Compared at once: single precision for these stays in the processor's cache while all sources pass over it.
_BLOCK = 128


def best_relays(first: Floats, second: Floats, join: np.ufunc, relays: Positions | None = None) -> Vias:
    """For every pair the relay over which first[src, relay] joined with second[relay, dst] costs least; NONE without.

    `first` may have fewer rows than there are sites. With `relays` only these are looked at. O(sources × sites ×
    relays) in blocks; meant for single precision: two relays that differ by less are as good as each other.
    """
    if relays is not None and len(relays) < len(second):
        if not len(relays):
            return np.full((len(first), second.shape[1]), NONE, np.int32)
        vias = best_relays(first[:, relays], second[relays], join)
        # NONE is no position: of a single relay it would lie outside.
        return np.where(vias == NONE, np.int32(NONE), relays.astype(np.int32)[np.maximum(vias, 0)])
    back, (sources, count), sites = np.ascontiguousarray(second.T), first.shape, second.shape[1]
    vias = np.empty((sources, sites), np.int32)
    room = np.empty((min(_BLOCK, sites), count), first.dtype)
    for start in range(0, sites, _BLOCK):
        block = back[start : start + _BLOCK]
        costs = room[: len(block)]
        for src in range(sources):
            join(first[src], block, out=costs)
            vias[src, start : start + len(block)] = costs.argmin(axis=1)
    return _none_without(vias, join(np.take_along_axis(first, vias, axis=1), second[vias, np.arange(sites)]))


def best_relays_of(first: Floats, second: Floats, pairs: Pairs, join: np.ufunc, relays: Positions) -> Vias:
    """The same for these pairs alone, 1-dimensional arrays of sources and destinations. O(relays) each."""
    sources, destinations = pairs
    vias = np.full(len(sources), NONE, np.int32)
    if not len(relays):
        return vias
    if len(sources) <= _BLOCK:  # not worth a copy of all
        there, back = first[np.ix_(sources, relays)], second[np.ix_(relays, destinations)].T
        vias[:] = relays[join(there, back).argmin(axis=1)]
    else:
        there, back = (first, second.T) if len(relays) == len(second) else (first[:, relays], second[relays].T)
        there, back = np.ascontiguousarray(there), np.ascontiguousarray(back)
        for start in range(0, len(sources), _BLOCK):
            block = slice(start, start + _BLOCK)
            vias[block] = relays[join(there[sources[block]], back[destinations[block]]).argmin(axis=1)]
    return _none_without(vias, join(first[sources, vias], second[vias, destinations]))


def _none_without(vias: Vias, costs: Floats) -> Vias:
    return np.where(np.isfinite(costs), vias, np.int32(NONE))


def two_relays(first: Floats, between: Floats, second: Floats, join: np.ufunc, count: int) -> list[tuple[int, int]]:
    """For one pair the `count` best of all ordered pairs of relays, the best first.

    `first[k]` is from the source to k, `second[k]` from k to the destination; `between` is [relay, relay]. Relays
    that cannot be reached, or do not reach the destination, drop out before the O(sites²) arithmetic.
    """
    near, far = np.flatnonzero(np.isfinite(first)), np.flatnonzero(np.isfinite(second))
    costs = join(join(first[near, None], between[np.ix_(near, far)]), second[far])
    kept = smallest(costs.ravel(), count)
    return [(int(near[index // len(far)]), int(far[index % len(far)])) for index in kept]


def where(chosen: Bools) -> Pairs:
    """The pairs that are true. numpy's own `nonzero` takes ten times as long for two dimensions as for one."""
    rows, columns = np.divmod(np.flatnonzero(chosen), chosen.shape[1])
    return rows, columns


def smallest(costs: Floats, count: int) -> Positions:
    """The indices of the `count` smallest finite costs, the smallest first."""
    kept = np.argpartition(costs, count)[:count] if len(costs) > count else np.arange(len(costs))
    ordered = kept[np.argsort(costs[kept], kind="stable")]
    return ordered[np.isfinite(costs[ordered])]


def relays_of(via: int) -> Relays | None:
    """A code of `Vias` as a path's relays; None where there is no path."""
    if via < DIRECT:
        return None
    return () if via == DIRECT else (via,)


def came_from(before: Sequence[str], after: Sequence[str]) -> Positions:
    """For each site of `after` its position `before`; −1 where it is new."""
    place = {site: index for index, site in enumerate(before)}
    return np.array([place.get(site, -1) for site in after], dtype=np.intp)


def rearranged(matrix: npt.NDArray[Scalar], origins: Positions, empty: object) -> npt.NDArray[Scalar]:
    """The matrix for the sites whose positions were `origins`; `empty` wherever a site is new."""
    moved = np.full((len(origins), len(origins)), empty, dtype=matrix.dtype)
    stayed = origins >= 0
    moved[np.ix_(stayed, stayed)] = matrix[np.ix_(origins[stayed], origins[stayed])]
    return moved
