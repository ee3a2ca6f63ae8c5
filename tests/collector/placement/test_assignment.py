"""Several jobs at once: never more devices than there are, never worse than first come, first served."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.placement import assignment, job_batch
from collector.placement.assignment import assign
from collector.placement.job_batch import Devices, JobBatch, JobRun, Option


def option(site: str, run_s: float, count: int = 1, *, ready_s: float = 0.0, patience_s: float = math.inf) -> Option:
    return Option(site, ready_s, run_s, 0.0, patience_s, (("gpu", count),))


def gpus(**counts: int) -> Devices:
    return {site: {"gpu": [(0.0, count)]} for site, count in counts.items()}


def test_a_job_waits_until_enough_devices_are_free() -> None:
    batch = JobBatch([[option("a", 10, 2)], [option("a", 5, 3)], [option("a", 1, 1)]], gpus(a=4))
    assert batch.runs("a", (0, 1, 2)) == {
        0: JobRun("a", 0.0, 0.0, 10.0),
        1: JobRun("a", 10.0, 10.0, 15.0),
        2: JobRun("a", 10.0, 10.0, 11.0),
    }


def test_devices_that_become_free_later_are_taken_then() -> None:
    batch = JobBatch([[option("a", 10, 3, ready_s=1.0)]], {"a": {"gpu": [(0.0, 2), (7.0, 2)]}})
    assert batch.runs("a", (0,)) == {0: JobRun("a", 7.0, 6.0, 17.0)}


def test_a_job_that_would_miss_its_deadline_is_left_out_and_holds_nothing() -> None:
    batch = JobBatch([[option("a", 10)], [option("a", 10, patience_s=9.9)], [option("a", 1)]], gpus(a=1))
    assert list(batch.runs("a", (0, 1, 2)).values()) == [JobRun("a", 0.0, 0.0, 10.0), JobRun("a", 10.0, 10.0, 11.0)]


def test_more_devices_than_a_pool_has_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="the pool lacks 1 device"):
        JobBatch([[option("a", 1, 2)]], gpus(a=1)).runs("a", (0,))


def test_a_long_job_that_came_first_does_not_hold_up_the_short_ones() -> None:
    batch = JobBatch([[option("a", 100)], [option("a", 1)], [option("a", 2)]], gpus(a=1))
    plan, first_come = assign(batch)
    assert first_come.cost == (0, 100 + 101 + 103)
    assert plan.cost == (0, 1 + 3 + 103)


def test_the_first_job_gives_way_where_another_site_is_as_good_for_it() -> None:
    # First come, first served: 0 takes a (1 s), and 1, which a suits far better than b, waits or goes to b.
    batch = JobBatch([[option("a", 10), option("b", 11)], [option("a", 10), option("b", 100)]], gpus(a=1, b=1))
    plan, first_come = assign(batch)
    assert (first_come.cost, plan.cost) == ((0, 10 + 20), (0, 11 + 10))
    assert {job: run.site for job, run in plan.runs.items()} == {0: "b", 1: "a"}


def test_a_deadline_is_kept_before_time_is_saved() -> None:
    batch = JobBatch([[option("a", 1)], [option("a", 50, patience_s=0.0)]], gpus(a=1))
    plan, first_come = assign(batch)
    assert (first_come.cost, plan.cost) == ((1, 1), (0, 50 + 51))


def test_jobs_without_any_site_are_left_out() -> None:
    plan, first_come = assign(JobBatch([[], []], {}))
    assert plan.cost == first_come.cost == (2, 0)
    assert job_batch.solved(JobBatch([[], []], {}), 1.0) is None


def test_where_jobs_take_whole_sites_the_assignment_is_exact() -> None:
    batch = JobBatch([[option("a", run), option("b", run + 1)] for run in (5, 4, 3, 2, 1)], gpus(a=1, b=1))
    ordered = job_batch.solved(batch, 1.0)
    assert ordered is not None
    sequences = {site: tuple(job for job, at in ordered if at == site) for site in "ab"}
    assert assignment.plan_of(batch, sequences).cost[1] == least(batch)


def test_too_many_choices_are_left_to_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_batch, "MAX_COLUMNS", 3)
    batch = JobBatch([[option("a", 10)], [option("a", 1)], [option("a", 1)]], gpus(a=2))
    assert job_batch.solved(batch, 1.0) is None
    assert assign(batch)[0].cost == (0, 1 + 1 + 11)


def test_a_solver_that_runs_out_of_time_is_no_harm() -> None:
    batch = JobBatch([[option("a", 10), option("b", 9)] for _ in range(30)], gpus(a=4, b=5))
    assert job_batch.solved(batch, 0.0) is None
    plan, first_come = assign(batch, solver_limit_s=0.0)
    assert plan.cost <= first_come.cost


def test_search_without_effort_leaves_first_come_first_served() -> None:
    batch = JobBatch([[option("a", 100)], [option("a", 1)]], gpus(a=1))
    assert assignment._improved(batch, {"a": (0, 1)}, 0) == {"a": (0, 1)}
    assert assignment._improved(batch, {"a": (0, 1)}, 2) == {"a": (0, 1)}


def least(batch: JobBatch) -> float:
    """The least sum of times until done over every order and every choice of sites, tried out."""
    jobs = range(len(batch.jobs))
    costs = []
    for order in itertools.permutations(jobs):
        for sites in itertools.product(*([one.site for one in options] for options in batch.jobs)):
            sequences = {site: tuple(job for job in order if sites[job] == site) for site in batch.devices}
            costs.append(assignment.plan_of(batch, sequences).cost)
    return min(costs)[1]


_OPTIONS = st.builds(
    option,
    st.just("a"),
    st.floats(0.1, 1000),
    ready_s=st.floats(0, 100),
    patience_s=st.one_of(st.just(math.inf), st.floats(0, 500)),
)


@st.composite
def batches(draw: st.DrawFn) -> JobBatch:
    sizes = draw(st.dictionaries(st.sampled_from("abc"), st.integers(1, 4), min_size=1))
    jobs = []
    for _ in range(draw(st.integers(1, 7))):
        count = draw(st.integers(1, 4))
        sites = [site for site in draw(st.lists(st.sampled_from(sorted(sizes)), unique=True)) if sizes[site] >= count]
        drawn = [draw(_OPTIONS) for _ in sites]
        jobs.append([replace(one, site=site, needs=(("gpu", count),)) for site, one in zip(sites, drawn, strict=True)])
    return JobBatch(jobs, gpus(**sizes))


@given(batches())
def test_no_plan_exceeds_the_devices_or_is_worse_than_first_come_first_served(batch: JobBatch) -> None:
    plan, first_come = assign(batch, effort=5000)
    assert plan.cost <= first_come.cost
    assert plan.left_out + len(plan.runs) == len(batch.jobs)
    for moment in [run.start_s for run in plan.runs.values()]:
        held = dict.fromkeys(batch.devices, 0)
        for job, run in plan.runs.items():
            chosen = batch.options[job][run.site]
            assert run.wait_s == pytest.approx(run.start_s - chosen.ready_s)
            assert run.wait_s <= chosen.patience_s
            if run.start_s <= moment < run.start_s + chosen.run_s:
                held[run.site] += chosen.needs[0][1]
        assert all(count <= batch.devices[site]["gpu"][0][1] for site, count in held.items())
