"""Which links' conditions have changed from one outlook to the next: what is worth telling."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from collector.linkstate.snapshot import Outlook

Pair = tuple[str, str]


class Conditions:
    """Remembers the conditions of the outlook before."""

    def __init__(self) -> None:
        self._sites: tuple[str, ...] = ()
        self._codes: npt.NDArray[np.uint8] = np.zeros((0, 0), np.uint8)

    def changed(self, outlook: Outlook) -> list[Pair]:
        """The links, as (src, dst), whose contact or goodput became fresh, stale or unusable since the last call.

        Of the first call, and of one with other sites than before, none: nobody can tell what changed.
        """
        codes = _codes(outlook)
        before, sites = self._codes, self._sites
        self._codes, self._sites = codes, outlook.sites
        if sites != outlook.sites:
            return []
        return [(sites[src], sites[dst]) for src, dst in np.argwhere(codes != before)]


def _codes(outlook: Outlook) -> npt.NDArray[np.uint8]:
    """The four conditions of each link as the bits of one number."""
    parts = (outlook.usable, outlook.fresh, outlook.goodput_usable, outlook.goodput_fresh)
    codes: npt.NDArray[np.uint8] = np.packbits(np.stack(parts), axis=0)[0]
    return codes
