"""Endpoints of the world: 10.1.0.9 is bj's, 10.1.200.9 gz's, 192.0.2.7 cc's, 198.51.100.1 no site's."""

from __future__ import annotations

from typing import Any

import pytest

from collector.alto import endpoints
from collector.api.api_requests import ApiError
from tests.collector.alto.test_request_fields import refusal
from tests.collector.alto.worlds import NUM_RTT, NUM_TPUT, asked, view

BJ, BJ6, GZ, CC, NOBODY = (
    "ipv4:10.1.0.9",
    "ipv6:2001:db8:1::9",
    "ipv4:10.1.200.9",
    "ipv4:192.0.2.7",
    "ipv4:198.51.100.1",
)


def cost(requester: str = NOBODY, **fields: Any) -> dict[str, Any]:
    return endpoints.cost(view(), "endpoint-cost", asked(**fields), requester)


def test_costs_are_those_between_the_pids_of_the_longest_prefixes() -> None:
    found = cost(cost_type=NUM_RTT, endpoints={"srcs": [BJ, BJ6, NOBODY], "dsts": [GZ, CC, BJ, GZ]})
    assert found["endpoint-cost-map"] == {BJ: {GZ: 40_000, CC: 90_000}, BJ6: {GZ: 40_000, CC: 90_000}}
    assert found["meta"]["cost-type"]["cost-metric"] == "delay-rt"
    assert found["meta"]["vtag"]["resource-id"] == "endpoint-cost"
    assert "dependent-vtags" not in found["meta"]


@pytest.mark.parametrize("ends", [{"dsts": [GZ]}, {"srcs": [], "dsts": [GZ]}])
def test_a_missing_end_is_who_asks(ends: dict[str, list[str]]) -> None:
    assert cost(requester=BJ, cost_type=NUM_RTT, endpoints=ends)["endpoint-cost-map"] == {BJ: {GZ: 40_000}}


def test_a_missing_destination_is_who_asks_too() -> None:
    assert cost(requester=CC, cost_type=NUM_RTT, endpoints={"srcs": [GZ]})["endpoint-cost-map"] == {GZ: {CC: 10_000}}


def test_constraints_and_several_costs_work_as_between_pids() -> None:
    found = cost(
        multi_cost_types=[NUM_RTT, NUM_TPUT],
        constraints=["[1] ge 1"],
        endpoints={"srcs": [BJ, GZ], "dsts": [GZ, CC]},
    )
    assert found["endpoint-cost-map"] == {BJ: {GZ: [40_000, 1e8]}, GZ: {CC: [10_000, 5e8]}}
    assert found["meta"]["cost-type"] == {}


def test_flows_are_several_filters() -> None:
    found = cost(cost_type=NUM_RTT, endpoint_flows=[{"srcs": [BJ], "dsts": [GZ]}, {"srcs": [GZ], "dsts": [CC]}])
    assert found["endpoint-cost-map"] == {BJ: {GZ: 40_000}, GZ: {CC: 10_000}}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, {"code": "E_MISSING_FIELD", "field": "endpoints"}),
        ({"endpoints": [BJ]}, {"code": "E_INVALID_FIELD_TYPE", "field": "endpoints"}),
        ({"endpoints": {}}, {"code": "E_INVALID_FIELD_VALUE", "field": "endpoints"}),
        ({"endpoints": {"srcs": [], "dsts": []}}, {"code": "E_INVALID_FIELD_VALUE", "field": "endpoints"}),
        ({"endpoint_flows": [{}]}, {"code": "E_INVALID_FIELD_VALUE", "field": "endpoint-flows"}),
        (
            {"endpoints": {"srcs": ["10.1.0.9"], "dsts": [GZ]}},
            {"code": "E_INVALID_FIELD_VALUE", "field": "endpoints/srcs", "value": "10.1.0.9"},
        ),
        (
            {"endpoints": {"srcs": [BJ], "dsts": ["ipv4:10.1.0.256"]}},
            {"code": "E_INVALID_FIELD_VALUE", "field": "endpoints/dsts", "value": "ipv4:10.1.0.256"},
        ),
        (
            {"endpoints": {"dsts": ["ipv6:10.1.0.9"]}},
            {"code": "E_INVALID_FIELD_VALUE", "field": "endpoints/dsts", "value": "ipv6:10.1.0.9"},
        ),
        (
            {"endpoints": {"dsts": [4]}},
            {"code": "E_INVALID_FIELD_VALUE", "field": "endpoints/dsts", "value": "4"},
        ),
    ],
)
def test_every_mistake_is_named_with_its_field(fields: dict[str, Any], error: dict[str, Any]) -> None:
    assert refusal(lambda: cost(cost_type=NUM_RTT, **fields)) == error


def test_too_many_pairs_are_refused_before_they_are_made() -> None:
    many = [f"ipv4:10.1.{number // 256}.{number % 256}" for number in range(501)]
    with pytest.raises(ApiError, match="at most 250000 pairs"):
        cost(cost_type=NUM_RTT, endpoints={"srcs": many, "dsts": many})


@pytest.mark.parametrize(
    ("address", "typed"),
    [
        ("192.0.2.1", "ipv4:192.0.2.1"),
        ("::ffff:192.0.2.1", "ipv4:192.0.2.1"),
        ("2001:DB8::1", "ipv6:2001:db8::1"),
        ("fe80::1%eth0", "ipv6:fe80::1"),
    ],
)
def test_who_asks_is_written_as_a_typed_address(address: str, typed: str) -> None:
    assert endpoints.write(address) == typed


def properties(**fields: Any) -> dict[str, Any]:
    return endpoints.properties(view(), "endpoint-property", asked(**fields))


def test_properties_of_endpoints_are_those_of_their_site_and_what_has_no_value_is_left_out() -> None:
    names = ["default-network-map.pid", "priv:linkweather-compute-id", "priv:linkweather-operator"]
    found = properties(properties=names, endpoints=[BJ, GZ, NOBODY, BJ])
    assert found["endpoint-properties"] == {
        BJ: {"default-network-map.pid": "bj", "priv:linkweather-compute-id": "cn.bj.1"},
        GZ: {"default-network-map.pid": "gz", "priv:linkweather-operator": "Example"},
        NOBODY: {"default-network-map.pid": "_default"},
    }
    assert found["meta"]["dependent-vtags"] == [view().network.vtag]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"endpoints": [BJ]}, {"code": "E_MISSING_FIELD", "field": "properties"}),
        ({"properties": [endpoints.PID_PROPERTY]}, {"code": "E_MISSING_FIELD", "field": "endpoints"}),
        (
            {"properties": [], "endpoints": [BJ]},
            {"code": "E_INVALID_FIELD_VALUE", "field": "properties", "value": "[]"},
        ),
        (
            {"properties": ["pid"], "endpoints": [BJ]},
            {"code": "E_INVALID_FIELD_VALUE", "field": "properties", "value": "pid"},
        ),
        (
            {"properties": [endpoints.PID_PROPERTY], "endpoints": ["bj"]},
            {"code": "E_INVALID_FIELD_VALUE", "field": "endpoints", "value": "bj"},
        ),
    ],
)
def test_a_wrong_question_for_properties_names_its_field(fields: dict[str, Any], error: dict[str, Any]) -> None:
    assert refusal(lambda: properties(**fields)) == error
