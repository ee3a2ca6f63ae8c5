"""`linkweather doctor`: what ails the sites and the collector, or this machine, and what to do about it."""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click
from rich import box
from rich.table import Table

from linkweather.cli.asking import api_option, asking, known_site
from linkweather.cli.diagnosis import Diagnosis, diagnose
from linkweather.cli.options import FILE, json_option
from linkweather.cli.output import echo
from linkweather.cli.root import EXIT_FAILED
from linkweather.cli.terminal import terminal
from linkweather.units import count

# Names, not imports: linkweather imports no package above it, and each is loaded only when it is asked for.
_CHECKS: Mapping[str, str] = {"probe": "probes.probe_checks", "collector": "collector.commands.collector_checks"}


@click.command(short_help="Say what ails the sites, or this machine, and what to do.")
@click.argument("site", required=False)
@click.option("--probe", type=FILE, help="Check this machine as a site, by its probe.toml.")
@click.option("--collector", type=FILE, help="Check this machine as a collector, by its collector.toml.")
@json_option
@api_option
def doctor(*, site: str | None, as_json_: bool, api: str, **configs: Path | None) -> None:
    """Ask the collector what the sites say of themselves and of their links, and say what to do about what is wrong.

    Clocks, time stamps, ports that are closed, keys, iperf3, broker, permissions, disks. With --probe or --collector
    it asks no collector, and tries what a daemon needs of this machine: run it as the daemon's user. Exit status 1:
    there is something to do.
    """
    given = {name: config for name, config in configs.items() if config is not None}
    if given and site is not None:
        raise click.UsageError("--probe and --collector check this machine: leave SITE out")
    if given:
        logging.getLogger().addHandler(logging.NullHandler())  # what goes wrong is a finding, not a line of a log
        found, looked_at = [one for name in given for one in _checked(name, given[name])], "at this machine"
    else:
        found, looked_at = _asked(api, site)
    if as_json_:
        echo(_json(found))
    elif found:
        terminal().print(_table(found))
    else:
        echo(f"nothing is found: {looked_at}")
    if found:
        raise SystemExit(EXIT_FAILED)


def _checked(name: str, config: Path) -> list[Diagnosis]:
    found: list[Diagnosis] = importlib.import_module(_CHECKS[name]).check(config)
    return found


def _asked(api: str, site: str | None) -> tuple[list[Diagnosis], str]:
    """What is found by the collector's answers, of one site or all, and what was looked at."""
    with asking(api) as client:
        site = None if site is None else known_site(client, site)
        sites, links = client.sites(), client.links()
        found = diagnose(sites, links, client.incidents(since="1m").incidents, client.sinks())
    looked_at = f"{count(len(sites), 'site')}, {count(len(links), 'link')}"
    return [one for one in found if site in {None, one.subject}], looked_at


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
