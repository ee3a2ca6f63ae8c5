"""The options that several commands share. What asks a collector is in `asking`, which takes longer to import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from linkweather.cli.click_types import FILE

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

LOG_LEVELS = ("debug", "info", "warning", "error")

json_option = click.option("--json", "as_json_", is_flag=True, help="Print JSON.")
log_level_option = click.option(
    "--log-level", type=click.Choice(LOG_LEVELS), default="info", show_default=True, help="What the log shows."
)
broker_option = click.option("--broker", help="mqtt://[user[:password]@]host[:port], mqtts://… or unix:///path.")
site_option = click.option("--site", help="This site's id in the mesh.")
SITE_NEEDED = "say which site of the mesh this is: give --site or --config"


def config_option(file: str) -> Callable[[Decorated], Decorated]:
    """The settings file of a daemon."""
    return click.option("--config", type=FILE, help=f"The site's {file}; options override it.")
