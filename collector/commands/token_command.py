"""`linkweather token`: who may ask the collector, or change things, from elsewhere; on the data folder's file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from collector.api.tokens import TokenFile, TokenScope, now_utc
from collector.settings import CollectorSettings
from linkweather import settings
from linkweather.cli.options import FILE, json_option
from linkweather.cli.output import echo
from linkweather.errors import OperatorError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _folder_options(command: Decorated) -> Decorated:
    config = click.option("--config", type=FILE, help="The collector's settings file, which names its data folder.")
    folder = click.option("--data-dir", type=FILE, help="The collector's data folder.")
    return config(folder(command))


@click.group(short_help="Make, list and revoke the API's tokens.")
def token() -> None:
    """Make, list and revoke the tokens of the collector's API. A running collector follows at once."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(["read", "write"]),
    default="read",
    show_default=True,
    help="What it is for; writing includes reading.",
)
@_folder_options
def add(*, name: str, scope: TokenScope, config: Path | None, data_dir: Path | None) -> None:
    """Make a token and print it: it is kept nowhere, only its hash. Once one for reading exists, reading needs one."""
    echo(_file(config, data_dir).add(name, scope, now_utc()))


@token.command("list")
@_folder_options
@json_option
def list_(*, as_json_: bool, config: Path | None, data_dir: Path | None) -> None:
    """List the tokens: name, scope, when they were made and last used."""
    file = _file(config, data_dir)
    used = file.used()
    rows = [
        {"name": one.name, "scope": one.scope, "created_at": one.created_at.isoformat(), "used_at": _moment(used, one)}
        for one in file.tokens()
    ]
    if as_json_:
        echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        echo(f"{row['name']}  {row['scope']}  made {row['created_at']}  used {row['used_at'] or 'never'}")
    if not rows:
        echo("there are no tokens")


@token.command()
@click.argument("name")
@_folder_options
def revoke(*, name: str, config: Path | None, data_dir: Path | None) -> None:
    """Let a token in no more."""
    _file(config, data_dir).revoke(name)
    echo(f"{name} is revoked")


def _moment(used: Any, one: Any) -> str | None:
    at = used.get(one.name)
    return None if at is None or at < one.created_at else at.isoformat()


def _file(config: Path | None, data_dir: Path | None) -> TokenFile:
    found = settings.load(config, CollectorSettings).below(config.parent) if config else CollectorSettings()
    folder = data_dir or found.data_dir
    if not folder.is_dir():
        raise OperatorError(f"{folder}: there is no such data folder: name it with --data-dir or --config")
    return TokenFile(folder)
