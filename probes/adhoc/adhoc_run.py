"""`linkweather test` behind its options: runs the tests, prints and keeps what they found, returns the exit status."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from linkweather.cli.root import EXIT_DONE, EXIT_FAILED
from probes.adhoc import comparing, saved, summary
from probes.adhoc import host_table as table
from probes.adhoc.adhoc_options import Options
from probes.adhoc.findings import Outcome
from probes.adhoc.live_display import Display
from probes.adhoc.measuring import run
from probes.adhoc.progress import Unwatched
from probes.adhoc.saved import SavedTest


def perform(tests: Sequence[Options], *, as_json: bool, save: Path | None, against: Path | None) -> int:
    """Run the tests, then print all: live on a terminal, plain elsewhere.

    Raises OperatorError as `run` does, and for a file that cannot be read or written.
    """
    earlier = None if against is None else saved.read(against)
    if save is not None:
        saved.check_place(save)
    outcomes = _run(tests, watched=not as_json)
    documents = [each.document for each in outcomes]
    if save is not None:
        saved.write(save, saved.together(documents))
    if as_json:
        _print_json(documents, earlier)
    else:
        _print_text(outcomes, earlier)
    return EXIT_FAILED if any(each.failed for each in outcomes) else EXIT_DONE


def _run(tests: Sequence[Options], *, watched: bool) -> list[Outcome]:
    console = Console()
    if not (watched and console.is_terminal):
        return asyncio.run(run(tests, [Unwatched()] * len(tests)))
    with Display(console, [options.host for options in tests]) as display:
        return asyncio.run(run(tests, display.panes))


def _print_json(documents: Sequence[dict[str, Any]], earlier: Mapping[str, SavedTest] | None) -> None:
    if earlier is not None:
        compared = [comparing.changes(*_pair(document, earlier)) for document in documents]
        changes = [{"changes": [asdict(change) for change in each]} for each in compared]
        documents = [document | more for document, more in zip(documents, changes, strict=True)]
    click.echo(json.dumps(saved.together(documents), allow_nan=False))


def _print_text(outcomes: Sequence[Outcome], earlier: Mapping[str, SavedTest] | None) -> None:
    # A terminal that knows no blocks gets question marks instead of an error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if len(outcomes) > 1:
        click.echo(table.text(outcomes))
    elif outcomes[0].findings is None:
        click.echo(f"Error: {outcomes[0].detail}", err=True)
    else:
        click.echo(summary.text(outcomes[0].findings))
    if earlier is not None:
        for each in outcomes:
            click.echo(f"\n{comparing.text(*_pair(each.document, earlier))}")


def _pair(document: dict[str, Any], earlier: Mapping[str, SavedTest]) -> tuple[SavedTest | None, SavedTest]:
    now = SavedTest.model_validate(document)
    return earlier.get(now.host), now
