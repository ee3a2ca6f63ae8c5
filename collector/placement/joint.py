"""Several jobs placed together: each placed as if alone, then assigned so that all are done early. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from collector.placement.assignment import JobPlan, assign
from collector.placement.job_batch import Devices, JobBatch, JobRun, Option
from collector.placement.placement import PlacementInputs, place, run_at
from linkweather.models.placements import Job, PlacementAnswer, PlacementsAnswer, SitePlacement
from linkweather.models.state import CapacityAnswer
from linkweather.units import count, duration


def alone(jobs: Sequence[Job], inputs: PlacementInputs) -> Iterator[PlacementAnswer]:
    """Each job placed as if it were alone: all that needs the network's state."""
    for job in jobs:
        yield place(job, inputs)


def together(jobs: Sequence[Job], alone: Sequence[PlacementAnswer], at: datetime) -> PlacementsAnswer:
    """Where each of the jobs should run, in their order; takes up to a few seconds for many jobs."""
    batch = JobBatch([list(_options(job, answer)) for job, answer in zip(jobs, alone, strict=True)], _devices(alone))
    plan, first_come = assign(batch)
    return PlacementsAnswer(
        at=at,
        placements=tuple(_placed(number, answer, plan, jobs) for number, answer in enumerate(alone)),
        unplaced=plan.left_out,
        total_p50_s=plan.cost[1],
        first_come_unplaced=first_come.left_out,
        first_come_total_p50_s=first_come.cost[1],
        why=_why(plan, first_come),
    )


def _options(job: Job, alone: PlacementAnswer) -> Iterator[Option]:
    for found in alone.ranking:
        yield Option(
            site=found.site,
            ready_s=found.stage_in_p50_s + found.queue_s,
            run_s=found.run_s,
            after_s=found.stage_out_p50_s,
            patience_s=math.inf if job.deadline_s is None else job.deadline_s - found.total_p90_s,
            needs=tuple((need.type, need.count) for need in job.devices),
        )


def _devices(alone: Sequence[PlacementAnswer]) -> Devices:
    """The sites' devices for these jobs: with a queue all of them, since they come free in time; else the free ones."""
    devices: dict[str, dict[str, Sequence[tuple[float, int]]]] = {}
    for found in (found for answer in alone for found in answer.ranking):
        for capacity in found.capacity:
            devices.setdefault(found.site, {})[capacity.type] = [(0.0, _usable(capacity))]
    return devices


def _usable(capacity: CapacityAnswer) -> int:
    queued = capacity.queue_s is not None or capacity.queued_device_hours is not None
    return capacity.total if queued or capacity.free is None else capacity.free


def _placed(number: int, alone: PlacementAnswer, plan: JobPlan, jobs: Sequence[Job]) -> PlacementAnswer:
    if not alone.ranking:
        return alone
    run = plan.runs.get(number)
    if run is None:
        return alone.model_copy(update={**dict.fromkeys(run_at(alone.ranking[0])), "why": _crowded_out(alone)})
    chosen = next(found for found in alone.ranking if found.site == run.site)
    return alone.model_copy(update={**run_at(chosen, run.wait_s), "why": _chosen(alone, chosen, run, plan, jobs)})


def _crowded_out(alone: PlacementAnswer) -> str:
    sites = ", ".join(found.site for found in alone.ranking)
    return f"At every site that could run it, the other jobs hold the devices for too long: {sites}."


def _chosen(alone: PlacementAnswer, chosen: SitePlacement, run: JobRun, plan: JobPlan, jobs: Sequence[Job]) -> str:
    done = duration(chosen.total_p50_s + run.wait_s)
    wait = f", {duration(run.wait_s)} of it behind other jobs," if run.wait_s > 0 else ""
    best = alone.ranking[0]
    if chosen is best:
        return (
            f"{chosen.site} is done after {done}{wait} and is also the soonest for this job alone."
            if wait
            else alone.why
        )
    others = [jobs[number].name for number, other in sorted(plan.runs.items()) if other.site == best.site]
    taken = f"{best.site} would be sooner ({duration(best.total_p50_s)}), but runs {_some(others)}"
    return f"{chosen.site} is done after {done}{wait}: {taken}."


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown or "none of these jobs"


def _why(plan: JobPlan, first_come: JobPlan) -> str:
    plans: Mapping[str, JobPlan] = {"these placements": plan, "first come, first served": first_come}
    texts = [
        f"{name}: {count(len(one.runs), 'job')} placed, {one.left_out} not"
        + (f", {duration(one.cost[1])} in total" if one.runs else "")
        for name, one in plans.items()
    ]
    return "; ".join(texts) + "."
