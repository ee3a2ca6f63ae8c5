"""`linkweather collector`. A module of its own because it alone loads the collector's engines."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from collector import daemon
from collector.settings import CollectorSettings
from linkweather import settings as files
from linkweather.cli.options import FILE, PORT, broker_options, log_level_option, with_broker
from linkweather.cli.output import log_to_stderr

# The settings tables of options; options without a table are top-level settings.
_TABLES = {"host": "api", "port": "api", "insecure": "api"}


@click.command(short_help="Run the collector.")
@click.option("--config", type=FILE, help="A settings file; options override it.")
@broker_options("embedded, or a broker's URL: ")
@click.option("--broker-port", type=PORT, help="The embedded broker's port on loopback.")
@click.option("--broker-socket", type=FILE, help="A Unix socket where the embedded broker listens as well.")
@click.option("--mesh", type=FILE, help="The mesh file.")
@click.option("--data-dir", type=FILE, help="The folder for the journal.")
@click.option("--host", help="The API's address.")
@click.option("--port", type=PORT, help="The API's port.")
@click.option("--insecure", is_flag=True, default=None, help="Let other machines reach the API without token or TLS.")
@log_level_option
def collector(*, config: Path | None, log_level: str, **options: Any) -> None:
    """Run the collector: it commits reports, answers questions and publishes the mesh.

    Without --config the defaults hold: an embedded broker, and mesh.toml and collector-data in the current folder.
    """
    log_to_stderr(log_level)
    settings = files.load(config, CollectorSettings).below(config.parent) if config else CollectorSettings()
    settings = _with_options(settings, options).below(Path.cwd())
    os.umask(0o077)  # every file of ours is for us alone, also the databases' own
    asyncio.run(daemon.run(settings))


def _with_options(settings: CollectorSettings, options: dict[str, Any]) -> CollectorSettings:
    given = {name: value for name, value in options.items() if value is not None}
    values = with_broker(settings.model_dump(), given)
    for name, value in given.items():
        table = values[_TABLES[name]] if name in _TABLES else values
        table[name] = value
    return files.validate(values, CollectorSettings, "the options")
