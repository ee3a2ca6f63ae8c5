"""What the commands that ask a running collector share: the client, its option, the terminal, JSON.

A room of its own because it loads the HTTP client, which `--help` and the daemons do without.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import BaseModel

from linkweather import settings
from linkweather.api_place import DEFAULT_API, local_api
from linkweather.cli.options import FILE
from linkweather.cli.output import echo
from linkweather.cli.root import EXIT_FAILED, EXIT_USAGE
from linkweather.client import Client, as_json
from linkweather.errors import CollectorUnavailableError, NoPathError, NoSuchSiteError, NotFoundError, OperatorError

Command = TypeVar("Command", bound=Callable[..., Any])
_CREDENTIAL = "linkweather.token-file"  # of a command's context: the token file


def _keep(ctx: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    ctx.meta[_CREDENTIAL] = value or ctx.meta.get(_CREDENTIAL)  # of a group's, too


_token_option = click.option(
    "--token-file",
    type=FILE,
    envvar="LINKWEATHER_CREDENTIAL",
    expose_value=False,
    callback=_keep,
    help="The file with a token of `linkweather token add`; not needed by the collector's own user on its machine.",
)
_api_option = click.option(
    "--api", envvar="LINKWEATHER_API", default=DEFAULT_API, show_default=True, help="Where the collector's API is."
)


def api_option(command: Command) -> Command:
    """Where the collector is, as the parameter `api`; and the token, which `asking` finds by itself."""
    return _api_option(_token_option(command))


@contextlib.contextmanager
def asking(api: str, **options: Any) -> Iterator[Client]:
    """A client. A collector that does not answer, and Ctrl-C, end the command without a traceback.

    Without a token it asks over the socket of a collector of ours on this machine, where there is one.
    """
    file = click.get_current_context().meta.get(_CREDENTIAL)
    token = settings.read(file).strip() if file else None
    with Client(api if token else local_api(api), token=token, **options) as client:
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
