"""`linkweather incidents`: what is wrong now, and what was."""

from __future__ import annotations

import click

from linkweather.cli.asking import api_option, asking, print_json, terminal
from linkweather.cli.options import json_option
from linkweather.cli.root import EXIT_FAILED
from linkweather.cli.tables import incidents_table


@click.command(short_help="Show what is wrong, since when and why.")
@click.option("--since", default="24h", show_default=True, metavar="TIME", help="Also what is over, back to then.")
@click.option("--site", metavar="SITE", help="Of this site and its links alone.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many incidents.")
@json_option
@api_option
def incidents(*, since: str, site: str | None, limit: int, as_json_: bool, api: str) -> None:
    """Show the incidents that last, and those that are over: a link down, lossy or slow, a site silent, a sink behind.

    What one thing explains is one incident: a site that cannot be reached, with all of its links. Exit status 1:
    something is wrong now.
    """
    with asking(api) as client:
        answer = client.incidents(since=since, site=site, limit=limit)
    if as_json_:
        print_json(answer)
    else:
        if answer.incidents:
            terminal().print(incidents_table(answer))
        if answer.omitted:
            click.echo(f"{answer.omitted} further incidents: --limit shows more")
        click.echo(answer.sentence)
    if any(one.until is None for one in answer.incidents):
        raise SystemExit(EXIT_FAILED)
