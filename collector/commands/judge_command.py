"""`linkweather judge`: whether the decisions were right."""

from __future__ import annotations

import click

from linkweather.cli.asking import api_option, asking, print_json
from linkweather.cli.options import json_option
from linkweather.cli.output import echo
from linkweather.cli.tables import evaluations_table, placement_lines, placement_scores_table, relay_lines, worst_lines
from linkweather.cli.terminal import terminal


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
