"""`linkweather history`, `sla`, `judge` and `ledger`: what the record says of a span of time."""

from __future__ import annotations

import click

from linkweather.cli.asking import api_option, asking, print_json
from linkweather.cli.options import json_option
from linkweather.cli.output import echo
from linkweather.cli.record_tables import history_table, ledger_table, sink_ledger_table, sla_table
from linkweather.cli.root import EXIT_FAILED
from linkweather.cli.tables import evaluations_table, placement_lines, placement_scores_table, relay_lines, worst_lines
from linkweather.cli.terminal import terminal
from linkweather.units import count


@click.command(short_help="Show one link over time.")
@click.argument("src")
@click.argument("dst")
@click.option(
    "--since", default="24h", show_default=True, metavar="TIME", help="How long ago, such as 30d, or an RFC 3339 time."
)
@click.option("--until", default="now", show_default=True, metavar="TIME", help="The same; not included.")
@click.option("--step", metavar="TIME", help="One line's time, such as 1h; without it, some hundred lines at most.")
@json_option
@api_option
def history(*, src: str, dst: str, since: str, until: str, step: str | None, as_json_: bool, api: str) -> None:
    """Show how the link from SRC to DST was: RTT, loss, availability and goodput, step by step.

    Rows are read for hours, minutes for days, hours for longer; how long each is kept, the collector's settings say.
    """
    with asking(api) as client:
        answer = client.link_history(src, dst, since=since, until=until, step=step)
    if as_json_:
        print_json(answer)
        return
    terminal().print(history_table(answer))
    kept = {"rows": "rows", "minutes": "roll-ups by minutes", "hours": "roll-ups by hours"}[answer.resolution]
    echo(f"{answer.src} → {answer.dst}, {count(len(answer.steps), 'step')} of {answer.step_s} s, from {kept}")


@click.command(short_help="Say how available a link, a site or all links were.")
@click.argument("site", required=False)
@click.argument("dst", required=False)
@click.option(
    "--since", default="30d", show_default=True, metavar="TIME", help="How long ago, such as 7d, or an RFC 3339 time."
)
@click.option("--until", default="now", show_default=True, metavar="TIME", help="The same; not included.")
@json_option
@api_option
def sla(*, site: str | None, dst: str | None, since: str, until: str, as_json_: bool, api: str) -> None:
    """Show availability, loss and RTT of the link from SITE to DST, of all of SITE, or of all, over the whole span.

    Available is time in which a probe came back, `down` time in which none did. `known` is the share of the span of
    which there are reports: nothing is known of the rest, which counts as neither.
    """
    with asking(api) as client:
        if dst is None:
            answer = client.sla(site=site, since=since, until=until)
        else:
            answer = client.sla(src=site, dst=dst, since=since, until=until)
    if as_json_:
        print_json(answer)
        return
    terminal().print(sla_table(answer))
    echo(f"{answer.since:%Y-%m-%d %H:%M:%S} to {answer.until:%Y-%m-%d %H:%M:%S} UTC, from {answer.resolution}")


@click.command(short_help="Score past decisions by what was measured afterwards.")
@click.option(
    "--since", default="24h", show_default=True, metavar="TIME", help="How long ago, such as 2h, or an RFC 3339 time."
)
@json_option
@api_option
def judge(*, since: str, as_json_: bool, api: str) -> None:
    """Score the decisions since then against what was measured afterwards.

    Regret is how much worse than the path that turned out best; a decision counts once its path and the direct link
    have been measured again, a placement once its links have been, and the site has said its devices again.
    """
    with asking(api) as client:
        answer = client.evaluation(since=since)
    if as_json_:
        print_json(answer)
        return
    terminal().print(evaluations_table(answer))
    for evaluation in answer.evaluations:
        echo(evaluation.why)
        for line in (*relay_lines(evaluation), *worst_lines(evaluation)):
            echo(f"  {line}")
    if answer.placements is not None and (answer.placements.decisions or answer.placements.sites):
        terminal().print(placement_scores_table(answer.placements))
        echo(answer.placements.why)
        for line in placement_lines(answer.placements):
            echo(f"  {line}")


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
