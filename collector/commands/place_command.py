"""`linkweather place`: which site should run a job, or which sites several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from linkweather import settings
from linkweather.cli.asking import api_option, asking, print_json
from linkweather.cli.options import json_option
from linkweather.cli.output import echo
from linkweather.cli.root import EXIT_FAILED
from linkweather.cli.tables import placement_table, placements_table
from linkweather.cli.terminal import terminal
from linkweather.errors import OperatorError
from linkweather.models.placements import Job, PlacementAnswer, PlacementsAnswer, job_values


@click.command(short_help="Say which site should run a job now.")
@click.argument("files", nargs=-1, metavar="[JOB.toml]...", type=click.Path(path_type=Path))
@click.option("--data", multiple=True, metavar="SITE:BYTES", help="An input and where it is; may be given again.")
@click.option("--result", metavar="SITE:BYTES", help="The result, and where it must be in the end.")
@click.option("--devices", multiple=True, metavar="TYPE:N", help="What it runs on, all at once; may be given again.")
@click.option("--work", multiple=True, metavar="HOURS[:TYPE]", help="Device-hours; of which type, where there are two.")
@click.option("--deadline", metavar="TIME", help="From now, such as 6h.")
@click.option("--max-price", metavar="USD", help="Egress and devices, at most.")
@json_option
@api_option
def place(*, files: tuple[Path, ...], as_json_: bool, api: str, **options: Any) -> None:
    """Say which site should run a job now, and why; several jobs are placed so that all are done early.

    A job is a file (see config/job.toml), or given by options. Sites are named by id or compute_id. Exit
    status 1: no site can run the job, or one of the jobs.
    """
    jobs = _jobs(files, {name: value for name, value in options.items() if value not in {None, ()}})
    with asking(api) as client:
        answer = client.place(jobs[0]) if len(jobs) == 1 else client.place_together(jobs)
    if as_json_:
        print_json(answer)
    elif isinstance(answer, PlacementAnswer):
        _print(answer)
    else:
        _print_all(answer)
    unplaced = answer.site is None if isinstance(answer, PlacementAnswer) else answer.unplaced
    if unplaced:
        raise SystemExit(EXIT_FAILED)


def _print(answer: PlacementAnswer) -> None:
    if answer.ranking:
        terminal().print(placement_table(answer))
        for site in answer.excluded:
            echo(f"not {site.site}: {site.why}")
    echo(answer.why)


def _print_all(answer: PlacementsAnswer) -> None:
    terminal().print(placements_table(answer))
    for one in answer.placements:
        echo(f"{one.job}: {one.why}")
    echo(answer.why)


def _jobs(files: tuple[Path, ...], options: dict[str, Any]) -> list[Job]:
    if not files:
        return [settings.validate(job_values(options), Job, "the options")]
    if options:
        first = next(iter(options)).replace("_", "-")
        raise OperatorError(f"--{first}: give a job as a file or by options, not both")
    return [settings.load(path, Job) for path in files]
