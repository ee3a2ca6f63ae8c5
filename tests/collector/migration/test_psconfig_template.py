"""A template of pSConfig as a mesh file: sites, groups and their tests, and what is left out is said."""

from __future__ import annotations

from typing import Any

import pytest

from collector.migration.measurement import NotCarriedOverError
from collector.migration.psconfig_template import mesh_tables
from linkweather.mesh import Mesh
from tests.collector.migration import samples

GIVEN = {"thr1": "lat1"}
ADDRESSES = {"a": {"address": "192.0.2.1"}, "b": {"address": "192.0.2.2"}}
GROUP = {"type": "mesh", "addresses": [{"name": "a"}, {"name": "b"}]}


def made(given: dict[str, str] = GIVEN, **changes: Any) -> tuple[dict[str, Any], list[str]]:
    values, left_out = mesh_tables(samples.template(**changes), given)
    Mesh.model_validate(values)
    return values, left_out


def test_groups_have_their_sites_and_tests_those_with_throughput_first() -> None:
    values, left_out = made()
    assert values["sites"] == {"lat1": {"address": "192.0.2.1"}, "lat-2": {"address": "192.0.2.2"}}
    both = {"sites": ["lat1", "lat-2"]}
    assert values["groups"] == [
        {"name": "throughput_group", **both, "throughput": {"every_s": 14400.0}, "path": {"enabled": False}},
        {
            "name": "latency_group",
            **both,
            "latency": {"interval_s": 0.2},
            "throughput": {"enabled": False},
            "path": {"enabled": False},
        },
    ]
    assert left_out == [
        "archives: has no place in a mesh file",
        "the task dns_task: a test of the type dns",
        "the group throughput_group has no latency test: its links get one, as every link has",
    ]


def simple(test: dict[str, Any], group: dict[str, Any], **task: Any) -> tuple[dict[str, Any], list[str]]:
    tasks = {"all": {"group": "g", "test": "t"}, "own": {"group": "h", "test": "u", **task}}
    return made(
        addresses={**ADDRESSES, "c": {"address": "192.0.2.3"}},
        groups={"g": GROUP, "h": group},
        tests={"t": {"type": "rtt"}, "u": test},
        tasks=tasks,
        archives={},
    )


@pytest.mark.parametrize(
    ("test", "group", "task", "sentence"),
    [
        ({"type": "rtt"}, GROUP, {"disabled": True}, "the task own: is disabled"),
        ({"type": "rtt"}, {"type": "list"}, {}, "the task own: the group h is of the type list: only mesh is carried"),
        ({"type": "rtt"}, {**GROUP, "excludes": [{}]}, {}, "the group h: its excludes"),
        ({"type": "rtt"}, {**GROUP, "addresses": [{"class": "x"}]}, {}, "the group h: an address that is not given"),
        ({"type": "trace"}, GROUP, {}, "the group h has no latency test"),
    ],
)
def test_what_has_no_place_is_said(
    test: dict[str, Any], group: dict[str, Any], task: dict[str, Any], sentence: str
) -> None:
    _, left_out = simple(test, group, **task)
    assert [one for one in left_out if one.startswith(sentence)] != []


def test_a_group_of_no_site_is_left_out_as_it_would_be_the_whole_mesh() -> None:
    empty = {"type": "mesh", "addresses": []}
    task = {"group": "empty", "test": "latency_test"}
    tasks = {"one": task, "two": {"group": "full", "test": "latency_test"}}
    values, left_out = made(addresses=ADDRESSES, groups={"empty": empty, "full": GROUP}, tasks=tasks)
    assert [group["name"] for group in values["groups"]] == ["full"]
    assert "the group empty: has no address that is carried over" in left_out


def test_a_second_address_of_a_site_is_said() -> None:
    _, left_out = mesh_tables(samples.template(), {"thr1": "lat-2"})
    assert "the address 192.0.2.2: the site lat-2 has 192.0.2.1 already" in left_out


@pytest.mark.parametrize("content", [b"no JSON", b"[]", b"{}", samples.template(tasks={})])
def test_what_is_no_template_is_refused(content: bytes) -> None:
    with pytest.raises(NotCarriedOverError, match=r"is not as pSConfig writes it|has no task whose group"):
        mesh_tables(content, {})
