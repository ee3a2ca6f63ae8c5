"""Each metric's value on the world's links, by hand; delays in microseconds, loss in percent, goodput in bytes/s."""

from __future__ import annotations

import re

import pytest

from collector.alto.cost_metrics import COST_TYPES, METRICS, CostType, described
from collector.alto.view import ranks
from tests.collector.alto.worlds import MESH, view


def costs(metric: str, mode: str = "numerical") -> dict[tuple[str, str], float]:
    return view().costs(COST_TYPES[mode, metric])


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("routingcost", 40_000),
        ("delay-rt", 40_000),
        ("delay-rt:median", 40_000),
        ("delay-rt:min", 20_000),
        ("delay-rt:mean", 45_000),
        ("delay-rt:p50", 40_000),
        ("delay-rt:p95", 80_000),
        ("delay-rt:p99", 90_000),
        ("delay-rt:max", 100_000),
        ("delay-ow", 19_500),
        ("delay-variation", 20_000),
        ("delay-variation:min", 0),
        ("delay-variation:p95", 60_000),
        ("delay-variation:max", 80_000),
        ("lossrate", 1.0),
        ("hopcount", 7),
        ("tput", 1e8),
    ],
)
def test_the_link_from_bj_to_gz(metric: str, value: float) -> None:
    assert costs(metric)["bj", "gz"] == value


def test_what_is_down_expired_or_unknown_is_absent_and_stale_is_not() -> None:
    assert costs("delay-rt") == {("bj", "gz"): 4e4, ("gz", "cc"): 1e4, ("bj", "cc"): 9e4, ("cc", "bj"): 4e4}
    assert costs("hopcount") == {("bj", "gz"): 7}
    assert costs("delay-rt:p95") == {("bj", "gz"): 8e4}


def test_goodput_that_expired_or_of_a_link_that_is_down_is_absent() -> None:
    assert costs("tput") == {("bj", "gz"): 1e8, ("gz", "cc"): 5e8}


def test_loss_is_that_of_the_way_there_or_else_of_the_round_trip() -> None:
    assert costs("lossrate") == {("bj", "gz"): 1.0, ("gz", "cc"): 0.0}


def test_a_one_way_delay_below_zero_is_none_that_alto_can_say() -> None:
    assert costs("delay-ow") == {("bj", "gz"): 19_500}


def test_variation_needs_the_smallest_delay() -> None:
    assert costs("delay-variation") == {("bj", "gz"): 2e4, ("gz", "cc"): 0.0}


def test_ranks_begin_with_the_best_and_equal_costs_rank_equally() -> None:
    assert costs("delay-rt", "ordinal") == {("bj", "gz"): 2, ("gz", "cc"): 1, ("bj", "cc"): 3, ("cc", "bj"): 2}


def test_more_goodput_ranks_better() -> None:
    assert costs("tput", "ordinal") == {("bj", "gz"): 2, ("gz", "cc"): 1}


def test_of_nothing_there_are_no_ranks() -> None:
    assert ranks({}, more_is_better=False) == {}


def test_a_cost_type_tells_that_it_is_estimated_over_what_and_how_old() -> None:
    assert view().typed(COST_TYPES["numerical", "delay-rt"]) == {
        "cost-mode": "numerical",
        "cost-metric": "delay-rt",
        "cost-context": {
            "cost-source": "estimation",
            "parameters": {"window-seconds": 5.0, "age-seconds-min": 1.0, "age-seconds-max": 25.0},
        },
    }


def test_without_costs_there_are_no_ages() -> None:
    assert view(links=()).ages(COST_TYPES["numerical", "tput"]) == {}


def test_routingcost_has_no_source_since_rfc_9439_does_not_define_it() -> None:
    assert view().typed(COST_TYPES["numerical", "routingcost"]) == {
        "cost-mode": "numerical",
        "cost-metric": "routingcost",
    }
    assert "cost-context" not in described(COST_TYPES["numerical", "routingcost"], MESH)


@pytest.mark.parametrize(
    ("metric", "window"),
    [
        ("delay-rt", {"window-seconds": 5.0}),
        ("lossrate", {"window-probes": 100}),
        ("hopcount", {}),
        ("tput", {"window-seconds": 3.0}),
    ],
)
def test_the_directory_describes_a_metric_with_its_window(metric: str, window: dict[str, float]) -> None:
    found = described(COST_TYPES["ordinal", metric], MESH)
    assert found["cost-context"] == {"cost-source": "estimation", "parameters": window}
    assert found["description"]


def test_every_name_is_one_that_alto_allows() -> None:
    assert all(re.fullmatch(r"[0-9A-Za-z:_-]{1,32}", metric) for metric in METRICS)
    assert CostType("ordinal", "delay-rt:p95").name == "ord-delay-rt:p95"
