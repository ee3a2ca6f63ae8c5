"""Which site should run a job: stages by hand, and why every other site cannot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from collector.placement.placement import NoTransfer, PlacementInputs, PlannedTransfer, place, transfer_of
from linkweather.mesh import Mesh
from linkweather.models.placements import Job
from linkweather.models.routes import LinkInput, NoRoute, PathExpectation, RouteAnswer
from linkweather.models.state import CapacityAnswer

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TB = 10**12
MESH = Mesh.model_validate(
    {"sites": {name: {"address": f"192.0.2.{n}", "compute_id": f"CN-{name}"} for n, name in enumerate("abc", 1)}}
)


def job(**fields: Any) -> Job:
    values = {
        "data": [{"site": "a", "bytes": 2 * TB}, {"site": "b", "bytes": TB}],
        "result": {"site": "a", "bytes": TB // 10},
        "devices": [{"type": "a100", "count": 8, "work_device_hours": 16.0}],
        **fields,
    }
    return Job.model_validate(values)


def capacity(site: str, **fields: Any) -> CapacityAnswer:
    values = {"type": "a100", "total": 8, "free": 8, "usd_per_device_hour": 2.0, "state": "fresh", "age_s": 5.0}
    return CapacityAnswer(site=site, at=NOON, **{**values, **fields})


def move(src: str, dst: str, size: int) -> PlannedTransfer | NoTransfer:
    """1 TB/h (p90: two hours) for 10 USD/TB, over links of their own."""
    hours = size / TB
    leg = LinkInput(src=src, dst=dst, state="fresh", goodput_age_s=60.0, goodput_samples=9)
    return PlannedTransfer(3600 * hours, 7200 * hours, 10 * hours, (src, dst), (leg,))


def grounds(*capacities: CapacityAnswer, transfer: Any = move) -> PlacementInputs:
    return PlacementInputs(NOON, MESH, capacities, transfer)


def why(answer_of: Job, *capacities: CapacityAnswer, transfer: Any = move) -> dict[str, tuple[str, str]]:
    answer = place(answer_of, grounds(*capacities, transfer=transfer))
    return {site.site: (site.reason, site.why) for site in answer.excluded}


def test_the_stages_of_a_job_worked_out_by_hand() -> None:
    answer = place(job(), grounds(capacity("a"), capacity("b", queue_s=600.0)))
    # At a only b's 1 TB comes in: 1 h (p90 2 h); 16/8 = 2 h of run; the result is there. 10 + 16 × 2 = 42 USD.
    first, second = answer.ranking
    assert (first.site, first.stage_in_p50_s, first.stage_in_p90_s, first.queue_s) == ("a", 3600, 7200, 0)
    assert (first.run_s, first.stage_out_p50_s, first.total_p50_s, first.total_p90_s) == (7200, 0, 10800, 14400)
    assert (first.price_usd, first.compute_id) == (42.0, "CN-a")
    # At b: 2 TB in 2 h (4 h), 10 min of queue, 2 h, 0.1 TB back in 6 min (12 min). 20 + 32 + 1 USD.
    assert (second.site, second.stage_in_p50_s, second.queue_s, second.stage_out_p90_s) == ("b", 7200, 600, 720)
    assert (second.total_p50_s, second.total_p90_s) == (7200 + 600 + 7200 + 360, 14400 + 600 + 7200 + 720)
    assert second.price_usd == pytest.approx(53.0)
    assert (answer.site, answer.wait_s, answer.done_p50_s, answer.done_p90_s) == ("a", 0, 10800, 14400)
    assert answer.why == (
        "a is done soonest, after 3.00 h (p90 4.00 h): stage-in 60.0 min, run 2.00 h, "
        "for 42.00 USD; b would take 4.27 h."
    )


def test_an_answer_says_what_it_rests_on_with_ages() -> None:
    (found,) = place(job(), grounds(capacity("a", age_s=12.0))).ranking
    assert [told.age_s for told in found.capacity] == [12.0]
    assert [(one.src, one.dst, one.bytes, one.sites) for one in found.transfers] == [("b", "a", TB, ("b", "a"))]
    assert [leg.goodput_age_s for leg in found.transfers[0].inputs] == [60.0]


def test_inputs_that_lie_together_move_together() -> None:
    data = [{"site": "b", "bytes": TB}, {"site": "b", "bytes": TB}]
    (found,) = place(job(data=data), grounds(capacity("a"))).ranking
    assert [one.bytes for one in found.transfers] == [2 * TB]


def test_a_job_with_its_data_at_home_and_nothing_to_do_takes_no_time() -> None:
    idle = [{"type": "a100", "count": 8, "work_device_hours": 0.0}]
    answer = place(
        job(data=[{"site": "a", "bytes": 1}], devices=idle), grounds(capacity("a", usd_per_device_hour=None))
    )
    assert answer.ranking[0].total_p90_s == 0
    assert answer.why.startswith("a is done soonest, after 0 µs (p90 0 µs): nothing to do, at an unknown price")
    assert answer.why.endswith("; no other site can run it.")


def test_with_several_types_the_longest_work_and_the_longest_queue_count() -> None:
    devices = [
        {"type": "a100", "count": 8, "work_device_hours": 8.0},
        {"type": "cpu", "count": 2, "work_device_hours": 6.0},
    ]
    told = (capacity("a", queue_s=60.0), capacity("a", type="cpu", total=64, free=64, queue_s=90.0))
    (found,) = place(job(devices=devices), grounds(*told)).ranking
    assert (found.run_s, found.queue_s, found.price_usd) == (3 * 3600, 90.0, 10 + 16 + 12)


def test_queued_work_is_shared_by_all_devices() -> None:
    (found,) = place(job(), grounds(capacity("a", free=0, queued_device_hours=4.0))).ranking
    assert found.queue_s == 1800


def test_a_site_that_has_not_said_anything_or_not_lately_or_not_of_this_is_excluded() -> None:
    found = why(job(), capacity("a", state="expired", age_s=7201.0), capacity("b", type="h100"))
    assert found == {
        "a": ("capacity_expired", "last reported its a100 2 h ago, too long ago"),
        "b": ("no_such_devices", "has no a100, only h100"),
        "c": ("no_capacity", "has not reported its devices"),
    }


def test_too_few_devices_and_an_unknown_queue_are_excluded() -> None:
    found = why(job(), capacity("a", total=4, free=4), capacity("b", free=3), capacity("c", free=None))
    assert found == {
        "a": ("too_few_devices", "has 4 a100, the job needs 8"),
        "b": ("unknown_queue", "reports no queue time for a100; free devices: 3 of 8"),
        "c": ("unknown_queue", "reports no queue time for a100; free devices: unknown"),
    }


def test_no_job_is_placed_at_a_suspect_site() -> None:
    inputs = PlacementInputs(NOON, MESH, [capacity("a"), capacity("b")], move, {"a": "it claims what cannot be"})
    answer = place(job(), inputs)
    assert answer.site == "b"
    assert (answer.excluded[0].reason, answer.excluded[0].why) == ("suspect", "is suspect: it claims what cannot be")


def test_a_site_that_data_cannot_reach_or_leave_is_excluded_with_the_reason() -> None:
    def cut(src: str, dst: str, size: int) -> PlannedTransfer | NoTransfer:
        return NoTransfer("down") if "b" in {src, dst} else move(src, dst, size)

    found = why(job(), capacity("a"), capacity("b"), transfer=cut)
    assert found["a"] == ("no_path", "cannot get the data of b: the link is down, and no relay can be used")
    assert found["b"] == ("no_path", "cannot get the data of a: the link is down, and no relay can be used")
    found = why(job(data=[{"site": "b", "bytes": 1}]), capacity("b"), transfer=cut)
    assert found["b"] == ("no_path", "cannot send the result to a: the link is down, and no relay can be used")


def test_the_deadline_is_held_against_the_p90() -> None:
    # At a: p50 3 h, p90 4 h.
    assert place(job(deadline_s="4h"), grounds(capacity("a"))).site == "a"
    answer = place(job(deadline_s="3.5h"), grounds(capacity("a")))
    assert answer.site is None
    assert (answer.wait_s, answer.done_p50_s, answer.done_p90_s) == (None, None, None)
    assert answer.excluded[0].why == "misses the deadline of 3.50 h by 30.0 min (p90 4.00 h)"
    assert answer.why == (
        "No site can run the job: a misses the deadline of 3.50 h by 30.0 min (p90 4.00 h); "
        "b has not reported its devices; c has not reported its devices."
    )


def test_the_price_ceiling_excludes_what_is_dearer_or_unknown() -> None:
    assert place(job(max_price_usd=42), grounds(capacity("a"))).site == "a"
    found = why(job(max_price_usd="40USD"), capacity("a"), capacity("b", usd_per_device_hour=None))
    assert found["a"] == ("price", "costs 42.00 USD; at most 40 USD are allowed")
    assert found["b"] == ("price", "has an unknown price; at most 40 USD are allowed")


def test_a_missing_egress_price_makes_the_whole_price_unknown() -> None:
    def unpriced(src: str, dst: str, _size: int) -> PlannedTransfer:
        return PlannedTransfer(1.0, 2.0, None, (src, dst))

    assert place(job(), grounds(capacity("a"), transfer=unpriced)).ranking[0].price_usd is None


def route(**fields: Any) -> RouteAnswer:
    path = PathExpectation(sites=("a", "c", "b"), **fields)
    return RouteAnswer(src="a", dst="b", objective="completion", at=NOON, path=path, why="Because.")


def test_a_route_becomes_a_transfer_with_its_price() -> None:
    found = transfer_of(route(completion_p50_s=5.0, completion_p90_s=6.0, price_usd_per_gb=0.08), 500 * 10**9)
    assert found == PlannedTransfer(5.0, 6.0, 40.0, ("a", "c", "b"))
    found = transfer_of(route(completion_p50_s=5.0, completion_p90_s=6.0), 1)
    assert isinstance(found, PlannedTransfer)
    assert found.usd is None


def test_a_route_without_a_time_and_no_route_are_reasons() -> None:
    assert transfer_of(route(completion_p50_s=5.0), 1) == NoTransfer("unknown_goodput")
    none = NoRoute(src="a", dst="b", objective="completion", reason="down", why="a → b has no usable path.")
    assert transfer_of(none, 1) == NoTransfer("down")
