"""Which site should run a job, now: sites that can run it are ranked, the others excluded with the reason. Pure.

A job stages its inputs in, side by side (see `staging`), waits in the site's queue, runs, and stages its result out.
Data that is at the site already takes no time. The deadline is compared with the p90 of the total.
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
from linkweather.models.routes import LinkInput, NoRoute, NoRouteReason, RouteAnswer
from linkweather.models.state import CapacityAnswer
from linkweather.units import age, duration


@dataclass(frozen=True, slots=True)
class PlannedTransfer:
    """Time and price of moving some bytes now along a path; `usd` is None where a price on the way is unknown."""

    p50_s: float
    p90_s: float
    usd: float | None
    sites: tuple[str, ...]
    inputs: tuple[LinkInput, ...] = ()


@dataclass(frozen=True, slots=True)
class NoTransfer:
    """Why data cannot be moved: there is no route, or the goodput of the best path is unknown."""

    reason: NoRouteReason


# (src, dst, bytes) → the transfer along the best path.
Transfers = Callable[[str, str, int], PlannedTransfer | NoTransfer]
_NO_TRANSFER: Mapping[NoRouteReason, str] = {
    "undecided": "no route is decided yet",
    "down": "the link is down, and no relay can be used",
    "no_contact": "the link is not in contact, and no relay can be used",
    "unknown_goodput": "the goodput is unknown",
    "conditions": "no path can be used",
}


@dataclass(frozen=True, slots=True)
class PlacementInputs:
    """The inputs of placements at `at`: the sites, their devices, and the transfers between them.

    `suspects` are the sites whose claims cannot be, each with a sentence: no job is placed there.
    """

    at: datetime
    mesh: Mesh
    capacities: Sequence[CapacityAnswer]
    transfer: Transfers
    suspects: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, Mapping[str, CapacityAnswer]] = field(init=False)

    def __post_init__(self) -> None:
        devices: dict[str, dict[str, CapacityAnswer]] = defaultdict(dict)
        for capacity in self.capacities:
            devices[capacity.site][capacity.type] = capacity
        object.__setattr__(self, "devices", devices)


class _UnfitError(LinkweatherError):
    def __init__(self, reason: Exclusion, why: str) -> None:
        super().__init__(why)
        self.reason = reason
        self.why = why


def transfer_of(route: RouteAnswer | NoRoute, bytes_: int) -> PlannedTransfer | NoTransfer:
    """The answer to a question about so many bytes, as a transfer."""
    if isinstance(route, NoRoute):
        return NoTransfer(route.reason)
    path = route.path
    if path.completion_p50_s is None or path.completion_p90_s is None:
        return NoTransfer("unknown_goodput")
    usd = None if path.price_usd_per_gb is None else path.price_usd_per_gb * bytes_ / 1e9
    return PlannedTransfer(path.completion_p50_s, path.completion_p90_s, usd, path.sites, route.inputs)


def place(job: Job, inputs: PlacementInputs) -> PlacementAnswer:
    """Where one job should run, its sites named by their ids."""
    sites = [_at_site(job, site, inputs) for site in inputs.mesh.sites]
    fit = [site for site in sites if isinstance(site, SitePlacement)]
    ranking = tuple(sorted(fit, key=lambda site: (site.total_p50_s, site.total_p90_s)))
    excluded = tuple(site for site in sites if isinstance(site, ExcludedSite))
    chosen = run_at(ranking[0]) if ranking else {}
    why = _why(ranking, excluded)
    return PlacementAnswer(job=job.name, at=inputs.at, **chosen, ranking=ranking, excluded=excluded, why=why)


def run_at(chosen: SitePlacement, wait_s: float = 0.0) -> dict[str, Any]:
    """The fields of an answer about the chosen site, after `wait_s` behind jobs that are placed with it."""
    return {
        "site": chosen.site,
        "compute_id": chosen.compute_id,
        "wait_s": wait_s,
        "done_p50_s": chosen.total_p50_s + wait_s,
        "done_p90_s": chosen.total_p90_s + wait_s,
    }


def _at_site(job: Job, site: str, inputs: PlacementInputs) -> SitePlacement | ExcludedSite:
    compute_id = inputs.mesh.sites[site].compute_id
    try:
        _check_trust(site, inputs)
        capacity = [_devices(need, inputs.devices.get(site, {})) for need in job.devices]
        queue_s = max(map(_queue_s, job.devices, capacity))
        staged_in = list(_staged_in(job, site, inputs))
        staged_out = list(_staged_out(job, site, inputs))
        found = _placement(job, site, queue_s, (staged_in, staged_out), capacity)
        _check_limits(job, found)
    except _UnfitError as unfit:
        return ExcludedSite(site=site, compute_id=compute_id, reason=unfit.reason, why=unfit.why)
    return found.model_copy(update={"compute_id": compute_id})


def _check_trust(site: str, inputs: PlacementInputs) -> None:
    if site in inputs.suspects:
        raise _UnfitError("suspect", f"is suspect: {inputs.suspects[site]}")


def _devices(need: Need, devices: Mapping[str, CapacityAnswer]) -> CapacityAnswer:
    if not devices:
        raise _UnfitError("no_capacity", "has not reported its devices")
    found = devices.get(need.type)
    if found is None:
        raise _UnfitError("no_such_devices", f"has no {need.type}, only {', '.join(devices)}")
    if found.state == "expired":
        raise _UnfitError("capacity_expired", f"last reported its {need.type} {age(found.age_s)} ago, too long ago")
    if found.total < need.count:
        raise _UnfitError("too_few_devices", f"has {found.total} {need.type}, the job needs {need.count}")
    return found


def _queue_s(need: Need, capacity: CapacityAnswer) -> float:
    if capacity.queue_s is not None:
        return capacity.queue_s
    if capacity.queued_device_hours is not None:
        return capacity.queued_device_hours / capacity.total * 3600
    if capacity.free is None or capacity.free < need.count:
        free = "unknown" if capacity.free is None else f"{capacity.free} of {capacity.total}"
        raise _UnfitError("unknown_queue", f"reports no queue time for {need.type}; free devices: {free}")
    return 0.0


def _staged_in(job: Job, site: str, inputs: PlacementInputs) -> Iterator[StagedTransfer]:
    """One transfer per site that has inputs: inputs at one site move together."""
    sizes: dict[str, int] = defaultdict(int)
    for part in job.data:
        sizes[part.site] += part.bytes
    for src, size in sizes.items():
        if src != site:
            yield _staged(src, site, size, inputs, f"cannot get the data of {src}")


def _staged_out(job: Job, site: str, inputs: PlacementInputs) -> Iterator[StagedTransfer]:
    if job.result is not None and job.result.site != site:
        dst = job.result.site
        yield _staged(site, dst, job.result.bytes, inputs, f"cannot send the result to {dst}")


def _staged(src: str, dst: str, size: int, inputs: PlacementInputs, without: str) -> StagedTransfer:
    found = inputs.transfer(src, dst, size)
    if isinstance(found, NoTransfer):
        raise _UnfitError("no_path", f"{without}: {_NO_TRANSFER[found.reason]}")
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
    rates = [one.usd_per_device_hour for one in capacity]
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
        raise _UnfitError("price", f"has an unknown price; at most {job.max_price_usd:.10g} USD are allowed")
    if found.price_usd > job.max_price_usd:
        raise _UnfitError("price", f"costs {found.price_usd:.2f} USD; at most {job.max_price_usd:.10g} USD are allowed")


def _why(ranking: Sequence[SitePlacement], excluded: Sequence[ExcludedSite]) -> str:
    if not ranking:
        return "No site can run the job: " + "; ".join(f"{site.site} {site.why}" for site in excluded) + "."
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
    second = f"{others[0].site} would take {duration(others[0].total_p50_s)}" if others else "no other site can run it"
    return f"{best.site} is done soonest, after {done}: {parts or 'nothing to do'}, {price}; {second}."
