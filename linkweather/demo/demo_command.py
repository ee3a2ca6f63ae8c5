"""`linkweather demo`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from linkweather import settings
from linkweather.cli.options import PERIOD, PORT
from linkweather.cli.output import echo
from linkweather.cli.terminal import Terminal
from linkweather.demo import display
from linkweather.demo.demo_run import DemoOrder, run
from linkweather.errors import OperatorError
from linkweather.lab.labfile import LabFile, first_sites, shipped
from linkweather.lab.protocol import LabEngineName

DEFAULT_LAB = "labs/hubs.toml"


@click.command()
@click.option(
    "--for", "for_s", type=PERIOD, metavar="TIME", help="End after this long, such as 60s; without it, at Ctrl-C."
)
@click.option("--port", type=PORT, default=8484, show_default=True, help="The API's port.")
@click.option("--sites", type=click.IntRange(min=2), help="Only the lab's first N sites.")
@click.option(
    "--lab", "lab_path", type=click.Path(path_type=Path), help="A lab file; the default is eight national hubs."
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("demo-data"),
    show_default=True,
    help="The folder for journal, outboxes and logs.",
)
@click.option(
    "--engine",
    type=click.Choice(["netem", "relay", "loopback"]),
    help="How links are emulated; without it, the best that works here.",
)
@click.option("--quiet", is_flag=True, help="Stage nothing: each link stays as the lab file says.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end, and nothing before.")
def demo(
    *,
    for_s: float | None,
    port: int,
    sites: int | None,
    lab_path: Path | None,
    data_dir: Path,
    engine: LabEngineName | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run the whole system on this machine: sites in a lab, a broker, a collector, a live table.

    As root on Linux every site is a network namespace behind an emulated wide-area network; otherwise sites are
    addresses of loopback, and nothing is emulated. Where links are emulated, the demo stages a day of some minutes,
    again and again: a link loses packets, another is cut and restored.
    """
    lab = settings.load(lab_path or shipped(DEFAULT_LAB), LabFile)
    if sites is not None:
        if sites > len(lab.sites):
            raise OperatorError(f"--sites {sites}: the lab {lab.name} has only {len(lab.sites)}")
        lab = first_sites(lab, sites)
    if not lab.links:
        raise OperatorError(f"{lab_path or lab.name}: has no links: there is nothing to measure")
    # With --json, only the document goes to standard output.
    console = Terminal(stderr=as_json)
    live = console.is_terminal and not as_json
    shown = display.LiveDemo(console) if live else display.PlainDemo(console)
    order = DemoOrder(lab, data_dir.absolute(), port, for_s, engine, quiet=quiet)
    os.umask(0o077)  # every file of ours is for us alone
    outcome = asyncio.run(run(order, shown))
    if as_json:
        echo(display.final_json(outcome.scene, outcome.links, outcome.sites, outcome.relayed, outcome.ledger))
    else:
        display.final_table(console, outcome.links, outcome.relayed, outcome.ledger)
