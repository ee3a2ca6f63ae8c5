"""Constraints on costs: `ge 10` (RFC 7285 §11.3.2.3), `[1] le 2` and their disjunctions (RFC 8189 §4.1.2)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from collector.alto import alto_errors as errors

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
        """Whether the cost compares so; one that is not known meets no constraint."""
        cost = costs[self.index]
        return cost is not None and _OPERATORS[self.operator](cost, self.target)


@dataclass(frozen=True, slots=True)
class Condition:
    """Tests in disjunctive form: any of the lists whose tests all hold."""

    any_of: tuple[tuple[Comparison, ...], ...] = ((),)

    def holds(self, costs: Sequence[float | None]) -> bool:
        """Whether the tested costs meet the condition."""
        return any(all(test.holds(costs) for test in tests) for tests in self.any_of)


def parse(text: str, field: str, tested: int) -> Comparison:
    """One constraint on one of `tested` costs; without an index, on the first. Raises AltoError."""
    found = _FORM.fullmatch(text)
    if found is None or int(found[1] or 0) >= tested:
        raise errors.invalid(field, text)
    return Comparison(int(found[1] or 0), found[2], float(found[3]))
