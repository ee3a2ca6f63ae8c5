"""A site's part of the mesh says of the site's links what the whole says."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from linkweather.mesh import Mesh
from linkweather.mesh.site_mesh import SiteMesh, SiteMeshes, site_mesh
from linkweather.mesh.tournament import timetable
from tests.linkweather.mesh.test_groups import meshes

SITES: dict[str, Any] = {name: {"address": f"192.0.2.{number}"} for number, name in enumerate("abcd", start=1)}


def mesh(**values: Any) -> Mesh:
    return Mesh.model_validate({"sites": SITES} | values)


def test_a_part_has_the_site_and_those_at_the_other_end_of_its_links_without_what_describes_them() -> None:
    described = {
        **SITES,
        "b": SITES["b"] | {"operator": "X", "prefixes": ["10.0.0.0/8"], "shares": "uplink", "port": 9},
    }
    whole = mesh(sites=described, links=[{"src": "a", "dst": "b"}, {"src": "c", "dst": "a"}, {"src": "b", "dst": "d"}])
    part = site_mesh(whole, "a")
    assert list(part.sites) == ["a", "b", "c"]
    assert (part.peers("a"), part.sources("a"), [*part.places]) == (["b"], ["c"], ["c"])
    assert (part.sites["b"].operator, part.sites["b"].prefixes) == (None, ())
    assert (part.sites["b"].shares, part.sites["b"].port) == ("uplink", 9)


def test_a_part_names_who_may_claim_its_bottlenecks_unless_all_sites_may() -> None:
    sharing = SITES | {"b": SITES["b"] | {"shares": "uplink"}, "d": SITES["d"] | {"shares": "far"}}
    links = [{"src": "a", "dst": "b"}, {"src": "b", "dst": "c"}, {"src": "d", "dst": "c"}]
    whole = mesh(sites=sharing, links=links)
    # The destination of a link tests it. What is not at the site's own links concerns others.
    assert site_mesh(whole, "a").claimants == {"uplink": ("b", "c")}
    assert site_mesh(whole, "c").claimants == {"uplink": ("b", "c"), "far": ("c",)}
    assert site_mesh(whole, "d").claimants == {"far": ("c",)}
    assert site_mesh(mesh(sites=sharing), "a").claimants is None
    assert site_mesh(mesh(links=links), "a").claimants is None


def test_a_part_of_a_part_is_itself() -> None:
    part = site_mesh(mesh(), "a")
    assert site_mesh(part, "a") is part


def test_a_site_that_the_mesh_has_not_gets_a_part_without_sites() -> None:
    part = site_mesh(mesh(), "x")
    assert (part.sites, part.peers("x"), part.places, list(part.pairs())) == ({}, [], {}, [])
    assert SiteMesh.model_validate_json(SiteMeshes(mesh()).encoded("x")) == part


def test_a_part_has_the_cycle_of_each_link_from_its_group() -> None:
    slow = {"name": "slow", "sites": ["a", "b"], "throughput": {"every_s": 7200.0}}
    part = site_mesh(mesh(groups=[slow, {"name": "all"}]), "a")
    assert [part.cycle_s(src) for src in "bc"] == [7200.0, 600.0]
    assert site_mesh(mesh(throughput={"every_s": 0.0, "slot_s": 5.0}), "a").cycle_s("b") == 7 * 5.0


@given(meshes())
def test_a_part_says_of_its_site_s_links_what_the_whole_says_also_after_the_wire(whole: Mesh) -> None:
    made, table = SiteMeshes(whole), timetable(whole)
    for site in whole.sites:
        part = SiteMesh.model_validate_json(made.encoded(site))
        assert part == made.of(site)
        assert sorted(part.peers(site)) == sorted(whole.peers(site))
        assert sorted(part.sources(site)) == sorted(whole.sources(site))
        for peer in part.sites:
            assert part.tests(site, peer) == whole.tests(site, peer)
            assert part.tests(peer, site) == whole.tests(peer, site)
            assert part.sites[peer].address == whole.sites[peer].address
        assert part.budget_bytes_per_day(site) == whole.budget_bytes_per_day(site)
        turns = part.turns()
        assert (turns.slots, turns.slot_s) == (table.slots, table.slot_s)
        assert turns.places == {pair: place for pair, place in table.places.items() if pair[1] == site}
