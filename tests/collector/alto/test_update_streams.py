"""Update streams: what a client is sent when, from a world that the test changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.alto.request_fields import Fields
from collector.alto.update_streams import UpdateEvent, UpdateStream, merge_patch
from collector.alto.view import View
from collector.api.api_requests import ApiError
from linkweather.containment import overflows
from tests.collector.alto.test_request_fields import refusal
from tests.collector.alto.worlds import LINKS, NUM_RTT, view

NETWORK = {"resource-id": "default-network-map"}
RTT = {"resource-id": "cost-map-num-delay-rt"}
SLOWER = view((LINKS[0].model_copy(update={"rtt_p50_s": 0.050}), *LINKS[1:]))
OLDER = view((LINKS[0].model_copy(update={"rtt_age_s": 8.0}), *LINKS[1:]))

SCALARS = st.one_of(st.booleans(), st.integers(0, 3), st.text("ab", max_size=2), st.lists(st.none(), max_size=2))
DOCUMENTS = st.dictionaries(
    st.sampled_from("abcd"),
    st.recursive(SCALARS, lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3), max_leaves=6),
    max_size=4,
)


def stream(**add: Any) -> UpdateStream:
    return UpdateStream(Fields({"add": add}), "ipv4:10.1.0.1", view())


def events_of(following: UpdateStream, now: View) -> list[tuple[str, str | None]]:
    return [(event.media, event.substream) for event in following.events(now)]


def applied(target: Any, patch: Any) -> Any:
    """RFC 7396 §2, as it stands there."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = applied(result.get(name), value)
    return result


@given(DOCUMENTS, DOCUMENTS)
def test_a_patch_makes_the_new_document_of_the_old(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert applied(old, merge_patch(old, new)) == new
    assert merge_patch(old, old) == {}


def test_a_patch_says_only_what_changed() -> None:
    old = {"meta": {"tag": "1", "same": 1}, "map": {"a": {"b": 1, "c": 2}, "gone": {}}}
    new = {"meta": {"tag": "2", "same": 1}, "map": {"a": {"b": 1, "c": 3}, "come": {"x": 1}}}
    assert merge_patch(old, new) == {
        "meta": {"tag": "2"},
        "map": {"a": {"c": 3}, "gone": None, "come": {"x": 1}},
    }


def test_first_every_document_is_told_whole_the_network_map_before_those_that_depend_on_it() -> None:
    following = stream(costs=RTT, network=NETWORK)
    assert events_of(following, view()) == [
        ("application/alto-networkmap+json", "network"),
        ("application/alto-costmap+json", "costs"),
    ]
    assert events_of(following, view()) == []


def test_a_change_is_told_as_a_patch_to_the_document_before() -> None:
    following = stream(costs=RTT)
    (whole,) = following.events(view())
    (patch,) = following.events(SLOWER)
    assert (patch.media, patch.substream) == ("application/merge-patch+json", "costs")
    assert patch.document["cost-map"] == {"bj": {"gz": 50_000}}
    assert applied(whole.document, patch.document)["cost-map"]["bj"] == {"bj": 0, "gz": 50_000, "cc": 90_000}


def test_a_client_without_incremental_changes_gets_the_whole_document_again() -> None:
    following = stream(costs={**RTT, "incremental-changes": False})
    assert events_of(following, view()) == events_of(following, SLOWER) == [("application/alto-costmap+json", "costs")]


def test_that_measurements_got_older_is_no_news_and_later_patches_still_fit() -> None:
    following = stream(costs=RTT)
    (whole,) = following.events(view())
    assert events_of(following, OLDER) == []
    (patch,) = following.events(SLOWER)
    (expected,) = stream(costs=RTT).events(SLOWER)
    assert applied(whole.document, patch.document) == expected.document


def test_a_client_that_has_the_current_version_is_told_of_changes_only() -> None:
    tag = view().network.tag
    following = stream(
        network={**NETWORK, "tag": tag}, other={**NETWORK, "tag": "another"}, costs={**RTT, "tag": _tag_of_costs()}
    )
    assert events_of(following, view()) == [("application/alto-networkmap+json", "other")]
    assert events_of(following, SLOWER) == [("application/merge-patch+json", "costs")]


def _tag_of_costs() -> str:
    (whole,) = stream(costs=RTT).events(view())
    tag: str = whole.document["meta"]["vtag"]["tag"]
    return tag


def test_resources_with_parameters_are_followed_with_their_input() -> None:
    following = stream(
        mine={
            "resource-id": "endpoint-cost",
            "input": {"cost-type": NUM_RTT, "endpoints": {"dsts": ["ipv4:10.1.200.1"]}},
        }
    )
    (event,) = following.events(view())
    assert event.document["endpoint-cost-map"] == {"ipv4:10.1.0.1": {"ipv4:10.1.200.1": 40_000}}


def test_substreams_come_and_go_and_both_is_confirmed() -> None:
    following = stream(network=NETWORK)
    list(following.events(view()))
    following.control(Fields({"add": {"costs": RTT}, "remove": ["network"]}), view())
    events = list(following.events(view()))
    assert [(event.media, event.document) for event in events[:2]] == [
        ("application/alto-updatestreamcontrol+json", {"stopped": ["network"]}),
        ("application/alto-updatestreamcontrol+json", {"started": ["costs"]}),
    ]
    assert (events[2].media, events[2].substream) == ("application/alto-costmap+json", "costs")
    assert not following.over


def test_an_empty_list_of_removals_ends_everything() -> None:
    following = stream(network=NETWORK, costs=RTT)
    following.control(Fields({"remove": []}), view())
    assert following.over
    assert [event.document for event in following.events(view())] == [{"stopped": ["network", "costs"]}]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, {"code": "E_MISSING_FIELD", "field": "add"}),
        ({"add": []}, {"code": "E_INVALID_FIELD_TYPE", "field": "add"}),
        ({"add": {}}, {"code": "E_INVALID_FIELD_VALUE", "field": "add", "value": "{}"}),
        ({"add": {"a/b": NETWORK}}, {"code": "E_INVALID_FIELD_VALUE", "field": "add", "value": "a/b"}),
        ({"add": {"a": {}}}, {"code": "E_MISSING_FIELD", "field": "add/a/resource-id"}),
        (
            {"add": {"a": {"resource-id": "nothing"}}},
            {"code": "E_INVALID_FIELD_VALUE", "field": "add/a/resource-id", "value": "nothing"},
        ),
        (
            {"add": {"a": {"resource-id": "path-vector", "input": {}}}},
            {"code": "E_INVALID_FIELD_VALUE", "field": "add/a/resource-id", "value": "path-vector"},
        ),
        ({"add": {"a": {"resource-id": "endpoint-cost"}}}, {"code": "E_MISSING_FIELD", "field": "add/a/input"}),
        (
            {"add": {"a": {"resource-id": "filtered-cost-map", "input": {"cost-type": {}}}}},
            {"code": "E_MISSING_FIELD", "field": "add/a/input/cost-type/cost-metric"},
        ),
        (
            {"add": {"a": {**NETWORK, "incremental-changes": 1}}},
            {"code": "E_INVALID_FIELD_TYPE", "field": "add/a/incremental-changes"},
        ),
        ({"add": {"a": {**NETWORK, "tag": 1}}}, {"code": "E_INVALID_FIELD_TYPE", "field": "add/a/tag"}),
    ],
)
def test_every_mistake_is_named_with_its_field(fields: dict[str, Any], error: dict[str, Any]) -> None:
    assert refusal(lambda: UpdateStream(Fields(fields), "ipv4:10.1.0.1", view())) == error


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, {"code": "E_MISSING_FIELD", "field": "add"}),
        ({"remove": ["unknown"]}, {"code": "E_INVALID_FIELD_VALUE", "field": "remove", "value": "unknown"}),
        ({"add": {"network": RTT}}, {"code": "E_INVALID_FIELD_VALUE", "field": "add", "value": "network"}),
        (
            {"remove": ["network"], "add": {"b": {}}},
            {"code": "E_MISSING_FIELD", "field": "add/b/resource-id"},
        ),
    ],
)
def test_a_wrong_control_request_changes_nothing(fields: dict[str, Any], error: dict[str, Any]) -> None:
    following = stream(network=NETWORK)
    assert refusal(lambda: following.control(Fields(fields), view())) == error
    assert events_of(following, view()) == [("application/alto-networkmap+json", "network")]


def test_substreams_are_bounded() -> None:
    before = overflows().get("alto substreams", 0)
    stream(**{f"s{number}": NETWORK for number in range(64)})
    assert overflows().get("alto substreams", 0) == before
    with pytest.raises(ApiError, match="at most 64 substreams"):
        stream(**{f"s{number}": NETWORK for number in range(65)})
    assert overflows()["alto substreams"] == before + 1


def test_an_event_is_its_type_its_substream_and_its_document_in_lines() -> None:
    lines = UpdateEvent("application/alto-networkmap+json", {"a": 1}, "mine").encode().decode().split("\n")
    assert lines[0] == "event: application/alto-networkmap+json,mine"
    assert json.loads(lines[1].removeprefix("data: ")) == {"a": 1}
    assert lines[2:] == ["", ""]
    assert (
        UpdateEvent("application/alto-updatestreamcontrol+json", {})
        .encode()
        .startswith(b"event: application/alto-updatestreamcontrol+json\n")
    )
