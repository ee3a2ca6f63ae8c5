"""The router: snapshots of the links go in, active routes and answers with their reasons come out.

Of a link towards a site behind NAT, which no probe may be sent to, the other direction stands for it: a round trip
crosses the same two ways whoever asks, so contact, RTT, jitter and loss are those of the link from it. A one-way delay
is not, and goodput is measured both ways.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np

from collector.linkstate.plausible import light_floors_s, plausible, suspect_sites
from collector.linkstate.snapshot import Snapshot
from collector.routing.active_routes import Contact
from collector.routing.answer import answer
from collector.routing.arrays import Bools, Floats, Pairs, Selection, Vias, came_from, where
from collector.routing.costs import (
    COSTINGS,
    Codes,
    GoodputEstimate,
    LinkFigures,
    conditions,
    expected_rtts,
    forecast_goodputs,
)
from collector.routing.route_columns import RouteView
from collector.routing.route_question import RouteQuestion
from collector.routing.route_rule import noise, rule_of
from collector.routing.routing_state import RoutingState
from collector.routing.routing_table import RoutingTable
from collector.settings import RoutingSettings
from collector.store.decision_log import RouteDecisions
from linkweather.mesh import Mesh
from linkweather.models.routes import NoRoute, Objective, RouteAnswer

UNDECIDED = "No route has been decided yet."
# So many paths are compared in one step, a few milliseconds: all sources of 160 sites, 16 of 500.
PATHS_PER_STEP = 4_000_000
# To decide a pair takes as long as to compare so many paths.
PAIR_PATHS = 200
# When more than one of so many links changed, all are costed: that takes no longer than to pick them.
CHANGED_OF = 16


@dataclass(frozen=True, eq=False)
class RouteChanges:
    """The pairs whose active route changed, by objective, as positions in `sites`."""

    sites: tuple[str, ...]
    pairs: Mapping[Objective, Pairs]

    def __len__(self) -> int:
        return sum(len(sources) for sources, _ in self.pairs.values())

    def __iter__(self) -> Iterator[tuple[Objective, str, str]]:
        for objective, (sources, destinations) in self.pairs.items():
            for src, dst in zip(sources.tolist(), destinations.tolist(), strict=True):
                yield objective, self.sites[src], self.sites[dst]


class Router:
    """Decides the active route of every pair of sites under every objective of `COSTINGS`, and answers questions.

    Answers are as of the last decision.
    """

    def __init__(self, settings: RoutingSettings, mesh: Mesh) -> None:
        self._settings = settings
        self._sites = tuple(mesh.sites)
        self._contact = Contact.nothing(len(self._sites))
        self._tables: dict[Objective, RoutingTable] = {
            name: RoutingTable(costing, settings, rule_of(settings, name), len(self._sites))
            for name, costing in COSTINGS.items()
        }
        self._state: RoutingState | None = None
        # Of many measurements: a decision about what is lost does with those of the last about all.
        self._noise: tuple[float, Floats] | None = None
        self._suspect: Bools = np.zeros(len(self._sites), bool)
        self._conditions: Codes = np.zeros((0, 0), np.uint8)
        self._kept: dict[Objective, RouteView] = {}
        self.apply_mesh(mesh)

    def apply_mesh(self, mesh: Mesh) -> None:
        """Follow a changed mesh: its prices and who may relay now, its sites with the next snapshot."""
        self._prices = {name: site.egress_usd_per_gb for name, site in mesh.sites.items()}
        self._behind_nat = sorted(name for name, site in mesh.sites.items() if site.nat)
        self._floors_s = light_floors_s(mesh.sites)
        # A relay is called by the site before it.
        self._barred = mesh.sites.keys() - mesh.relays | set(self._behind_nat)

    def steps(
        self,
        snapshot: Snapshot,
        *,
        goodputs: GoodputEstimate | None = None,
        offline: Collection[str] = (),
        only_lost: bool = False,
    ) -> Iterator[RouteChanges]:
        """Decide all active routes by this snapshot: yields the pairs whose routes change, step by step.

        A step takes some milliseconds: a caller may do other things between them, and ask questions. A site that is
        `offline` relays nothing. `goodputs` defaults to the links' own forecasts.

        The first ones take the snapshot in and decide every route that cannot stay, O(sites²); the others go over all
        sources, O(sites³) together. With `only_lost` there are the first alone, and links whose condition is as before
        keep their costs: one changed link of 1,000 sites takes some milliseconds.
        """
        if not only_lost:
            self._noise = None
        state = self._take_in(snapshot, forecast_goodputs(snapshot) if goodputs is None else goodputs, offline)
        slices = self._slices(len(snapshot.sites), int(np.count_nonzero(state.online)))
        for name, table in self._tables.items():
            yield from self._lost(state, name, table, newly=only_lost) if only_lost or len(slices) > 1 else ()
        for sources, name in () if only_lost else product(slices, self._tables):
            if self._state is None or self._state.snapshot.sites != snapshot.sites:
                return  # the mesh has changed meanwhile
            yield self._decided_sources(self._state, name, sources)

    def view(self, objective: Objective) -> RouteView | None:
        """The active routes as of the last decision, to be read while others are made; None before the first.

        It is the same object until something changes.
        """
        if objective not in self._kept and (found := self.view_now(objective)) is not None:
            self._kept[objective] = found.kept()
        return self._kept.get(objective)

    def view_now(self, objective: Objective) -> RouteView | None:
        """The same to be read at once: the next decision changes it."""
        return None if self._state is None else RouteView.of(self._state, objective)

    def usable(self, src: str, dst: str) -> bool:
        """Whether a link could be used at the last decision."""
        place = None if self._state is None else self._state.snapshot.position
        return place is not None and src in place and dst in place and self._contact.usable.item(place[src], place[dst])

    def route(self, question: RouteQuestion) -> RouteAnswer | NoRoute:
        """The path for one pair, as of the last decision, with its reason. Raises RouteQuestionError."""
        question.check_sites(self._prices)
        known = () if self._state is None else self._state.snapshot.position
        if self._state is None or question.src not in known or question.dst not in known:  # a site has just joined
            return NoRoute(
                src=question.src, dst=question.dst, objective=question.objective, reason="undecided", why=UNDECIDED
            )
        return answer(self._state, question)

    def relays(self, objective: Objective) -> Vias:
        """The relay of every pair's active route [src, dst], as a position in the sites, or a code of `arrays`."""
        return self._tables[objective].active.via.copy()

    def restore(self, decisions: RouteDecisions) -> None:
        """Take over one objective's active routes from before a restart. Before `steps`, for the mesh's sites."""
        self._tables[decisions.objective].active.restore(decisions)

    def _take_in(self, snapshot: Snapshot, goodputs: GoodputEstimate, offline: Collection[str]) -> RoutingState:
        self._follow(snapshot.sites)
        snapshot, stands = mirrored(snapshot, np.isin(np.array(snapshot.sites), self._behind_nat))
        whole = self._noise is None
        if self._noise is None:
            self._noise, self._suspect = noise(snapshot), suspect_sites(snapshot, self._floors_s)
        share, of_links = self._noise
        snapshot, less = plausible(snapshot, self._floors_s, self._suspect)
        self._contact.see(snapshot.usable, snapshot.at)
        self._apply_noise(share)
        self._kept.clear()
        self._state = state = self._next(snapshot, goodputs, expected_rtts(snapshot, of_links), stands | less, offline)
        changed = self._changed(state)
        self._cost(state, slice(None) if whole else changed)
        return state

    def _changed(self, state: RoutingState) -> Selection:
        """The links whose condition is another than at the last call; all where that is many."""
        before, self._conditions = self._conditions, conditions(state.snapshot, state.held, self._settings)
        if before.shape != self._conditions.shape:
            return slice(None)
        changed = self._conditions != before
        return where(changed) if np.count_nonzero(changed) * CHANGED_OF < changed.size else slice(None)

    def _cost(self, state: RoutingState, links: Selection) -> None:
        figures = LinkFigures.of(state.snapshot, state.goodputs, state.rtts_s, links)
        for table in self._tables.values():
            table.cost(figures, state.held[links], links)

    def _slices(self, sites: int, relays: int) -> list[slice]:
        """The sources of each step; all at once where there is a bound on what a site relays, as all pairs share it."""
        bounded = self._settings.max_relayed_pairs is not None
        paths = sites * max(relays, min(sites, PAIR_PATHS))
        size = sites if bounded else max(1, PATHS_PER_STEP // max(1, paths))
        return [slice(start, min(start + size, sites)) for start in range(0, sites, size)]

    def _lost(
        self, state: RoutingState, name: Objective, table: RoutingTable, *, newly: bool
    ) -> Iterator[RouteChanges]:
        """Decide the routes that cannot stay."""
        sources, destinations = table.lost(state.online, newly=newly)
        size = max(1, PATHS_PER_STEP // max(1, len(state.online)))
        for start in range(0, len(sources), size):
            if self._state is not state:
                return  # a newer snapshot has been taken in meanwhile: it has its own
            pairs = sources[start : start + size], destinations[start : start + size]
            table.rank_pairs(state.online, pairs)
            yield self._decided(state, name, pairs)
        table.settle(state.online)

    def _decided_sources(self, state: RoutingState, name: Objective, sources: slice) -> RouteChanges:
        self._tables[name].rank(state.online, sources)
        everyone = np.arange(len(state.online))
        changes = self._decided(state, name, (everyone[sources, None], everyone))
        if sources.stop - sources.start == len(everyone):
            self._tables[name].settle(state.online)
        return changes

    def _decided(self, state: RoutingState, name: Objective, pairs: Pairs) -> RouteChanges:
        changed = self._tables[name].decide(state.held, state.online, state.snapshot.at, pairs)
        if changed.any():
            self._kept.pop(name, None)
        rows, columns = np.broadcast_arrays(*pairs)
        return RouteChanges(state.snapshot.sites, {name: (rows[changed], columns[changed])})

    def _follow(self, sites: tuple[str, ...]) -> None:
        if sites == self._sites:
            return
        origins = came_from(self._sites, sites)
        self._sites, self._state, self._noise = sites, None, None
        self._contact = self._contact.moved(origins)
        for table in self._tables.values():
            table.move(origins)

    def _apply_noise(self, share: float) -> None:
        """Guard as much against noise as there is."""
        scaled = self._settings.against_noise(share)
        for name, table in self._tables.items():
            table.apply_settings(scaled, rule_of(scaled, name))

    def _next(
        self, snapshot: Snapshot, goodputs: GoodputEstimate, rtts_s: Floats, stands: Bools, offline: Collection[str]
    ) -> RoutingState:
        return RoutingState(
            settings=self._settings,
            snapshot=snapshot,
            rtts_s=rtts_s,
            mirrored=stands,
            goodputs=goodputs,
            prices_usd_per_gb=self._prices,
            tables=self._tables,
            contact=self._contact,
            held=self._contact.held(snapshot.at, self._settings.hold_down_s),
            online=~np.isin(np.array(snapshot.sites), sorted({*offline, *self._barred})),
        )


_SYMMETRIC: Final = (
    "contact",
    "usable",
    "fresh",
    "rtt_p10_s",
    "rtt_p50_s",
    "rtt_p90_s",
    "rtt_mean_s",
    "rtt_age_s",
    "rtt_samples",
    "rtt_reverts",
    "jitter_s",
    "loss_ratio",
)


def mirrored(snapshot: Snapshot, behind_nat: Bools) -> tuple[Snapshot, Bools]:
    """The snapshot with the links to the sites `behind_nat`, and where the other direction stands for a link."""
    usable = snapshot.usable
    stands = behind_nat & usable.T & ~usable if behind_nat.any() else np.zeros_like(usable)
    if not stands.any():
        return snapshot, stands
    matrices = {name: getattr(snapshot, name) for name in _SYMMETRIC}
    return replace(snapshot, **{name: np.where(stands, one.T, one) for name, one in matrices.items()}), stands
