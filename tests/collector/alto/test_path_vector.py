"""Path vectors of the world: bj reaches cc through gz; its links are bj_gz with 800 Mbit/s and gz_cc with 4 Gbit/s."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.alto import path_vector
from collector.alto.path_vector import PathVector
from collector.alto.view import View
from collector.api.api_requests import ApiError
from linkweather.mesh import Mesh
from linkweather.models.routes import NoRoute, PathExpectation, RouteAnswer
from tests.collector.alto import schemas
from tests.collector.alto.test_request_fields import refusal
from tests.collector.alto.worlds import AT, NOW, NUM_RTT, PATH_VECTOR, asked, view

BANDWIDTH = "max-reservable-bandwidth"


def pids(**fields: Any) -> PathVector:
    return path_vector.between_pids(view(), "path-vector", asked(**{"cost_type": PATH_VECTOR, **fields}))


def ends(**fields: Any) -> PathVector:
    question = asked(**{"cost_type": PATH_VECTOR, **fields})
    return path_vector.between_endpoints(view(), "endpoint-path-vector", question, "ipv4:192.0.2.7")


def test_a_relayed_path_is_the_links_that_it_takes() -> None:
    found = pids()
    assert found.costs["cost-map"] == {"bj": {"gz": ["bj_gz"], "cc": ["bj_gz", "gz_cc"]}, "gz": {"cc": ["gz_cc"]}}
    meta = found.costs["meta"]
    assert meta["cost-type"] == PATH_VECTOR
    assert meta["dependent-vtags"] == [view().network.vtag]
    assert meta["vtag"]["resource-id"] == "path-vector.costmap"
    assert found.properties == {"meta": {"dependent-vtags": [meta["vtag"]]}, "property-map": {}}


def test_properties_are_those_asked_for_of_the_links_in_the_answer() -> None:
    found = pids(pids={"srcs": ["bj"], "dsts": ["cc"]}, ane_property_names=[BANDWIDTH])
    assert found.costs["cost-map"] == {"bj": {"cc": ["bj_gz", "gz_cc"]}}
    assert found.properties["property-map"] == {".ane:bj_gz": {BANDWIDTH: 8e8}, ".ane:gz_cc": {BANDWIDTH: 4e9}}


def test_a_property_that_is_not_known_is_absent() -> None:
    found = pids(pids={"srcs": ["gz"], "dsts": []}, ane_property_names=["priv:linkweather-delay-rt", BANDWIDTH])
    assert found.properties["property-map"] == {
        ".ane:gz_cc": {"priv:linkweather-delay-rt": 10_000, BANDWIDTH: 4e9},
    }
    without = path_vector.between_pids(
        view(links=()), "p", asked(cost_type=PATH_VECTOR, ane_property_names=[BANDWIDTH])
    )
    assert without.properties["property-map"] == {}


def test_endpoints_take_the_path_of_their_sites() -> None:
    found = ends(
        endpoints={"srcs": ["ipv4:10.1.0.1", "ipv4:198.51.100.1"], "dsts": ["ipv4:10.1.0.2"]},
        ane_property_names=[BANDWIDTH],
    )
    assert found.costs["endpoint-cost-map"] == {}
    found = ends(endpoints={"srcs": ["ipv4:10.1.0.1"]}, ane_property_names=[BANDWIDTH])
    assert found.costs["endpoint-cost-map"] == {"ipv4:10.1.0.1": {"ipv4:192.0.2.7": ["bj_gz", "gz_cc"]}}
    assert found.costs["meta"]["vtag"]["resource-id"] == "endpoint-path-vector.endpointcost"
    assert "dependent-vtags" not in found.costs["meta"]


def test_the_tag_follows_the_paths() -> None:
    tags = {pids(pids={"srcs": ["bj"], "dsts": [dst]}).costs["meta"]["vtag"]["tag"] for dst in ("gz", "cc", "cc")}
    assert len(tags) == 2


def test_the_body_is_two_parts_that_a_mime_parser_reads_the_paths_first() -> None:
    found = pids()
    assert schemas.parts(found.content_type, found.body("alto.example.com")) == [
        ("<costmap@alto.example.com>", "application/alto-costmap+json", found.costs),
        ("<propmap@alto.example.com>", "application/alto-propmap+json", found.properties),
    ]
    assert found.content_type == f"multipart/related; boundary={found.boundary}; type=application/alto-costmap+json"
    assert len(found.boundary) <= 70  # RFC 2046 §5.1.1


def test_a_client_that_reads_line_by_line_finds_the_parts() -> None:
    found = ends(endpoints={"srcs": ["ipv4:10.1.0.1"]})
    lines = found.body("localhost").decode().splitlines()
    assert [number for number, line in enumerate(lines) if line == f"--{found.boundary}"] == [0, 6]
    assert lines[-1] == f"--{found.boundary}--"
    assert json.loads(lines[5]) == found.costs


def test_a_name_too_long_for_alto_is_shortened_to_its_own_hash() -> None:
    long = [f"{letter * 32}" for letter in "ab"]
    mesh = Mesh.model_validate({"sites": {site: {"address": f"{site}.example"} for site in long}})

    def route(src: str, dst: str) -> RouteAnswer | NoRoute:
        path = PathExpectation(sites=(src, dst))
        return RouteAnswer(src=src, dst=dst, objective="latency", at=AT, path=path, why="so")

    found = path_vector.between_pids(
        View(now=NOW, mesh=mesh, links=tuple, route=route), "p", asked(cost_type=PATH_VECTOR)
    )
    names = [row[dst][0] for row in found.costs["cost-map"].values() for dst in row]
    assert len(set(names)) == 2
    assert all(len(name) == 40 for name in names)


def test_more_paths_than_can_be_answered_at_once_are_refused() -> None:
    mesh = Mesh.model_validate({"sites": {f"s{n}": {"address": f"s{n}.example"} for n in range(102)}, "links": []})
    with pytest.raises(ApiError, match="at most 10000 paths"):
        path_vector.between_pids(view(mesh=mesh), "p", asked(cost_type=PATH_VECTOR))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (
            {"cost_type": NUM_RTT},
            {"code": "E_INVALID_FIELD_VALUE", "field": "cost-type/cost-mode", "value": "numerical"},
        ),
        (
            {"cost_type": {**PATH_VECTOR, "cost-metric": "tput"}},
            {"code": "E_INVALID_FIELD_VALUE", "field": "cost-type/cost-metric", "value": "tput"},
        ),
        ({"constraints": ["le 1"]}, {"code": "E_INVALID_FIELD_VALUE", "field": "constraints"}),
        ({"or_constraints": [["le 1"]]}, {"code": "E_INVALID_FIELD_VALUE", "field": "or-constraints"}),
        ({"multi_cost_types": [PATH_VECTOR]}, {"code": "E_INVALID_FIELD_VALUE", "field": "multi-cost-types"}),
        (
            {"ane_property_names": ["next_hop"]},
            {"code": "E_INVALID_FIELD_VALUE", "field": "ane-property-names", "value": "next_hop"},
        ),
        ({"pids": {"srcs": []}}, {"code": "E_MISSING_FIELD", "field": "pids/dsts"}),
    ],
)
def test_every_mistake_is_named_with_its_field(fields: dict[str, Any], error: dict[str, Any]) -> None:
    assert refusal(lambda: pids(**fields)) == error
