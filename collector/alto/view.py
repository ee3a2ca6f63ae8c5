"""The view that ALTO answers from: the mesh, its links and routes at one moment, and the costs that follow. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from collector.alto.cost_metrics import METRICS, ORDINAL, CostType
from collector.alto.network_map import NetworkMap
from linkweather.mesh import Mesh
from linkweather.models.routes import NoRoute, RouteAnswer
from linkweather.models.state import CapacityAnswer, LinkAnswer

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class View:
    """Everything at `now`, in seconds since the epoch. Making the `links` takes a second for 200 sites."""

    now: float
    mesh: Mesh
    links: Callable[[], Sequence[LinkAnswer]]
    route: Callable[[str, str], RouteAnswer | NoRoute]
    capacities: Sequence[CapacityAnswer] = ()

    @cached_property
    def network(self) -> NetworkMap:
        """The network map of the mesh."""
        return NetworkMap(self.mesh)

    @cached_property
    def link(self) -> dict[Pair, LinkAnswer]:
        """The links by their ends."""
        return {(link.src, link.dst): link for link in self.links()}

    @cached_property
    def _costs(self) -> dict[CostType, dict[Pair, float]]:
        return {}

    def costs(self, cost_type: CostType) -> dict[Pair, float]:
        """The costs of one type, of every link that has one; unknown costs are absent."""
        if cost_type not in self._costs:
            self._costs[cost_type] = self._compute(cost_type)
        return self._costs[cost_type]

    def _compute(self, cost_type: CostType) -> dict[Pair, float]:
        metric = METRICS[cost_type.metric]
        values = {pair: metric.value(link) for pair, link in self.link.items()}
        known = {pair: value for pair, value in values.items() if value is not None}
        return ranks(known, more_is_better=metric.more_is_better) if cost_type.mode == ORDINAL else known

    def ages(self, cost_type: CostType) -> dict[str, float]:
        """The ages in seconds of the youngest and the oldest measurement behind the costs of a type."""
        age = METRICS[cost_type.metric].age
        ages = [found for pair in self.costs(cost_type) if (found := age(self.link[pair])) is not None]
        if not ages:
            return {}
        return {"age-seconds-min": round(min(ages), 3), "age-seconds-max": round(max(ages), 3)}

    def typed(self, cost_type: CostType) -> dict[str, Any]:
        """A cost type as responses carry it: with its source, window and ages (RFC 9439 §3.1)."""
        metric = METRICS[cost_type.metric]
        if not metric.performance:
            return cost_type.document
        context = metric.context(self.mesh)
        parameters = {**context["parameters"], **self.ages(cost_type)}
        return {**cost_type.document, "cost-context": {**context, "parameters": parameters}}


def ranks(values: Mapping[Pair, float], *, more_is_better: bool) -> dict[Pair, float]:
    """Ordinal costs (RFC 7285 §6.1.2.2): 1 is the best, equal values share a rank, and no rank is skipped."""
    places = {value: place for place, value in enumerate(sorted(set(values.values()), reverse=more_is_better), 1)}
    return {pair: places[value] for pair, value in values.items()}
