"""`linkweather sites`: every site as it is now, or all about one."""

from __future__ import annotations

import click

from linkweather.cli.asking import api_option, asking, known_site, print_json
from linkweather.cli.options import json_option
from linkweather.cli.site_tables import agenda_table, failures, site_lines, site_notes, sites_table
from linkweather.cli.terminal import terminal
from linkweather.models.state import LinkAnswer, SiteAnswer


@click.command(short_help="Show the sites, or all about one.")
@click.argument("site", required=False)
@json_option
@api_option
def sites(*, site: str | None, as_json_: bool, api: str) -> None:
    """Show every site: its newest report, clock, outbox, budget and links that are not fresh.

    With SITE, all about it: its clock, why its throughput tests ran and what they may move, when its incoming links are
    tested next and what that waits for, and what fails.
    """
    with asking(api) as client:
        found, links = client.sites(), client.links()
        if site is not None:
            site = known_site(client, site)
            found = [one for one in found if one.site == site]
    if as_json_:
        print_json(found)
    elif site is None:
        terminal().print(sites_table(found, links))
        for line in site_notes(found):
            terminal().print(line, soft_wrap=True)
    else:
        _show(found[0], links)


def _show(site: SiteAnswer, links: list[LinkAnswer]) -> None:
    console = terminal()
    console.print(site.site, style="bold")
    for line in site_lines(site):
        console.print(line, soft_wrap=True, highlight=False)
    console.print(agenda_table(link for link in links if link.dst == site.site))
    wrong = list(failures(link for link in links if site.site in {link.src, link.dst}))
    for line in wrong or ["nothing fails on its links"]:
        console.print(line, soft_wrap=True, highlight=False)
