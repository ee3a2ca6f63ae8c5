"""Which site should run a job, now: every site judged, the ones that can ranked, the others with why not. Pure.

A job stages its inputs in, side by side (see `staging`), waits in the site's queue, runs, and stages its result out.
Data that is at the site already takes no time. The deadline is held against the p90 of all of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from collector.placement.staging import Spread, together
from linkweather.errors import LinkweatherError
from linkweather.mesh import Mesh
from linkweather.models.placements import (
    ExcludedSite,
    Exclusion,
    Job,
    Need,
    PlacementAnswer,
    SitePlacement,
    StagedTransfer,
)
from linkweather.models.routes import LinkInput, NoRoute, RouteAnswer
from linkweather.models.state import CapacityAnswer
from linkweather.units import age, duration


@dataclass(frozen=True, slots=True)
class PlannedTransfer:
    """What it is to move some bytes now: `usd` is None where a price on the way is not known."""

    p50_s: float
    p90_s: float
    usd: float | None
    sites: tuple[str, ...]
    inputs: tuple[LinkInput, ...] = ()


# (src, dst, bytes) → the transfer along the best path, or one sentence why there is none.
Transfers = Callable[[str, str, int], PlannedTransfer | str]


@dataclass(frozen=True, slots=True)
class PlacementInputs:
    """What placements stand on at `at`: the sites, what they have, and how data moves between them."""

    at: datetime
    mesh: Mesh
    capacities: Sequence[CapacityAnswer]
    transfer: Transfers
    told: Mapping[str, Mapping[str, CapacityAnswer]] = field(init=False)

    def __post_init__(self) -> None:
        told: dict[str, dict[str, CapacityAnswer]] = defaultdict(dict)
        for capacity in self.capacities:
            told[capacity.site][capacity.type] = capacity
        object.__setattr__(self, "told", told)


class _UnfitError(LinkweatherError):
    def __init__(self, reason: Exclusion, why: str) -> None:
        super().__init__(why)
        self.reason = reason
        self.why = why


def transfer_of(route: RouteAnswer | NoRoute, bytes_: int) -> PlannedTransfer | str:
    """A routing decision, made for so many bytes, as a transfer."""
    if isinstance(route, NoRoute):
        return route.why.removeprefix(f"{route.src} → {route.dst}: ").removesuffix(".")
    path = route.path
    if path.completion_p50_s is None or path.completion_p90_s is None:
        return "its goodput was not measured"
    usd = None if path.price_usd_per_gb is None else path.price_usd_per_gb * bytes_ / 1e9
    return PlannedTransfer(path.completion_p50_s, path.completion_p90_s, usd, path.sites, route.inputs)


def place(job: Job, grounds: PlacementInputs) -> PlacementAnswer:
    """Where one job should run, its sites named by their ids."""
    judged = [_judge(job, site, grounds) for site in grounds.mesh.sites]
    fit = [site for site in judged if isinstance(site, SitePlacement)]
    ranking = tuple(sorted(fit, key=lambda site: (site.total_p50_s, site.total_p90_s)))
    excluded = tuple(site for site in judged if isinstance(site, ExcludedSite))
    chosen = run_at(ranking[0]) if ranking else {}
    why = _why(ranking, excluded)
    return PlacementAnswer(job=job.name, at=grounds.at, **chosen, ranking=ranking, excluded=excluded, why=why)


def run_at(chosen: SitePlacement, wait_s: float = 0.0) -> dict[str, Any]:
    """What an answer says of the site where the job runs, after `wait_s` behind jobs that are placed with it."""
    return {
        "site": chosen.site,
        "compute_id": chosen.compute_id,
        "wait_s": wait_s,
        "done_p50_s": chosen.total_p50_s + wait_s,
        "done_p90_s": chosen.total_p90_s + wait_s,
    }


def _judge(job: Job, site: str, grounds: PlacementInputs) -> SitePlacement | ExcludedSite:
    compute_id = grounds.mesh.sites[site].compute_id
    try:
        capacity = [_devices(need, grounds.told.get(site, {})) for need in job.devices]
        queue_s = max(map(_queue_s, job.devices, capacity))
        staged_in = list(_staged_in(job, site, grounds))
        staged_out = list(_staged_out(job, site, grounds))
        found = _placement(job, site, queue_s, (staged_in, staged_out), capacity)
        _check_limits(job, found)
    except _UnfitError as unfit:
        return ExcludedSite(site=site, compute_id=compute_id, reason=unfit.reason, why=unfit.why)
    return found.model_copy(update={"compute_id": compute_id})


def _devices(need: Need, told: Mapping[str, CapacityAnswer]) -> CapacityAnswer:
    if not told:
        raise _UnfitError("no_capacity", "has not said what devices it has")
    found = told.get(need.type)
    if found is None:
        raise _UnfitError("no_such_devices", f"has no {need.type}, but {', '.join(told)}")
    if found.state == "expired":
        raise _UnfitError("capacity_expired", f"last spoke of its {need.type} {age(found.age_s)} ago: too long")
    if found.total < need.count:
        raise _UnfitError("too_few_devices", f"has {found.total} {need.type}, and the job needs {need.count}")
    return found


def _queue_s(need: Need, told: CapacityAnswer) -> float:
    if told.queue_s is not None:
        return told.queue_s
    if told.queued_device_hours is not None:
        return told.queued_device_hours / told.total * 3600
    if told.free is None or told.free < need.count:
        free = "nor how many are free" if told.free is None else f"and {told.free} of {told.total} are free"
        raise _UnfitError("unknown_queue", f"does not say how long its queue for {need.type} is, {free}")
    return 0.0


def _staged_in(job: Job, site: str, grounds: PlacementInputs) -> Iterator[StagedTransfer]:
    """One transfer per site that has inputs: what lies together moves together."""
    sizes: dict[str, int] = defaultdict(int)
    for part in job.data:
        sizes[part.site] += part.bytes
    for src, size in sizes.items():
        if src != site:
            yield _staged(src, site, size, grounds, f"cannot get the data of {src}")


def _staged_out(job: Job, site: str, grounds: PlacementInputs) -> Iterator[StagedTransfer]:
    if job.result is not None and job.result.site != site:
        dst = job.result.site
        yield _staged(site, dst, job.result.bytes, grounds, f"cannot send the result to {dst}")


def _staged(src: str, dst: str, size: int, grounds: PlacementInputs, without: str) -> StagedTransfer:
    found = grounds.transfer(src, dst, size)
    if isinstance(found, str):
        raise _UnfitError("no_path", f"{without}: {found}")
    return StagedTransfer(
        src=src,
        dst=dst,
        bytes=size,
        sites=found.sites,
        p50_s=found.p50_s,
        p90_s=found.p90_s,
        price_usd=found.usd,
        inputs=found.inputs,
    )


def _placement(
    job: Job,
    site: str,
    queue_s: float,
    staged: tuple[Sequence[StagedTransfer], Sequence[StagedTransfer]],
    capacity: Sequence[CapacityAnswer],
) -> SitePlacement:
    stage_in, stage_out = map(_time, staged)
    between_s = queue_s + job.run_s
    transfers = (*staged[0], *staged[1])
    return SitePlacement(
        site=site,
        stage_in_p50_s=stage_in.p50_s,
        stage_in_p90_s=stage_in.p90_s,
        queue_s=queue_s,
        run_s=job.run_s,
        stage_out_p50_s=stage_out.p50_s,
        stage_out_p90_s=stage_out.p90_s,
        total_p50_s=stage_in.p50_s + between_s + stage_out.p50_s,
        total_p90_s=stage_in.p90_s + between_s + stage_out.p90_s,
        price_usd=_price_usd(job, transfers, capacity),
        transfers=transfers,
        capacity=tuple(capacity),
    )


def _time(staged: Sequence[StagedTransfer]) -> Spread:
    return together([(one.sites, Spread(one.p50_s, one.p90_s)) for one in staged])


def _price_usd(job: Job, transfers: Sequence[StagedTransfer], capacity: Sequence[CapacityAnswer]) -> float | None:
    rates = [told.usd_per_device_hour for told in capacity]
    hours = [need.work_device_hours for need in job.devices]
    parts = [one.price_usd for one in transfers]
    parts += [None if rate is None else rate * work for rate, work in zip(rates, hours, strict=True)]
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _check_limits(job: Job, found: SitePlacement) -> None:
    if job.deadline_s is not None and found.total_p90_s > job.deadline_s:
        over, limit = duration(found.total_p90_s - job.deadline_s), duration(job.deadline_s)
        raise _UnfitError("deadline", f"misses the deadline of {limit} by {over} (p90 {duration(found.total_p90_s)})")
    if job.max_price_usd is None:
        return
    if found.price_usd is None:
        raise _UnfitError("price", f"has no known price, and at most {job.max_price_usd:.10g} USD are allowed")
    if found.price_usd > job.max_price_usd:
        raise _UnfitError("price", f"costs {found.price_usd:.2f} USD of at most {job.max_price_usd:.10g}")


def _why(ranking: Sequence[SitePlacement], excluded: Sequence[ExcludedSite]) -> str:
    if not ranking:
        return "no site can run the job: " + "; ".join(f"{site.site} {site.why}" for site in excluded) + "."
    best, *others = ranking
    price = "at an unknown price" if best.price_usd is None else f"for {best.price_usd:.2f} USD"
    stages = (
        ("stage-in", best.stage_in_p50_s),
        ("queue", best.queue_s),
        ("run", best.run_s),
        ("stage-out", best.stage_out_p50_s),
    )
    parts = ", ".join(f"{name} {duration(value_s)}" for name, value_s in stages if value_s > 0)
    done = f"{duration(best.total_p50_s)} (p90 {duration(best.total_p90_s)})"
    second = f"{others[0].site} would take {duration(others[0].total_p50_s)}" if others else "no other site can"
    return f"{best.site} is done soonest, after {done}: {parts or 'nothing to do'}, {price}; {second}."
