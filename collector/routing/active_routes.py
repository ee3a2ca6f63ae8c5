"""The paths in force under one objective, for all pairs, with since when and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from collector.routing.candidates import DIRECT, GONE, NONE, Floats, Vias
from collector.routing.costs import Selection
from collector.routing.route_rule import BETTER, FAILED, FIRST, NEVER, RETURNED, STALE, Bools
from collector.routing.site_positions import Positions, rearranged

Codes = npt.NDArray[np.int8]


@dataclass(eq=False)
class ActiveRoutes:
    """Matrices [src, dst]. `before` is what stood before the last switch, `since` is NaN before the first."""

    via: Vias
    before: Vias
    since: Floats
    switched: Codes

    @classmethod
    def nothing(cls, sites: int) -> Self:
        """No pair has had a path yet."""
        shape = (sites, sites)
        return cls(
            via=np.full(shape, NONE, np.int32),
            before=np.full(shape, NONE, np.int32),
            since=np.full(shape, np.nan),
            switched=np.full(shape, NEVER, np.int8),
        )

    def switch(self, chosen: Selection, via: Vias, holds: Bools, usable: Bools, at: float) -> Bools:
        """Bring `via` into force for the `chosen` pairs, and say where that changes anything.

        `holds` is where what stood could have stayed, `usable` where it can be used, even if it must not stay.
        """
        stood = self.via[chosen].copy()
        changed: Bools = via != stood
        self.switched[chosen] = np.where(changed, self._reasons(chosen, via, holds, usable), self.switched[chosen])
        self.before[chosen] = np.where(changed, stood, self.before[chosen])
        self.since[chosen] = np.where(changed, at, self.since[chosen])
        self.via[chosen] = via
        return changed

    def put(self, pair: tuple[int, int], via: int, since: float, switched: int) -> None:
        """What stood for a pair before a restart."""
        self.via[pair], self.since[pair], self.switched[pair] = via, since, switched

    def _reasons(self, chosen: Selection, via: Vias, holds: Bools, usable: Bools) -> Codes:
        last, stood = self.switched[chosen], self.via[chosen]
        restored = holds & (via == self.before[chosen]) & ((last == FAILED) | (last == STALE))
        return np.select(
            [last == NEVER, restored | (stood == NONE), holds, usable], [FIRST, RETURNED, BETTER, STALE], FAILED
        )

    def moved(self, came_from: Positions) -> ActiveRoutes:
        """The same for the sites that stood at `came_from`; a relay that went leaves a path that fails."""
        sites = len(self.via)
        became = np.full(sites + 3, GONE, np.int32)  # the three codes, negative, stand at its end
        became[[NONE, DIRECT]] = NONE, DIRECT
        became[came_from[came_from >= 0]] = np.flatnonzero(came_from >= 0)
        return ActiveRoutes(
            via=rearranged(became[self.via], came_from, NONE),
            before=rearranged(became[self.before], came_from, NONE),
            since=rearranged(self.since, came_from, np.nan),
            switched=rearranged(self.switched, came_from, NEVER),
        )
