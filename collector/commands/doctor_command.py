"""`linkweather doctor`: what ails the sites and the collector, and what to do about it."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich import box
from rich.table import Table

from linkweather.cli.asking import api_option, asking, known_site, terminal
from linkweather.cli.diagnosis import Diagnosis, diagnose
from linkweather.cli.options import json_option
from linkweather.cli.root import EXIT_FAILED
from linkweather.units import count


@click.command(short_help="Say what ails the sites, and what to do.")
@click.argument("site", required=False)
@json_option
@api_option
def doctor(*, site: str | None, as_json_: bool, api: str) -> None:
    """Ask the collector what the sites say of themselves and of their links, and say what to do about what is wrong.

    Clocks, time stamps, ports that are closed, keys, iperf3, broker, permissions, disks. Exit status 1: there is
    something to do.
    """
    with asking(api) as client:
        site = None if site is None else known_site(client, site)
        sites, links = client.sites(), client.links()
        found = diagnose(sites, links, client.incidents(since="1m").incidents, client.sinks())
    found = [one for one in found if site in {None, one.subject}]
    if as_json_:
        click.echo(_json(found))
    elif found:
        terminal().print(_table(found))
    else:
        click.echo(f"nothing is found: {count(len(sites), 'site')}, {count(len(links), 'link')}")
    if found:
        raise SystemExit(EXIT_FAILED)


def _json(found: list[Diagnosis]) -> str:
    return json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False)


def _table(found: list[Diagnosis]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("of", no_wrap=True)
    for heading in ("what", "what to do"):
        table.add_column(heading, overflow="fold")
    for one in found:
        table.add_row(one.subject, one.what, one.todo)
    return table
