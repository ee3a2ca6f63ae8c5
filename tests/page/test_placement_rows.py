"""An answer to where a job should run, as rows and sentences."""

from __future__ import annotations

from typing import get_args

from linkweather.models.placements import ExcludedSite, Exclusion, PlacementAnswer, SitePlacement
from linkweather.models.scores import EvaluationAnswer, PlacementEvaluation, SiteScore
from page.placement_rows import (
    EXCLUSIONS,
    HEADINGS,
    claims_rows,
    job_texts,
    placement_rows,
    placement_score,
    placement_sentences,
)
from tests.page.pictures import ENGLISH, MARKED, NOON

PLACED = SitePlacement(
    site="b", stage_in_p50_s=60, stage_in_p90_s=90, queue_s=0, run_s=3600, stage_out_p50_s=1, stage_out_p90_s=2,
    total_p50_s=3661, total_p90_s=3692, price_usd=4.0,
)  # fmt: skip
GONE = ExcludedSite(site="c", reason="no_path", why="has no usable path to it")


def answered(*ranking: SitePlacement) -> PlacementAnswer:
    chosen = {"site": "b", "done_p50_s": 3661.0, "done_p90_s": 3692.0} if ranking else {}
    values = {"job": "job", "at": NOON, "ranking": ranking, "excluded": (GONE,), "why": "b: the soonest.", **chosen}
    return PlacementAnswer.model_validate(values)


def test_a_site_s_row_has_its_stages_as_the_command_prints_them() -> None:
    (row,) = placement_rows(answered(PLACED))
    assert len(row) == len(HEADINGS)
    assert row == ("b", "60.0 s", "0", "60.0 min", "1.00 s", "61.0 min", "61.5 min", "4.00")


def test_the_api_s_sentences_are_said_in_its_language_and_from_its_fields_in_another() -> None:
    assert placement_sentences(answered(PLACED), ENGLISH) == ["b: the soonest.", "not c: has no usable path to it"]
    done, gone = placement_sentences(answered(PLACED), MARKED)
    assert done.startswith("[b: done in ")
    assert gone == "[not c: [no usable path leads there, or back]]"
    assert placement_sentences(answered(), MARKED)[0] == "[No site can run the job.]"


def test_every_exclusion_has_words() -> None:
    assert set(EXCLUSIONS) == set(get_args(Exclusion))


def test_a_form_s_fields_are_the_command_s_options() -> None:
    form = {"data": "a:1GB, b:2GB", "devices": "a100:8", "work": "16", "deadline": " 6h ", "result": "", "other": "x"}
    assert job_texts(form) == {"data": ["a:1GB", "b:2GB"], "devices": ["a100:8"], "work": ["16"], "deadline": "6h"}


def scored(**fields: object) -> EvaluationAnswer:
    placements = PlacementEvaluation.model_validate({"decisions": 4, "evaluated": 3, **fields})
    return EvaluationAnswer(since=NOON, until=NOON, placements=placements)


def test_the_placements_score_says_what_is_known() -> None:
    found = scored(regret_mean_ratio=0.021, within_p90_ratio=0.9, devices_held_ratio=0.5)
    assert placement_score(found, ENGLISH) == (
        "3 of 4 placements measured; regret 2.1 %; 90.0 % done within p90; the devices were there in 50.0 %"
    )
    assert placement_score(scored(), MARKED) == "[3 of 4 placements measured]"
    assert placement_score(scored(decisions=0), ENGLISH) == placement_score(None, ENGLISH) == ""
    assert placement_score(EvaluationAnswer(since=NOON, until=NOON), ENGLISH) == ""


def test_a_site_s_claims_have_their_shares_and_why_it_is_suspect() -> None:
    liar = SiteScore(site="c", device_claims=4, devices_held_ratio=0.25, suspect="it claims 3 RTTs")
    honest = SiteScore(site="a", goodput_claims=12, goodput_held_ratio=1.0)
    assert claims_rows(scored(sites=(liar, honest))) == [
        ("c", "4", "25.0 %", "0", "–", "it claims 3 RTTs"),
        ("a", "0", "–", "12", "100.0 %", ""),
    ]
    assert claims_rows(None) == claims_rows(EvaluationAnswer(since=NOON, until=NOON)) == []
