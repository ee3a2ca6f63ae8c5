"""`linkweather export`: a span of the record as Parquet or CSV."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from collector.migration.record_export import FORMATS, KINDS, export
from collector.store.journal import JOURNAL_FILE
from linkweather.cli.options import FILE
from linkweather.cli.output import echo
from linkweather.errors import OperatorError
from linkweather.private_folder import private_umask
from linkweather.units import count, parse_moment


@click.command("export", short_help="Write a span of the record as Parquet or CSV.")
@click.argument("to", type=FILE)
@click.option("--kind", type=click.Choice(KINDS), required=True, help="Rows of a kind, or its roll-ups.")
@click.option("--since", metavar="TIME", help="How long ago, such as 30d, or an RFC 3339 time; without it, all.")
@click.option("--until", default="now", show_default=True, metavar="TIME", help="The same; not included.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), help="Without it, as the file's name ends.")
@click.option("--data-dir", type=FILE, default="collector-data", show_default=True, help="The folder of the journal.")
def export_(*, to: Path, kind: str, since: str | None, until: str, form: str | None, data_dir: Path) -> None:
    """Write what was measured in a span to the file TO, also while the collector runs.

    It reads a copy of the journal, which lies beside TO meanwhile.
    """
    if str(to) == "-":
        raise OperatorError("-: name a file: an export gets its name once it is whole, and does not go to stdout")
    form = form or to.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise OperatorError(f"{to}: ends neither in .parquet nor in .csv: say --format")
    now = datetime.now(UTC)
    from_, end = parse_moment(since, now) if since else None, parse_moment(until, now)
    if from_ is not None and from_ >= end:
        raise OperatorError(f"--since {since} is not before --until {until}: nothing is in that span")
    with private_umask():
        lines = export(data_dir / JOURNAL_FILE, to, kind=kind, form=form, since=from_, until=end)
    echo(f"{to}: {count(lines, 'line')}")
