"""Cost maps between PIDs, whole and filtered (RFC 7285 §11.2.3 and §11.3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from collector.alto import costquery
from collector.alto.cost_metrics import CostType
from collector.alto.costquery import CostQuery
from collector.alto.reading import Fields
from collector.alto.tags import tag_of, vtag
from collector.alto.view import Pair, View


def nested(costs: Mapping[Pair, Any]) -> dict[str, dict[str, Any]]:
    """Costs by source, then by destination."""
    rows: dict[str, dict[str, Any]] = {}
    for (src, dst), cost in costs.items():
        rows.setdefault(src, {})[dst] = cost
    return rows


def whole(view: View, resource: str, cost_type: CostType) -> dict[str, Any]:
    """The map of one cost type."""
    return _document(view, resource, costquery.single(cost_type), view.link)


def filtered(view: View, resource: str, asked: Fields) -> dict[str, Any]:
    """The map that a ReqFilteredCostMap asks for. Raises AltoError."""
    query = costquery.read(asked)
    return _document(view, resource, query, pairs(view, asked))


def pairs(view: View, asked: Fields) -> list[Pair]:
    """The links that a PIDFilter asks for."""
    sources, destinations = ends(asked)
    return [
        (src, dst)
        for src, dst in view.link
        if (not sources or src in sources) and (not destinations or dst in destinations)
    ]


def ends(asked: Fields) -> tuple[set[str], set[str]]:
    """The sources and destinations of a PIDFilter; empty stands for all PIDs, and unknown ones are ignored."""
    if "pids" not in asked:
        return set(), set()
    pids = asked.object("pids")
    for end in ("srcs", "dsts"):
        pids.require(end)
    return set(pids.texts("srcs")), set(pids.texts("dsts"))


def _document(view: View, resource: str, query: CostQuery, among: Iterable[Pair]) -> dict[str, Any]:
    costs = nested(query.costs(view, among))
    tag = tag_of([view.network.tag, query.key, costs])
    return {
        "meta": {"vtag": vtag(resource, tag), "dependent-vtags": [view.network.vtag], **query.meta(view)},
        "cost-map": costs,
    }
