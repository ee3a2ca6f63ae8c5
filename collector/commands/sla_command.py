"""`linkweather sla`: how available a link or a site was over a span."""

from __future__ import annotations

import click

from linkweather.cli.asking import api_option, asking, print_json
from linkweather.cli.options import json_option
from linkweather.cli.output import echo
from linkweather.cli.record_tables import sla_table
from linkweather.cli.terminal import terminal


@click.command(short_help="Say how available a link, a site or all links were.")
@click.argument("site", required=False)
@click.argument("dst", required=False)
@click.option(
    "--since", default="30d", show_default=True, metavar="TIME", help="How long ago, such as 7d, or an RFC 3339 time."
)
@click.option("--until", default="now", show_default=True, metavar="TIME", help="The same; not included.")
@json_option
@api_option
def sla(*, site: str | None, dst: str | None, since: str, until: str, as_json_: bool, api: str) -> None:
    """Show availability, loss and RTT of the link from SITE to DST, of all of SITE, or of all, over the whole span.

    Available is time in which a probe came back, `down` time in which none did. `known` is the share of the span of
    which there are reports: nothing is known of the rest, which counts as neither.
    """
    with asking(api) as client:
        if dst is None:
            answer = client.sla(site=site, since=since, until=until)
        else:
            answer = client.sla(src=site, dst=dst, since=since, until=until)
    if as_json_:
        print_json(answer)
        return
    terminal().print(sla_table(answer))
    echo(f"{answer.since:%Y-%m-%d %H:%M:%S} to {answer.until:%Y-%m-%d %H:%M:%S} UTC, from {answer.resolution}")
