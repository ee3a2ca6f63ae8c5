"""Pairs of sites in the order of their names, a page at a time. Pure.

A room of its own, as links and routes have the same pages. A page begins after a pair, which need not be there any
more: however the mesh changes in between, a pair that stays is on one page, and on one only.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Pair = tuple[str, str]
Places = npt.NDArray[np.intp]


class NameOrder:
    """The pairs whose ends are at `src` and `dst` in `sites`."""

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
