"""Several jobs at once: which runs where, and after which, so that no site runs more than it has devices. Pure.

Plans are compared by how many jobs they leave out, then by the sum of the jobs' times until done. First come, first
served is one plan, the solvers of `job_batch` give another, and local search improves both. The best is taken, so it is
never worse than first come, first served.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from collector.placement.job_batch import JobBatch, JobRun, Ordered, solved

Sequences = dict[str, tuple[int, ...]]
Cost = tuple[int, float]  # jobs left out, and the sum of the others' times until done

# So many starts of jobs local search may try: a second or two.
EFFORT_STARTS = 400_000
SOLVER_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class JobPlan:
    """Where and when each job runs; jobs without a run are left out."""

    runs: Mapping[int, JobRun]
    left_out: int

    @property
    def cost(self) -> Cost:
        """Less is better."""
        return self.left_out, sum(run.done_s for run in self.runs.values())


def assign(
    batch: JobBatch, *, solver_limit_s: float = SOLVER_LIMIT_S, effort: int = EFFORT_STARTS
) -> tuple[JobPlan, JobPlan]:
    """The best plan found, and the plan of first come, first served."""
    in_turn = first_come(batch)
    ordered = solved(batch, solver_limit_s)
    starts = [in_turn] if ordered is None else [in_turn, _appended(batch, ordered)]
    plans = [plan_of(batch, sequences) for sequences in starts]
    plans += [plan_of(batch, _improved(batch, start, effort // len(starts))) for start in starts]
    return min(plans, key=lambda plan: plan.cost), plans[0]


def first_come(batch: JobBatch) -> Sequences:
    """Each job in turn takes the site where it is done soonest, after those that came before it."""
    sequences: Sequences = dict.fromkeys(batch.devices, ())
    for job in range(len(batch.jobs)):
        done = {
            option.site: runs[job].done_s
            for option in batch.jobs[job]
            if job in (runs := batch.runs(option.site, (*sequences[option.site], job)))
        }
        if done:
            site = min(done, key=done.__getitem__)
            sequences[site] = (*sequences[site], job)
    return sequences


def _appended(batch: JobBatch, ordered: Ordered) -> Sequences:
    sequences: Sequences = dict.fromkeys(batch.devices, ())
    for job, site in ordered:
        sequences[site] = (*sequences[site], job)
    return sequences


def plan_of(batch: JobBatch, sequences: Sequences) -> JobPlan:
    """What comes of these sequences."""
    runs = dict(chain.from_iterable(batch.runs(*item).items() for item in sequences.items()))
    return JobPlan(runs, len(batch.jobs) - len(runs))


@dataclass(slots=True)
class _LocalSearch:
    """A plan that moves, one job at a time, while it gets better and effort is left."""

    batch: JobBatch
    sequences: Sequences
    effort: int

    def cost(self, site: str, sequence: tuple[int, ...]) -> Cost:
        self.effort -= len(sequence)
        runs = self.batch.runs(site, sequence)
        return -len(runs), sum(run.done_s for run in runs.values())

    def move(self, job: int) -> bool:
        """Take the job to where the whole gets better most; false where it is best already."""
        home = next((site for site, sequence in self.sequences.items() if job in sequence), None)
        rest = {site: tuple(one for one in sequence if one != job) for site, sequence in self.sequences.items()}
        # What the site that the job leaves gains by that.
        relief: Cost = (0, 0.0)
        if home is not None:
            relief = _difference(self.cost(home, rest[home]), self.cost(home, self.sequences[home]))
        best, chosen = (0, -1e-6), None
        for site, sequence in self._places(job, rest):
            added = _difference(self.cost(site, sequence), self.cost(site, rest[site]))
            change = (relief[0] + added[0], relief[1] + added[1])
            if change < best:
                best, chosen = change, (site, sequence)
        if chosen is None:
            return False
        self.sequences = {**rest, chosen[0]: chosen[1]}
        return True

    def _places(self, job: int, rest: Sequences) -> Iterator[tuple[str, tuple[int, ...]]]:
        for site in self.batch.options[job]:
            for place in range(len(rest[site]) + 1):
                if self.effort <= 0:
                    return
                yield site, (*rest[site][:place], job, *rest[site][place:])


def _improved(batch: JobBatch, start: Sequences, effort: int) -> Sequences:
    search = _LocalSearch(batch, start, effort)
    while search.effort > 0:
        moved = [search.move(job) for job in range(len(batch.jobs))]
        if not any(moved):
            break
    return search.sequences


def _difference(new: Cost, old: Cost) -> Cost:
    return new[0] - old[0], new[1] - old[1]
