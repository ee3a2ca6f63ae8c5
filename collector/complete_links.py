"""The answers about links with all that the collector knows: next tests, health, why, and how their traffic goes.

A room of its own: the API and the events give the same answer, and neither may know all of these parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from collector.incidents.health_columns import with_health, with_states
from collector.incidents.link_health import LinkHealth
from collector.linkstate.link_answers import LinkTable
from collector.linkstate.link_index import Pair
from collector.linkstate.link_rows import present
from collector.linkstate.report_moments import Links
from collector.linkstate.site_states import SiteStates
from collector.linkstate.snapshot import LINK_STATES, Snapshot
from collector.routing.arrays import DIRECT
from collector.routing.route_columns import RouteView
from linkweather.models.state import LinkAnswer, LinkCondition

LINKS_AT_ONCE = 4000  # some milliseconds
_FRESH = LINK_STATES[0]
_FIELDS = ("state", "since", "reason", "degraded_by", "traffic", "traffic_relays")


class AnsweredLinks(Protocol):
    """The links as they are measured: link states, or a cluster's."""

    def refresh_some(self, now: float) -> bool:
        """Bring some of the forecasts up to date, for some milliseconds; whether there is more to do."""

    def table(self, now: float, links: Links | slice = slice(None)) -> LinkTable:
        """The answers about every link, or some, without next tests."""

    def page(self, limit: int, after: Pair | None) -> tuple[Links, Pair | None]:
        """The numbers of the links on a page, and the last of them where more follow."""

    def link(self, src: str, dst: str, now: float) -> LinkAnswer | None:
        """One link; None where the mesh has no such link."""

    def snapshot(self, now: float) -> Snapshot:
        """What decisions are made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteLinks:
    """Completes the answers of `links`; `health` and `routes` are those of the last look and the last decision."""

    links: AnsweredLinks
    sites: SiteStates
    health: Callable[[], LinkHealth]
    routes: Callable[[], RouteView | None]

    def parts(self, now: float) -> Iterator[LinkTable]:
        """Copies of what is known now of every link, some links at a time: others may have their turn in between."""
        self.links.refresh_some(now)  # all forecasts anew, if it is time for that, would take long
        first, part = 0, self.links.table(now, slice(LINKS_AT_ONCE))
        while True:
            yield part
            if len(part) < LINKS_AT_ONCE:
                return
            first += LINKS_AT_ONCE
            sites, part = part.sites, self.links.table(now, slice(first, first + LINKS_AT_ONCE))
            if part.sites != sites:  # the mesh has changed meanwhile
                first, part = 0, self.links.table(now, slice(LINKS_AT_ONCE))

    def whole(self, now: float, parts: Sequence[LinkTable]) -> Callable[[], LinkTable]:
        """What it returns completes `parts` in any thread."""
        tests, complete = self.sites.next_tests(), self._completing(now)

        def completed() -> LinkTable:
            table = LinkTable.joined(parts)
            return complete(table.with_next_tests(tests.of, tests.known(table.sites, table.src, table.dst)))

        return completed

    def page(self, now: float, limit: int, after: Pair | None) -> tuple[Callable[[], LinkTable], Pair | None]:
        """As `whole`, of the first `limit` links by names, or of those after one; the last where more follow."""
        self.links.refresh_some(now)
        links, last = self.links.page(limit, after)
        return self.whole(now, [self.links.table(now, links)]), last

    def states(self, parts: Sequence[LinkTable]) -> Callable[[], LinkTable]:
        """As `whole`, with the links' states and no further reasons."""
        health = self.health()
        return lambda: with_states(LinkTable.joined(parts), health)

    def link(self, src: str, dst: str, now: float) -> LinkAnswer | None:
        """One link; None where the mesh has no such link."""
        found = self.links.link(src, dst, now)
        if found is None:
            return None
        complete = self._completing(now)
        one = complete(_table_of(found, now))
        return found.model_copy(update={name: one.values(name)[0] for name in _FIELDS})

    def _completing(self, now: float) -> Callable[[LinkTable], LinkTable]:
        gone, clocks = self.sites.gone(now), self.sites.clocks.findings(now)
        health, routes = self.health(), self.routes()

        def complete(table: LinkTable) -> LinkTable:
            healthy = with_traffic(with_health(table, health), routes)
            return _with_sites(healthy, gone).with_reasons(clocks.sentences, clocks.ours)

        return complete

    def counts(self, counts: Mapping[LinkCondition, int]) -> dict[LinkCondition, int]:
        """How many links are in each state, of those in contact also how many are degraded."""
        degraded = int((self.health().states == LINK_STATES.index("degraded")).sum())
        degraded = min(degraded, counts["fresh"])
        return {**counts, "fresh": counts["fresh"] - degraded, "degraded": degraded}


def with_traffic(table: LinkTable, routes: RouteView | None) -> LinkTable:
    """The answers about links that are not fresh with how their traffic goes, by the routes of least latency."""
    if routes is None:
        return table
    position = {site: place for place, site in enumerate(routes.snapshot.sites)}
    places = np.array([position.get(site, -1) for site in table.sites], np.intp)
    src, dst = places[table.src], places[table.dst]
    rows = np.flatnonzero((table.columns["state"] != _FRESH) & (src >= 0) & (dst >= 0))
    via = routes.via[src[rows], dst[rows]]
    traffic, relays = (np.full(len(table), None, object) for _ in range(2))
    traffic[rows] = np.select([via >= 0, via == DIRECT], ["relayed", "direct"], "none").astype(object)
    for row, relay in zip(rows[via >= 0].tolist(), via[via >= 0].tolist(), strict=True):
        relays[row] = (routes.snapshot.sites[relay],)
    return table.with_columns({"traffic": traffic, "traffic_relays": relays})


def _with_sites(table: LinkTable, gone: Mapping[str, str]) -> LinkTable:
    """The answers about links that are not in contact with the reason that a site at one of their ends is offline."""
    if not gone:
        return table
    named = np.array([gone.get(site) for site in table.sites], object)
    src, dst = named[table.src], named[table.dst]
    why = np.where(present(src), src, dst)
    lost = ~np.isin(table.columns["state"].astype(str), [_FRESH, "degraded"])
    return table.with_columns({"reason": np.where(lost & present(why), why, table.columns["reason"])})


def _table_of(link: LinkAnswer, now: float) -> LinkTable:
    """One link as a table."""
    columns = {name: np.array([None, getattr(link, name)], object)[1:] for name in LinkAnswer.model_fields}
    return LinkTable(now, (link.src, link.dst), np.array([0]), np.array([1]), columns)
