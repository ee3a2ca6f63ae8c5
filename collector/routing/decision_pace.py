"""When to decide: at once when a route may be lost, otherwise no oftener than a better route is of use. Pure.

Times are in seconds of one clock.
"""

from __future__ import annotations

import math
from typing import Final

# Reports that come together are decided upon together.
GATHER_S: Final = 0.1
# A route that is better by some per cent may come a second later: a transfer takes longer than that.
DECIDE_EVERY_S: Final = 1.0
# Links age without any report: the shortest limit of age is several seconds.
LOOK_AGAIN_S: Final = 2.0
# A decision begins this many times as long after the last one as that took: a large mesh takes a tenth of a core …
REST: Final = 10.0
# … and is decided wholly this often all the same.
REST_MOST_S: Final = 60.0
# What is lost is decided sooner: each such decision takes in what is known of all links, half a second at 1,000 sites.
LOST_REST: Final = 4.0


class DecisionPace:
    """Says when the next decision is due, and what about."""

    def __init__(self) -> None:
        self._begun_at = self._looked_at = -math.inf
        self._took_s = self._lost_took_s = 0.0
        self._news = self._lost = False

    def note(self, *, lost: bool = False) -> None:
        """Something was reported; `lost` where a route may have gone with it."""
        self._news = True
        self._lost |= lost

    def only_lost(self, now: float) -> bool:
        """Whether lost routes are due, and all others are not."""
        return self._lost and self._lost_at() <= now < self._all_at()

    def wait_s(self, now: float) -> float:
        """How long until a decision is due; 0 now."""
        due = min(self._lost_at(), self._all_at()) if self._lost else self._all_at()
        return max(0.0, due - now)

    def looked(self, now: float) -> None:
        """The lost routes are being decided."""
        self._looked_at, self._lost = now, False

    def decided_lost(self, took_s: float) -> None:
        """They have been, in so many seconds of processor time."""
        self._lost_took_s = took_s

    def began(self, now: float) -> None:
        """All routes are being decided."""
        self._begun_at, self._news = now, False
        self.looked(now)

    def ended(self, took_s: float) -> None:
        """All routes have been decided, in so many seconds of processor time."""
        self._took_s = took_s

    def _lost_at(self) -> float:
        return self._looked_at + max(GATHER_S, LOST_REST * self._lost_took_s)

    def _all_at(self) -> float:
        rest_s = min(REST * self._took_s, REST_MOST_S)
        return self._begun_at + max(DECIDE_EVERY_S if self._news else LOOK_AGAIN_S, rest_s)
