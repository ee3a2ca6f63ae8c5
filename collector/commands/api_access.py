"""What all commands that ask a collector share: client, options, terminal. They load nothing of the collector."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console

from linkweather.cli.root import EXIT_FAILED, EXIT_USAGE
from linkweather.cli.tables.link_table import WIDTH
from linkweather.client import DEFAULT_API, Client
from linkweather.errors import CollectorUnavailableError, NoPathError, NotFoundError

api_option = click.option(
    "--api", envvar="LINKWEATHER_API", default=DEFAULT_API, show_default=True, help="Where the collector's API is."
)
json_option = click.option("--json", "as_json_", is_flag=True, help="Print JSON.")


@contextlib.contextmanager
def asking(api: str, **options: Any) -> Iterator[Client]:
    """A client. A collector that does not answer, and Ctrl-C, end the command without a traceback."""
    with Client(api, **options) as client:
        try:
            yield client
        except CollectorUnavailableError as away:
            click.echo(f"Error: {away}: start it with `linkweather collector`, or name another with --api", err=True)
            raise SystemExit(EXIT_FAILED) from None
        except (NoPathError, NotFoundError) as refusal:
            click.echo(f"Error: {refusal}", err=True)
            raise SystemExit(EXIT_FAILED if isinstance(refusal, NoPathError) else EXIT_USAGE) from None
        except KeyboardInterrupt:
            raise SystemExit(0) from None


def terminal() -> Console:
    """The terminal; a pipe gets tables at full width, without colours."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)
