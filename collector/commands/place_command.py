"""`linkweather place`: which site should run a job, or which sites several."""

from __future__ import annotations

from collections.abc import Iterable
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
from linkweather.models.placements import Job, PlacementAnswer, PlacementsAnswer


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
        return [settings.validate(_values(options), Job, "the options")]
    if options:
        first = next(iter(options)).replace("_", "-")
        raise OperatorError(f"--{first}: give a job as a file or by options, not both")
    return [settings.load(path, Job) for path in files]


def _values(options: dict[str, Any]) -> dict[str, Any]:
    """The options as the values of a job file; the job's model checks them."""
    values = {
        "data": [_located("--data", text) for text in options.get("data", ())] or None,
        "result": _located("--result", options["result"]) if "result" in options else None,
        "devices": list(_needs(options.get("devices", ()), options.get("work", ()))) or None,
        "deadline_s": options.get("deadline"),
        "max_price_usd": options.get("max_price"),
    }
    return {name: value for name, value in values.items() if value is not None}


def _located(option: str, text: str) -> dict[str, Any]:
    site, size = _split(option, text, "SITE:BYTES, such as north:2TB")
    return {"site": site, "bytes": size}


def _needs(devices: Iterable[str], work: Iterable[str]) -> Iterable[dict[str, Any]]:
    counts = [_split("--devices", text, "TYPE:N, such as a100:8") for text in devices]
    types = {name for name, _ in counts}
    hours: dict[str, str] = {}
    for text in work:
        value, _, name = text.partition(":")
        name = name or (counts[0][0] if len(types) == 1 else "")
        if name not in types or name in hours:
            raise OperatorError(f"--work {text!r}: must be HOURS:TYPE, once for each type that --devices names")
        hours[name] = value
    for name, count in counts:
        need = {"type": name, "count": _number(count, int)}
        yield need | ({"work_device_hours": _number(hours[name], float)} if name in hours else {})


def _split(option: str, text: str, allowed: str) -> tuple[str, str]:
    name, _, value = text.rpartition(":")
    if not name:
        raise OperatorError(f"{option} {text!r}: must be {allowed}")
    return name, value


def _number(text: str, kind: type[int | float]) -> int | float | str:
    try:
        return kind(text)
    except ValueError:
        return text
