"""The router: forecasts of links go in, paths in force and answers with their reasons come out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from collector.linkstate.snapshot import Snapshot
from collector.routing.active_routes import ActiveRoutes
from collector.routing.answer import answer
from collector.routing.candidates import DIRECT, Pairs, Vias
from collector.routing.contact import Contact
from collector.routing.costs import STANDING, GoodputEstimate, LinkFigures, Selection, measured, rule_of
from collector.routing.expectations import Evidence
from collector.routing.moment import RoutingState
from collector.routing.noise import noise
from collector.routing.objective_table import RoutingTable
from collector.routing.questions import RouteQuestion, check_sites
from collector.routing.route_rule import SWITCH_REASONS
from collector.routing.site_positions import positions
from collector.settings import RoutingSettings
from linkweather.mesh import Mesh
from linkweather.models.routes import NoRoute, Objective, RouteAnswer, SwitchReason

EVERY: Selection = (slice(None), slice(None))
NOTHING_YET = "Nothing has been decided yet."


@dataclass(frozen=True, slots=True)
class ActiveRoute:
    """A path in force, as it is kept over a restart; `relay` is None for direct."""

    src: str
    dst: str
    objective: Objective
    relay: str | None
    since: datetime
    switch_reason: SwitchReason


@dataclass(frozen=True, eq=False)
class RouteChanges:
    """The pairs whose path changed, by objective, as indices into `sites`."""

    sites: tuple[str, ...]
    pairs: Mapping[Objective, Pairs]

    def __len__(self) -> int:
        return sum(len(sources) for sources, _ in self.pairs.values())

    def __iter__(self) -> Iterator[tuple[Objective, str, str]]:
        for objective, (sources, destinations) in self.pairs.items():
            for src, dst in zip(sources.tolist(), destinations.tolist(), strict=True):
                yield objective, self.sites[src], self.sites[dst]

    def sources(self) -> set[str]:
        """The sites with another path to anywhere."""
        return {self.sites[src] for sources, _ in self.pairs.values() for src in np.unique(sources)}


class Router:
    """Keeps the path in force of every pair of sites under every standing objective, and answers questions.

    Every `decide` is one moment; questions are answered as of the last one.
    """

    def __init__(self, settings: RoutingSettings, mesh: Mesh) -> None:
        self._settings = settings
        self._sites = tuple(mesh.sites)
        self._contact = Contact.nothing(len(self._sites))
        self._tables: dict[Objective, RoutingTable] = {
            name: RoutingTable(costing, settings, rule_of(settings, name), len(self._sites))
            for name, costing in STANDING.items()
        }
        self._moment: RoutingState | None = None
        self.apply_mesh(mesh)

    def apply_mesh(self, mesh: Mesh) -> None:
        """Follow a changed mesh: its prices now, its sites with the next snapshot."""
        self._prices = {name: site.egress_usd_per_gb for name, site in mesh.sites.items()}

    def decide(
        self,
        snapshot: Snapshot,
        *,
        goodputs: GoodputEstimate | None = None,
        offline: Collection[str] = (),
        changed: Iterable[tuple[str, str]] | None = None,
    ) -> RouteChanges:
        """Bring into force what is best by this snapshot, and say which pairs' paths that changes.

        A site that is `offline` relays nothing. With `changed` only these links are taken to differ from the last
        snapshot, which costs O(sites²) for a few links instead of O(sites³) for all; whatever follows from age alone,
        and how noisy the mesh is, then waits for a call without. `goodputs` defaults to the snapshot's own forecasts.
        """
        self._follow(snapshot.sites)
        goodputs = measured(snapshot) if goodputs is None else goodputs
        links = None if changed is None or self._moment is None else _links(snapshot, changed)
        chosen: Selection = EVERY if links is None else links
        self._contact.see(snapshot.usable[chosen], snapshot.at, chosen)
        if links is None:
            self._apply_noise(noise(snapshot))
        moment = self._moment = self._at(snapshot, goodputs, offline)
        for table in self._tables.values():
            table.cost(LinkFigures.of(snapshot, goodputs, chosen), moment.held[chosen], chosen)
        pairs = None if links is None else _touched(links, len(snapshot.sites))
        return RouteChanges(snapshot.sites, {name: _refresh(moment, name, pairs) for name in self._tables})

    def route(self, question: RouteQuestion) -> RouteAnswer | NoRoute:
        """The path for one pair, as of the last `decide`, with its reason. Raises RouteQuestionError."""
        check_sites(question, self._prices)
        if self._moment is None:
            return NoRoute(src=question.src, dst=question.dst, objective=question.objective, why=NOTHING_YET)
        return answer(self._moment, question)

    def in_force(self, objective: Objective) -> Vias:
        """Every pair's relay [src, dst], as an index into the sites; negative without: see `candidates`."""
        return self._tables[objective].in_force.via.copy()

    def standing(self) -> Iterator[ActiveRoute]:
        """Every path in force, to be kept over a restart."""
        for objective, table in self._tables.items():
            yield from _standing(objective, table.in_force, self._sites)

    def restore(self, paths: Iterable[ActiveRoute]) -> None:
        """Take over what stood before a restart; what the mesh has no longer is left out. Before the first `decide`."""
        place = {site: index for index, site in enumerate(self._sites)}
        for path in paths:
            if {path.src, path.dst, path.relay or path.dst} <= place.keys():
                pair = place[path.src], place[path.dst]
                via = DIRECT if path.relay is None else place[path.relay]
                code = SWITCH_REASONS.index(path.switch_reason)
                self._tables[path.objective].in_force.put(pair, via, path.since.timestamp(), code)

    def _follow(self, sites: tuple[str, ...]) -> None:
        if sites == self._sites:
            return
        came_from = positions(self._sites, sites)
        self._sites, self._moment = sites, None
        self._contact = self._contact.moved(came_from)
        for table in self._tables.values():
            table.move(came_from)

    def _apply_noise(self, share: float) -> None:
        """Guard as much against noise as there is."""
        scaled = self._settings.against_noise(share)
        for name, table in self._tables.items():
            table.apply_settings(scaled, rule_of(scaled, name))

    def _at(self, snapshot: Snapshot, goodputs: GoodputEstimate, offline: Collection[str]) -> RoutingState:
        return RoutingState(
            settings=self._settings,
            ground=Evidence(
                snapshot=snapshot,
                goodputs=goodputs,
                prices_usd_per_gb=self._prices,
                forward_s=self._settings.forward_s,
            ),
            tables=self._tables,
            contact=self._contact,
            held=self._contact.held(snapshot.at, self._settings.hold_down_s),
            online=~np.isin(np.array(snapshot.sites), sorted(offline)),
        )


def _links(snapshot: Snapshot, changed: Iterable[tuple[str, str]]) -> Pairs:
    ends = [(snapshot.position[src], snapshot.position[dst]) for src, dst in changed]
    both = np.array(ends, dtype=np.intp).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _touched(links: Pairs, sites: int) -> Pairs | None:
    """The pairs that a changed link can matter to: all from its source, all to its destination; None for nearly all."""
    sources, destinations = np.unique(links[0]), np.unique(links[1])
    if 2 * (len(sources) + len(destinations)) > sites:
        return None
    touched = np.zeros((sites, sites), bool)
    touched[sources] = True
    touched[:, destinations] = True
    np.fill_diagonal(touched, val=False)
    rows, columns = np.nonzero(touched)
    return rows, columns


def _refresh(moment: RoutingState, name: Objective, pairs: Pairs | None) -> Pairs:
    """Rank and decide anew for these pairs or for all, and say which paths that changed."""
    table, everyone = moment.tables[name], np.arange(len(moment.online))
    table.rank(moment.online, pairs)
    within = (everyone[:, None], everyone) if pairs is None else pairs
    changed = table.decide(moment.held, moment.online, moment.ground.snapshot.at, within)
    rows, columns = np.broadcast_arrays(*within)
    return rows[changed], columns[changed]


def _standing(objective: Objective, in_force: ActiveRoutes, sites: tuple[str, ...]) -> Iterator[ActiveRoute]:
    for src, dst in zip(*np.nonzero(in_force.via >= DIRECT), strict=True):
        via = int(in_force.via[src, dst])
        yield ActiveRoute(
            src=sites[src],
            dst=sites[dst],
            objective=objective,
            relay=sites[via] if via >= 0 else None,
            since=datetime.fromtimestamp(in_force.since[src, dst], UTC),
            switch_reason=SWITCH_REASONS[in_force.switched[src, dst]],
        )
