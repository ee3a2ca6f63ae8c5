"""What a mesh costs a day, worked out by hand.

A probe every 0.1 s and its reply are 1,728,000 packets of 72 bytes a day. At 8 Gbit/s a test of 3 s moves 3 GB; every
600 s are 144 tests, 432 GB.
"""

from __future__ import annotations

from typing import Any

import pytest

from linkweather.mesh import UNLIMITED_BYTES, Mesh
from linkweather.mesh.mesh_costs import LinkCost, SiteCost, dearest, excessive, link_costs, site_costs

PACKETS, PROBES, TESTS = 1_728_000.0, 1_728_000 * 72.0, 432e9
RATE_BPS = 8e9


def mesh(*, budget: int = UNLIMITED_BYTES, sites: dict[str, dict[str, Any]] | None = None, **throughput: Any) -> Mesh:
    """Three sites, and links a → b and a → c."""
    given = {name: {"address": f"192.0.2.{number}"} for number, name in enumerate("abc", start=1)}
    for name, fields in (sites or {}).items():
        given[name] |= fields
    links = [{"src": "a", "dst": "b"}, {"src": "a", "dst": "c"}]
    throughput = {"budget_bytes_per_day": budget, **throughput}
    return Mesh.model_validate({"sites": given, "links": links, "throughput": throughput})


def test_a_link_costs_its_probes_and_its_tests() -> None:
    found = link_costs(mesh(), RATE_BPS)
    assert found == [LinkCost("a", dst, PACKETS, PROBES, TESTS, None) for dst in "bc"]
    assert found[0].bytes == PROBES + TESTS


def test_a_measured_goodput_counts_for_its_link() -> None:
    first, second = link_costs(mesh(), RATE_BPS, {("a", "c"): 8e6})
    assert [first.test_bytes, second.test_bytes] == pytest.approx([TESTS, TESTS / 1000])


def test_turns_take_longer_than_every_s_where_that_is_short() -> None:
    # a has two links: 5 s for each of 2 * 3 slots, 2,880 tests a day.
    assert link_costs(mesh(every_s=0.0), RATE_BPS)[0].test_bytes == 2880 * 3e9


def test_a_budget_is_shared_by_the_links_of_the_site() -> None:
    budget = 10**9
    found = link_costs(mesh(sites={"a": {"budget_bytes_per_day": budget}}), RATE_BPS)
    assert [link.test_bytes for link in found] == [pytest.approx(budget / 2)] * 2
    # The other end's is as binding.
    (first, second) = link_costs(mesh(sites={"b": {"budget_bytes_per_day": budget}}), RATE_BPS)
    assert [first.test_bytes, second.test_bytes] == pytest.approx([budget, TESTS])
    (first, _) = link_costs(mesh(link_budget_bytes_per_day=2 * budget), RATE_BPS)
    assert first.test_bytes == 2 * budget


def test_what_is_not_measured_costs_nothing() -> None:
    (first, second) = link_costs(mesh(sites={"b": {"nat": True}, "c": {"throughput": False}}), RATE_BPS)
    assert (first.packets, first.latency_bytes, first.test_bytes) == (0, 0, TESTS)
    assert (second.packets, second.test_bytes) == (PACKETS, 0)
    assert [link.test_bytes for link in link_costs(mesh(enabled=False), RATE_BPS)] == [0, 0]
    assert [link.test_bytes for link in link_costs(mesh(), 0.0)] == [0, 0]


def test_a_site_pays_for_what_it_sends() -> None:
    priced = mesh(sites={"a": {"egress_usd_per_gb": 0.1}, "b": {"egress_usd_per_gb": 1.0}})
    links = link_costs(priced, RATE_BPS)
    sent_usd = (PROBES / 2 + TESTS) / 1e9 * 0.1
    assert [link.usd for link in links] == [pytest.approx(sent_usd + PROBES / 2 / 1e9), pytest.approx(sent_usd)]
    a, b, c = site_costs(priced, links)
    assert (a.packets, a.latency_bytes, a.test_bytes) == (2 * PACKETS, 2 * PROBES, 2 * TESTS)
    assert (a.sent_bytes, b.sent_bytes) == (PROBES + 2 * TESTS, PROBES / 2)
    assert [a.usd, b.usd] == pytest.approx([2 * sent_usd, PROBES / 2 / 1e9])
    assert c == SiteCost("c", None, PACKETS, PROBES, TESTS, PROBES / 2, None)
    assert c.bytes == PROBES + TESTS


def test_the_dearest_come_first_by_money_then_by_bytes() -> None:
    links = [
        LinkCost("a", dst, 1, bytes_, 0, usd) for dst, bytes_, usd in (("b", 1, None), ("c", 2, None), ("d", 0, 1.0))
    ]
    assert [link.dst for link in dearest(links)] == ["d", "c", "b"]


def test_a_site_of_which_latency_tests_ask_too_much_is_named() -> None:
    sites = {f"s{number}": {"address": f"192.0.2.{number}"} for number in range(1, 60)}
    mesh = Mesh.model_validate({"sites": sites, "latency": {"interval_s": 0.01}})
    # 58 peers, two links with each, two packets each 10 ms: 23,200 a second, of 72 octets.
    assert excessive(site_costs(mesh, link_costs(mesh, 1e9)))[0] == (
        "s1: 23,200 packets/s and 1.7 MB/s by latency tests alone; more than 20,000 packets/s or 12.5 MB/s"
    )
    large = Mesh.model_validate({"sites": sites, "latency": {"interval_s": 0.02, "packet_bytes": 1472}})
    assert len(excessive(site_costs(large, link_costs(large, 1e9)))) == 59  # 11,600 packets/s of 1500 octets
    calm = Mesh.model_validate({"sites": sites})
    assert excessive(site_costs(calm, link_costs(calm, 1e9))) == []
