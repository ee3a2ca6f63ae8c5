"""One objective over all pairs: what links cost now, which relay is best, and which path is in force."""

from __future__ import annotations

import numpy as np

from collector.routing.active_routes import ActiveRoutes
from collector.routing.candidates import DIRECT, NONE, Floats, Indices, Pairs, Vias, best_relays, best_relays_of
from collector.routing.costs import Costing, LinkFigures, Selection, Singles
from collector.routing.route_rule import Bools, Choices, Incumbents, RouteRule, decide
from collector.routing.site_positions import Positions
from collector.settings import RoutingSettings


class RoutingTable:
    """The decisions under one objective.

    `expected`, `cautious`, `weighed` and `bar` are the links' costs, as `Costs` has them, infinite where one cannot be
    used; `sound` is where one is fresh and loses little, `unmeasured` where one is in contact at a cost that nobody
    knows, `legs` the cautious costs of those that may be a new relay's leg: sound, and not held.
    """

    def __init__(self, costing: Costing, settings: RoutingSettings, rule: RouteRule, sites: int) -> None:
        self._settings = settings
        self._rule = rule
        self._most = settings.max_relayed_pairs
        self.per_relay = costing.per_relay(settings)
        self.costing = costing
        self.in_force = ActiveRoutes.nothing(sites)
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

    def move(self, came_from: Positions) -> None:
        """Follow a mesh whose sites have changed: what is in force stays, the costs are to be told anew."""
        self.in_force = self.in_force.moved(came_from)
        self._clear(len(came_from))

    def apply_settings(self, settings: RoutingSettings, rule: RouteRule) -> None:
        """Cost and decide by these from now on."""
        self._settings, self._rule = settings, rule

    def cost(self, legs: LinkFigures, held: Bools, chosen: Selection) -> None:
        """Take in the `chosen` links as they are now."""
        costs = self.costing.of_links(legs, self._settings)
        self.expected[chosen], self.cautious[chosen] = costs.expected, costs.cautious
        self.weighed[chosen], self.bar[chosen] = costs.weighed, costs.bar
        self.sound[chosen], self.unmeasured[chosen] = costs.sound, costs.unmeasured
        self.legs[chosen] = np.where(costs.sound & ~held, costs.cautious, np.inf)

    def rank(self, online: Bools, pairs: Pairs | None) -> None:
        """Find the best relay of these pairs, or of all, among the sites that are online and not full."""
        first = np.where(online & self._open(), self.legs, np.float32(np.inf))
        if pairs is None:
            self.best = best_relays(first, self.legs, self.costing.join)
            np.fill_diagonal(self.best, NONE)
        else:
            self.best[pairs] = best_relays_of(first, self.legs, pairs, self.costing.join)

    def decide(self, held: Bools, online: Bools, at: float, pairs: Pairs) -> Bools:
        """Bring into force what is to be, for these pairs; where that is another path than before."""
        choices, kept = self._choices(held, online, pairs), self._kept(online, pairs)
        via, holds = decide(choices, kept, self._rule)
        if self._most is not None:
            via = self._admitted(via, choices, kept, holds)
        return self.in_force.switch(pairs, via, holds, np.isfinite(kept.cost), at)

    def direct(self, pairs: Pairs, costs: Singles) -> Floats:
        """What direct costs as a path: nothing where it is unmeasured, so that no relay beats it."""
        return np.where(self.unmeasured[pairs], np.float32(0.0), costs[pairs])

    def load(self) -> Indices:
        """How many pairs go through each site."""
        via = self.in_force.via
        return np.bincount(via[via >= 0], minlength=len(via))

    def _open(self) -> Bools | bool:
        return True if self._most is None else self.load() < self._most

    def _choices(self, held: Bools, online: Bools, pairs: Pairs) -> Choices:
        relay, direct = self.best[pairs], self.direct(pairs, self.expected)
        return Choices(
            direct=direct,
            direct_cautious=self.direct(pairs, self.cautious),
            direct_sound=self.sound[pairs] | self.unmeasured[pairs],
            held=held[pairs],
            relay=relay,
            relay_cautious=self._through(self.legs, relay, pairs),
            relay_weighed=self._through(self.weighed, relay, pairs),
            bar=self.direct(pairs, self.bar),
            spare=self._spare((relay == NONE) & ~np.isfinite(direct), online, pairs),
        )

    def _spare(self, lost: Bools, online: Bools, pairs: Pairs) -> Vias:
        spare = np.full(lost.shape, NONE, np.int32)
        rows, columns = np.broadcast_arrays(*pairs)
        lost &= rows != columns
        if lost.any():
            first = np.where(online, self.cautious, np.float32(np.inf))
            spare[lost] = best_relays_of(first, self.cautious, (rows[lost], columns[lost]), self.costing.join)
        return spare

    def _kept(self, online: Bools, pairs: Pairs) -> Incumbents:
        via = self.in_force.via[pairs]
        relay, direct = np.maximum(via, 0), via == DIRECT
        cost = np.where(online[relay], self._through(self.expected, via, pairs), np.inf)
        sound = self.sound[pairs[0], relay] & self.sound[relay, pairs[1]]
        return Incumbents(via=via, cost=np.where(direct, self.direct(pairs, self.expected), cost), sound=direct | sound)

    def _through(self, legs: Floats, via: Vias, pairs: Pairs) -> Floats:
        relay = np.maximum(via, 0)
        costs = self.costing.join(legs[pairs[0], relay], legs[relay, pairs[1]]) + self.per_relay
        return np.where(via >= 0, costs, np.inf)

    def _admitted(self, via: Vias, choices: Choices, kept: Incumbents, holds: Bools) -> Vias:
        """Not more pairs over a site than it may relay: those with the largest gain are let in first.

        Who would have no path otherwise is let in too: contact goes before load.
        """
        otherwise = np.where(holds, kept.via, np.where(np.isfinite(choices.direct), np.int32(DIRECT), via))
        newly = (via >= 0) & (via != otherwise)
        room = (self._most or 0) - self.load()
        refused = np.zeros(via.shape, bool)
        refused[newly] = _beyond(room, via[newly], choices.direct[newly] / choices.relay_cautious[newly])
        return np.where(refused, otherwise, via).astype(np.int32)


def _beyond(room: Indices, via: Vias, gain: Floats) -> Bools:
    """Which of those who want to go over `via` find no room there, when the largest gain comes first."""
    order = np.lexsort((-gain, via))
    ordered = via[order]
    place = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    beyond = np.zeros(len(via), bool)
    beyond[order] = place >= room[ordered]
    return beyond
