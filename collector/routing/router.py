"""The router: snapshots of the links go in, active routes and answers with their reasons come out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from collector.linkstate.snapshot import Snapshot
from collector.routing.active_routes import ActiveRoute, ActiveRoutes, Contact
from collector.routing.answer import answer
from collector.routing.arrays import DIRECT, Bools, Pairs, Selection, Vias, came_from
from collector.routing.costs import COSTINGS, GoodputEstimate, LinkFigures, forecast_goodputs
from collector.routing.route_question import RouteQuestion
from collector.routing.route_rule import SWITCH_REASONS, noise, rule_of
from collector.routing.routing_state import RoutingState
from collector.routing.routing_table import RoutingTable
from collector.settings import RoutingSettings
from linkweather.mesh import Mesh
from linkweather.models.routes import NoRoute, Objective, RouteAnswer

EVERY: Selection = (slice(None), slice(None))
UNDECIDED = "No route has been decided yet."
# Answers that are kept, a few kilobytes each: both objectives of 140 sites. Others are built whenever they are read.
KEPT_ANSWERS_MAX = 40_000


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

    def sources(self) -> set[str]:
        """The sites with another path to anywhere."""
        return {self.sites[src] for sources, _ in self.pairs.values() for src in np.unique(sources)}


class Router:
    """Decides the active route of every pair of sites under every objective of `COSTINGS`, and answers questions.

    Answers are as of the last `decide`. The answer about an active route is kept until the route changes, or a link
    that it may name becomes usable, unusable, fresh or stale; the figures in it are refreshed as its reader asks.
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
        self._kept = _KeptAnswers(len(self._sites))
        self.apply_mesh(mesh)

    def apply_mesh(self, mesh: Mesh) -> None:
        """Follow a changed mesh: its prices now, its sites with the next snapshot."""
        self._prices = {name: site.egress_usd_per_gb for name, site in mesh.sites.items()}
        self._kept = _KeptAnswers(len(self._sites))

    def decide(
        self,
        snapshot: Snapshot,
        *,
        goodputs: GoodputEstimate | None = None,
        offline: Collection[str] = (),
        changed: Iterable[tuple[str, str]] | None = None,
    ) -> RouteChanges:
        """Decide the active routes by this snapshot; returns the pairs whose routes that changes.

        A site that is `offline` relays nothing. With `changed` only these links are taken to differ from the last
        snapshot, which costs O(sites²) for a few links instead of O(sites³) for all; effects of age alone, and the
        noise of the mesh, then wait for a call without. `goodputs` defaults to the links' own forecasts.
        """
        self._follow(snapshot.sites)
        goodputs = forecast_goodputs(snapshot) if goodputs is None else goodputs
        links = None if changed is None or self._state is None else _links(snapshot, changed)
        chosen: Selection = EVERY if links is None else links
        self._contact.see(snapshot.usable[chosen], snapshot.at, chosen)
        if links is None:
            self._apply_noise(noise(snapshot))
        before, state = self._state, self._next(snapshot, goodputs, offline)
        self._state = state
        for table in self._tables.values():
            table.cost(LinkFigures.of(snapshot, goodputs, chosen), state.held[chosen], chosen)
        pairs = None if links is None else _touched(links, len(snapshot.sites))
        changes = RouteChanges(snapshot.sites, {name: _refresh(state, name, pairs) for name in self._tables})
        self._kept.outdate(before, state, changes)
        return changes

    def route(self, question: RouteQuestion, *, older_s: float = 0.0) -> RouteAnswer | NoRoute:
        """The path for one pair, as of the last `decide`, with its reason. Raises RouteQuestionError.

        The figures of an answer about an active route may be those of a snapshot that is `older_s` older.
        """
        question.check_sites(self._prices)
        if self._state is None:
            return NoRoute(
                src=question.src, dst=question.dst, objective=question.objective, reason="undecided", why=UNDECIDED
            )
        if question.conditional or question.bytes is not None or question.objective not in self._tables:
            return answer(self._state, question)
        return self._kept.read(self._state, question, older_s)

    def relays(self, objective: Objective) -> Vias:
        """The relay of every pair's active route [src, dst], as a position in the sites, or a code of `arrays`."""
        return self._tables[objective].active.via.copy()

    def active_routes(self) -> Iterator[ActiveRoute]:
        """Every active route, to be kept over a restart."""
        for objective, table in self._tables.items():
            yield from _active_routes(objective, table.active, self._sites)

    def restore(self, routes: Iterable[ActiveRoute]) -> None:
        """Take over the active routes from before a restart, but for sites that left the mesh. Before `decide`."""
        place = {site: index for index, site in enumerate(self._sites)}
        for route in routes:
            if {route.src, route.dst, route.relay or route.dst} <= place.keys():
                pair = place[route.src], place[route.dst]
                via = DIRECT if route.relay is None else place[route.relay]
                code = SWITCH_REASONS.index(route.switch_reason)
                self._tables[route.objective].active.put(pair, via, route.since.timestamp(), code)

    def _follow(self, sites: tuple[str, ...]) -> None:
        if sites == self._sites:
            return
        origins = came_from(self._sites, sites)
        self._sites, self._state, self._kept = sites, None, _KeptAnswers(len(sites))
        self._contact = self._contact.moved(origins)
        for table in self._tables.values():
            table.move(origins)

    def _apply_noise(self, share: float) -> None:
        """Guard as much against noise as there is."""
        scaled = self._settings.against_noise(share)
        for name, table in self._tables.items():
            table.apply_settings(scaled, rule_of(scaled, name))

    def _next(self, snapshot: Snapshot, goodputs: GoodputEstimate, offline: Collection[str]) -> RoutingState:
        return RoutingState(
            settings=self._settings,
            snapshot=snapshot,
            goodputs=goodputs,
            prices_usd_per_gb=self._prices,
            tables=self._tables,
            contact=self._contact,
            held=self._contact.held(snapshot.at, self._settings.hold_down_s),
            online=~np.isin(np.array(snapshot.sites), sorted(offline)),
        )


@dataclass(frozen=True, slots=True)
class _Kept:
    decision: int
    at: float
    answer: RouteAnswer | NoRoute


class _KeptAnswers:
    """Answers about active routes by objective and pair; at most KEPT_ANSWERS_MAX, the oldest go first.

    Decisions are numbered. `_changed_by` [src, dst] is the last one that changed anything which an answer about this
    pair says, besides its figures.
    """

    def __init__(self, sites: int) -> None:
        self._decision = 0
        self._changed_by = np.zeros((sites, sites), np.int64)
        self._answers: OrderedDict[tuple[Objective, str, str], _Kept] = OrderedDict()

    def outdate(self, before: RoutingState | None, state: RoutingState, changes: RouteChanges) -> None:
        """After a decision: the changed pairs, and all pairs that share an end with a link whose contact changed."""
        self._decision += 1
        if before is None or (before.online != state.online).any():
            self._changed_by[:] = self._decision
            return
        for pairs in changes.pairs.values():
            self._changed_by[pairs] = self._decision
        links = _contact_changes(before, state)
        self._changed_by[links.any(axis=1)] = self._decision
        self._changed_by[:, links.any(axis=0)] = self._decision

    def read(self, state: RoutingState, question: RouteQuestion, older_s: float) -> RouteAnswer | NoRoute:
        """The kept answer, unless it is outdated, or its figures are older than the reader allows."""
        key, position = (question.objective, question.src, question.dst), state.snapshot.position
        kept, pair = self._answers.get(key), (position[question.src], position[question.dst])
        if kept is not None and kept.decision != self._decision:
            recent = state.snapshot.at - kept.at < older_s
            kept = kept if recent and kept.decision >= self._changed_by.item(pair) else None
        if kept is None:
            kept = _Kept(self._decision, state.snapshot.at, answer(state, question))
            self._answers.pop(key, None)
            self._answers[key] = kept
            if len(self._answers) > KEPT_ANSWERS_MAX:
                self._answers.popitem(last=False)
        return kept.answer


def _contact_changes(before: RoutingState, state: RoutingState) -> Bools:
    """Where a link became usable, unusable, fresh, stale, held down, or no longer held down."""
    old, new = before.snapshot, state.snapshot
    changed: Bools = (
        (old.usable != new.usable)
        | (old.fresh != new.fresh)
        | (old.goodput_fresh != new.goodput_fresh)
        | (before.held != state.held)
    )
    return changed


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


def _refresh(state: RoutingState, name: Objective, pairs: Pairs | None) -> Pairs:
    """Rank and decide anew for these pairs or for all; returns the pairs whose route that changed."""
    table, everyone = state.tables[name], np.arange(len(state.online))
    table.rank(state.online, pairs)
    within = (everyone[:, None], everyone) if pairs is None else pairs
    changed = table.decide(state.held, state.online, state.snapshot.at, within)
    rows, columns = np.broadcast_arrays(*within)
    return rows[changed], columns[changed]


def _active_routes(objective: Objective, active: ActiveRoutes, sites: tuple[str, ...]) -> Iterator[ActiveRoute]:
    for src, dst in zip(*np.nonzero(active.via >= DIRECT), strict=True):
        via = int(active.via[src, dst])
        yield ActiveRoute(
            src=sites[src],
            dst=sites[dst],
            objective=objective,
            relay=sites[via] if via >= 0 else None,
            since=datetime.fromtimestamp(active.since[src, dst], UTC),
            switch_reason=SWITCH_REASONS[active.switch_reason[src, dst]],
        )
