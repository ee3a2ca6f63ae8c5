"""The mesh: sites, links, and what cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from linkweather.errors import NoSuchSiteError
from linkweather.mesh import DEFAULT_BUDGET_BYTES, UNLIMITED_BYTES, Mesh, ThroughputTests
from linkweather.wire import encode

SITES: dict[str, Any] = {name: {"address": f"192.0.2.{number}"} for number, name in enumerate("abc", start=1)}


def mesh(**values: Any) -> Mesh:
    return Mesh.model_validate({"sites": SITES} | values)


def address(text: str) -> str:
    return Mesh.model_validate({"sites": {"a": {"address": text}}}).sites["a"].address


def test_without_links_every_pair_is_measured_both_ways() -> None:
    assert set(mesh().pairs()) == {("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")}


def test_an_empty_list_of_links_measures_nothing() -> None:
    assert list(mesh(links=[]).pairs()) == []


def test_a_link_is_one_way_unless_it_is_both() -> None:
    found = mesh(links=[{"src": "a", "dst": "b"}, {"src": "c", "dst": "b", "both": True}])
    assert list(found.pairs()) == [("a", "b"), ("b", "c"), ("c", "b")]


def test_peers_are_where_a_site_s_links_lead() -> None:
    found = mesh(links=[{"src": "a", "dst": "b"}, {"src": "c", "dst": "a"}])
    assert (found.peers("a"), found.peers("b"), found.peers("x")) == (["b"], [], [])


def test_two_one_way_links_are_no_duplicate() -> None:
    assert len(list(mesh(links=[{"src": "a", "dst": "b"}, {"src": "b", "dst": "a"}]).pairs())) == 2


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("host", "host"),
        ("north.example.net.", "north.example.net."),
        ("_srv.example", "_srv.example"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_an_address_is_ipv4_ipv6_or_a_host_name(text: str, kept: str) -> None:
    assert address(text) == kept


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4.5", "::g", "a b", "-a", "a..b", "x" * 254, "1.2.3.4:80", "a/b"])
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ValidationError, match=r"an IPv4 address, an IPv6 address or a host name"):
        address(text)


@pytest.mark.parametrize("name", ["", "A", "-a", "a_b", "a" * 33, "ä", "a\n"])
def test_a_site_id_is_short_and_plain(name: str) -> None:
    with pytest.raises(ValidationError):
        Mesh.model_validate({"sites": {name: {"address": "192.0.2.1"}}})


def test_two_sites_may_share_an_address_on_different_ports() -> None:
    found = mesh(sites={"a": {"address": "192.0.2.1"}, "b": {"address": "192.0.2.1", "port": 8621}})
    assert list(found.sites) == ["a", "b"]


def test_two_sites_on_the_same_address_and_port_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"sites.b.address = '192.0.2.1': already the address of site a"):
        mesh(sites={"a": {"address": "192.0.2.1"}, "b": {"address": "192.0.2.1"}})


@pytest.mark.parametrize("end", ["src", "dst"])
def test_a_link_to_an_unknown_site_names_its_end(end: str) -> None:
    with pytest.raises(ValidationError, match=rf"links\[0\].{end} = 'x': no such site; the mesh has a, b, c"):
        mesh(links=[{"src": "a", "dst": "b"} | {end: "x"}])


def test_prefixes_are_networks() -> None:
    found = mesh(sites={"a": {"address": "192.0.2.1", "prefixes": ["192.0.2.0/24", "2001:DB8::/32"]}})
    assert found.sites["a"].prefixes == ("192.0.2.0/24", "2001:db8::/32")


def test_a_slot_leaves_time_to_arrange_the_test() -> None:
    assert ThroughputTests(slot_s=3.5, max_duration_s=3.0).slot_s == 3.5
    with pytest.raises(ValidationError, match=r"slot_s = 3.4: must be at least 3.5"):
        ThroughputTests(slot_s=3.4, max_duration_s=3.0)


def test_a_mesh_survives_the_wire_and_unknown_keys_of_a_later_version() -> None:
    whole = mesh(links=[{"src": "a", "dst": "b", "both": True}])
    assert Mesh.model_validate_json(encode(whole)) == whole
    assert Mesh.model_validate_json(encode(whole)[:-1] + b', "new": 1}') == whole


def named(**compute_ids: str) -> Mesh:
    sites = {
        name: site | {"compute_id": compute_ids[name]} if name in compute_ids else site for name, site in SITES.items()
    }
    return Mesh.model_validate({"sites": sites})


def test_a_site_is_named_by_its_id_or_its_compute_id() -> None:
    found = named(a="CN-0471", b="a")
    assert [found.site_id(name) for name in ("a", "CN-0471", "c")] == ["a", "a", "c"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("x", "no such site; the mesh has a, b, c"),
        ("CN-1", "the compute_id of the sites a, c: name one of them by its id"),
    ],
)
def test_a_name_of_no_site_or_of_several_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(NoSuchSiteError) as refused:
        named(a="CN-1", c="CN-1").site_id(name)
    assert str(refused.value) == sentence


def test_a_site_s_own_budget_goes_before_the_mesh_s() -> None:
    sites = {**SITES, "a": {**SITES["a"], "budget_bytes_per_day": 20 * 2**20}}
    limited = mesh(sites=sites, throughput={"budget_bytes_per_day": 100 * 2**20})
    assert (limited.budget_bytes_per_day("a"), limited.budget_bytes_per_day("b")) == (20 * 2**20, 100 * 2**20)
    assert mesh().budget_bytes_per_day("a") == DEFAULT_BUDGET_BYTES
    assert mesh(throughput={"budget_bytes_per_day": UNLIMITED_BYTES}).budget_bytes_per_day("a") is None


@pytest.mark.parametrize("name", ["Http", "no such", "9lives", "", "a" * 33])
def test_a_method_has_the_name_of_a_prober(name: str) -> None:
    sites = {**SITES, "a": {**SITES["a"], "method": name}}
    with pytest.raises(ValidationError, match="the name of a prober"):
        mesh(sites=sites)
