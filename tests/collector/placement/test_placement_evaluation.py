"""The judge of placements, against outcomes worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from collector.placement.placement_evaluation import Afterwards, evaluate_placements
from collector.store.past_decisions import Measurements
from linkweather.models.placements import PlacementAnswer, SitePlacement, StagedTransfer
from linkweather.models.routes import LinkInput
from linkweather.models.scores import PlacementEvaluation
from linkweather.models.state import CapacityAnswer
from linkweather.wire import DeviceRow
from tests.collector.report_samples import NOON

SITES = ("a", "b", "c")
GB = 10**9
Goodputs = Mapping[tuple[str, str], float]
# 10 s after the decision; 1 GB takes 8 s at 1 Gbit/s.
GOODPUTS: Goodputs = {("a", "b"): 1e9, ("a", "c"): 2e9}
FREE = DeviceRow(type="a100", total=8, free=8)


def transfer(path: str, bytes_: int = GB, claimed_bps: float | None = 1e9) -> StagedTransfer:
    sites = tuple(path.split())
    inputs = [LinkInput(src=src, dst=dst, state="fresh", goodput_p50_bps=claimed_bps) for src, dst in pairwise(sites)]
    return StagedTransfer(
        src=sites[0], dst=sites[-1], bytes=bytes_, sites=sites, p50_s=20.0, p90_s=30.0, inputs=tuple(inputs)
    )


def at_site(site: str, *transfers: StagedTransfer, free: int | None = 8, p50_s: float = 20.0) -> SitePlacement:
    """A site where the job is expected to stage in for 20 s (p90 30 s), to wait 10 s and to run for 100 s."""
    said = CapacityAnswer(site=site, type="a100", total=8, free=free, state="fresh", at=NOON, age_s=1.0)
    times: dict[str, Any] = {
        "stage_in_p50_s": p50_s,
        "stage_in_p90_s": 30.0,
        "stage_out_p50_s": 0.0,
        "stage_out_p90_s": 0.0,
    }
    return SitePlacement(
        site=site,
        queue_s=10.0,
        run_s=100.0,
        total_p50_s=130.0,
        total_p90_s=140.0,
        transfers=transfers,
        capacity=(said,),
        **times,
    )


def answer(*ranking: SitePlacement, site: str | None = "b", at: datetime = NOON) -> PlacementAnswer:
    return PlacementAnswer(job="train", at=at, site=site, ranking=ranking, why="soonest")


def judged(
    *answers: PlacementAnswer,
    goodputs: Goodputs = GOODPUTS,
    devices: Mapping[str, DeviceRow] = dict.fromkeys(SITES, FREE),
    suspects: Mapping[str, str] | None = None,
) -> PlacementEvaluation:
    """The same was measured and said 10 s after every answer."""
    moments = np.unique([one.at.timestamp() for one in answers])
    rows: list[tuple[Any, ...]] = [
        (place, SITES.index(src), SITES.index(dst), bps)
        for place in range(len(moments))
        for (src, dst), bps in goodputs.items()
    ]
    place, src, dst = (np.array([row[part] for row in rows], int) for part in range(3))
    measured = Measurements(moments, place, src, dst, np.array([row[3] for row in rows], float))
    said = {
        (number, site, row.type): (at + 10, row)
        for number, at in enumerate(moments.tolist())
        for site, row in devices.items()
    }
    return evaluate_placements(answers, Afterwards(SITES, measured, said), suspects or {})


def many(*ranking: SitePlacement, count: int = 10) -> list[PlacementAnswer]:
    return [answer(*ranking, at=NOON + timedelta(minutes=number)) for number in range(count)]


B, C = at_site("b", transfer("a b")), at_site("c", transfer("a c"))


def test_a_placement_is_compared_with_the_best_site_in_hindsight() -> None:
    found = judged(answer(B, C))  # 8 + 10 + 100 s at b, 4 + 10 + 100 s at c
    assert (found.decisions, found.evaluated) == (1, 1)
    assert found.regret_mean_ratio == pytest.approx(4 / 114)
    assert (found.stage_in_within_p90_ratio, found.within_p90_ratio) == (1, 1)
    assert found.why == (
        "placement: 1 of 1 decision evaluated; on average 3.5% longer than at the best site in hindsight; "
        "most of all train at b: 3.5% longer than at c."
    )


def test_the_best_site_has_no_regret() -> None:
    found = judged(answer(C, B, site="c"))
    assert found.regret_mean_ratio == 0
    assert "most of all" not in found.why


def test_a_job_that_made_room_for_another_has_no_regret_to_score() -> None:
    found = judged(answer(C, B))
    assert (found.evaluated, found.regret_mean_ratio, found.within_p90_ratio) == (1, None, 1)
    assert found.why == "placement: 1 of 1 decision evaluated."


def test_a_job_that_takes_no_time_has_no_regret_to_score() -> None:
    nothing = at_site("b").model_copy(update={"queue_s": 0.0, "run_s": 0.0})
    found = judged(answer(nothing))
    assert (found.evaluated, found.regret_mean_ratio, found.stage_in_within_p90_ratio) == (1, None, None)


def test_the_slowest_leg_decides_and_a_slow_stage_in_is_beyond_p90() -> None:
    slow = {("a", "c"): 1e9, ("c", "b"): 2e8}  # 40 s: of 30 s expected by p90, and 150 s in all
    found = judged(answer(at_site("b", transfer("a c b"))), goodputs=slow)
    assert (found.stage_in_within_p90_ratio, found.within_p90_ratio) == (0, 0)


def test_what_is_staged_out_counts_in_the_whole_time_only() -> None:
    found = judged(answer(at_site("b", transfer("b a", 10 * GB))), goodputs={("b", "a"): 1e9})  # 80 s
    assert (found.stage_in_within_p90_ratio, found.within_p90_ratio) == (None, 0)


@pytest.mark.parametrize("goodputs", [{}, {("a", "b"): 0.0}], ids=["not measured", "no goodput"])
def test_a_placement_is_not_scored_without_a_goodput_afterwards(goodputs: Goodputs) -> None:
    found = judged(answer(B), goodputs=goodputs)
    assert (found.evaluated, found.within_p90_ratio, found.devices_held_ratio) == (0, None, 1)


def test_a_result_that_cannot_be_told_makes_a_placement_unknown() -> None:
    assert judged(answer(at_site("b", transfer("a b"), transfer("b a")))).evaluated == 0


def test_a_placement_is_not_scored_before_the_site_says_its_devices_again() -> None:
    found = judged(answer(B, C), devices={"c": FREE})
    assert (found.evaluated, found.devices_held_ratio) == (0, None)


def test_another_site_that_is_unknown_in_hindsight_is_not_compared() -> None:
    assert judged(answer(B, C), devices={"b": FREE}).regret_mean_ratio == 0


def test_a_job_without_a_site_is_looked_at_only() -> None:
    found = judged(answer(B, site=None))
    assert (found.decisions, found.evaluated, found.sites) == (1, 0, ())


@pytest.mark.parametrize(
    ("later", "held", "within"),
    [
        ({"queue_s": 22.0}, True, True),
        ({"queue_s": 40.0}, True, False),
        ({"queued_device_hours": 0.05}, True, True),  # 22.5 s on 8 devices
        ({"queued_device_hours": 0.5}, True, False),
        ({"total": 0, "free": 0, "queued_device_hours": 0.5}, False, True),  # then it is as the site had said
    ],
)
def test_the_queue_is_the_one_that_was_said_next(*, later: dict[str, Any], held: bool, within: bool) -> None:
    found = judged(answer(B), devices={"b": DeviceRow(**{**FREE.model_dump(), **later})})
    assert (found.devices_held_ratio, found.within_p90_ratio) == (held, within)


@pytest.mark.parametrize(
    ("total", "free", "site", "held"),
    [
        (8, 4, B, True),
        (8, 3, B, False),
        (3, 3, B, False),
        (8, None, B, True),
        (8, 0, at_site("b", transfer("a b"), free=None), True),
        (8, 0, at_site("b", p50_s=9.0), True),  # the job itself may hold them since
    ],
)
def test_half_of_the_devices_that_were_said_must_be_there(
    *, total: int, free: int | None, site: SitePlacement, held: bool
) -> None:
    found = judged(answer(site), devices={"b": DeviceRow(type="a100", total=total, free=free)})
    assert found.devices_held_ratio == held


def test_a_site_whose_devices_are_not_there_is_named() -> None:
    none_free = {"b": DeviceRow(type="a100", total=8, free=0)}
    found = judged(*many(B), devices=none_free)
    (score,) = found.sites
    assert (score.site, score.device_claims, score.devices_held_ratio) == ("b", 10, 0)
    assert (score.goodput_claims, score.goodput_held_ratio) == (10, 1)
    assert "what b claims of devices mostly does not come true" in found.why
    assert "come true" not in judged(*many(B, count=9), devices=none_free).why  # too few to say
    assert "come true" not in judged(*many(B)).why


def test_jobs_that_were_placed_together_are_one_claim() -> None:
    (score,) = judged(*[answer(B)] * 10).sites
    assert (score.device_claims, score.goodput_claims) == (1, 1)


def test_a_site_whose_goodput_does_not_come_true_is_named_as_a_relay_too() -> None:
    found = judged(*many(at_site("b", transfer("a c b"))), goodputs={("a", "c"): 4e8, ("c", "b"): 1e9})
    assert [(one.site, one.goodput_claims, one.goodput_held_ratio) for one in found.sites] == [
        ("b", 10, 1),
        ("c", 10, 0),
    ]
    assert found.why.endswith("; what c claims of goodput mostly does not come true.")


def test_a_leg_without_a_goodput_that_was_claimed_or_measured_is_no_claim() -> None:
    unclaimed = at_site("b", transfer("a b", claimed_bps=None), transfer("c b"))
    (score,) = judged(answer(unclaimed)).sites
    assert (score.goodput_claims, score.goodput_held_ratio) == (0, None)


def test_suspect_sites_are_marked_and_come_first() -> None:
    found = judged(answer(B), suspects={"c": "claims too much"})
    assert [(one.site, one.suspect) for one in found.sites] == [("c", "claims too much"), ("b", None)]
    assert found.why.endswith("; suspect: c.")


def test_without_placements_there_is_nothing_to_score() -> None:
    found = judged()
    assert (found.decisions, found.evaluated, found.sites) == (0, 0, ())
