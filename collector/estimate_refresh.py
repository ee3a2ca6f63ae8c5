"""Keeps estimates fresh, such that decisions find them made: that of all goodputs, and the links' forecasts.

A room of its own because `routing` and `linkstate` are pure, and this reads a clock.
"""

from __future__ import annotations

import asyncio
import time

from collector.linkstate.link_states import LinkStates
from collector.linkstate.snapshot import Snapshot
from collector.routing.costs import GoodputEstimate
from collector.routing.goodput_estimate import shrunk
from linkweather.containment import contained
from linkweather.mesh import Mesh

# Goodputs widen with their age; their estimates are made again at least this often.
GOODPUTS_LAST_S = 30.0
# They cost O(sites³), and every test outdates them: so many times as long is left for other work.
ESTIMATES_REST = 60.0
# The forecasts of many links are brought up to date so often; those of few take a moment, and a row costs less the more
# of its link have come.
_FORECASTS_EVERY_S, _FORECASTS_OF_FEW_EVERY_S, _FEW_LINKS = 0.1, 0.5, 4000


class GoodputEstimates:
    """The estimate of all goodputs: made again when it is outdated, and at least every GOODPUTS_LAST_S.

    It is the one part of a decision that costs O(sites³) at once: `refresh` makes it in a thread.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._operators = {name: site.operator for name, site in mesh.sites.items()}
        self._made: GoodputEstimate | None = None
        self.newest: tuple[Snapshot, GoodputEstimate] | None = None  # and what it was made from
        self._of: tuple[str, ...] = ()
        self._made_at = self._took_s = self._ended_s = 0.0
        self._outdated = False

    def outdate(self) -> None:
        """Something was measured, or a condition changed."""
        self._outdated = True

    def of(self, snapshot: Snapshot) -> GoodputEstimate:
        """The newest estimate for the sites of this snapshot."""
        return self.make(snapshot) if self._made is None or self._of != snapshot.sites else self._made

    async def refresh(self, snapshot: Snapshot) -> None:
        """Make the estimate again in a thread, if that is due."""
        rested = self._outdated and time.monotonic() - self._ended_s >= ESTIMATES_REST * self._took_s
        if self._of != snapshot.sites or rested or not 0 <= snapshot.at - self._made_at < GOODPUTS_LAST_S:
            await asyncio.to_thread(self.make, snapshot)

    def make(self, snapshot: Snapshot) -> GoodputEstimate:
        """Make the estimate for this snapshot."""
        begun_s, self._outdated = time.thread_time(), False
        self._made = shrunk(snapshot, [self._operators.get(site) for site in snapshot.sites])
        self.newest = snapshot, self._made
        self._of, self._made_at, self._ended_s = snapshot.sites, snapshot.at, time.monotonic()
        self._took_s = time.thread_time() - begun_s
        return self._made


async def refresh_forecasts(links: LinkStates) -> None:
    """Bring the forecasts of links up to date until cancelled.

    A little at a time: who asks for a snapshot finds little left to do, and does not hold up the event loop.
    """
    while True:
        more = False
        with contained("forecasts"):
            more = links.refresh_some(time.time())
        rest_s = _FORECASTS_OF_FEW_EVERY_S if len(links.index) < _FEW_LINKS else _FORECASTS_EVERY_S
        await asyncio.sleep(0 if more else rest_s)
