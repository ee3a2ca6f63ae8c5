"""What a mesh's tests cost a day at most: packets, bytes and money, of each link and of each site. Pure.

Latency tests send what `mesh_load` says. A link's throughput is tested once in `every_s`, or once in a table of turns
where that is longer, for `max_duration_s` at what the link can carry; tests that converge, and quiet links, take less.
Budgets cap that: where a site's tests want more than its budget, each of them gets the same share of what it wants.
Reports (a row is some 300 bytes) and traces are not counted: together a fiftieth of the latency tests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from linkweather.mesh.mesh_load import packet_bytes
from linkweather.mesh.mesh_model import Mesh
from linkweather.mesh.patterns import Pair

DAY_S: Final = 86_400.0
# Of a site: what a small machine still answers without losing probes, and a tenth of 1 Gbit/s.
MOST_PACKETS_PER_S: Final = 20_000
MOST_BYTES_PER_S: Final = 12_500_000
_GB: Final = 1e9


class LinkCost(NamedTuple):
    """A day of a link: probes and replies, and the payload of its throughput tests.

    `usd` is what the ends that have a price pay for what they send; None where neither has one.
    """

    src: str
    dst: str
    packets: float
    latency_bytes: float
    test_bytes: float
    usd: float | None

    @property
    def bytes(self) -> float:
        """All of them."""
        return self.latency_bytes + self.test_bytes


@dataclass(slots=True)
class SiteCost:
    """A day of a site: what it sends and receives, and what it pays for what it sends."""

    site: str
    budget_bytes: int | None
    packets: float = 0.0
    latency_bytes: float = 0.0
    test_bytes: float = 0.0
    sent_bytes: float = 0.0
    usd: float | None = None

    @property
    def bytes(self) -> float:
        """Sent and received."""
        return self.latency_bytes + self.test_bytes


def link_costs(mesh: Mesh, rate_bps: float, measured_bps: Mapping[Pair, float] | None = None) -> list[LinkCost]:
    """Every link's, in the mesh's order; `rate_bps` is what a link carries whose goodput is not in `measured_bps`."""
    tests = _test_bytes(mesh, rate_bps, measured_bps or {})
    return [_link_cost(mesh, src, dst, tests.get((src, dst), 0.0)) for src, dst in mesh.pairs()]


def site_costs(mesh: Mesh, links: Iterable[LinkCost]) -> list[SiteCost]:
    """Every site's, in the mesh's order."""
    found = {site: SiteCost(site, mesh.budget_bytes_per_day(site)) for site in mesh.sites}
    for link in links:
        for name, sent_bytes in (
            (link.src, link.latency_bytes / 2 + link.test_bytes),
            (link.dst, link.latency_bytes / 2),
        ):
            site, price = found[name], mesh.sites[name].egress_usd_per_gb
            site.packets += link.packets
            site.latency_bytes += link.latency_bytes
            site.test_bytes += link.test_bytes
            site.sent_bytes += sent_bytes
            if price is not None:
                site.usd = (site.usd or 0.0) + sent_bytes / _GB * price
    return list(found.values())


def excessive(sites: Iterable[SiteCost]) -> list[str]:
    """A sentence for each site of which the latency tests ask more than most sites can bear, sent and received."""
    return [
        f"{one.site}: {one.packets / DAY_S:,.0f} packets/s and {one.latency_bytes / DAY_S / 1e6:,.1f} MB/s "
        f"by latency tests alone; more than {MOST_PACKETS_PER_S:,} packets/s or {MOST_BYTES_PER_S / 1e6:g} MB/s"
        for one in sites
        if one.packets > MOST_PACKETS_PER_S * DAY_S or one.latency_bytes > MOST_BYTES_PER_S * DAY_S
    ]


def dearest(costs: Iterable[LinkCost]) -> list[LinkCost]:
    """The most expensive first: by money where it is known, then by bytes."""
    return sorted(costs, key=lambda link: (-(link.usd or 0.0), -link.bytes, link.src, link.dst))


def _link_cost(mesh: Mesh, src: str, dst: str, test_bytes: float) -> LinkCost:
    latency = mesh.tests(src, dst).latency
    packets = 0.0 if mesh.sites[dst].nat else 2 * DAY_S / latency.interval_s
    latency_bytes = packets * packet_bytes(latency)
    prices = mesh.sites[src].egress_usd_per_gb, mesh.sites[dst].egress_usd_per_gb
    sent = latency_bytes / 2 + test_bytes, latency_bytes / 2
    known = [price * bytes_ / _GB for price, bytes_ in zip(prices, sent, strict=True) if price is not None]
    return LinkCost(src, dst, packets, latency_bytes, test_bytes, sum(known) if known else None)


def _test_bytes(mesh: Mesh, rate_bps: float, measured_bps: Mapping[Pair, float]) -> dict[Pair, float]:
    least_s = mesh.throughput.slot_s * 2 * (mesh.degree + 1)
    wanted: dict[Pair, float] = {}
    of_site: defaultdict[str, float] = defaultdict(float)
    for pair in mesh.tested_pairs():
        tests = mesh.tests(*pair).throughput
        most = (
            DAY_S / max(tests.every_s, least_s) * mesh.throughput.max_duration_s * measured_bps.get(pair, rate_bps) / 8
        )
        wanted[pair] = min(most, tests.link_budget_bytes_per_day or most)
        for site in pair:
            of_site[site] += wanted[pair]
    budgets = {site: mesh.budget_bytes_per_day(site) for site in of_site}
    shares = {site: min(1.0, (budgets[site] or bytes_) / bytes_) for site, bytes_ in of_site.items() if bytes_}
    return {
        (src, dst): bytes_ * min(shares.get(src, 1.0), shares.get(dst, 1.0)) for (src, dst), bytes_ in wanted.items()
    }
