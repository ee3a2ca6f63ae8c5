"""What outlives a decision: the active routes under one objective, and since when each link is usable or lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from collector.routing.arrays import DIRECT, GONE, NONE, Bools, Floats, Positions, Selection, Vias, rearranged
from collector.routing.route_rule import BETTER, FAILED, FIRST, NEVER, RETURNED, STALE, Codes
from collector.store.decision_log import RouteDecisions


@dataclass(eq=False)
class ActiveRoutes:
    """Matrices [src, dst]: the route's relay, the one before the last switch, when that was, and why.

    `since` is in seconds since the epoch, NaN before the first route; `switch_reason` is a code of `route_rule`.
    """

    via: Vias
    before: Vias
    since: Floats
    switch_reason: Codes

    @classmethod
    def nothing(cls, sites: int) -> Self:
        """No pair has had a route yet."""
        shape = (sites, sites)
        return cls(
            via=np.full(shape, NONE, np.int32),
            before=np.full(shape, NONE, np.int32),
            since=np.full(shape, np.nan),
            switch_reason=np.full(shape, NEVER, np.int8),
        )

    def switch(self, chosen: Selection, via: Vias, holds: Bools, usable: Bools, at: float) -> Bools:
        """Make `via` the active routes of the `chosen` pairs; true where that changes anything.

        `holds` is where the route before could have stayed, `usable` where it can be used, even if it must not stay.
        """
        previous = self.via[chosen].copy()
        changed: Bools = via != previous
        reasons = np.where(changed, self._reasons(chosen, via, holds, usable), self.switch_reason[chosen])
        self.switch_reason[chosen] = reasons
        self.before[chosen] = np.where(changed, previous, self.before[chosen])
        self.since[chosen] = np.where(changed, at, self.since[chosen])
        self.via[chosen] = via
        return changed

    def restore(self, decisions: RouteDecisions) -> None:
        """Take over routes from before a restart; why they became active is not known any more."""
        routed = decisions.via >= DIRECT
        pairs = decisions.src[routed], decisions.dst[routed]
        self.via[pairs], self.since[pairs] = decisions.via[routed], decisions.at[routed]
        self.switch_reason[pairs] = FIRST

    def _reasons(self, chosen: Selection, via: Vias, holds: Bools, usable: Bools) -> Codes:
        last, previous = self.switch_reason[chosen], self.via[chosen]
        restored = holds & (via == self.before[chosen]) & ((last == FAILED) | (last == STALE))
        return np.select(
            [last == NEVER, restored | (previous == NONE), holds, usable], [FIRST, RETURNED, BETTER, STALE], FAILED
        )

    def moved(self, origins: Positions) -> ActiveRoutes:
        """The same for the sites whose positions were `origins`; a relay that is gone leaves a path that fails."""
        sites = len(self.via)
        became = np.full(sites + 3, GONE, np.int32)  # the three codes, negative, stand at its end
        became[[NONE, DIRECT]] = NONE, DIRECT
        became[origins[origins >= 0]] = np.flatnonzero(origins >= 0)
        return ActiveRoutes(
            via=rearranged(became[self.via], origins, NONE),
            before=rearranged(became[self.before], origins, NONE),
            since=rearranged(self.since, origins, np.nan),
            switch_reason=rearranged(self.switch_reason, origins, NEVER),
        )


@dataclass(eq=False)
class Contact:
    """Which links are usable, when each was lost and came back; matrices [src, dst], seconds since the epoch.

    `lost_at` is NaN for a link that was never lost, `back_at` for one that never came back: a link's first contact is
    no return.
    """

    usable: Bools
    lost_at: Floats
    back_at: Floats

    @classmethod
    def nothing(cls, sites: int) -> Self:
        """No link has been seen yet."""
        shape = (sites, sites)
        return cls(usable=np.zeros(shape, bool), lost_at=np.full(shape, np.nan), back_at=np.full(shape, np.nan))

    def see(self, usable: Bools, at: float) -> None:
        """Take in which links are usable `at` this moment."""
        changed = self.usable != usable
        if not changed.any():
            return
        back = changed & usable & np.isfinite(self.lost_at)
        self.lost_at = np.where(changed & self.usable, at, self.lost_at)
        self.back_at = np.where(back, at, self.back_at)
        self.usable = usable

    def held(self, at: float, hold_down_s: float) -> Bools:
        """Where a link is held down: it came back less than `hold_down_s` ago."""
        return self.usable & (self.back_at > at - hold_down_s)

    def moved(self, origins: Positions) -> Contact:
        """The same for the sites whose positions were `origins`."""
        return Contact(
            usable=rearranged(self.usable, origins, empty=False),
            lost_at=rearranged(self.lost_at, origins, np.nan),
            back_at=rearranged(self.back_at, origins, np.nan),
        )
