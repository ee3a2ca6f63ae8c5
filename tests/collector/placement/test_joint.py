"""Several jobs placed together: what each answer says of the others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from collector.placement.joint import alone, together
from collector.placement.placement import NoTransfer, PlacementInputs, PlannedTransfer
from linkweather.mesh import Mesh
from linkweather.models.placements import Job, PlacementsAnswer
from linkweather.models.state import CapacityAnswer

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MESH = Mesh.model_validate({"sites": {"a": {"address": "192.0.2.1"}, "b": {"address": "192.0.2.2"}}})


def job(name: str, hours: float, count: int = 8, **fields: Any) -> Job:
    need = {"type": "gpu", "count": count, "work_device_hours": hours * count}
    return Job.model_validate({"name": name, "data": [{"site": "a", "bytes": 10**12}], "devices": [need], **fields})


def capacity(site: str, **fields: Any) -> CapacityAnswer:
    return CapacityAnswer(site=site, type="gpu", state="fresh", at=NOON, age_s=0.0, **{"total": 8, "free": 8, **fields})


def hour(src: str, dst: str, _size: int) -> PlannedTransfer | NoTransfer:
    return PlannedTransfer(3600.0, 3600.0, 0.0, (src, dst))


def placed(jobs: list[Job], *capacities: CapacityAnswer) -> PlacementsAnswer:
    inputs = PlacementInputs(NOON, MESH, capacities, hour)
    return together(jobs, list(alone(jobs, inputs)), NOON)


def test_a_job_that_waits_behind_another_says_for_how_long() -> None:
    answer = placed([job("long", 5), job("short", 1)], capacity("a"))
    # First come: 5 + 6 h. Short first: 1 + 6 h.
    assert [(one.site, one.wait_s, one.done_p50_s) for one in answer.placements] == [
        ("a", 3600.0, 6 * 3600.0),
        ("a", 0.0, 3600.0),
    ]
    assert (
        answer.placements[0].why == "a is done after 6.00 h, 60.0 min of it behind other jobs, "
        "and is also the soonest for this job alone."
    )
    assert (answer.total_p50_s, answer.first_come_total_p50_s) == (7 * 3600, 11 * 3600)
    assert answer.why == (
        "these placements: 2 jobs placed, 0 not, 7.00 h in total; "
        "first come, first served: 2 jobs placed, 0 not, 11.0 h in total."
    )


def test_a_job_that_gives_way_says_to_whom() -> None:
    answer = placed([job("x", 4), job("y", 4)], capacity("a"), capacity("b"))
    assert {one.site for one in answer.placements} == {"a", "b"}
    (gives_way,) = [one for one in answer.placements if one.site == "b"]
    other = "x" if gives_way.job == "y" else "y"
    assert gives_way.why == f"b is done after 5.00 h: a would be sooner (4.00 h), but runs {other}."


def test_of_many_jobs_at_the_better_site_three_are_named() -> None:
    jobs = [job(f"j{number}", 4, 2) for number in range(5)]
    answer = placed(jobs, capacity("a"), capacity("b"))
    whys = [one.why for one in answer.placements if one.site == "b"]
    assert len(whys) == 1
    assert whys[0].endswith(" and 1 more.")


def test_a_job_that_the_others_crowd_out_says_so() -> None:
    answer = placed([job("x", 1, deadline_s="90min"), job("y", 1, deadline_s="90min")], capacity("a"))
    assert [one.site for one in answer.placements].count(None) == 1
    (left,) = [one for one in answer.placements if one.site is None]
    assert (left.done_p50_s, answer.unplaced) == (None, 1)
    assert left.why == ("At every site that could run it, the other jobs hold the devices for too long: a.")


def test_a_job_that_no_site_can_run_keeps_its_own_reasons() -> None:
    answer = placed([job("big", 1, 99), job("small", 1)], capacity("a"))
    assert answer.placements[0].why.startswith("No site can run the job: a has 8 gpu, the job needs 99")
    assert answer.placements[1].site == "a"


def test_without_a_queue_only_free_devices_are_counted_on() -> None:
    free = placed([job("x", 1, 2), job("y", 1, 2)], capacity("a", free=2))
    assert sorted(one.wait_s or 0.0 for one in free.placements) == [0.0, 3600.0]
    queued = placed([job("x", 1, 2), job("y", 1, 2)], capacity("a", free=2, queue_s=60.0))
    assert [(one.wait_s, one.done_p50_s) for one in queued.placements] == [(0.0, 3660.0)] * 2


def test_where_no_job_is_placed_no_time_is_said() -> None:
    answer = placed([job("x", 4)])
    assert answer.why == ("these placements: 0 jobs placed, 1 not; first come, first served: 0 jobs placed, 1 not.")
