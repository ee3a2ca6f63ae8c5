"""Several jobs and the sites' devices: how a site runs a sequence of jobs, and a first plan by scipy's solvers. Pure.

A site never runs more than it has devices. The solvers (pure but for their own time limit) give a first plan. Where no
two jobs fit into a site side by side, the k-th job from the end of a site's sequence delays k jobs by its run: then the
sum of all times is linear, and an assignment problem. Otherwise sequences become waves, each of which must fit into the
devices: an integer program, solved by HiGHS. Both ignore that jobs become ready at different times and have deadlines:
`assignment` improves on them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from linkweather import units

if TYPE_CHECKING:
    from scipy.sparse import coo_array

MAX_WAVES = 8
MAX_COLUMNS = 20_000  # more cannot be solved in time
_LEFT_OUT_S = 1e12  # dearer than any place

Ordered = list[tuple[int, str]]  # jobs with their sites, in the order in which each site runs them


@dataclass(frozen=True, slots=True)
class Option:
    """A site where a job can run: ready there after `ready_s`, it runs for `run_s`, and is done `after_s` later.

    It may wait at most `patience_s` for devices (infinite without a deadline); `needs` is how many of each type.
    """

    site: str
    ready_s: float
    run_s: float
    after_s: float
    patience_s: float
    needs: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class JobRun:
    """Where and when a job runs; `done_s` is when its result is where it must be."""

    site: str
    start_s: float
    wait_s: float
    done_s: float


# site → type → when devices become free, soonest first: (from when, how many).
Devices = Mapping[str, Mapping[str, Sequence[tuple[float, int]]]]


@dataclass(frozen=True)
class JobBatch:
    """Jobs in the order in which they came, each with the sites where it can run, and the devices."""

    jobs: Sequence[Sequence[Option]]
    devices: Devices

    @cached_property
    def options(self) -> list[dict[str, Option]]:
        """Each job's options by site."""
        return [{option.site: option for option in options} for options in self.jobs]

    def runs(self, site: str, sequence: Sequence[int]) -> dict[int, JobRun]:
        """How a site runs these jobs, one started after the other; a job that would miss its deadline is left out."""
        pools = {kind: list(free) for kind, free in self.devices[site].items()}
        found = {}
        for job in sequence:
            option = self.options[job][site]
            start_s = max((_free_from(pools[kind], count) for kind, count in option.needs), default=0.0)
            start_s = max(start_s, option.ready_s)
            wait_s = start_s - option.ready_s
            if wait_s <= option.patience_s:
                for kind, count in option.needs:
                    _hold(pools[kind], count, start_s + option.run_s)
                found[job] = JobRun(site, start_s, wait_s, start_s + option.run_s + option.after_s)
        return found


def _free_from(pool: Sequence[tuple[float, int]], count: int) -> float:
    """When so many devices are free at once; the pool has as many."""
    for free_s, free in pool:
        count -= free
        if count <= 0:
            return free_s
    raise ValueError(f"the pool lacks {units.count(count, 'device')}")


def _hold(pool: list[tuple[float, int]], count: int, until_s: float) -> None:
    """Take the devices that are free soonest until then."""
    left = count
    while left:
        free_s, free = pool.pop(0)
        if free > left:
            pool.insert(0, (free_s, free - left))
        left -= min(free, left)
    pool.append((until_s, count))
    pool.sort()


@dataclass(frozen=True, slots=True)
class _Choice:
    """This job at this site, in this wave."""

    job: int
    option: Option
    wave: int
    cost_s: float


def solved(batch: JobBatch, limit_s: float) -> Ordered | None:
    """A good plan as the solvers see it; None where there is nothing to decide, or no answer in time."""
    if len(batch.jobs) < 2 or not any(batch.jobs):
        return None
    return _in_line(batch) if _one_at_a_time(batch) else _in_waves(batch, limit_s)


def _one_at_a_time(batch: JobBatch) -> bool:
    at_site: dict[str, list[Option]] = defaultdict(list)
    for option in (option for options in batch.jobs for option in options):
        at_site[option.site].append(option)
    return not any(_fit_together(batch, *pair) for options in at_site.values() for pair in _tightest(options))


def _tightest(options: Sequence[Option]) -> Iterator[tuple[Option, Option]]:
    """Pairs of the jobs that need least: where these do not fit side by side, hardly any others do."""
    yield from combinations(sorted(options, key=lambda option: sum(count for _, count in option.needs))[:8], 2)


def _fit_together(batch: JobBatch, one: Option, other: Option) -> bool:
    wanted: dict[str, int] = defaultdict(int)
    for kind, count in (*one.needs, *other.needs):
        wanted[kind] += count
    return all(count <= _size(batch, one.site, kind) for kind, count in wanted.items())


def _size(batch: JobBatch, site: str, kind: str) -> int:
    return sum(count for _, count in batch.devices[site][kind])


def _optimize() -> Any:
    """The solvers, loaded when the first batch asks for them: they take 45 MB, and most collectors place none."""
    from scipy import optimize  # noqa: PLC0415

    return optimize


def _in_line(batch: JobBatch) -> Ordered:
    """The assignment problem: jobs to places, counted from the end of each site's sequence."""
    jobs, sites = len(batch.jobs), list(batch.devices)
    cost_s = np.full((jobs, len(sites) * jobs), _LEFT_OUT_S)
    for job, options in enumerate(batch.jobs):
        for option in options:
            first = sites.index(option.site) * jobs
            cost_s[job, first : first + jobs] = option.ready_s + option.after_s + option.run_s * np.arange(1, jobs + 1)
    rows, columns = _optimize().linear_sum_assignment(cost_s)
    found = [
        (-(column % jobs), int(job), sites[column // jobs])
        for job, column in zip(rows, columns, strict=True)
        if cost_s[job, column] < _LEFT_OUT_S
    ]
    return [(job, site) for _, job, site in sorted(found)]


def _in_waves(batch: JobBatch, limit_s: float) -> Ordered | None:
    choices = list(_choices(batch))
    if len(choices) > MAX_COLUMNS:
        return None
    optimize = _optimize()
    once = optimize.LinearConstraint(_once(choices, len(batch.jobs)), -np.inf, 1)
    matrix, sizes = _held(choices, batch)
    cost_s = np.array([choice.cost_s for choice in choices])
    answer = optimize.milp(
        cost_s - 10 * cost_s.max() - 1,  # taking a job is always worth it
        constraints=[once, optimize.LinearConstraint(matrix, -np.inf, sizes)],
        integrality=np.ones(len(choices)),
        bounds=optimize.Bounds(0, 1),
        options={"time_limit": limit_s},
    )
    if answer.x is None:
        return None
    taken = sorted(
        (choice.wave, choice.option.ready_s, choice.job, choice.option.site)
        for choice, share in zip(choices, answer.x, strict=True)
        if share > 0.5
    )
    return [(job, site) for _, _, job, site in taken]


def _choices(batch: JobBatch) -> Iterator[_Choice]:
    """A wave starts when the one before is over: after about a mean run of the jobs that the site could have."""
    runs: dict[str, list[float]] = defaultdict(list)
    for option in (option for options in batch.jobs for option in options):
        runs[option.site].append(option.run_s)
    waves = min(MAX_WAVES, _waves(batch))
    for job, options in enumerate(batch.jobs):
        for option in options:
            for wave in range(waves):
                alone_s = option.ready_s + option.run_s + option.after_s
                yield _Choice(job, option, wave, alone_s + wave * fmean(runs[option.site]))


def _waves(batch: JobBatch) -> int:
    """Enough waves for the busiest type of devices, and one more."""
    wanted: dict[str, int] = defaultdict(int)
    for options in batch.jobs:
        for kind, count in options[0].needs if options else ():
            wanted[kind] += count
    there: dict[str, int] = defaultdict(int)
    for site, pools in batch.devices.items():
        for kind in pools:
            there[kind] += _size(batch, site, kind)
    return 1 + max(math.ceil(count / there[kind]) for kind, count in wanted.items())


def _once(choices: Sequence[_Choice], jobs: int) -> coo_array:
    from scipy.sparse import coo_array  # noqa: PLC0415 - as _optimize

    rows = [choice.job for choice in choices]
    return coo_array((np.ones(len(rows)), (rows, range(len(rows)))), shape=(jobs, len(rows)))


def _held(choices: Sequence[_Choice], batch: JobBatch) -> tuple[coo_array, npt.NDArray[Any]]:
    """How many devices each choice holds, a row per site, type and wave; and how many there are."""
    from scipy.sparse import coo_array  # noqa: PLC0415 - as _optimize

    rows: dict[tuple[str, str, int], int] = {}
    cells = [
        (count, rows.setdefault((choice.option.site, kind, choice.wave), len(rows)), column)
        for column, choice in enumerate(choices)
        for kind, count in choice.option.needs
    ]
    counts, places, columns = zip(*cells, strict=True)
    sizes = np.array([_size(batch, site, kind) for site, kind, _ in rows])
    return coo_array((counts, (places, columns)), shape=(len(rows), len(choices))), sizes
