"""`linkweather links`: every link as it is now, once or live."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import get_args

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from linkweather.cli.asking import api_option, asking, print_json
from linkweather.cli.link_views import ORDERS, grid, notes, worst_first, wrong_first
from linkweather.cli.options import duration_between, json_option
from linkweather.cli.output import echo
from linkweather.cli.tables import PAGE_S, links_table
from linkweather.cli.terminal import Terminal, terminal
from linkweather.client import as_json
from linkweather.errors import CollectorUnavailableError
from linkweather.models.state import LinkAnswer, LinkCondition

LINK_STATES = get_args(LinkCondition)
_MOST_NOTES = 20

# The rows of the terminal that hold no link: head, rules, the lines below the table, the prompt.
_OTHER_ROWS = 7


@click.command(short_help="Print the links and how they are now.")
@json_option
@click.option("--from", "src", metavar="SITE", help="The links from this site alone.")
@click.option(
    "--state", "states", type=click.Choice(LINK_STATES), multiple=True, help="Those in this state; may be repeated."
)
@click.option(
    "--sort", type=click.Choice([*ORDERS]), help="By which column, the worst first.  [default: name; --watch: state]"
)
@click.option("--grid", "as_grid", is_flag=True, help="All links as a coloured grid of sites.")
@click.option("--watch", is_flag=True, help="Print again and again, until Ctrl-C; what is wrong comes first.")
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
def links(
    *,
    as_json_: bool,
    src: str | None,
    states: tuple[str, ...],
    sort: str | None,
    as_grid: bool,
    watch: bool,
    every_s: float,
    api: str,
) -> None:
    """Print every link of the mesh: state, RTT, jitter (RTT p95 - p50), loss, goodput, age, next throughput test.

    A terminal of 100 columns also shows how old the goodput is, why its next test takes place and what that waits for;
    --json always does.

    With --json and --watch: one line of JSON each time.
    """
    with asking(api) as client:

        def wanted() -> list[LinkAnswer]:
            answers = client.links()
            some = [one for one in answers if src in {None, one.src} and (not states or one.state in states)]
            return some if sort is None else sorted(some, key=ORDERS[sort])

        if not watch:
            _print_links(wanted(), as_json_=as_json_, as_grid=as_grid, sort=sort)
        elif as_json_:
            while True:
                echo(json.dumps(as_json(wanted())))
                time.sleep(every_s)
        else:
            _watch(wanted, every_s, as_grid=as_grid)


def _print_links(answers: list[LinkAnswer], *, as_json_: bool, as_grid: bool = False, sort: str | None = None) -> None:
    if as_json_:
        print_json(answers)
        return
    console = terminal()
    shown = grid(answers, console.width) if as_grid else links_table(answers, console.width, ORDERS[sort or "name"])
    console.print(shown)
    for line in notes(answers, _MOST_NOTES):
        console.print(line, soft_wrap=True)


def _watch(wanted: Callable[[], list[LinkAnswer]], every_s: float, *, as_grid: bool) -> None:
    """Keep the table on the screen; if the collector stops answering, a line below says so, and it is asked again."""
    console = terminal()
    answers, note = wanted(), ""
    with Live(_screen(answers, note, console, as_grid=as_grid), console=console, auto_refresh=False) as live:
        while True:
            try:
                answers, note = wanted(), ""
            except CollectorUnavailableError as away:
                note = str(away)
            live.update(_screen(answers, note, console, as_grid=as_grid), refresh=True)
            time.sleep(every_s)


def _screen(answers: list[LinkAnswer], note: str, console: Terminal, *, as_grid: bool = False) -> Group:
    """The rows that fit the terminal, what is wrong first; the rest turns its pages, so that every link is seen."""
    why = notes(answers, max(1, console.height // 6))
    rows = max(1, console.height - _OTHER_ROWS - len(why))
    shown, which = wrong_first(answers, rows, int(time.monotonic() / PAGE_S))
    whole = grid(answers, console.width) if as_grid else links_table(shown, console.width, worst_first)
    lines = [Text(line, style) for line, style in (("" if as_grid else which, "dim"), (note, "red")) if line]
    lines += [Text(line, "yellow", no_wrap=True, overflow="ellipsis") for line in why]
    return Group(whole, *lines)
