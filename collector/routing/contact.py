"""Since when each link is usable, or lost: what hold-down and the reason of a failover rest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from collector.routing.candidates import Floats
from collector.routing.costs import Selection
from collector.routing.route_rule import Bools
from collector.routing.site_positions import Positions, rearranged


@dataclass(eq=False)
class Contact:
    """Watches links being lost and coming back; matrices [src, dst], times in seconds since the epoch.

    `lost_at` is NaN for a link that never was lost, `back_at` for one that never came back: that a link is seen for
    the first time is no return.
    """

    usable: Bools
    lost_at: Floats
    back_at: Floats

    @classmethod
    def nothing(cls, sites: int) -> Self:
        """No link has been seen yet."""
        shape = (sites, sites)
        return cls(usable=np.zeros(shape, bool), lost_at=np.full(shape, np.nan), back_at=np.full(shape, np.nan))

    def see(self, usable: Bools, at: float, chosen: Selection) -> None:
        """Take in which of the `chosen` links are usable `at` this moment."""
        before = self.usable[chosen]
        lost_at = np.where(before & ~usable, at, self.lost_at[chosen])
        back = usable & ~before & np.isfinite(lost_at)
        self.lost_at[chosen] = lost_at
        self.back_at[chosen] = np.where(back, at, self.back_at[chosen])
        self.usable[chosen] = usable

    def held(self, at: float, hold_down_s: float) -> Bools:
        """Where a link came back less than `hold_down_s` ago."""
        return self.usable & (at - self.back_at < hold_down_s)

    def moved(self, came_from: Positions) -> Contact:
        """What is known of the links between the sites that stood at `came_from`."""
        return Contact(
            usable=rearranged(self.usable, came_from, empty=False),
            lost_at=rearranged(self.lost_at, came_from, np.nan),
            back_at=rearranged(self.back_at, came_from, np.nan),
        )
