"""The network map of the world: bj 10.1/16 with gz's 10.1.200/24 inside, cc by its address, store by a name."""

from __future__ import annotations

import hashlib
import ipaddress
import random
import re
from collections.abc import Mapping

import pytest

from collector.alto.alto_protocol import AltoError
from collector.alto.network_map import DEFAULT_PID, NetworkMap
from linkweather.mesh import Mesh
from tests.collector.alto.worlds import MESH, asked

WHOLE = {
    "bj": {"ipv4": ["10.1.0.0/16"], "ipv6": ["2001:db8:1::/48"]},
    "gz": {"ipv4": ["10.1.200.0/24"]},
    "cc": {"ipv4": ["192.0.2.7/32"]},
    "store": {},
    "_default": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]},
}


def mesh(**sites: Mapping[str, object]) -> Mesh:
    return Mesh.model_validate({"sites": sites})


def test_pids_are_the_sites_and_one_for_everything_else() -> None:
    network = NetworkMap(MESH)
    assert network.document() == {
        "meta": {"vtag": {"resource-id": "default-network-map", "tag": network.tag}},
        "network-map": WHOLE,
    }
    assert all(re.fullmatch(r"[0-9A-Za-z:@_-]{1,64}", pid) for pid in WHOLE)
    assert re.fullmatch(r"[!-~]{1,64}", network.tag)


@pytest.mark.parametrize(
    ("address", "pid"),
    [
        ("10.1.0.1", "bj"),
        ("10.1.199.255", "bj"),
        ("10.1.200.1", "gz"),
        ("10.1.201.0", "bj"),
        ("192.0.2.7", "cc"),
        ("192.0.2.8", DEFAULT_PID),
        ("2001:db8:1::5", "bj"),
        ("2001:db8:2::5", DEFAULT_PID),
        ("255.255.255.255", DEFAULT_PID),
    ],
)
def test_the_longest_prefix_says_whose_an_address_is(address: str, pid: str) -> None:
    assert NetworkMap(MESH).pid_of(ipaddress.ip_address(address)) == pid


def test_lookup_agrees_with_trying_every_prefix() -> None:
    rng = random.Random(1)
    drawn = {(rng.randrange(2**32), rng.choice((4, 8, 12, 16, 20))) for _ in range(200)}
    networks = {str(ipaddress.ip_network(one, strict=False)) for one in drawn}
    sites: dict[str, dict[str, object]] = {
        f"s{n}": {"address": f"s{n}.example", "prefixes": [prefix]} for n, prefix in enumerate(sorted(networks))
    }
    network = NetworkMap(mesh(**sites))
    for _ in range(500):
        address = ipaddress.ip_address(rng.randrange(2**32))
        holding = [one for one in network.networks if address in one]
        assert network.pid_of(address) == network.owner(max(holding, key=lambda one: one.prefixlen))


def test_the_prefixes_within_one_are_found_among_their_neighbours() -> None:
    network = NetworkMap(MESH)
    for text in ("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.200.0/24", "10.1.201.0/24", "192.0.2.7/32", "::/0"):
        outer = ipaddress.ip_network(text)
        inside = [one for one in network.networks if one.version == outer.version and one != outer]
        assert list(network.within(outer)) == [one for one in inside if one.subnet_of(outer)]  # type: ignore[arg-type]  # of one family


def test_a_site_without_prefixes_of_its_addresss_family_has_its_address() -> None:
    found = NetworkMap(
        mesh(
            v6={"address": "2001:db8::1"},
            both={"address": "192.0.2.1", "prefixes": ["2001:db8:9::/48"]},
            own={"address": "192.0.2.2", "prefixes": ["203.0.113.0/24"]},
        )
    ).pids
    assert found["v6"] == {"ipv6": ["2001:db8::1/128"]}
    assert found["both"] == {"ipv4": ["192.0.2.1/32"], "ipv6": ["2001:db8:9::/48"]}
    assert found["own"] == {"ipv4": ["203.0.113.0/24"]}


def test_a_prefix_that_two_sites_claim_is_the_first_ones_also_that_of_everything() -> None:
    found = NetworkMap(
        mesh(
            a={"address": "a.example", "prefixes": ["0.0.0.0/0", "192.0.2.0/24"]},
            b={"address": "b.example", "prefixes": ["192.0.2.0/24"]},
        )
    ).pids
    assert found == {"a": {"ipv4": ["0.0.0.0/0", "192.0.2.0/24"]}, "b": {}, "_default": {"ipv6": ["::/0"]}}


def test_the_tag_is_that_of_the_map_and_of_nothing_else() -> None:
    base = {"address": "192.0.2.1", "prefixes": ["10.0.0.0/8", "10.1.0.0/16"]}
    tag = NetworkMap(mesh(a=base)).tag
    reordered = {**base, "prefixes": ["10.1.0.0/16", "10.0.0.0/8"], "region": "north"}
    assert NetworkMap(mesh(a=reordered)).tag == tag
    assert NetworkMap(mesh(a={**base, "prefixes": ["10.0.0.0/8"]})).tag != tag
    assert NetworkMap(mesh(b=base)).tag != tag
    # By hand, so that a restarted or newer server gives the same tag.
    canonical = b'{"_default":{"ipv4":["0.0.0.0/0"],"ipv6":["::/0"]},"a":{"ipv4":["10.0.0.0/8","10.1.0.0/16"]}}'
    assert tag == hashlib.sha256(canonical).hexdigest()[:40]


@pytest.mark.parametrize(
    ("pids", "types", "expected"),
    [
        ([], [], WHOLE),
        (["cc", "cc"], [], {"cc": {"ipv4": ["192.0.2.7/32"]}}),
        (["bj"], ["ipv6"], {"bj": {"ipv6": ["2001:db8:1::/48"]}}),
        (["gz", "nowhere"], ["ipv6", "mac"], {"gz": {}}),
        (["nowhere"], [], {}),
        (["gz"], ["mac"], {"gz": {}}),
    ],
)
def test_a_filter_keeps_the_named_and_ignores_the_unknown(
    pids: list[str], types: list[str], expected: dict[str, object]
) -> None:
    network = NetworkMap(MESH)
    found = network.filtered(asked(pids=pids, address_types=types))
    assert found["network-map"] == expected
    assert found["meta"]["vtag"] == network.vtag


def test_a_filter_without_pids_is_refused() -> None:
    with pytest.raises(AltoError) as caught:
        NetworkMap(MESH).filtered(asked(address_types=["ipv4"]))
    assert caught.value.document == {"meta": {"code": "E_MISSING_FIELD", "field": "pids"}}
