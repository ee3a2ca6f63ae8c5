"""`linkweather ledger`: where every report and row went."""

from __future__ import annotations

import click

from linkweather.cli.asking import api_option, asking, print_json
from linkweather.cli.options import json_option
from linkweather.cli.output import echo
from linkweather.cli.record_tables import ledger_table, sink_ledger_table
from linkweather.cli.root import EXIT_FAILED
from linkweather.cli.terminal import terminal


@click.command(short_help="Show where every report went.")
@click.option("--site", metavar="SITE", help="Of this site alone.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many outboxes."
)
@json_option
@api_option
def ledger(*, site: str | None, limit: int, as_json_: bool, api: str) -> None:
    """Show, for each boot of each site's outbox, where its reports went, and where each sink's rows.

    Exit status 1: the ledger does not balance: reports are missing, or rows that nothing explains.
    """
    with asking(api) as client:
        answer = client.ledger(site=site, limit=limit)
    if as_json_:
        print_json(answer)
    else:
        console = terminal()
        console.print(ledger_table(answer))
        if answer.omitted:
            echo(f"{answer.omitted} further outboxes: --limit shows more")
        if answer.sinks:
            console.print(sink_ledger_table(answer))
        echo(answer.why)
    if not answer.balanced:
        raise SystemExit(EXIT_FAILED)
