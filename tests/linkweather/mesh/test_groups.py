"""Groups: which links each pattern makes, which group counts where several do, and what cannot be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from linkweather.mesh import Mesh
from linkweather.mesh.patterns import Pair

NAMES = [f"s{number}" for number in range(12)]


def mesh(*groups: dict[str, Any], count: int = 4, sites: dict[str, dict[str, Any]] | None = None, **more: Any) -> Mesh:
    """A mesh of the sites a, b, c … and these groups."""
    there: dict[str, dict[str, Any]] = {
        chr(ord("a") + number): {"address": f"192.0.2.{number}"} for number in range(count)
    }
    for name, fields in (sites or {}).items():
        there[name] |= fields
    return Mesh.model_validate({"sites": there, "groups": list(groups), **more})


def both(*pairs: str) -> set[Pair]:
    return {(pair[number], pair[1 - number]) for pair in pairs for number in (0, 1)}


def at(latitude: float, longitude: float = 0.0) -> dict[str, float]:
    return {"latitude": latitude, "longitude": longitude}


def test_a_group_is_a_full_mesh_of_its_sites_and_nothing_else_is_measured() -> None:
    found = mesh({"name": "g", "sites": ["a", "c", "d"]})
    assert set(found.pairs()) == both("ac", "ad", "cd")
    assert (found.peers("a"), found.peers("b"), found.sources("c"), found.degree) == (["c", "d"], [], ["a", "d"], 2)


def test_spokes_have_links_to_hubs_and_hubs_to_each_other() -> None:
    found = mesh({"name": "g", "sites": ["b", "c"], "hubs": ["a", "d"]})
    assert set(found.pairs()) == both("ad", "ab", "ac", "db", "dc")


def test_hubs_alone_serve_all_sites_of_the_mesh() -> None:
    assert set(mesh({"name": "g", "hubs": ["b"]}).pairs()) == both("ba", "bc", "bd")


def test_a_selection_takes_the_sites_of_the_operator_in_the_region() -> None:
    places = {
        "a": {"operator": "X", "region": "North"},
        "b": {"operator": "X", "region": "South"},
        "c": {"operator": "Y", "region": "North"},
        "d": {"operator": "X", "region": "North"},
    }
    assert list(mesh({"name": "g", "operator": "X"}, sites=places).members("g")) == ["a", "b", "d"]
    assert list(mesh({"name": "g", "operator": "X", "region": "North"}, sites=places).members("g")) == ["a", "d"]
    both_ways = {"name": "g", "region": "South", "sites": ["c"], "hubs": ["a"]}
    assert list(mesh(both_ways, sites=places).members("g")) == ["a", "b", "c"]


def test_the_nearest_are_those_by_great_circle_also_over_the_date_line() -> None:
    places = {"a": at(0.0, 179.0), "b": at(0.0, -179.0), "c": at(0.0, 170.0), "d": at(89.0, 0.0)}
    found = mesh({"name": "g", "nearest": 1}, sites=places)
    # d is near the pole, and by a hair nearer to c than to the others at the equator.
    assert set(found.pairs()) == both("ab", "ca", "dc")


def test_of_sites_that_are_equally_far_the_first_by_name_is_nearest() -> None:
    places = {name: at(10.0, 20.0) for name in "abcd"}
    assert set(mesh({"name": "g", "nearest": 1}, sites=places).pairs()) == both("ab", "ac", "ad")


def test_nearest_of_more_than_there_are_is_a_full_mesh_and_of_one_site_nothing() -> None:
    places = {"a": at(0.0), "b": at(1.0), "c": at(2.0), "d": at(3.0)}
    assert len(list(mesh({"name": "g", "nearest": 9}, sites=places).pairs())) == 12
    assert list(mesh({"name": "g", "nearest": 9, "sites": ["a"]}, sites=places).pairs()) == []


def test_between_two_groups_is_from_each_of_the_one_to_each_of_the_other() -> None:
    north, south = {"name": "north", "sites": ["a", "b"]}, {"name": "south", "sites": ["b", "c", "d"], "hubs": ["d"]}
    found = mesh(north, south, {"name": "across", "between": ["north", "south"]})
    assert set(found.pairs()) == both("ab", "db", "dc", "ac", "ad", "bc")
    assert list(found.members("across")) == ["a", "b", "c", "d"]


def test_a_link_of_the_list_is_measured_as_the_mesh_says_any_other_as_its_first_group_says() -> None:
    found = mesh(
        {"name": "slow", "sites": ["a", "b", "c"], "latency": {"interval_s": 2.0}},
        {"name": "slower", "sites": ["a", "b", "d"], "latency": {"interval_s": 9.0}, "path": {"enabled": False}},
        links=[{"src": "a", "dst": "b"}],
    )
    assert found.tests("a", "b").latency.interval_s == 0.1
    assert found.tests("b", "a").latency.interval_s == 2.0
    assert found.tests("a", "d").latency == found.latency.model_copy(update={"interval_s": 9.0})
    assert (found.tests("a", "d").path.enabled, found.tests("a", "c").path.enabled) == (False, True)
    assert found.link_counts() == {0: 1, 1: 5, 2: 4}
    assert (found.link_count, len(set(found.pairs()))) == (10, 10)


def test_throughput_is_tested_where_the_group_of_the_link_says_so() -> None:
    quiet = {"name": "quiet", "sites": ["a", "b"], "throughput": {"enabled": False}}
    assert set(mesh(quiet, {"name": "all"}, count=3).tested_pairs()) == both("ac", "bc")
    loud = {"name": "loud", "sites": ["a", "b"], "throughput": {"enabled": True}}
    off = mesh(loud, {"name": "all"}, count=3, throughput={"enabled": False})
    assert set(off.tested_pairs()) == both("ab")
    without = mesh({"name": "all"}, count=3, sites={"b": {"throughput": False}})
    assert set(without.tested_pairs()) == both("ac")


def test_hubs_relay_and_spokes_do_not_unless_their_first_group_says_otherwise() -> None:
    star = {"name": "star", "sites": ["b", "c"], "hubs": ["a"]}
    assert mesh(star).relays == {"a", "d"}
    assert mesh(star | {"relay": True}).relays == {"a", "b", "c", "d"}
    assert mesh(star | {"relay": False}, {"name": "all"}).relays == {"d"}
    assert mesh({"name": "all"}, star).relays == {"a", "b", "c", "d"}
    assert mesh().relays == {"a", "b", "c", "d"}


def test_the_first_group_of_a_site_has_its_budget_and_the_site_s_own_goes_before() -> None:
    mib = 2**20
    one = {"name": "one", "sites": ["a", "b"], "throughput": {"budget_bytes_per_day": 20 * mib}}
    found = mesh(
        one,
        {"name": "two", "throughput": {"budget_bytes_per_day": 30 * mib}},
        sites={"b": {"budget_bytes_per_day": 40 * mib}},
        links=[{"src": "d", "dst": "a"}],
    )
    assert [found.budget_bytes_per_day(site) for site in "abc"] == [20 * mib, 40 * mib, 30 * mib]


def test_a_copy_with_other_fields_works_out_its_links_anew() -> None:
    before = mesh({"name": "g", "sites": ["a", "b"]})
    assert set(before.pairs()) == both("ab")
    assert (sorted(before.relays), before.degree) == (["a", "b", "c", "d"], 1)
    after = before.model_copy(update={"groups": before.groups[:0]})
    assert len(list(after.pairs())) == 12
    assert before == mesh({"name": "g", "sites": ["a", "b"]})


def test_a_mesh_knows_which_links_it_has() -> None:
    whole, part = mesh(count=3), mesh({"name": "g", "sites": ["a", "b"]}, count=3)
    assert (whole.has("a", "b"), whole.has("a", "a"), whole.has("a", "x"), whole.degree) == (True, False, False, 2)
    assert (part.has("b", "a"), part.has("a", "c")) == (True, False)
    assert (whole.peers("x"), part.peers("x"), whole.sources("a")) == ([], [], ["b", "c"])
    assert mesh(links=[]).degree == 0


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ([{"name": "g", "sites": ["a", "x"]}], "groups[0].sites[1] = 'x': no such site; the mesh has a, b, c, d"),
        ([{"name": "g", "hubs": ["x"]}], "groups[0].hubs[0] = 'x': no such site; the mesh has a, b, c, d"),
        ([{"name": "g", "region": "R"}], "groups[0].region = 'R': no site of the mesh has that"),
        (
            [{"name": "g", "operator": "O", "region": "R"}],
            "groups[0].operator = 'O' and region = 'R': no site of the mesh has that",
        ),
        (
            [{"name": "one"}, {"name": "g", "between": ["one", "x"]}],
            "groups[1].between[1] = 'x': no such group above, only one",
        ),
        ([{"name": "g"}, {"name": "g"}], "groups[1].name = 'g': another group has this name"),
        (
            [{"name": "g", "nearest": 2}],
            "groups[0].nearest = 2: needs latitude and longitude of each site; a, b, c, d lack them",
        ),
        ([{"name": "g", "hubs": ["a"], "nearest": 2}], "a group has one of hubs, nearest and between"),
        ([{"name": "g", "between": ["g", "h"], "sites": ["a"]}], "the sites are those of the two groups"),
        ([{"name": "g", "between": ["g"]}], "between: must name two groups"),
    ],
)
def test_a_group_that_cannot_be_is_one_sentence(groups: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        mesh(*groups)
    assert sentence in str(refused.value)


def test_more_links_than_can_be_are_refused_before_they_are_made() -> None:
    sites = {f"s{number}": {"address": f"10.0.{number // 250}.{number % 250}"} for number in range(2000)}
    with pytest.raises(ValidationError, match=r"groups\[0\]: 3,998,000 links up to this group; .* at most 2,000,000"):
        Mesh.model_validate({"sites": sites, "groups": [{"name": "all"}]})


def test_of_many_names_a_sentence_shows_a_few() -> None:
    sites = {f"s{number}": {"address": f"10.0.0.{number}"} for number in range(9)}
    with pytest.raises(ValidationError, match="the mesh has s0, s1, s2, s3, s4 and 4 more"):
        Mesh.model_validate({"sites": sites, "groups": [{"name": "g", "hubs": ["x"]}]})


subsets = st.lists(st.sampled_from(NAMES), min_size=1, max_size=12, unique=True)
coordinates = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@st.composite
def meshes(draw: st.DrawFn) -> Mesh:
    """Sites anywhere, some at one place, and any groups of any pattern."""
    places = draw(st.lists(coordinates, min_size=3, max_size=12))
    sites = {
        name: {"address": f"10.0.0.{number}", **at(*places[number % len(places)])} for number, name in enumerate(NAMES)
    }
    groups: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 4))):
        patterns = ["full", "hubs", "nearest", *["between"] * (number > 1)]
        pattern = draw(st.sampled_from(patterns))
        group: dict[str, Any] = {"name": f"g{number}", "latency": {"interval_s": 1.0 + number}}
        if pattern == "between":
            group["between"] = draw(st.permutations([f"g{other}" for other in range(number)]))[:2]
        else:
            group["sites"] = draw(subsets)
        if pattern == "hubs":
            group["hubs"] = draw(subsets)
        if pattern == "nearest":
            group["nearest"] = draw(st.integers(1, 5))
        groups.append(group)
    links = draw(st.none() | st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=5))
    pairs = None if links is None else [{"src": src, "dst": dst} for src, dst in dict.fromkeys(links) if src != dst]
    return Mesh.model_validate({"sites": sites, "groups": groups, "links": pairs})


@given(meshes())
def test_every_link_is_there_once_with_its_way_back_and_both_views_agree(found: Mesh) -> None:
    pairs = list(found.pairs())
    listed = {pair for link in found.links or () for pair in link.pairs()}
    assert len(pairs) == len(set(pairs)) == found.link_count
    assert all(src != dst for src, dst in pairs)
    assert all((dst, src) in listed or found.has(dst, src) for src, dst in set(pairs) - listed)
    assert {(src, dst) for dst in found.sites for src in found.sources(dst)} == set(pairs)
    degrees = [len(ends) for site in found.sites for ends in (found.peers(site), found.sources(site))]
    assert found.degree == max(degrees)


@given(meshes())
def test_a_link_is_of_the_first_group_whose_pattern_has_it(found: Mesh) -> None:
    alone = []
    for number, group in enumerate(found.groups):
        if not group.between:
            alone.append(set(found.model_copy(update={"groups": (group,), "links": ()}).pairs()))
        else:
            first, second = (set(found.members(name)) for name in found.groups[number].between)
            crossing = {(one, other) for one in first for other in second if one != other}
            alone.append(crossing | {pair[::-1] for pair in crossing})
    listed = {pair for link in found.links or () for pair in link.pairs()}
    for pair in found.pairs():
        having = [number for number, pairs in enumerate(alone, 1) if pair in pairs]
        assert found.group_of(*pair) == (0 if pair in listed or not having else having[0])


def great_circle(one: tuple[float, float], other: tuple[float, float]) -> float:
    (north, east), (south, west) = np.radians(one), np.radians(other)
    half = math.sin((north - south) / 2) ** 2 + math.cos(north) * math.cos(south) * math.sin((east - west) / 2) ** 2
    return 2 * math.asin(min(1.0, math.sqrt(half)))


@given(st.lists(coordinates, min_size=2, max_size=12, unique=True), st.integers(1, 4))
def test_nobody_nearer_is_left_out(places: list[tuple[float, float]], count: int) -> None:
    sites = {NAMES[number]: {"address": f"10.0.0.{number}", **at(*place)} for number, place in enumerate(places)}
    found = Mesh.model_validate({"sites": sites, "groups": [{"name": "g", "nearest": count}]})
    of = dict(zip(NAMES, places, strict=False))
    for site in sites:
        far = {other: great_circle(of[site], of[other]) for other in sites if other != site}
        last = sorted(far.values())[min(count, len(far)) - 1]
        # As near as the last one, but for what rounding may swap: a link, chosen by this site or by the other.
        assert {other for other, distance in far.items() if distance < last - 1e-6} <= set(found.peers(site))
        assert len(found.peers(site)) >= min(count, len(far))
