"""`linkweather links`: every link as it is now, once or live."""

from __future__ import annotations

import json
import time

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from linkweather.cli.asking import api_option, asking, print_json, terminal
from linkweather.cli.click_types import duration_between
from linkweather.cli.options import json_option
from linkweather.cli.tables import PAGE_S, links_table, page
from linkweather.client import Client, as_json
from linkweather.errors import CollectorUnavailableError
from linkweather.models.state import LinkAnswer

# The rows of the terminal that hold no link: head, rules, the lines below the table, the prompt.
_OTHER_ROWS = 7


@click.command(short_help="Print the links and how they are now.")
@json_option
@click.option("--watch", is_flag=True, help="Print again and again, until Ctrl-C.")
@click.option(
    "--every",
    "every_s",
    type=duration_between(0.1, 86400),
    default="2s",
    show_default=True,
    metavar="TIME",
    help="With --watch: how long from one time to the next.",
)
@api_option
def links(*, as_json_: bool, watch: bool, every_s: float, api: str) -> None:
    """Print every link of the mesh: state, RTT, jitter (RTT p95 - p50), loss, goodput, age, next throughput test.

    A terminal of 100 columns also shows why that test takes place and what it waits for; --json always does.

    With --json and --watch: one line of JSON each time.
    """
    with asking(api) as client:
        if not watch:
            _print_links(client.links(), as_json_=as_json_)
        elif as_json_:
            while True:
                click.echo(json.dumps(as_json(client.links())))
                time.sleep(every_s)
        else:
            _watch(client, every_s)


def _print_links(answers: list[LinkAnswer], *, as_json_: bool) -> None:
    if as_json_:
        print_json(answers)
    else:
        console = terminal()
        console.print(links_table(answers, console.width))
        for reason in _reasons(answers):
            console.print(reason, soft_wrap=True)


def _reasons(answers: list[LinkAnswer]) -> list[str]:
    """What explains the states, each once."""
    return list(dict.fromkeys(answer.reason for answer in answers if answer.reason))


def _watch(client: Client, every_s: float) -> None:
    """Keep the table on the screen; if the collector stops answering, a line below says so, and it is asked again."""
    console = terminal()
    answers, note = client.links(), ""
    with Live(_screen(answers, note, console), console=console, auto_refresh=False) as live:
        while True:
            try:
                answers, note = client.links(), ""
            except CollectorUnavailableError as away:
                note = str(away)
            live.update(_screen(answers, note, console), refresh=True)
            time.sleep(every_s)


def _screen(answers: list[LinkAnswer], note: str, console: Console) -> Group:
    """The rows that fit the terminal; a longer table turns its pages by itself, so that every link is seen."""
    reasons = _reasons(answers)
    rows = max(1, console.height - _OTHER_ROWS - len(reasons))
    shown, which = page(answers, rows, int(time.monotonic() / PAGE_S))
    lines = [Text(line, style) for line, style in ((which, "dim"), (note, "red")) if line]
    lines += [Text(reason, "yellow") for reason in reasons]
    return Group(links_table(shown, console.width), *lines)
