"""`linkweather test` behind its options: runs the test, prints what it found, returns the exit status."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from typing import Any

import click
from rich.console import Console

from linkweather.cli import EXIT_DONE, EXIT_FAILED
from linkweather.errors import MeasurementError
from probes.byhand import summary
from probes.byhand.findings import Findings, document
from probes.byhand.live import Display
from probes.byhand.options import Options
from probes.byhand.run import run
from probes.byhand.watching import Unwatched


def perform(options: Options, *, as_json: bool) -> int:
    """Run one test and print it: live on a terminal, plain elsewhere. Raises OperatorError as `run` does."""
    try:
        found = _run(options, watched=not as_json)
    except MeasurementError as error:
        if as_json:
            _print_json({"host": options.host, "failure": error.reason, "detail": error.detail})
        else:
            click.echo(f"Error: {error.detail}", err=True)
        return EXIT_FAILED
    if as_json:
        _print_json(document(found))
    else:
        _print_text(summary.text(found))
    return EXIT_FAILED if found.failed else EXIT_DONE


def _run(options: Options, *, watched: bool) -> Findings:
    console = Console()
    if not (watched and console.is_terminal):
        return asyncio.run(run(options, Unwatched()))
    with Display(console, options.host) as display:
        return asyncio.run(run(options, display))


def _print_json(values: dict[str, Any]) -> None:
    click.echo(json.dumps(values, allow_nan=False))


def _print_text(text: str) -> None:
    # A terminal that knows no blocks gets question marks instead of an error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    click.echo(text)
