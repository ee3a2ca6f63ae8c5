"""Placements and capacities as tables."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.table import Table

from linkweather.models.placements import PlacementAnswer, PlacementsAnswer
from linkweather.models.state import CapacityAnswer
from linkweather.units import MISSING, age, duration, price


def placement_table(answer: PlacementAnswer) -> Table:
    """The sites that can run a job, the soonest first: p50 of each stage, then of all, its p90, and the price."""
    table = _table(("site",), ("stage-in", "queue", "run", "stage-out", "done", "p90", "USD"))
    for site in answer.ranking:
        stages_s = (site.stage_in_p50_s, site.queue_s, site.run_s, site.stage_out_p50_s)
        figures = (*stages_s, site.total_p50_s, site.total_p90_s)
        table.add_row(site.site, *(duration(value_s) if value_s else "0" for value_s in figures), price(site.price_usd))
    return table


def placements_table(answer: PlacementsAnswer) -> Table:
    """Where each of several jobs should run."""
    table = _table(("job", "site"), ("waits", "done", "p90"))
    for one in answer.placements:
        waits = "0" if one.wait_s == 0 else duration(one.wait_s)
        table.add_row(one.job, one.site or MISSING, waits, duration(one.done_p50_s), duration(one.done_p90_s))
    return table


def capacity_table(answers: Iterable[CapacityAnswer]) -> Table:
    """What the sites have for jobs, and how long ago they said so."""
    table = _table(("site", "type"), ("total", "free", "queue", "queued dev·h", "USD/dev·h", "age"))
    for one in answers:
        table.add_row(
            one.site,
            one.type,
            str(one.total),
            _or_missing(one.free),
            MISSING if one.queue_s is None else "0" if one.queue_s == 0 else duration(one.queue_s),
            _or_missing(one.queued_device_hours),
            price(one.usd_per_device_hour),
            f"{age(one.age_s)}{' expired' if one.state == 'expired' else ''}",
        )
    return table


def _or_missing(value: float | None) -> str:
    return MISSING if value is None else f"{value:g}"


def _table(texts: Iterable[str], figures: Iterable[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in texts:
        table.add_column(heading, no_wrap=True)
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
