"""Entity properties: bj has 10.1.0.0/16 with gz's 10.1.200.0/24 inside, an IPv6 prefix, a compute id and a region."""

from __future__ import annotations

import re
from typing import Any

import pytest

from collector.alto import property_maps
from collector.api.api_requests import ApiError
from tests.collector.alto.test_request_fields import refusal
from tests.collector.alto.worlds import asked, view

PID = "default-network-map.pid"
BJ = {
    ".priv:linkweather-compute-id": "cn.bj.1",
    ".priv:linkweather-region": "north",
    ".priv:linkweather-latitude": 39.9,
    ".priv:linkweather-capacity": [{"type": "gpu", "total": 8, "free": 3, "at": "2026-01-31T12:00:00Z"}],
}
GZ = {".priv:linkweather-operator": "Example"}


def filtered(entities: list[Any], *names: Any) -> dict[str, Any]:
    found = property_maps.filtered(view(), "m", asked(entities=entities, properties=list(names)))
    assert found["meta"]["dependent-vtags"] == [view().network.vtag]
    known: dict[str, Any] = found["property-map"]
    return known


def test_the_whole_map_has_pids_and_prefixes_and_nothing_without_properties() -> None:
    assert property_maps.whole(view(), "property-map")["property-map"] == {
        f"{PID}:bj": BJ,
        f"{PID}:gz": GZ,
        "ipv4:0.0.0.0/0": {PID: "_default"},
        "ipv4:10.1.0.0/16": {PID: "bj", **BJ},
        "ipv4:10.1.200.0/24": {PID: "gz", **GZ},
        "ipv4:192.0.2.7/32": {PID: "cc"},
        "ipv6:::/0": {PID: "_default"},
        "ipv6:2001:db8:1::/48": {PID: "bj", **BJ},
    }


def test_capacity_that_expired_is_not_told() -> None:
    assert ".priv:linkweather-capacity" not in filtered([f"{PID}:gz"])[f"{PID}:gz"]


def test_an_address_inherits_from_the_longest_prefix_around_it() -> None:
    assert filtered(["ipv4:10.1.200.9", "ipv4:10.1.0.9"], PID, ".priv:linkweather-operator") == {
        "ipv4:10.1.200.9": {PID: "gz", ".priv:linkweather-operator": "Example"},
        "ipv4:10.1.0.9": {PID: "bj"},
    }


def test_a_prefix_tells_also_of_the_prefixes_within_it() -> None:
    assert filtered(["ipv4:10.1.192.0/20"], PID) == {
        "ipv4:10.1.192.0/20": {PID: "bj"},
        "ipv4:10.1.200.0/24": {PID: "gz"},
    }
    assert filtered(["ipv6:2001:db8:1::/48"], PID) == {"ipv6:2001:db8:1::/48": {PID: "bj"}}


def test_a_prefix_wider_than_any_sites_is_of_the_default_pid() -> None:
    assert filtered(["ipv4:192.0.2.0/24"], PID) == {
        "ipv4:192.0.2.0/24": {PID: "_default"},
        "ipv4:192.0.2.7/32": {PID: "cc"},
    }


def test_empty_lists_ask_for_everything() -> None:
    assert filtered([]) == property_maps.whole(view(), "m")["property-map"]
    assert filtered([], ".priv:linkweather-operator") == {
        f"{PID}:gz": GZ,
        "ipv4:10.1.200.0/24": GZ,
    }


def test_without_properties_all_are_asked_for() -> None:
    found = property_maps.filtered(view(), "m", asked(entities=[f"{PID}:bj"]))
    assert found["property-map"] == {f"{PID}:bj": BJ}


def test_an_entity_that_is_not_there_is_left_out() -> None:
    assert filtered([f"{PID}:nowhere", f"{PID}:gz"]) == {f"{PID}:gz": GZ}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, {"code": "E_MISSING_FIELD", "field": "entities"}),
        ({"entities": "ipv4:10.1.0.1"}, {"code": "E_INVALID_FIELD_TYPE", "field": "entities"}),
        ({"entities": [1]}, {"code": "E_INVALID_FIELD_VALUE", "field": "entities", "value": "1"}),
        (
            {"entities": ["pid:bj"]},
            {"code": "E_INVALID_FIELD_VALUE", "field": "entities", "value": "pid:bj"},
        ),
        (
            {"entities": ["ipv4:10.1.0.9/16"]},
            {"code": "E_INVALID_FIELD_VALUE", "field": "entities", "value": "ipv4:10.1.0.9/16"},
        ),
        (
            {"entities": [], "properties": ["pid"]},
            {"code": "E_INVALID_FIELD_VALUE", "field": "properties", "value": "pid"},
        ),
    ],
)
def test_every_mistake_is_named_with_its_field(fields: dict[str, Any], error: dict[str, Any]) -> None:
    assert refusal(lambda: property_maps.filtered(view(), "m", asked(**fields))) == error


def test_too_many_entities_are_refused() -> None:
    with pytest.raises(ApiError, match="at most 10000 entities"):
        filtered([f"{PID}:s{number}" for number in range(10_001)])


def test_names_are_those_that_rfc_9240_allows() -> None:
    for domain, names in property_maps.MAPPINGS.items():
        assert re.fullmatch(r"([0-9A-Za-z:@_-]{1,64}\.)?[0-9A-Za-z_-]{1,64}", domain)
        assert all(re.fullmatch(r"[0-9A-Za-z:@_-]{0,64}\.[0-9A-Za-z:_-]{1,32}", name) for name in names)
