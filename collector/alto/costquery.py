"""What a cost query asks for: one or several cost types (RFC 8189), of which pairs by which constraints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from collector.alto import alto_errors as errors
from collector.alto.constraints import Condition, parse
from collector.alto.cost_metrics import COST_TYPES, METRICS, MODES, CostType
from collector.alto.reading import Fields
from collector.alto.view import Pair, View

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
        """The costs of those pairs that have any and meet the condition.

        RFC 8189 §3.5: of several costs one that is not known is null; a pair without any is left out.
        """
        returned = [view.costs(kind) for kind in self.types]
        tested = [view.costs(kind) for kind in self.tested]
        found: dict[Pair, Any] = {}
        for pair in pairs:
            values = [costs.get(pair) for costs in returned]
            if any(value is not None for value in values) and self.condition.holds([c.get(pair) for c in tested]):
                found[pair] = values if self.multi else values[0]
        return found

    def meta(self, view: View) -> dict[str, Any]:
        """What the response's meta says of the cost types."""
        if not self.multi:
            return {"cost-type": view.typed(self.types[0])}
        # RFC 8189 §4.1.3: cost-type, which RFC 7285 requires, is then the empty object.
        return {"cost-type": {}, "multi-cost-types": [view.typed(kind) for kind in self.types]}

    @property
    def key(self) -> list[dict[str, Any]]:
        """What the version tag of a response takes in of the query."""
        return [kind.document for kind in self.types]


def read(asked: Fields) -> CostQuery:
    """The query in a ReqFilteredCostMap or ReqEndpointCostMap. Raises AltoError."""
    multi = "multi-cost-types" in asked
    if multi and "cost-type" in asked:
        raise errors.invalid("multi-cost-types")
    types = _several(asked, "multi-cost-types", MAX_COST_TYPES) if multi else (read_type(asked.object("cost-type")),)
    tested = _several(asked, "testable-cost-types") if "testable-cost-types" in asked else types
    return CostQuery(types, multi, tested, _condition(asked, len(tested)))


def single(cost_type: CostType) -> CostQuery:
    """The query for everything of one cost type."""
    return CostQuery((cost_type,), multi=False, tested=(), condition=Condition())


def read_type(asked: Fields) -> CostType:
    """A cost type that we have. Raises AltoError."""
    metric, mode = asked.text("cost-metric"), asked.text("cost-mode")
    if mode not in MODES:
        raise errors.invalid(asked.name("cost-mode"), mode)
    if metric not in METRICS:
        raise errors.invalid(asked.name("cost-metric"), metric)
    _check_source(asked)
    return COST_TYPES[mode, metric]


def _check_source(asked: Fields) -> None:
    if "cost-context" not in asked:
        return
    context = asked.object("cost-context")
    source = context.text("cost-source")
    if source != "estimation":  # RFC 9439 §3.1: nominal and sla are other costs than we have
        raise errors.invalid(context.name("cost-source"), source)


def _several(asked: Fields, key: str, most: int | None = None) -> tuple[CostType, ...]:
    types = tuple(read_type(one) for one in asked.objects(key))
    if not types or (most is not None and len(types) > most):
        raise errors.invalid(asked.name(key))
    return types


def _condition(asked: Fields, tested: int) -> Condition:
    if "or-constraints" not in asked:
        field = asked.name("constraints")
        return Condition((tuple(parse(text, field, tested) for text in asked.texts("constraints")),))
    if "constraints" in asked:
        raise errors.invalid(asked.name("or-constraints"))
    lists = asked.array("or-constraints")
    if not lists:
        raise errors.invalid(asked.name("or-constraints"), lists)
    return Condition(tuple(_tests(one, asked.name("or-constraints"), tested) for one in lists))


def _tests(texts: Any, field: str, tested: int) -> tuple[Any, ...]:
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise errors.invalid(field, texts)
    return tuple(parse(text, field, tested) for text in texts)
