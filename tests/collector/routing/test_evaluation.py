"""The judge, against outcomes worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from collector.routing.evaluation import evaluate
from collector.store.decision_log import RouteDecision
from collector.store.past_decisions import Measurements, SwitchCounts
from linkweather.models.routes import Objective
from linkweather.models.scores import RouteEvaluation
from tests.collector.report_samples import NOON

SITES = ("a", "b", "c")
# One second later: a → b takes 40 ms, and a → c → b 10 + 20 ms.
RTTS = [("a", "b", 1, 0.040), ("a", "c", 1, 0.010), ("c", "b", 1, 0.020)]


def measured(rows: Sequence[tuple[str, str, float, float]]) -> Measurements:
    ordered = sorted(rows, key=lambda row: row[2])
    return Measurements(
        np.array([row[0] for row in ordered], dtype=object),
        np.array([row[1] for row in ordered], dtype=object),
        np.array([NOON.timestamp() + row[2] for row in ordered]),
        np.array([row[3] for row in ordered]),
    )


def decided(
    path: str, at_s: float = 0, *, occasion: Any = "sampled", objective: Objective = "latency", **more: Any
) -> RouteDecision:
    sites = tuple(path.split())
    return RouteDecision(NOON + timedelta(seconds=at_s), occasion, "a", "b", objective, sites, **more)


def latency(
    decisions: Sequence[RouteDecision], rows: Sequence[tuple[str, str, float, float]] = RTTS
) -> RouteEvaluation:
    return evaluate(decisions, measured(rows), SwitchCounts(3, 1, 0.5), "latency", sites=SITES, within_s=60)


def test_the_best_path_has_no_regret_and_gains_what_direct_loses() -> None:
    found = latency([decided("a c b")])
    assert (found.evaluated, found.relayed, found.worst) == (1, 1, ())
    assert (found.regret_mean_ratio, found.relayed_worse_ratio) == (0, 0)
    assert found.gain_ratio == pytest.approx(4 / 3)


def test_staying_direct_beside_a_better_relay_costs_a_third() -> None:
    found = latency([decided("a b")])
    assert found.regret_p50_ratio == pytest.approx(1 / 3)
    assert (found.gain_ratio, found.relayed, found.relayed_worse_ratio) == (1, 0, None)
    assert [(one.path, one.best) for one in found.worst] == [(("a", "b"), ("a", "c", "b"))]


def test_a_relay_that_turned_out_worse_than_direct_is_counted() -> None:
    found = latency([decided("a c b")], [("a", "b", 1, 0.020), *RTTS[1:]])
    assert found.relayed_worse_ratio == 1
    assert found.regret_mean_ratio == pytest.approx(0.5)
    assert found.worst[0].best == ("a", "b")


def test_only_the_first_measurement_afterwards_counts() -> None:
    rows = [*RTTS, ("a", "b", -1, 0.001), ("a", "b", 2, 0.001)]
    assert latency([decided("a b")], rows).regret_mean_ratio == pytest.approx(1 / 3)


def test_what_was_not_measured_in_time_is_not_judged() -> None:
    rows = [("a", "b", 61, 0.040), *RTTS[1:]]
    found = latency([decided("a c b")], rows)
    assert (found.decisions, found.evaluated, found.regret_mean_ratio) == (1, 0, None)
    assert found.why == "latency: 1 decisions, none evaluated: not measured afterwards yet."


def test_no_path_and_sites_that_the_mesh_has_no_more_are_not_judged() -> None:
    found = latency([decided(""), decided("a x b")], [*RTTS, ("a", "x", 1, 0.001)])
    assert (found.decisions, found.evaluated) == (2, 0)


def test_a_path_that_failed_while_another_worked_is_a_failure_and_no_regret() -> None:
    found = latency([decided("a b")], [("a", "b", 1, np.inf), *RTTS[1:]])
    assert (found.evaluated, found.failed, found.regret_mean_ratio) == (1, 1, None)
    assert (found.worst[0].regret_ratio, found.worst[0].best) == (None, ("a", "c", "b"))
    assert found.why.endswith("1 failed though another path worked.")


def test_when_nothing_answered_there_was_nothing_to_decide() -> None:
    assert latency([decided("a b")], [("a", "b", 1, np.inf), ("a", "c", 1, np.inf)]).evaluated == 0


def test_calibration_is_the_share_of_outcomes_no_worse_than_expected() -> None:
    found = latency(
        [
            decided("a b", p50=0.040, p90=0.050),
            decided("a b", p50=0.039, p90=0.050),
            decided("a b", p50=0.030, p90=0.035),
            decided("a b"),
        ]
    )
    assert (found.within_p50_ratio, found.within_p90_ratio) == pytest.approx((1 / 3, 2 / 3))


def test_goodput_is_the_smallest_of_the_legs_and_more_is_better() -> None:
    rows = [("a", "b", 1, 50e6), ("a", "c", 1, 200e6), ("c", "b", 1, 100e6)]
    asked = [
        decided("a b", objective="goodput", p50=60e6, p90=40e6),
        decided("a c b", objective="goodput", p50=90e6, p90=80e6),
    ]
    found = evaluate(asked, measured(rows), SwitchCounts(), "goodput", sites=SITES, within_s=60)
    assert found.regret_mean_ratio == pytest.approx((1 + 0) / 2)
    assert found.gain_ratio == pytest.approx(2**0.5)
    assert (found.within_p50_ratio, found.within_p90_ratio) == (0.5, 1)


def test_changes_are_passed_on() -> None:
    found = latency([decided("a b")])
    assert (found.switches, found.flaps, found.pair_hours) == (3, 1, 0.5)


def test_the_sentence_says_it_all() -> None:
    assert latency([decided("a c b"), decided("a b")]).why == (
        "latency: 2 of 2 decisions evaluated; on average 16.7% worse than the best in hindsight and 1.15 times as good "
        "as direct; 0.0% of 1 relayed paths worse than direct."
    )
