"""`linkweather notify`: try the targets of collector.toml, without the collector."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from collector.notify.digest import message
from collector.notify.targets import sender
from collector.settings import CollectorSettings
from linkweather import settings as files
from linkweather.cli.options import FILE
from linkweather.cli.output import echo
from linkweather.cli.root import EXIT_FAILED
from linkweather.errors import OperatorError
from linkweather.models.incidents import IncidentAnswer


@click.group(short_help="Try who is told of incidents.")
def notify() -> None:
    """Who is told of incidents: the tables [notify.NAME] of collector.toml."""


@notify.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--config", type=FILE, required=True, help="The collector's settings file.")
def test(*, names: tuple[str, ...], config: Path) -> None:
    """Send a test message to these targets, or to all. Exit status 1: one did not take it."""
    tables = files.load(config, CollectorSettings).below(config.parent).notify
    unknown = sorted(set(names) - set(tables))
    if unknown or not tables:
        known = ", ".join(sorted(tables)) or "none"
        raise OperatorError(f"{config}: has no table [notify.{unknown[0] if unknown else 'NAME'}]; it has {known}")
    failed = False
    for name in names or tuple(tables):
        problem = sender(name, tables[name])(message([_example()]))
        failed = failed or problem is not None
        echo(f"{name}: {problem or 'delivered'}")
    if failed:
        raise SystemExit(EXIT_FAILED)


def _example() -> IncidentAnswer:
    now = datetime.now(UTC)
    return IncidentAnswer(
        id="test",
        kind="collector",
        severity="critical",
        cause="a test",
        subjects=(),
        since=now,
        until=now,
        sentence="this is a test of the notifications: nothing is wrong",
        findings=(),
    )
