from __future__ import annotations

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.alto.alto_protocol import AltoError
from collector.alto.cost_maps import Comparison, Condition, parse_constraint

OPERATORS = {"gt": operator.gt, "lt": operator.lt, "ge": operator.ge, "le": operator.le, "eq": operator.eq}
COSTS = st.one_of(st.none(), st.floats(-1e9, 1e9))
TESTS = st.builds(Comparison, st.integers(0, 2), st.sampled_from(sorted(OPERATORS)), st.floats(-1e9, 1e9))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ge 10", Comparison(0, "ge", 10.0)),
        ("lt 0.5", Comparison(0, "lt", 0.5)),
        ("eq -2e3", Comparison(0, "eq", -2000.0)),
        ("[1] le 20", Comparison(1, "le", 20.0)),
        ("  [0]gt\t+1 ", Comparison(0, "gt", 1.0)),
    ],
)
def test_a_constraint_is_an_operator_and_a_number_and_perhaps_an_index(text: str, expected: Comparison) -> None:
    assert parse_constraint(text, "constraints", 2) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "ge", "10", "ge10", "ne 10", "GE 10", "ge ten", "ge 1 2", "ge nan", "ge 0x10"),
        *("[2] ge 1", "[-1] ge 1", "[0 ge 1", "[] ge 1", "[99999] ge 1", "ge ١"),
    ],
)
def test_anything_else_is_an_invalid_value(text: str) -> None:
    with pytest.raises(AltoError) as caught:
        parse_constraint(text, "constraints", 2)
    assert caught.value.document == {
        "meta": {"code": "E_INVALID_FIELD_VALUE", "field": "constraints", "value": text},
    }


@pytest.mark.parametrize(
    ("name", "below", "equal", "above"),
    [("gt", 0, 0, 1), ("lt", 1, 0, 0), ("ge", 0, 1, 1), ("le", 1, 1, 0), ("eq", 0, 1, 0)],
)
def test_operators_at_the_edge(name: str, below: int, equal: int, above: int) -> None:
    test = Comparison(0, name, 10.0)
    assert [test.holds([cost]) for cost in (9.9, 10.0, 10.1)] == [bool(below), bool(equal), bool(above)]


def test_a_cost_that_is_not_known_meets_no_constraint() -> None:
    assert not Comparison(0, "ge", 0.0).holds([None])
    assert not Comparison(0, "le", 0.0).holds([None])


def test_no_constraint_holds_for_everything_also_for_the_unknown() -> None:
    assert Condition().holds([])
    assert Condition().holds([None])


@given(st.lists(st.lists(TESTS, max_size=3), min_size=1, max_size=3), st.lists(COSTS, min_size=3, max_size=3))
def test_a_condition_is_an_or_of_ands(lists: list[list[Comparison]], costs: list[float | None]) -> None:
    expected = False
    for tests in lists:
        every = True
        for test in tests:
            cost = costs[test.index]
            every = every and cost is not None and OPERATORS[test.operator](cost, test.target)
        expected = expected or every
    assert Condition(tuple(tuple(tests) for tests in lists)).holds(costs) is expected


@given(st.integers(0, 9), st.sampled_from(sorted(OPERATORS)), st.floats(-1e15, 1e15))
def test_a_constraint_that_is_written_is_read_back(index: int, name: str, target: float) -> None:
    assert parse_constraint(f"[{index}] {name} {target!r}", "constraints", 10) == Comparison(index, name, target)
