"""The forms of states and the metrics of the grid, each value worked out by hand."""

from __future__ import annotations

import pytest

from page.link_metrics import LINK_FORMS, LINK_METRICS, LOSS_STEPS, known, loss_step, span_of, stretch, worst
from tests.page.pictures import link, picture, site, week


def test_of_many_states_the_worst_that_a_tenth_are_in_wins() -> None:
    assert worst(["fresh"] * 9 + ["down"]) == "down"
    assert worst(["fresh"] * 99 + ["down"]) == "fresh"
    assert worst(["fresh"] * 90 + ["stale"] * 5 + ["down"] * 6) == "stale"


def test_the_worst_of_states_wins_and_none_is_unknown() -> None:
    assert worst(["fresh", "down", "degraded"]) == "down"
    assert worst(["fresh", "degraded", "stale"]) == "degraded"
    assert worst([]) == "unknown"


def test_a_state_of_a_newer_collector_is_unknown() -> None:
    assert known("sideways") == "unknown"
    assert worst(["fresh", "sideways"]) == "unknown"


def test_no_two_states_have_the_same_form() -> None:
    assert len({form.form for form in LINK_FORMS.values()}) == len(LINK_FORMS)


@pytest.mark.parametrize(
    ("ratio", "step"), [(0.0, 0), (0.001, 1), (0.01, 1), (0.05, 2), (0.051, 3), (0.3, 5), (1.0, 6), (1.5, 6)]
)
def test_loss_is_ranked_by_share(ratio: float, step: int) -> None:
    assert loss_step(ratio) == step
    assert LINK_METRICS["loss"].badness(ratio, (0, 0)) == step / (len(LOSS_STEPS) - 1)


def test_the_rtt_is_ranked_by_its_logarithm() -> None:
    badness = LINK_METRICS["rtt"].badness
    assert [badness(value, (0.001, 0.1)) for value in (0.001, 0.01, 0.1)] == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize(("value", "span"), [(0.0, (1.0, 2.0)), (1.0, (0.0, 2.0)), (2.0, (2.0, 2.0))])
def test_without_a_span_nothing_is_worse(value: float, span: tuple[float, float]) -> None:
    assert LINK_METRICS["rtt"].badness(value, span) == 0.0


def test_a_lower_goodput_is_worse() -> None:
    badness = LINK_METRICS["goodput"].badness
    assert [badness(value, (1e7, 1e9)) for value in (1e7, 1e8, 1e9)] == pytest.approx([1, 0.5, 0])
    assert badness(1e7, (1e7, 1e7)) == 0.0


def test_the_state_ranks_nothing() -> None:
    assert LINK_METRICS["state"].badness(1.0, (0.5, 1.0)) == 0.0


def test_stretch_is_the_rtt_over_that_of_light_in_fibre() -> None:
    sites = picture().sites
    # One degree of the equator is 111.2 km: 2 × 111.2 km × 4.9 µs/km = 1.0897 ms.
    factor = stretch(link("a", "b", rtt_p50_s=0.0021794), sites)
    assert factor == pytest.approx(2.0, abs=0.001)
    assert LINK_METRICS["stretch"].badness(2.5, (0, 0)) == 0.5
    assert [LINK_METRICS["stretch"].badness(value, (0, 0)) for value in (0.5, 9.0)] == [0.0, 1.0]


@pytest.mark.parametrize("pair", [("a", "c"), ("c", "a"), ("a", "lost"), ("lost", "a"), ("a", "a")])
def test_without_two_places_apart_there_is_no_stretch(pair: tuple[str, str]) -> None:
    assert stretch(link(*pair, rtt_p50_s=0.1), picture().sites) is None


@pytest.mark.parametrize("place", [{"latitude": 1.0}, {"longitude": 1.0}])
def test_half_a_place_is_none(place: dict[str, float]) -> None:
    sites = {"a": site("a", **place), "b": site("b", latitude=1.0, longitude=1.0)}
    assert stretch(link("a", "b", rtt_p50_s=0.1), sites) is None
    assert stretch(link("b", "a", rtt_p50_s=0.1), sites) is None


def test_without_an_rtt_there_is_no_stretch() -> None:
    assert stretch(link("a", "b"), picture().sites) is None


def test_the_span_is_of_what_is_known_and_positive() -> None:
    assert span_of([None, 0.0, 3.0, 2.0]) == (2.0, 3.0)
    assert span_of([None]) == (0.0, 0.0)


def test_every_metric_writes_its_cells_and_its_figures() -> None:
    one = link("a", "b", rtt_p50_s=0.0178, loss_ratio=0.12, jitter_s=0.001, goodput_bps=9.4e7, age_s=3.0)
    view = picture().with_usual(week(("a", "b", 0.01), ("b", "a", None)))
    values = {key: metric.read(one, view) for key, metric in LINK_METRICS.items()}
    cells = {key: metric.cell(values[key]) for key, metric in LINK_METRICS.items()}
    texts = {key: metric.text(values[key]) for key, metric in LINK_METRICS.items()}
    assert cells == {
        "state": "17.8", "rtt": "17.8", "loss": "12.0", "jitter": "1.00", "goodput": "94.0", "stretch": "16.3",
        "change": "+78", "age": "3s",
    }  # fmt: skip
    assert texts == {
        "state": "17.8 ms", "rtt": "17.8 ms", "loss": "12.0 %", "jitter": "1.00 ms", "goodput": "94.0 Mbit/s",
        "stretch": "16.3 ×", "change": "+78 %", "age": "3 s",
    }  # fmt: skip
    assert LINK_METRICS["stretch"].cell(None) == LINK_METRICS["change"].cell(None) == "–"


def test_a_change_is_against_the_week_and_bad_only_where_the_rtt_grew() -> None:
    view = picture().with_usual(week(("a", "b", 0.002), ("b", "a", None)))
    found = LINK_METRICS["change"]
    assert [found.read(one, view) for one in view.links.values()] == [-0.5, None, None, None, None]
    assert [found.badness(value, (0, 0)) for value in (-0.5, 0.0, 0.25, 3.0)] == [0.0, 0.0, 0.25, 1.0]
    assert found.read(link("a", "b"), view) is None
