"""Sites as people read them in a terminal: one line each, all about one of them, and what they and their links cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from linkweather.cli.link_views import worst_first
from linkweather.cli.tables import plain_table, test_reason
from linkweather.mesh.mesh_costs import LinkCost, SiteCost, dearest
from linkweather.models.state import LinkAnswer, SiteAnswer
from linkweather.units import MISSING, Unit, age, count, fitting, price, rate, size

SITE_STYLES: Mapping[str, str] = {"online": "green", "offline": "bold red", "unknown": "dim"}


def sites_table(sites: Iterable[SiteAnswer], links: Sequence[LinkAnswer]) -> Table:
    """Every site, those that are offline first: its newest report, clock, outbox, budget, and its links not fresh."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("site", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("report", "clock", "outbox", "budget left", "links", "not fresh"):
        table.add_column(heading, justify="right", no_wrap=True)
    for site in sorted(sites, key=lambda one: (one.state != "offline", one.site)):
        own = [link for link in links if site.site in {link.src, link.dst}]
        table.add_row(
            site.site,
            Text(site.state, SITE_STYLES[site.state]),
            age(site.report_age_s),
            _offset(site.clock_offset_s),
            MISSING if site.outbox_reports is None else str(site.outbox_reports),
            MISSING if site.budget_left_bytes is None else size(site.budget_left_bytes),
            str(len(own)),
            str(sum(link.state != "fresh" for link in own)),
        )
    return table


def site_notes(sites: Iterable[SiteAnswer]) -> list[str]:
    """What is wrong with sites, a line each."""
    return [
        f"{site.site}: {sentence}"
        for site in sites
        for sentence in (site.reason, site.throughput_problem)
        if sentence is not None
    ]


def site_lines(site: SiteAnswer) -> Iterator[str]:
    """All about one site, as `name: value` in lines; what it has nothing of is left out."""
    for name, said in _FACTS.items():
        value = said(site)
        if value:
            yield f"{name + ':':<12}{value}"


def agenda_table(links: Iterable[LinkAnswer]) -> Table:
    """When a site's incoming links are tested for throughput next, the soonest first, and why the last test failed."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("from", no_wrap=True)
    table.add_column("test in", justify="right", no_wrap=True)
    for heading in ("why", "waits for", "the last one failed"):
        table.add_column(heading, overflow="fold")
    for link in sorted(links, key=lambda one: (one.next_test_in_s is None, one.next_test_in_s or 0.0, one.src)):
        table.add_row(
            link.src,
            age(link.next_test_in_s),
            test_reason(link) or MISSING,
            link.next_test_waits_for or MISSING,
            _failed(link.goodput_failure, link.goodput_failure_detail) or "",
        )
    return table


def failures(links: Iterable[LinkAnswer]) -> Iterator[str]:
    """What fails now on these links, the worst first: why one is not fresh, or its newest failed measurement."""
    for link in sorted(links, key=worst_first):
        failed = _failed(link.failure, link.failure_detail)
        said = link.reason or (f"{link.failure_kind} test failed: {failed}" if failed else None)
        if said is not None:
            yield f"{link.src} → {link.dst} is {link.state}: {said}"


def _failed(reason: str | None, detail: str | None) -> str | None:
    return f"{reason}: {detail}" if reason and detail else reason


def _offset(offset_s: float | None) -> str:
    return MISSING if offset_s is None else "ok" if abs(offset_s) < 1 else f"{offset_s:+.0f} s"


def _counts(counts: Mapping[str, int] | None) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted((counts or {}).items()))


def _state(site: SiteAnswer) -> str:
    since = f" since {site.since:%Y-%m-%d %H:%M:%S} UTC" if site.since else ""
    return f"{site.state}{since}{': ' if site.reason else ''}{site.reason or ''}"


def _place(site: SiteAnswer) -> str:
    return ", ".join(filter(None, (site.address, site.operator, site.region, site.compute_id)))


def _budget(site: SiteAnswer) -> str:
    if site.budget_bytes_per_day is None:
        return ""
    return f"{size(site.budget_left_bytes)} left now of {size(site.budget_bytes_per_day)} a day"


def _outbox(site: SiteAnswer) -> str:
    kinds = ("outbox_reports", "dropped_reports", "refused_reports", "oversized_reports", "damaged_reports")
    counts = {name.removesuffix("_reports"): getattr(site, name) for name in kinds}
    counts["waiting"] = counts.pop("outbox")
    return _counts({name: number for name, number in counts.items() if number})


_FACTS: Mapping[str, Callable[[SiteAnswer], str | None]] = {
    "state": _state,
    "where": _place,
    "version": lambda site: site.version,
    "can": lambda site: ", ".join(site.capabilities),
    "report": lambda site: None if site.report_age_s is None else f"{age(site.report_age_s)} ago",
    "clock": lambda site: site.clock or (None if site.clock_offset_s is None else _offset(site.clock_offset_s)),
    "reports": _outbox,
    "tests ran": lambda site: _counts(site.throughput_tests),
    "budget": _budget,
    "suspect": lambda site: site.suspect,
    "no tests": lambda site: site.throughput_problem,
    "dropped": lambda site: _counts(site.overflows),
    "unsent": lambda site: _counts(site.unpublished),
    "damaged": lambda site: _counts(site.damaged_files),
    "failed authentication": lambda site: _counts(site.failed_authentication),
}


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
    table = _cost_table("site", ("packets", "latency tests", "throughput tests", "budget", "sent", *["USD"] * usd))
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
    table = _cost_table("link", ("packets", "latency tests", "throughput tests", *["USD"] * usd))
    for link in dearest(links)[:MOST_LINKS]:
        figures = (_count(link.packets), size(link.latency_bytes), size(link.test_bytes))
        table.add_row(f"{link.src} → {link.dst}", *figures, *([price(link.usd)] if usd else ()))
    return table


def _cost_table(of: str, figures: Sequence[str]) -> Table:
    """Where room is short names are cut or go on in another line; figures never."""
    table = plain_table((of,), figures)
    table.columns[0].no_wrap = False
    return table


def _count(number: float) -> str:
    return fitting(number, _COUNTS).text(number).rstrip()
