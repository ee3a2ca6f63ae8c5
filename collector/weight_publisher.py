"""Says to each site in how many rounds its links are worth a throughput test: retained, on the site's topic, hourly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

import numpy as np

from collector.linkstate.snapshot import Snapshot
from collector.route_publisher import Publish
from collector.routing.arrays import Floats, Vias
from collector.routing.costs import GoodputEstimate
from collector.routing.link_weights import rounds_between_tests, worths
from linkweather.containment import contained
from linkweather.mesh import Mesh
from linkweather.wire import LinkWeights, encode, topics

# What decisions gain from a test changes with what was found, slowly.
WEIGH_EVERY_S: Final = 3600.0
# The first are made once there are goodputs, which is looked for so often.
LOOK_EVERY_S: Final = 30.0
# So many times as long as a source took is left for other work.
REST: Final = 10.0


Known = tuple[Snapshot, GoodputEstimate, Vias]  # and the relays of the active routes


class WeightPublisher:
    """Weighs all links in a thread, O(sites³), and publishes the weights of those to the sites that we `own`."""

    def __init__(self, mesh: Mesh, publish: Publish, owns: Callable[[str], bool]) -> None:
        self._mesh = mesh
        self._publish = publish
        self._owns = owns
        self._due = asyncio.Event()

    def apply_mesh(self, mesh: Mesh) -> None:
        """Follow a changed mesh."""
        self._mesh = mesh
        self._due.set()

    def on_connect(self) -> None:
        """A broker is connected, perhaps an empty one: publish soon."""
        self._due.set()

    async def run(self, newest: Callable[[], Known | None]) -> None:
        """Publish by what is known newest, until cancelled."""
        while True:
            known = newest()
            weighed = False
            if known is not None and known[0].goodput_usable.any():
                self._due.clear()
                with contained("link weights"):
                    weighed = await self._weigh(*known)
            try:
                async with asyncio.timeout(WEIGH_EVERY_S if weighed else LOOK_EVERY_S):
                    await self._due.wait()
                    await asyncio.sleep(LOOK_EVERY_S)
            except TimeoutError:
                pass

    async def _weigh(self, snapshot: Snapshot, goodputs: GoodputEstimate, active: Vias) -> bool:
        """Whether a broker took all of it."""
        mesh, sites = self._mesh, snapshot.sites
        relays = np.array([site in mesh.relays and not mesh.sites[site].nat for site in sites])
        longest = mesh.throughput.longest_wait
        worth = await _worth(worths(goodputs, active, relays))
        rounds = await asyncio.to_thread(rounds_between_tests, goodputs, worth, longest)
        taken = True
        for place, site in enumerate(sites):
            if self._owns(site):
                weights = _weights_of(site, snapshot, rounds[:, place])
                taken &= await self._publish(topics.weights(site), encode(weights))
        return taken


async def _worth(steps: Iterator[Floats]) -> Floats:
    """The last of the steps, with a rest after each: a minute of work at 1,000 sites, and not urgent."""
    found: Floats = np.zeros((0, 0))
    while (step := await asyncio.to_thread(_timed, steps)) is not None:
        found, took_s = step
        await asyncio.sleep(REST * took_s)
    return found


def _timed(steps: Iterator[Floats]) -> tuple[Floats, float] | None:
    begun_s = time.thread_time()
    found = next(steps, None)
    return None if found is None else (found, time.thread_time() - begun_s)


def _weights_of(site: str, snapshot: Snapshot, rounds: Floats) -> LinkWeights:
    known = np.flatnonzero(np.isfinite(rounds))
    return LinkWeights(
        site=site,
        at=datetime.fromtimestamp(snapshot.at, UTC),
        src=tuple(snapshot.sites[place] for place in known),
        rounds=tuple(float(value) for value in rounds[known].round(2)),
    )
