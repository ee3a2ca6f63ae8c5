"""The commands that ask a running collector: `links` and `mesh`. They import nothing that only a collector needs."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from collector.meshfile import summary
from linkweather import settings
from linkweather.answers import LinkAnswer
from linkweather.cli import EXIT_FAILED
from linkweather.client import DEFAULT_API, Client, CollectorAway, as_json
from linkweather.demo.display import PAGE_S, page
from linkweather.mesh import Mesh
from linkweather.table import WIDTH, links_table

api_option = click.option(
    "--api", envvar="LINKWEATHER_API", default=DEFAULT_API, show_default=True, help="Where the collector's API is."
)
json_option = click.option("--json", "as_json_", is_flag=True, help="Print JSON.")


# The table's head and rule, the lines below it, and the prompt.
_OTHER_ROWS = 7


def _a_number(context: click.Context, option: click.Parameter, value: float) -> float:
    if math.isnan(value):  # click lets it through every bound
        raise click.BadParameter("nan is not a number of seconds", context, option)
    return value


@click.command(short_help="Print the links and how they are now.")
@json_option
@click.option("--watch", is_flag=True, help="Print again and again, until Ctrl-C.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=0.1, max=86400),
    callback=_a_number,
    default=2.0,
    show_default=True,
    metavar="SECONDS",
)
@api_option
def links(*, as_json_: bool, watch: bool, every_s: float, api: str) -> None:
    """Print every link of the mesh: state, RTT, jitter (RTT p95 - p50), loss, goodput, age.

    With --json and --watch: one line of JSON each time.
    """
    with _asking(api) as client:
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
        click.echo(json.dumps(as_json(answers), indent=2))
    else:
        console = _console()
        console.print(links_table(answers, console.width))


def _watch(client: Client, every_s: float) -> None:
    """Keep the table on the screen; a collector that goes away is said below it, and asked again."""
    console = _console()
    answers, note = client.links(), ""
    with Live(_screen(answers, note, console), console=console, auto_refresh=False) as live:
        while True:
            try:
                answers, note = client.links(), ""
            except CollectorAway as away:
                note = str(away)
            live.update(_screen(answers, note, console), refresh=True)
            time.sleep(every_s)


def _screen(answers: list[LinkAnswer], note: str, console: Console) -> Group:
    """What fits the terminal now; a longer table turns its pages by itself, so that no link stays unseen."""
    shown, which = page(answers, max(1, console.height - _OTHER_ROWS), int(time.monotonic() / PAGE_S))
    lines = [Text(line, style) for line, style in ((which, "dim"), (note, "red")) if line]
    return Group(links_table(shown, console.width), *lines)


@click.group()
def mesh() -> None:
    """Check, show and push the mesh: the sites, the links to measure, and how."""


@mesh.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check a mesh file, without a collector."""
    click.echo(summary(settings.load(file, Mesh), str(file)))


@mesh.command()
@json_option
@api_option
def show(*, as_json_: bool, api: str) -> None:
    """Show the mesh that is in force."""
    with _asking(api) as client:
        answer = client.mesh()
    if as_json_:
        click.echo(json.dumps(as_json(answer.mesh), indent=2))
        return
    click.echo(summary(answer.mesh, answer.mesh.name))
    for name, site in answer.mesh.sites.items():
        click.echo(f"  {name}  {site.address}  {site.operator or ''}".rstrip())
    if answer.refused:
        click.echo(f"The mesh file has changed and is refused: {answer.refused}")


@mesh.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--token-file", type=click.Path(path_type=Path), help="The collector's token, from another machine.")
@api_option
def push(file: Path, token_file: Path | None, api: str) -> None:
    """Put a mesh file into force: the collector checks it, writes its own file and tells the sites."""
    text = settings.read(file)
    settings.parse(text, Mesh, str(file))
    with _asking(api, token=settings.read(token_file).strip() if token_file else None) as client:
        click.echo(f"in force: {summary(client.push_mesh(text).mesh, str(file))}")


@contextlib.contextmanager
def _asking(api: str, **options: Any) -> Iterator[Client]:
    """A client; a collector that is away, and Ctrl-C, end the command without a traceback."""
    with Client(api, **options) as client:
        try:
            yield client
        except CollectorAway as away:
            click.echo(f"Error: {away}: start it with `linkweather collector`, or name another with --api", err=True)
            raise SystemExit(EXIT_FAILED) from None
        except KeyboardInterrupt:
            raise SystemExit(0) from None


def _console() -> Console:
    """The terminal; a pipe gets the full width of the table and no colours."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)
