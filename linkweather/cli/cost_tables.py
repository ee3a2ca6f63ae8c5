"""What a mesh costs, as tables for people.

A room of its own: what a mesh costs is worked out here and in no answer of the API, which `tables` shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.table import Table

from linkweather.cli.tables import plain_table
from linkweather.mesh.mesh_costs import LinkCost, SiteCost, dearest
from linkweather.units import Unit, count, fitting, price, rate, size

MOST_SITES: Final = 20
MOST_LINKS: Final = 5
_COUNTS: Final = (Unit("", 1.0), Unit("k", 1e3), Unit("M", 1e6), Unit("G", 1e9), Unit("T", 1e12))


def total_line(links: Sequence[LinkCost], rate_bps: float) -> str:
    """What all links cost, each byte once."""
    packets, latency = sum(link.packets for link in links), sum(link.latency_bytes for link in links)
    tests, usd = sum(link.test_bytes for link in links), [link.usd for link in links if link.usd is not None]
    money = f"; {price(sum(usd))} USD" if usd else ""
    return (
        f"a day at most: {_count(packets)} packets, {size(latency)}, of latency tests; "
        f"{size(tests)} of throughput tests, at {rate(rate_bps)} where no goodput is known{money}"
    )


def sites_cost_table(sites: Sequence[SiteCost]) -> Table:
    """The sites that cost most, MOST_SITES at most: what they send and receive a day."""
    usd = any(site.usd is not None for site in sites)
    table = plain_table(("site",), ("packets", "latency tests", "throughput tests", "budget", "sent", *["USD"] * usd))
    ordered = sorted(sites, key=lambda site: (-(site.usd or 0.0), -site.bytes, site.site))
    for site in ordered[:MOST_SITES]:
        budget = "none" if site.budget_bytes is None else size(site.budget_bytes)
        figures = (_count(site.packets), size(site.latency_bytes), size(site.test_bytes), budget, size(site.sent_bytes))
        table.add_row(site.site, *figures, *([price(site.usd)] if usd else ()))
    if len(ordered) > MOST_SITES:
        table.add_row(f"and {count(len(ordered) - MOST_SITES, 'more site')}")
    return table


def links_cost_table(links: Sequence[LinkCost]) -> Table:
    """The links that cost most, MOST_LINKS at most."""
    usd = any(link.usd is not None for link in links)
    table = plain_table(("link",), ("packets", "latency tests", "throughput tests", *["USD"] * usd))
    for link in dearest(links)[:MOST_LINKS]:
        figures = (_count(link.packets), size(link.latency_bytes), size(link.test_bytes))
        table.add_row(f"{link.src} → {link.dst}", *figures, *([price(link.usd)] if usd else ()))
    return table


def _count(number: float) -> str:
    return fitting(number, _COUNTS).text(number).rstrip()
