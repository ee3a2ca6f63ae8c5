"""Which links' conditions have changed from one snapshot to the next: what is worth telling."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from collector.linkstate.snapshot import Snapshot

Pair = tuple[str, str]


class ConditionChanges:
    """Remembers the conditions of the snapshot before."""

    def __init__(self) -> None:
        self._sites: tuple[str, ...] = ()
        self._codes: npt.NDArray[np.uint8] = np.zeros((0, 0), np.uint8)

    def changed(self, snapshot: Snapshot) -> list[Pair]:
        """The links, as (src, dst), whose contact or goodput became fresh, stale or unusable since the last call.

        Of the first call, and of one with other sites than before, none: nobody can tell what changed.
        """
        codes = _codes(snapshot)
        before, sites = self._codes, self._sites
        self._codes, self._sites = codes, snapshot.sites
        if sites != snapshot.sites:
            return []
        return [(sites[src], sites[dst]) for src, dst in np.argwhere(codes != before)]


def _codes(snapshot: Snapshot) -> npt.NDArray[np.uint8]:
    """The four conditions of each link as the bits of one number."""
    parts = (snapshot.usable, snapshot.fresh, snapshot.goodput_usable, snapshot.goodput_fresh)
    codes: npt.NDArray[np.uint8] = np.packbits(np.stack(parts), axis=0)[0]
    return codes
