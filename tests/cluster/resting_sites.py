"""Played sites that can be told to measure no more, and then say what they wrote: what a record has to have."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import Any

from tests.bench.fleet_map import Fleet, name
from tests.bench.played_sites import PlayedSite, SitesPlayer


class RestingSites(SitesPlayer):
    """The fleet's sites."""

    _resting = False

    def rest(self) -> None:
        """Measure no more; what waits is still sent."""
        self._resting = True

    def written(self) -> None:
        """Say each site's boot and how many reports it wrote."""
        self._pipe.send({name(site.number): (site.boot, site.next_seq) for site in self._sites})

    def _measure(self, site: PlayedSite, kind: str, peer: int = -1, rows: int = 0) -> None:
        if not self._resting:
            super()._measure(site, kind, peer, rows)


def play_resting(fleet: Fleet, port: int, pipe: Connection[Any, Any]) -> None:
    """The process: play the sites at a broker."""
    RestingSites(fleet, port, pipe).run()
