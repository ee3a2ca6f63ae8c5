"""`linkweather page`. Its server is imported only when it runs: `--help` needs none of the page's packages."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from linkweather import settings
from linkweather.cli.options import FILE, PORT, log_level_option
from linkweather.cli.output import log_to_stderr
from linkweather.errors import OperatorError

DEFAULT_API = "http://127.0.0.1:8484"
DEFAULT_PORT = 8420


@click.command(short_help="Serve the page that shows it all.")
@click.option("--api", envvar="LINKWEATHER_API", default=DEFAULT_API, show_default=True, help="The collector's API.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The page's address.")
@click.option("--port", type=PORT, default=DEFAULT_PORT, show_default=True, help="The page's port.")
@click.option("--token-file", type=FILE, help="The file with the collector's token.")
@click.option("--fd", type=click.IntRange(min=0), help="A listening socket that was handed over, instead of a port.")
@log_level_option
def page(*, api: str, host: str, port: int, token_file: Path | None, fd: int | None, log_level: str) -> None:
    """Serve the page: what is wrong, the grid of all links, each link over time, the decisions.

    It asks the collector's API and nothing else; to acknowledge and silence, a viewer gives the API's token.
    """
    log_to_stderr(log_level)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    token = settings.read(token_file).strip() if token_file else None
    try:
        from page.page_server import PageAddress, serve  # noqa: PLC0415
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"linkweather", "page"}:
            raise
        raise OperatorError(
            f"`linkweather page` needs the package {package}, which is not installed: pip install 'linkweather[page]'"
        ) from None
    serve(PageAddress(api, host, port, token, fd))
