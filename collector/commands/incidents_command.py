"""`linkweather incidents`: what is wrong now, and what was; acknowledge and silence."""

from __future__ import annotations

import click

from linkweather.cli.asking import api_option, asking, print_json
from linkweather.cli.options import json_option
from linkweather.cli.output import echo
from linkweather.cli.record_tables import incidents_table, silences_table
from linkweather.cli.root import EXIT_FAILED
from linkweather.cli.terminal import terminal
from linkweather.models.incidents import SilenceAnswer

reason_option = click.option("--reason", required=True, metavar="TEXT", help="Why, for those who ask.")
until_option = click.option(
    "--until", required=True, metavar="TIME", help="For how long, such as 2h, or an RFC 3339 time."
)


@click.group(invoke_without_command=True, short_help="Show what is wrong, since when and why.")
@click.option("--since", default="24h", show_default=True, metavar="TIME", help="Also what is over, back to then.")
@click.option("--site", metavar="SITE", help="Of this site and its links alone.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many incidents.")
@json_option
@api_option
@click.pass_context
def incidents(ctx: click.Context, *, since: str, site: str | None, limit: int, as_json_: bool, api: str) -> None:
    """Show the incidents that last, and those that are over: a link down, lossy or slow, a site silent, a sink behind.

    What one thing explains is one incident: a site that cannot be reached, with all of its links. Exit status 1:
    something is wrong now.
    """
    if ctx.invoked_subcommand is not None:
        return
    with asking(api) as client:
        answer = client.incidents(since=since, site=site, limit=limit)
    if as_json_:
        print_json(answer)
    else:
        if answer.incidents:
            terminal().print(incidents_table(answer))
        if answer.omitted:
            echo(f"{answer.omitted} further incidents: --limit shows more")
        echo(answer.sentence)
    if any(one.until is None for one in answer.incidents):
        raise SystemExit(EXIT_FAILED)


@incidents.command()
@click.argument("incident")
@reason_option
@until_option
@api_option
def ack(*, incident: str, reason: str, until: str, api: str) -> None:
    """Acknowledge INCIDENT, an id of `incidents --json`: people are told no more of it until then, but of its end."""
    with asking(api) as client:
        _say(client.acknowledge(incident, reason=reason, until=until))


@incidents.command()
@click.option("--site", metavar="SITE", help="A site and its links.")
@click.option("--link", nargs=2, metavar="SITE SITE", help="The links between two sites.")
@click.option("--kind", help="One kind, such as latency; with --site or --link, this kind there.")
@reason_option
@until_option
@api_option
def silence(
    *,
    site: str | None,
    link: tuple[str, str] | None,
    kind: str | None,
    reason: str,
    until: str,
    api: str,
) -> None:
    """Have people told nothing of a site, of the links between two, or of a kind of incidents, such as for repairs.

    What goes beyond it, they are told. What lasts when it ends, they are told then.
    """
    src, dst = link or (None, None)
    with asking(api) as client:
        _say(client.silence(reason=reason, until=until, site=site, src=src, dst=dst, kind=kind))


@incidents.command()
@json_option
@api_option
def silences(*, as_json_: bool, api: str) -> None:
    """Show what people are not told of now, until when and why."""
    with asking(api) as client:
        found = client.silences()
    if as_json_:
        print_json(found)
    elif found:
        terminal().print(silences_table(found))
    else:
        echo("nothing is silenced")


@incidents.command()
@click.argument("silence_id", metavar="ID")
@api_option
def unsilence(*, silence_id: str, api: str) -> None:
    """End the silence, or the acknowledgement, ID of `incidents silences` before its time."""
    with asking(api) as client:
        client.end_silence(silence_id)
    echo(f"{silence_id} is ended")


def _say(found: SilenceAnswer) -> None:
    echo(f"{found.id} until {found.until:%Y-%m-%d %H:%M:%S} UTC: {found.reason}")
