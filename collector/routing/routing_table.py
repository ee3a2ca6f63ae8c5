"""One objective over all pairs: what links cost now, which relay is best, and which route is active."""

from __future__ import annotations

import numpy as np

from collector.routing.active_routes import ActiveRoutes
from collector.routing.arrays import (
    DIRECT,
    NONE,
    Bools,
    Floats,
    Indices,
    Pairs,
    Positions,
    Relays,
    Selection,
    Singles,
    Vias,
    best_relays,
    best_relays_of,
    smallest,
    where,
)
from collector.routing.costs import Costing, LinkFigures
from collector.routing.route_rule import Choices, Incumbents, RouteRule, decide
from collector.settings import RoutingSettings

# What a table keeps of the links' `Costs`.
_KEPT = ("expected", "cautious", "weighed", "bar", "sound", "unmeasured")
# Of a row of sites: from so many links on it costs less to look at all routes.
_FEW = 4


class RoutingTable:
    """The costs, best relays and active routes of all pairs under one objective; matrices [src, dst].

    `expected`, `cautious`, `weighed`, `bar`, `sound` and `unmeasured` are the links' `Costs`. `legs` are the cautious
    costs of the links that may be a new relay's leg: sound, and not held down; infinite elsewhere.
    """

    def __init__(self, costing: Costing, settings: RoutingSettings, rule: RouteRule, sites: int) -> None:
        self._settings = settings
        self._rule = rule
        self._most = settings.max_relayed_pairs
        self.per_relay = costing.per_relay(settings)
        self.join = costing.join
        self._of_links = costing.of_links
        self.active = ActiveRoutes.nothing(sites)
        self._clear(sites)

    def _clear(self, sites: int) -> None:
        self.expected: Singles = np.full((sites, sites), np.inf, np.float32)
        self.cautious: Singles = self.expected.copy()
        self.weighed: Singles = self.expected.copy()
        self.bar: Singles = self.expected.copy()
        self.legs: Singles = self.expected.copy()
        self.sound: Bools = np.zeros((sites, sites), bool)
        self.unmeasured: Bools = self.sound.copy()
        self.best: Vias = np.full((sites, sites), NONE, np.int32)
        # What became worse since every route that cannot stay was decided: links, and sites that may relay no more.
        self._worse: Bools = np.ones((sites, sites), bool)
        self._relayed: Bools = np.ones(sites, bool)

    def move(self, origins: Positions) -> None:
        """Follow a mesh whose sites have changed: active routes stay, costs are unknown until the next `cost`."""
        self.active = self.active.moved(origins)
        self._clear(len(origins))

    def apply_settings(self, settings: RoutingSettings, rule: RouteRule) -> None:
        """Cost and decide by these from now on."""
        self._settings, self._rule = settings, rule

    def cost(self, figures: LinkFigures, held: Bools, links: Selection) -> None:
        """Take in these links as they are now; `held` are those of them that are held down."""
        costs = self._of_links(figures, self._settings)
        before = self._carries(links)
        for name in _KEPT:
            getattr(self, name)[links] = getattr(costs, name)
        self.legs[links] = np.where(costs.sound & ~held, costs.cautious, np.float32(np.inf))
        for had, has in zip(before, self._carries(links), strict=True):
            self._worse[links] |= had & ~has

    def rank(self, online: Bools, sources: slice) -> None:
        """Find the best candidates of all pairs from these sources, among the sites that are online and not full."""
        relays = np.flatnonzero(online & self._open())
        self.best[sources] = best_relays(self.legs[sources], self.legs, self.join, relays)
        np.fill_diagonal(self.best, NONE)

    def rank_pairs(self, online: Bools, pairs: Pairs) -> None:
        """The same for these pairs."""
        relays = np.flatnonzero(online & self._open())
        self.best[pairs] = best_relays_of(self.legs, self.legs, pairs, self.join, relays)

    def lost(self, online: Bools, *, newly: bool) -> Pairs:
        """The pairs without a route that could have one, and those whose route cannot stay.

        `newly` looks only at routes over links and sites that became worse since `settle`: so one changed link costs
        little. A route that was not sound when it was taken waits for a decision about all.
        """
        could, _ = self._carries(slice(None))
        lost = (self.active.via < DIRECT) & could
        np.fill_diagonal(lost, val=False)
        pairs = self._touched(online) if newly else self._everyone()
        incumbents = self._incumbents(online, pairs)
        stays = np.isfinite(incumbents.cost) & incumbents.sound
        lost[pairs] |= (incumbents.via >= DIRECT) & ~stays
        return where(lost)

    def settle(self, online: Bools) -> None:
        """Every route that cannot stay has been decided."""
        self._worse[:] = False
        self._relayed = online

    def _carries(self, links: Selection) -> tuple[Bools, Bools]:
        """Which of these links can be a direct path, and which a leg of a route that stays."""
        known = np.isfinite(self.expected[links])
        return known | self.unmeasured[links], known & self.sound[links]

    def _touched(self, online: Bools) -> Pairs:
        """The pairs whose routes something that became worse is part of; all pairs where that is much."""
        sources, destinations = where(self._worse)
        if len(sources) > len(online) // _FEW or (self._relayed & ~online).any():
            return self._everyone()
        touched = self._worse.copy()
        for src, dst in zip(sources, destinations, strict=True):
            touched[src] |= self.active.via[src] == dst
            touched[:, dst] |= self.active.via[:, dst] == src
        return where(touched)

    def _everyone(self) -> Pairs:
        everyone = np.arange(len(self.best))
        return everyone[:, None], everyone

    def decide(self, held: Bools, online: Bools, at: float, pairs: Pairs) -> Bools:
        """Decide the active routes of these pairs; true where that is another path than before."""
        choices, incumbents = self._choices(held, online, pairs), self._incumbents(online, pairs)
        via, holds = decide(choices, incumbents, self._rule)
        if self._most is not None:
            via = self._admitted(via, choices, incumbents, holds)
        return self.active.switch(pairs, via, holds, np.isfinite(incumbents.cost), at)

    def direct(self, pairs: Pairs, costs: Singles) -> Floats:
        """What direct costs as a path: 0 where it is unmeasured, so that no relay beats it."""
        return np.where(self.unmeasured[pairs], np.float32(0.0), costs[pairs])

    def load(self) -> Indices:
        """How many active routes go through each site."""
        via = self.active.via
        return np.bincount(via[via >= 0], minlength=len(via))

    def path_cost(self, src: int, relays: Relays, dst: int) -> float:
        """The expected cost of direct, or of the path over one relay."""
        if not relays:
            return float(self.expected[src, dst])
        (relay,) = relays
        return float(self.join(self.expected[src, relay], self.expected[relay, dst])) + self.per_relay

    def cheapest(self, src: int, dst: int, online: Bools, count: int) -> list[Relays]:
        """The cheapest relays of one pair by cautious cost: of the candidates, or else of any that can be used."""
        for legs in (self.legs, self.cautious):
            found = smallest(np.where(online, self.join(legs[src], legs[:, dst]), np.inf), count)
            if len(found):
                return [(int(relay),) for relay in found]
        return []

    def _open(self) -> Bools | bool:
        return True if self._most is None else self.load() < self._most

    def _choices(self, held: Bools, online: Bools, pairs: Pairs) -> Choices:
        relay, direct = self.best[pairs], self.direct(pairs, self.expected)
        return Choices(
            direct=direct,
            direct_sound=self.sound[pairs] | self.unmeasured[pairs],
            held=held[pairs],
            relay=relay,
            relay_weighed=self._through(self.weighed, relay, pairs),
            bar=self.direct(pairs, self.bar),
            spare=self._spare((relay == NONE) & ~np.isfinite(direct), online, pairs),
        )

    def _spare(self, lost: Bools, online: Bools, pairs: Pairs) -> Vias:
        spare = np.full(lost.shape, NONE, np.int32)
        rows, columns = np.broadcast_arrays(*pairs)
        lost &= rows != columns
        # As sites come at a start, most pairs have an end without a link: no relay is looked for.
        out, into = np.isfinite(self.cautious.min(axis=1)), np.isfinite(self.cautious.min(axis=0))
        lost &= out[rows] & into[columns]
        if lost.any():
            pairs = rows[lost], columns[lost]
            spare[lost] = best_relays_of(self.cautious, self.cautious, pairs, self.join, np.flatnonzero(online))
        return spare

    def _incumbents(self, online: Bools, pairs: Pairs) -> Incumbents:
        via = self.active.via[pairs]
        relay, direct = np.maximum(via, 0), via == DIRECT
        cost = np.where(online[relay], self._through(self.expected, via, pairs), np.inf)
        sound = self.sound[pairs[0], relay] & self.sound[relay, pairs[1]]
        return Incumbents(via=via, cost=np.where(direct, self.direct(pairs, self.expected), cost), sound=direct | sound)

    def _through(self, legs: Floats, via: Vias, pairs: Pairs) -> Floats:
        relay = np.maximum(via, 0)
        costs = self.join(legs[pairs[0], relay], legs[relay, pairs[1]]) + self.per_relay
        return np.where(via >= 0, costs, np.inf)

    def _admitted(self, via: Vias, choices: Choices, incumbents: Incumbents, holds: Bools) -> Vias:
        """No more pairs over a site than it may relay: those with the largest gain come first.

        A pair that would have no path otherwise is admitted too: contact comes before load.
        """
        otherwise = np.where(holds, incumbents.via, np.where(np.isfinite(choices.direct), np.int32(DIRECT), via))
        newly = (via >= 0) & (via != otherwise)
        room = (self._most or 0) - self.load()
        refused = np.zeros(via.shape, bool)
        refused[newly] = _beyond(room, via[newly], choices.direct[newly] / choices.relay_weighed[newly])
        return np.where(refused, otherwise, via).astype(np.int32)


def _beyond(room: Indices, via: Vias, gain: Floats) -> Bools:
    """Which of the pairs that want to go over `via` exceed its room, the largest gain served first."""
    order = np.lexsort((-gain, via))
    ordered = via[order]
    place = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    beyond = np.zeros(len(via), bool)
    beyond[order] = place >= room[ordered]
    return beyond
