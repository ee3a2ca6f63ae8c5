"""`linkweather journal`: check, copy, restore and compact the collector's journal, by its files alone."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from collector.store import journal_files
from collector.store.journal import JOURNAL_FILE
from linkweather.cli.options import FILE, json_option
from linkweather.cli.output import echo
from linkweather.private_folder import private_umask
from linkweather.units import count

_data_dir = click.option(
    "--data-dir", type=FILE, default="collector-data", show_default=True, help="The folder of the journal."
)


@click.group(short_help="Check, copy, restore and compact the journal.")
@click.pass_context
def journal(context: click.Context) -> None:
    """Check, copy, restore and compact the collector's journal."""
    context.with_resource(private_umask())  # a copy of the record is as private as the record


@journal.command()
@_data_dir
@json_option
@click.pass_context
def check(context: click.Context, *, data_dir: Path, as_json_: bool) -> None:
    """Read all of it; while a collector writes it, a copy. Exit status 1 where something is wrong."""
    found = journal_files.check(data_dir / JOURNAL_FILE)
    if as_json_:
        echo(json.dumps(asdict(found), indent=2))
    else:
        rows, tables = count(sum(found.rows.values()), "row"), count(len(found.rows), "table")
        echo(f"{count(found.reports, 'report')}, {rows} in {tables}")
        for problem in found.problems or ("all of it can be read",):
            echo(problem)
    context.exit(1 if found.problems else 0)


@journal.command()
@click.argument("to", type=FILE)
@_data_dir
def backup(*, to: Path, data_dir: Path) -> None:
    """Copy it to the file TO, as of one moment, also while the collector writes it."""
    journal_files.backup(data_dir / JOURNAL_FILE, to)
    echo(f"{to}: {to.stat().st_size} bytes")


@journal.command()
@click.argument("backup", type=FILE)
@_data_dir
def restore(*, backup: Path, data_dir: Path) -> None:
    """Put the file BACKUP in the journal's place, which is kept beside it; the collector is stopped meanwhile."""
    found, kept = journal_files.restore(data_dir / JOURNAL_FILE, backup)
    before = f"the journal before is {kept}" if kept else "new"
    echo(f"{data_dir / JOURNAL_FILE}: {count(found.reports, 'report')}; {before}")


@journal.command()
@_data_dir
def compact(*, data_dir: Path) -> None:
    """Give back the space of deleted rows; the collector is stopped meanwhile, and the disk holds both copies."""
    before, after = journal_files.compact(data_dir / JOURNAL_FILE)
    echo(f"{before} bytes before, {after} after")
