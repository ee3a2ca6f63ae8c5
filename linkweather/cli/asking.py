"""What the commands that ask a running collector share: the client, its option, the terminal, JSON.

A room of its own because it loads the HTTP client, which `--help` and the daemons do without.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from linkweather import settings
from linkweather.cli.click_types import FILE
from linkweather.cli.output import echo
from linkweather.cli.root import EXIT_FAILED, EXIT_USAGE
from linkweather.client import DEFAULT_API, Client, as_json
from linkweather.errors import CollectorUnavailableError, NoPathError, NoSuchSiteError, NotFoundError, OperatorError

api_option = click.option(
    "--api", envvar="LINKWEATHER_API", default=DEFAULT_API, show_default=True, help="Where the collector's API is."
)
token_option = click.option(
    "--token-file", type=FILE, help="The file with the collector's token; needed from another machine."
)


@contextlib.contextmanager
def asking(api: str, token_file: Path | None = None, **options: Any) -> Iterator[Client]:
    """A client. A collector that does not answer, and Ctrl-C, end the command without a traceback."""
    token = settings.read(token_file).strip() if token_file else None
    with Client(api, token=token, **options) as client:
        try:
            yield client
        except CollectorUnavailableError as away:
            echo(f"Error: {away}: start it with `linkweather collector`, or name another with --api", err=True)
            raise SystemExit(EXIT_FAILED) from None
        except (NoPathError, NotFoundError) as refusal:
            echo(f"Error: {refusal}", err=True)
            raise SystemExit(EXIT_FAILED if isinstance(refusal, NoPathError) else EXIT_USAGE) from None
        except KeyboardInterrupt:
            raise SystemExit(0) from None


def known_site(client: Client, name: str) -> str:
    """The id of the site of the mesh that `name` names. Raises OperatorError."""
    try:
        return client.mesh().mesh.site_id(name)
    except NoSuchSiteError as error:
        raise OperatorError(f"SITE = {name!r}: {error}") from None


def print_json(answers: BaseModel | list[Any]) -> None:
    """Answers as one JSON document, as the API gave them."""
    echo(json.dumps(as_json(answers), indent=2))
