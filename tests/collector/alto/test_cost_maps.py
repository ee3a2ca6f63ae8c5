"""Whole and filtered cost maps of the world: delay-rt bj→gz 40, gz→cc 10, bj→cc 90, cc→bj 40 ms; tput 1e8 and 5e8."""

from __future__ import annotations

from typing import Any

import pytest

from collector.alto import cost_maps
from collector.alto.cost_metrics import COST_TYPES
from tests.collector.alto.test_request_fields import refusal
from tests.collector.alto.worlds import LINKS, NUM_RTT, NUM_TPUT, ORD_RTT, PATH_VECTOR, asked, view

RTT = COST_TYPES["numerical", "delay-rt"]
WHOLE = {"bj": {"gz": 40_000, "cc": 90_000}, "gz": {"cc": 10_000}, "cc": {"bj": 40_000}}


def filtered(**fields: Any) -> dict[str, Any]:
    """The costs between different PIDs."""
    return apart(cost_maps.filtered(view(), "filtered-cost-map", asked(**fields))["cost-map"])


def apart(costs: dict[str, Any]) -> dict[str, Any]:
    rows = {src: {dst: cost for dst, cost in row.items() if dst != src} for src, row in costs.items()}
    return {src: row for src, row in rows.items() if row}


def refused(**fields: Any) -> dict[str, Any]:
    return refusal(lambda: filtered(**fields))


def invalid(field: str, **value: str) -> dict[str, Any]:
    return {"code": "E_INVALID_FIELD_VALUE", "field": field, **value}


def test_a_whole_map_has_every_known_pair_and_no_other() -> None:
    found = cost_maps.whole(view(), "cost-map-num-delay-rt", RTT)
    assert apart(found["cost-map"]) == WHOLE
    assert found["meta"]["dependent-vtags"] == [view().network.vtag]
    assert found["meta"]["cost-type"]["cost-metric"] == "delay-rt"
    assert found["meta"]["vtag"]["resource-id"] == "cost-map-num-delay-rt"


def test_a_pid_costs_nothing_to_itself_where_less_is_better() -> None:
    whole = cost_maps.whole(view(), "m", RTT)["cost-map"]
    assert {src: row[src] for src, row in whole.items()} == dict.fromkeys(("bj", "gz", "cc", "store"), 0)
    one = {"srcs": ["bj"], "dsts": ["bj"]}
    found = cost_maps.filtered(view(), "m", asked(cost_type=NUM_RTT, pids=one))["cost-map"]
    assert found == {"bj": {"bj": 0}}
    assert cost_maps.filtered(view(), "m", asked(cost_type=NUM_TPUT, pids=one))["cost-map"] == {}


def test_the_tag_of_a_map_changes_with_its_costs_and_not_with_their_age() -> None:
    def tag(**update: Any) -> str:
        links = (LINKS[0].model_copy(update=update), *LINKS[1:])
        found: str = cost_maps.whole(view(links), "m", RTT)["meta"]["vtag"]["tag"]
        return found

    assert tag(rtt_age_s=4.0) == tag()
    assert tag(rtt_p50_s=0.041) != tag()
    assert tag(state="down") != tag()


@pytest.mark.parametrize(
    ("pids", "expected"),
    [
        ({"srcs": [], "dsts": []}, WHOLE),
        ({"srcs": ["bj"], "dsts": ["gz", "cc", "cc"]}, {"bj": WHOLE["bj"]}),
        ({"srcs": [], "dsts": ["cc"]}, {"bj": {"cc": 90_000}, "gz": {"cc": 10_000}}),
        ({"srcs": ["bj", "nowhere"], "dsts": ["gz"]}, {"bj": {"gz": 40_000}}),
        ({"srcs": ["nowhere"], "dsts": []}, {}),
        ({"srcs": ["bj"], "dsts": ["bj"]}, {}),
    ],
)
def test_a_filter_names_sources_and_destinations(pids: dict[str, list[str]], expected: dict[str, Any]) -> None:
    assert filtered(cost_type=NUM_RTT, pids=pids) == expected


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        ([], WHOLE),
        (["le 40000"], {"bj": {"gz": 40_000}, "gz": {"cc": 10_000}, "cc": {"bj": 40_000}}),
        (["gt 10000", "lt 90000"], {"bj": {"gz": 40_000}, "cc": {"bj": 40_000}}),
        (["[0] eq 90000"], {"bj": {"cc": 90_000}}),
        (["lt 0"], {}),
    ],
)
def test_constraints_are_joined_by_and(constraints: list[str], expected: dict[str, Any]) -> None:
    assert filtered(cost_type=NUM_RTT, constraints=constraints) == expected


def test_ranks_are_those_of_the_whole_map_whatever_is_filtered() -> None:
    assert filtered(cost_type=ORD_RTT, pids={"srcs": ["bj"], "dsts": []}) == {"bj": {"gz": 2, "cc": 3}}


def test_several_costs_stand_in_the_order_of_the_question_with_null_for_the_unknown() -> None:
    query = asked(multi_cost_types=[NUM_TPUT, NUM_RTT])
    found = cost_maps.filtered(view(), "filtered-cost-map", query)
    assert apart(found["cost-map"]) == {
        "bj": {"gz": [1e8, 40_000], "cc": [None, 90_000]},
        "gz": {"cc": [5e8, 10_000]},
        "cc": {"bj": [None, 40_000]},
    }
    meta = found["meta"]
    assert meta["cost-type"] == {}
    assert [(one["cost-mode"], one["cost-metric"]) for one in meta["multi-cost-types"]] == [
        ("numerical", "tput"),
        ("numerical", "delay-rt"),
    ]


def test_constraints_may_test_costs_that_are_not_returned() -> None:
    assert filtered(cost_type=NUM_RTT, testable_cost_types=[NUM_TPUT], constraints=["ge 200000000"]) == {
        "gz": {"cc": 10_000}
    }


def test_or_constraints_are_an_or_of_ands() -> None:
    found = filtered(
        multi_cost_types=[NUM_RTT, NUM_TPUT],
        or_constraints=[["[0] ge 90000"], ["[0] le 20000", "[1] ge 100000000"]],
    )
    assert found == {"bj": {"cc": [90_000, None]}, "gz": {"cc": [10_000, 5e8]}}


def test_a_question_may_name_the_source_that_the_costs_have() -> None:
    assert filtered(cost_type={**NUM_RTT, "description": 1, "cost-context": {"cost-source": "estimation"}}) == WHOLE


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, {"code": "E_MISSING_FIELD", "field": "cost-type"}),
        ({"cost_type": "rtt"}, {"code": "E_INVALID_FIELD_TYPE", "field": "cost-type"}),
        (
            {"cost_type": {"cost-mode": "numerical"}},
            {"code": "E_MISSING_FIELD", "field": "cost-type/cost-metric"},
        ),
        (
            {"cost_type": {"cost-metric": "delay-rt", "cost-mode": 1}},
            {"code": "E_INVALID_FIELD_TYPE", "field": "cost-type/cost-mode"},
        ),
        ({"cost_type": {**NUM_RTT, "cost-mode": "foo"}}, invalid("cost-type/cost-mode", value="foo")),
        ({"cost_type": PATH_VECTOR}, invalid("cost-type/cost-mode", value="array")),
        ({"cost_type": {**NUM_RTT, "cost-metric": "mood"}}, invalid("cost-type/cost-metric", value="mood")),
        (
            {"cost_type": {**NUM_RTT, "cost-metric": "delay-rt:p42"}},
            invalid("cost-type/cost-metric", value="delay-rt:p42"),
        ),
        (
            {"cost_type": {**NUM_RTT, "cost-context": {"cost-source": "sla"}}},
            invalid("cost-type/cost-context/cost-source", value="sla"),
        ),
        ({"cost_type": NUM_RTT, "multi_cost_types": [NUM_RTT]}, invalid("multi-cost-types")),
        ({"multi_cost_types": []}, invalid("multi-cost-types")),
        ({"multi_cost_types": [NUM_RTT] * 17}, invalid("multi-cost-types")),
        ({"multi_cost_types": NUM_RTT}, {"code": "E_INVALID_FIELD_TYPE", "field": "multi-cost-types"}),
        ({"multi_cost_types": ["x"]}, invalid("multi-cost-types", value="x")),
        ({"cost_type": NUM_RTT, "testable_cost_types": []}, invalid("testable-cost-types")),
        ({"cost_type": NUM_RTT, "constraints": ["ne 1"]}, invalid("constraints", value="ne 1")),
        ({"cost_type": NUM_RTT, "constraints": ["[1] le 1"]}, invalid("constraints", value="[1] le 1")),
        ({"cost_type": NUM_RTT, "constraints": "le 1"}, {"code": "E_INVALID_FIELD_TYPE", "field": "constraints"}),
        ({"cost_type": NUM_RTT, "constraints": [5]}, invalid("constraints", value="5")),
        ({"cost_type": NUM_RTT, "constraints": [], "or_constraints": [["le 1"]]}, invalid("or-constraints")),
        ({"cost_type": NUM_RTT, "or_constraints": []}, invalid("or-constraints", value="[]")),
        ({"cost_type": NUM_RTT, "or_constraints": [[]]}, invalid("or-constraints", value="[]")),
        ({"cost_type": NUM_RTT, "or_constraints": ["le 1"]}, invalid("or-constraints", value="le 1")),
        ({"cost_type": NUM_RTT, "or_constraints": [[1]]}, invalid("or-constraints", value="[1]")),
        ({"cost_type": NUM_RTT, "or_constraints": [["le"]]}, invalid("or-constraints", value="le")),
        ({"cost_type": NUM_RTT, "pids": ["bj"]}, {"code": "E_INVALID_FIELD_TYPE", "field": "pids"}),
        ({"cost_type": NUM_RTT, "pids": {"srcs": []}}, {"code": "E_MISSING_FIELD", "field": "pids/dsts"}),
        ({"cost_type": NUM_RTT, "pids": {"srcs": [7], "dsts": []}}, invalid("pids/srcs", value="7")),
    ],
)
def test_every_mistake_is_named_with_its_field(fields: dict[str, Any], error: dict[str, Any]) -> None:
    assert refused(**fields) == error
