"""`linkweather history`: one link over days, months or years."""

from __future__ import annotations

import click

from linkweather.cli.asking import api_option, asking, print_json
from linkweather.cli.options import json_option
from linkweather.cli.output import echo
from linkweather.cli.record_tables import history_table
from linkweather.cli.terminal import terminal


@click.command(short_help="Show one link over time.")
@click.argument("src")
@click.argument("dst")
@click.option(
    "--since", default="24h", show_default=True, metavar="TIME", help="How long ago, such as 30d, or an RFC 3339 time."
)
@click.option("--until", default="now", show_default=True, metavar="TIME", help="The same; not included.")
@click.option("--step", metavar="TIME", help="One line's time, such as 1h; without it, some hundred lines at most.")
@json_option
@api_option
def history(*, src: str, dst: str, since: str, until: str, step: str | None, as_json_: bool, api: str) -> None:
    """Show how the link from SRC to DST was: RTT, loss, availability and goodput, step by step.

    Rows are read for hours, minutes for days, hours for longer; how long each is kept, the collector's settings say.
    """
    with asking(api) as client:
        answer = client.link_history(src, dst, since=since, until=until, step=step)
    if as_json_:
        print_json(answer)
        return
    terminal().print(history_table(answer))
    kept = {"rows": "rows", "minutes": "roll-ups by minutes", "hours": "roll-ups by hours"}[answer.resolution]
    echo(f"{answer.src} → {answer.dst}, {len(answer.steps)} steps of {answer.step_s} s, from {kept}")
