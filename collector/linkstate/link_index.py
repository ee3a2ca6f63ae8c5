"""The links of a mesh by number, in the mesh's order, and pairs of sites by name, a page at a time. Pure.

A link's number is its place in every array of the link states.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from collector.linkstate.report_moments import Links
from linkweather.mesh import Mesh
from linkweather.wire import Row

Pair = tuple[str, str]
Places = npt.NDArray[np.intp]


class NameOrder:
    """The pairs whose ends are at `src` and `dst` in `sites`, links or routes, in the order of their names.

    A page begins after a pair, which need not be there any more: however the mesh changes in between, a pair that stays
    is on one page, and on one only.
    """

    def __init__(self, sites: Sequence[str], src: npt.NDArray[np.integer], dst: npt.NDArray[np.integer]) -> None:
        by_name = sorted(range(len(sites)), key=sites.__getitem__)
        self._names: Final = [sites[place] for place in by_name]
        ranks = np.empty(len(sites), np.int64)
        ranks[by_name] = np.arange(len(sites))
        keys = ranks[src] * len(sites) + ranks[dst]
        self._order: Final = np.argsort(keys)
        self._keys: Final = keys[self._order]

    def page(self, limit: int, after: Pair | None) -> tuple[Places, Pair | None]:
        """The places of the first `limit` pairs, or of those after one; the last of them where more follow."""
        start = 0 if after is None else int(np.searchsorted(self._keys, self._first_key(*after)))
        end = start + limit
        return self._order[start:end], self._pair(end - 1) if end < len(self._order) else None

    def _first_key(self, src: str, dst: str) -> int:
        """The least key that a pair after this one can have."""
        rank = bisect_left(self._names, src)
        known = rank < len(self._names) and self._names[rank] == src
        return rank * len(self._names) + (bisect_right(self._names, dst) if known else 0)

    def _pair(self, number: int) -> Pair:
        src, dst = divmod(int(self._keys[number]), len(self._names))
        return self._names[src], self._names[dst]


class LinkIndex:
    """The links between `sites`: `src` and `dst` are places in `sites`, `cells` those in a matrix [src, dst], flat."""

    def __init__(self, mesh: Mesh | None = None) -> None:
        self.sites: tuple[str, ...] = tuple(mesh.sites) if mesh else ()
        self.position = {site: place for place, site in enumerate(self.sites)}
        ends = [self.position[site] for pair in (mesh.pairs() if mesh else ()) for site in pair]
        self.src, self.dst = np.array(ends, np.int32).reshape(-1, 2).T.copy()
        self.cells = self.src.astype(np.int64) * len(self.sites) + self.dst
        self._order = np.argsort(self.cells)
        self._ordered = self.cells[self._order]

    def __len__(self) -> int:
        return len(self.cells)

    def same(self, other: LinkIndex) -> bool:
        """Whether every link has the same number in the other."""
        return self.sites == other.sites and np.array_equal(self.cells, other.cells)

    @cached_property
    def pairs(self) -> Sequence[Pair]:
        """The links as (src, dst), by number."""
        names = np.array(self.sites, object)
        return list(zip(names[self.src].tolist(), names[self.dst].tolist(), strict=True))

    @cached_property
    def by_name(self) -> NameOrder:
        """The links in the order of names."""
        return NameOrder(self.sites, self.src, self.dst)

    def number(self, src: str, dst: str) -> int | None:
        """The number of a link; None where the mesh has no such link."""
        found = int(self.numbers([(src, dst)])[0])
        return None if found < 0 else found

    def of_rows(self, rows: Iterable[Row]) -> Links:
        """The number of each row's link, -1 for links that the mesh does not have."""
        return self.numbers([(row.src, row.dst) for row in rows])

    def numbers(self, pairs: Sequence[Pair]) -> Links:
        """The number of each link, -1 for links that the mesh does not have."""
        position, count = self.position.get, len(pairs)
        src = np.fromiter((position(src, -1) for src, _ in pairs), np.int64, count)
        dst = np.fromiter((position(dst, -1) for _, dst in pairs), np.int64, count)
        return self.at_cells(np.where((src < 0) | (dst < 0), -1, src * len(self.sites) + dst))

    def at_cells(self, cells: npt.NDArray[np.int64]) -> Links:
        """The number of the link at each cell, -1 for cells without one."""
        if not len(self):
            return np.full(len(cells), -1)
        place = np.minimum(np.searchsorted(self._ordered, cells), len(self) - 1)
        return np.where(self._ordered[place] == cells, self._order[place], -1)

    def moved(self, other: LinkIndex) -> tuple[Links, Links]:
        """The numbers here, and in the other, of the links that both have."""
        after = other.numbers(self.pairs)
        before = np.flatnonzero(after >= 0)
        return before, after[before]
