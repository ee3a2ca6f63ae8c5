"""A generated day of jobs: placed together, against first come first served and against staying with the data.

    python -m tests.bench.placement [--seeds N] [--jobs N] [--sites N]

Sites, their devices and the rates between them are drawn at random; so are the jobs: most of their data is at one
site, a tenth are large, every third has a deadline. All arrive in hourly batches, as a scheduler hands over its
queue, and what runs from earlier batches holds its devices. "data" goes where most of a job's data is (or the next
such site with enough devices), "first come" where it is done soonest after those before it, "together" is ours.
A job that cannot make its deadline is left out by each, and counted as missed. Times are from a batch to the result.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from collector.placement import assignment
from collector.placement.job_batch import Devices, JobBatch, JobRun, Option

HOUR_S = 3600.0
HOURS = 24
TYPES = ("gpu", "big")


@dataclass(frozen=True)
class World:
    """Who has how many devices of each type, and how fast data moves (bytes/s)."""

    devices: dict[str, dict[str, int]]
    rates: dict[tuple[str, str], float]


@dataclass(frozen=True)
class Work:
    """A job as it is drawn."""

    data: dict[str, float]
    kind: str
    count: int
    run_s: float
    deadline_s: float


@dataclass
class Day:
    """What came of one way to place."""

    done_s: list[float] = field(default_factory=list)
    started_s: list[float] = field(default_factory=list)
    missed: int = 0


def world(sites: int, chance: random.Random) -> World:
    names = [f"s{number}" for number in range(sites)]
    devices = {
        name: {"gpu": chance.choice((8, 16, 32))} | ({"big": chance.choice((4, 8))} if number % 2 else {})
        for number, name in enumerate(names)
    }
    rates = {(src, dst): 10 ** chance.uniform(7.3, 9.1) for src in names for dst in names if src != dst}
    return World(devices, rates)


def jobs(number: int, there: World, chance: random.Random) -> list[Work]:
    return [_job(there, chance) for _ in range(number)]


def _job(there: World, chance: random.Random) -> Work:
    size = 10 ** chance.uniform(10, 12.5)
    home, *others = chance.sample(sorted(there.devices), 3)
    data = {home: 0.8 * size, **dict.fromkeys(others, 0.1 * size)}
    kind = chance.choices(TYPES, (3, 1))[0]
    most = max(pools.get(kind, 0) for pools in there.devices.values())
    count = min(most, chance.choice((1, 2, 4, 8, 16)))
    run_s = chance.lognormvariate(math.log(1.5 * HOUR_S), 0.8) * (4 if chance.random() < 0.1 else 1)
    deadline_s = run_s * chance.uniform(2, 6) + HOUR_S if chance.random() < 1 / 3 else math.inf
    return Work(data, kind, count, run_s, deadline_s)


def options(work: Work, there: World) -> list[Option]:
    """Every site that has the devices, data staged from its sites side by side."""
    found = []
    for site, pools in there.devices.items():
        if pools.get(work.kind, 0) >= work.count:
            ready_s = max(size / there.rates[src, site] for src, size in work.data.items() if src != site)
            patience_s = work.deadline_s - ready_s - work.run_s
            if patience_s >= 0:
                found.append(Option(site, ready_s, work.run_s, 0.0, patience_s, ((work.kind, work.count),)))
    return found


def together(batch: JobBatch, _: Sequence[Work]) -> dict[int, JobRun]:
    return dict(assignment.assign(batch)[0].runs)


def first_come(batch: JobBatch, _: Sequence[Work]) -> dict[int, JobRun]:
    return dict(assignment.plan_of(batch, assignment.first_come(batch)).runs)


def nearest_data(batch: JobBatch, works: Sequence[Work]) -> dict[int, JobRun]:
    sequences: dict[str, tuple[int, ...]] = dict.fromkeys(batch.devices, ())
    for number, work in enumerate(works):
        sites = sorted(batch.options[number], key=lambda site: -work.data.get(site, 0.0))
        if sites:
            sequences[sites[0]] = (*sequences[sites[0]], number)
    return dict(assignment.plan_of(batch, sequences).runs)


WAYS: dict[str, Callable[[JobBatch, Sequence[Work]], dict[int, JobRun]]] = {
    "data": nearest_data,
    "first come": first_come,
    "together": together,
}


def day(
    there: World, hours: Sequence[Sequence[Work]], way: Callable[[JobBatch, Sequence[Work]], dict[int, JobRun]]
) -> Day:
    """Place a day's batches, each with the devices as the ones before left them."""
    found = Day()
    held: list[tuple[str, str, int, float]] = []  # site, type, how many, until when
    for hour, works in enumerate(hours):
        now_s = hour * HOUR_S
        held = [hold for hold in held if hold[3] > now_s]
        batch = JobBatch([options(work, there) for work in works], _free(there, held, now_s))
        runs = way(batch, works)
        for number, run in runs.items():
            work = works[number]
            held.append((run.site, work.kind, work.count, now_s + run.start_s + work.run_s))
            found.done_s.append(run.done_s)
            found.started_s.append(run.start_s)
        found.missed += len(works) - len(runs)
    return found


def _free(there: World, held: Sequence[tuple[str, str, int, float]], now_s: float) -> Devices:
    """When devices become free, as a batch sees it: those that run jobs of earlier batches later."""
    pools: dict[str, dict[str, list[tuple[float, int]]]] = defaultdict(dict)
    for site, kinds in there.devices.items():
        for kind, count in kinds.items():
            pools[site][kind] = _profile(
                count, sorted((until_s - now_s, n) for at, what, n, until_s in held if (at, what) == (site, kind))
            )
    return pools


def _profile(count: int, busy: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """Jobs that wait for others' devices hold more than there are: those that end last take over from the first."""
    left, profile = count, []
    for until_s, number in reversed(busy):
        taken = min(left, number)
        left -= taken
        if taken:
            profile.append((until_s, taken))
    return sorted([*profile, *([(0.0, left)] if left else [])])


def main() -> None:
    """Print each way's figures, and the gain of placing together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=12, help="in each hour's batch")
    parser.add_argument("--sites", type=int, default=6)
    asked = parser.parse_args()
    gains: dict[str, list[float]] = defaultdict(list)
    print(f"{asked.seeds} days of {HOURS} × {asked.jobs} jobs at {asked.sites} sites")
    print(f"{'seed':>4} {'':10} {'mean h':>8} {'start p50 h':>11} {'missed':>7} {'CPU s':>6}")
    for seed in range(asked.seeds):
        chance = random.Random(seed)
        there = world(asked.sites, chance)
        hours = [jobs(asked.jobs, there, chance) for _ in range(HOURS)]
        means = {}
        for name, way in WAYS.items():
            started = time.process_time()
            found = day(there, hours, way)
            cpu_s = time.process_time() - started
            means[name] = statistics.fmean(found.done_s) / HOUR_S
            start_h = statistics.median(found.started_s) / HOUR_S
            print(f"{seed:4} {name:10} {means[name]:8.2f} {start_h:11.2f} {found.missed:7} {cpu_s:6.1f}")
            gains[f"{name} missed"].append(found.missed)
        for other in ("data", "first come"):
            gains[f"over {other}"].append(1 - means["together"] / means[other])
    for other in ("data", "first come"):
        values = [100 * gain for gain in gains[f"over {other}"]]
        print(
            f"together against {other}: mean time until done {statistics.median(values):.1f} % shorter "
            f"(median; {min(values):.1f} to {max(values):.1f} %, n {len(values)} days), "
            f"missed deadlines {sum(gains['together missed']):g} instead of {sum(gains[f'{other} missed']):g}"
        )


if __name__ == "__main__":
    main()
