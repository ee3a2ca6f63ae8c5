"""`linkweather archive`: the sinks, and the rows that they refused."""

from __future__ import annotations

import click

from linkweather.cli.asking import api_option, asking, print_json
from linkweather.cli.options import json_option
from linkweather.cli.output import echo
from linkweather.cli.record_tables import set_aside_table, sinks_table
from linkweather.cli.terminal import terminal
from linkweather.client import Client
from linkweather.units import count


@click.group(short_help="Show the sinks, and send or drop what they refused.")
def archive() -> None:
    """Show the sinks, what waits for them, and the rows that they refused for good: set aside, not lost."""


@archive.command("list")
@click.argument("sink", required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most so many entries.")
@json_option
@api_option
def list_(*, sink: str | None, limit: int, as_json_: bool, api: str) -> None:
    """Show every sink, or what SINK refused, the newest first."""
    with asking(api) as client:
        if sink is None:
            _show_sinks(client, as_json_=as_json_)
            return
        entries = client.set_aside(sink, limit=limit)
    if as_json_:
        print_json(entries)
    else:
        terminal().print(set_aside_table(entries))


@archive.command()
@click.argument("sink")
@api_option
def retry(*, sink: str, api: str) -> None:
    """Send again what SINK refused, now that the cause is mended; what it refuses again is set aside again."""
    with asking(api) as client:
        answer = client.retry_set_aside(sink)
    echo(f"sent to {sink} again: {count(answer.set_aside_rows, 'row')}")


@archive.command()
@click.argument("sink")
@api_option
def drop(*, sink: str, api: str) -> None:
    """Let go of what SINK refused; of a sink that is no longer configured, of all that the journal keeps for it."""
    with asking(api) as client:
        answer = client.drop_set_aside(sink)
    echo(f"nothing is set aside for {sink}; let go of so far: {count(answer.dropped_rows, 'row')}")


def _show_sinks(client: Client, *, as_json_: bool) -> None:
    sinks = client.sinks()
    if as_json_:
        print_json(sinks)
        return
    terminal().print(sinks_table(sinks))
    for one in sinks:
        if one.error:
            echo(f"{one.sink}: {one.error}")
