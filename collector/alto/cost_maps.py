"""Cost maps between PIDs, whole and filtered (RFC 7285 §11.2.3, §11.3.2): what a query asks for, and the document."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collector.alto import alto_protocol as alto
from collector.alto.alto_protocol import tag_of, vtag
from collector.alto.cost_metrics import COST_TYPES, METRICS, MODES, CostType
from collector.alto.request_fields import Fields
from collector.alto.view import Pair, View

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "gt": operator.gt,
    "lt": operator.lt,
    "ge": operator.ge,
    "le": operator.le,
    "eq": operator.eq,
}
_NUMBER = r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_FORM = re.compile(rf"\s*(?:\[\s*([0-9]{{1,4}})\s*\]\s*)?({'|'.join(_OPERATORS)})\s+({_NUMBER})\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison of the `index`th tested cost."""

    index: int
    operator: str
    target: float

    def holds(self, costs: Sequence[float | None]) -> bool:
        """Whether the comparison holds; an unknown cost meets no constraint."""
        cost = costs[self.index]
        return cost is not None and _OPERATORS[self.operator](cost, self.target)


@dataclass(frozen=True, slots=True)
class Condition:
    """Comparisons in disjunctive normal form: all of one of the lists must hold."""

    any_of: tuple[tuple[Comparison, ...], ...] = ((),)

    def holds(self, costs: Sequence[float | None]) -> bool:
        """Whether the tested costs meet the condition."""
        return any(all(test.holds(costs) for test in tests) for tests in self.any_of)


def parse_constraint(text: str, field: str, tested: int) -> Comparison:
    """Parse a constraint on one of `tested` costs; without an index, on the first. Raises AltoError."""
    found = _FORM.fullmatch(text)
    if found is None or int(found[1] or 0) >= tested:
        raise alto.invalid(field, text)
    return Comparison(int(found[1] or 0), found[2], float(found[3]))


# RFC 8189 §4.1.1: the capability max-cost-types.
MAX_COST_TYPES = 16


@dataclass(frozen=True, slots=True)
class CostQuery:
    """Cost types to return, in one value or in an array, and a condition on the tested ones."""

    types: tuple[CostType, ...]
    multi: bool
    tested: tuple[CostType, ...]
    condition: Condition

    def costs(self, view: View, pairs: Iterable[Pair]) -> dict[Pair, Any]:
        """The costs of the pairs that have any and meet the condition.

        RFC 8189 §3.5: of several costs one that is not known is null; a pair without any is left out.
        """
        returned = [view.costs(kind) for kind in self.types]
        tested = [view.costs(kind) for kind in self.tested]
        found: dict[Pair, Any] = {}
        for pair in pairs:
            values = [_cost(kind, pair, costs) for kind, costs in zip(self.types, returned, strict=True)]
            met = [_cost(kind, pair, costs) for kind, costs in zip(self.tested, tested, strict=True)]
            if any(value is not None for value in values) and self.condition.holds(met):
                found[pair] = values if self.multi else values[0]
        return found

    def meta(self, view: View) -> dict[str, Any]:
        """The cost types in the response's meta."""
        if not self.multi:
            return {"cost-type": view.typed(self.types[0])}
        # RFC 8189 §4.1.3: cost-type, which RFC 7285 requires, is then the empty object.
        return {"cost-type": {}, "multi-cost-types": [view.typed(kind) for kind in self.types]}

    @property
    def key(self) -> list[dict[str, Any]]:
        """The part of the query that enters the response's version tag."""
        return [kind.document for kind in self.types]


def _cost(kind: CostType, pair: Pair, costs: Mapping[Pair, float]) -> float | None:
    """A cost, 0 of a PID to itself: nothing leaves it. Of a throughput 0 would be the worst, and it is not known."""
    if pair[0] == pair[1]:
        return None if METRICS[kind.metric].more_is_better else 0
    return costs.get(pair)


def read_query(asked: Fields) -> CostQuery:
    """Read the query in a ReqFilteredCostMap or ReqEndpointCostMap. Raises AltoError."""
    multi = "multi-cost-types" in asked
    if multi and "cost-type" in asked:
        raise alto.invalid("multi-cost-types")
    types = _several(asked, "multi-cost-types", MAX_COST_TYPES) if multi else (read_type(asked.object("cost-type")),)
    tested = _several(asked, "testable-cost-types") if "testable-cost-types" in asked else types
    return CostQuery(types, multi, tested, _condition(asked, len(tested)))


def single_type(cost_type: CostType) -> CostQuery:
    """The query for all costs of one type."""
    return CostQuery((cost_type,), multi=False, tested=(), condition=Condition())


def read_type(asked: Fields) -> CostType:
    """Read a cost type of METRICS. Raises AltoError."""
    metric, mode = asked.text("cost-metric"), asked.text("cost-mode")
    if mode not in MODES:
        raise alto.invalid(asked.name("cost-mode"), mode)
    if metric not in METRICS:
        raise alto.invalid(asked.name("cost-metric"), metric)
    _check_source(asked)
    return COST_TYPES[mode, metric]


def _check_source(asked: Fields) -> None:
    if "cost-context" not in asked:
        return
    context = asked.object("cost-context")
    source = context.text("cost-source")
    if source != "estimation":  # RFC 9439 §3.1: nominal and sla costs are not measured
        raise alto.invalid(context.name("cost-source"), source)


def _several(asked: Fields, key: str, most: int | None = None) -> tuple[CostType, ...]:
    types = tuple(read_type(one) for one in asked.objects(key))
    if not types or (most is not None and len(types) > most):
        raise alto.invalid(asked.name(key))
    return types


def _condition(asked: Fields, tested: int) -> Condition:
    if "or-constraints" not in asked:
        field = asked.name("constraints")
        return Condition((tuple(parse_constraint(text, field, tested) for text in asked.texts("constraints")),))
    if "constraints" in asked:
        raise alto.invalid(asked.name("or-constraints"))
    lists = asked.array("or-constraints")
    if not lists:
        raise alto.invalid(asked.name("or-constraints"), lists)
    return Condition(tuple(_tests(one, asked.name("or-constraints"), tested) for one in lists))


def _tests(texts: Any, field: str, tested: int) -> tuple[Any, ...]:
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise alto.invalid(field, texts)
    return tuple(parse_constraint(text, field, tested) for text in texts)


def nested(costs: Mapping[Pair, Any]) -> dict[str, dict[str, Any]]:
    """Costs by source, then by destination."""
    rows: dict[str, dict[str, Any]] = {}
    for (src, dst), cost in costs.items():
        rows.setdefault(src, {})[dst] = cost
    return rows


def whole(view: View, resource: str, cost_type: CostType) -> dict[str, Any]:
    """The map of one cost type."""
    return _document(view, resource, single_type(cost_type), [*_diagonal(view), *view.link])


def filtered(view: View, resource: str, asked: Fields) -> dict[str, Any]:
    """The map that a ReqFilteredCostMap asks for. Raises AltoError."""
    query = read_query(asked)
    return _document(view, resource, query, pairs(view, asked))


def pairs(view: View, asked: Fields) -> list[Pair]:
    """The links that a PIDFilter asks for."""
    sources, destinations = ends(asked)
    return [
        (src, dst)
        for src, dst in (*_diagonal(view), *view.link)
        if (not sources or src in sources) and (not destinations or dst in destinations)
    ]


def _diagonal(view: View) -> list[Pair]:
    """Every PID of a link with itself: clients expect whole matrices."""
    return [(pid, pid) for pid in dict.fromkeys(end for pair in view.link for end in pair)]


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
