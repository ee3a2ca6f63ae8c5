"""Several jobs and the sites' devices: how a site runs a sequence of jobs, never more than it has devices. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property


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
    raise ValueError("the pool is smaller than what is asked of it")


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
