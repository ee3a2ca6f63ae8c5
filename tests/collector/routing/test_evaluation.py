"""The judge, against outcomes worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pytest

from collector.routing.evaluation import evaluate
from collector.store.decision_log import RouteDecisions
from collector.store.past_decisions import Measurements, SwitchCounts
from linkweather.models.routes import Objective
from linkweather.models.scores import RouteEvaluation
from tests.collector.report_samples import NOON

SITES = ("a", "b", "c")
Rows = Sequence[tuple[str, str, float]]
# Afterwards a → b takes 40 ms, and a → c → b 10 + 20 ms.
RTTS = [("a", "b", 0.040), ("a", "c", 0.010), ("c", "b", 0.020)]


@dataclass(frozen=True)
class Decided:
    """A decision about a → b."""

    path: str
    p50: float = np.nan
    p90: float = np.nan
    at_s: float = 0.0


def columns(decisions: Sequence[Decided], objective: Objective) -> RouteDecisions:
    paths = [one.path.split() for one in decisions]
    vias = [-2 if not path else -1 if len(path) == 2 else SITES.index(path[1]) for path in paths]
    return RouteDecisions(
        objective=objective,
        sites=SITES,
        at=np.array([NOON.timestamp() + one.at_s for one in decisions]),
        src=np.zeros(len(paths), int),
        dst=np.ones(len(paths), int),
        via=np.array(vias, int),
        p50=np.array([one.p50 for one in decisions]),
        p90=np.array([one.p90 for one in decisions]),
        direct_p50=np.full(len(paths), np.nan),
    )


def measured(rows: Rows, moments: Sequence[float] = (0.0,)) -> Measurements:
    """The same after every one of the moments."""
    each = [
        (place, SITES.index(src), SITES.index(dst), value) for place in range(len(moments)) for src, dst, value in rows
    ]
    place, src, dst = (np.array([row[part] for row in each], int) for part in range(3))
    return Measurements(NOON.timestamp() + np.array(moments), place, src, dst, np.array([row[3] for row in each]))


def latency(decisions: Sequence[Decided], rows: Rows = RTTS) -> RouteEvaluation:
    return evaluate(columns(decisions, "latency"), measured(rows), SwitchCounts(3, 1, 0.5), "latency")


def test_each_relay_is_scored_and_one_whose_claims_do_not_come_true_is_named() -> None:
    honest, liar = Decided("a c b", p90=0.031), Decided("a c b", p90=0.020)
    found = latency([honest] * 9 + [liar] * 3)
    (relay,) = found.relays
    assert (relay.site, relay.decisions, relay.worse_ratio, relay.within_p90_ratio) == ("c", 12, 0.0, 0.75)
    assert relay.gain_ratio == pytest.approx(4 / 3)
    assert "come true" not in found.why
    assert "claimed of paths over c mostly does not come true" in latency([liar] * 10).why
    assert "come true" not in latency([liar] * 9).why  # too few to say
    assert "come true" not in latency([Decided("a c b")] * 10).why  # nothing was claimed


def test_a_suspect_relay_is_marked() -> None:
    found = evaluate(
        columns([Decided("a c b")], "latency"), measured(RTTS), SwitchCounts(), "latency", {"c": "claims too much"}
    )
    assert [relay.suspect for relay in found.relays] == ["claims too much"]
    assert [relay.suspect for relay in latency([Decided("a c b")]).relays] == [None]


def test_a_relay_beside_a_dead_direct_link_has_no_gain_to_name() -> None:
    (relay,) = latency([Decided("a c b")], [("a", "b", np.inf), *RTTS[1:]]).relays
    assert (relay.gain_ratio, relay.worse_ratio, relay.within_p90_ratio) == (None, 0.0, None)


def test_a_round_trip_that_was_measured_the_other_way_stands_for_a_site_behind_nat() -> None:
    found = latency([Decided("a c b")], [("b", "a", 0.040), ("a", "c", 0.010), ("c", "a", 9.0), ("b", "c", 0.020)])
    assert found.evaluated == 1
    assert found.gain_ratio == pytest.approx(4 / 3)


def test_the_best_path_has_no_regret_and_gains_what_direct_loses() -> None:
    found = latency([Decided("a c b")])
    assert (found.evaluated, found.relayed, found.worst) == (1, 1, ())
    assert (found.regret_mean_ratio, found.relayed_worse_ratio) == (0, 0)
    assert found.gain_ratio == pytest.approx(4 / 3)


def test_staying_direct_beside_a_better_relay_costs_a_third() -> None:
    found = latency([Decided("a b")])
    assert found.regret_p50_ratio == pytest.approx(1 / 3)
    assert (found.gain_ratio, found.relayed, found.relayed_worse_ratio) == (1, 0, None)
    assert [(one.path, one.best) for one in found.worst] == [(("a", "b"), ("a", "c", "b"))]


def test_a_relay_that_turned_out_worse_than_direct_is_counted() -> None:
    found = latency([Decided("a c b")], [("a", "b", 0.020), *RTTS[1:]])
    assert found.relayed_worse_ratio == 1
    assert found.regret_mean_ratio == pytest.approx(0.5)
    assert found.worst[0].best == ("a", "b")


def test_what_was_not_measured_afterwards_is_not_judged() -> None:
    found = latency([Decided("a c b")], RTTS[1:])
    assert (found.decisions, found.evaluated, found.regret_mean_ratio) == (1, 0, None)
    assert found.why == "latency: 1 decision, none evaluated: not measured afterwards yet."


def test_no_path_is_not_judged() -> None:
    found = latency([Decided("")])
    assert (found.decisions, found.evaluated) == (1, 0)


def test_without_decisions_there_is_nothing_to_judge() -> None:
    found = evaluate(columns([], "latency"), measured([], ()), SwitchCounts(), "latency")
    assert (found.decisions, found.evaluated, found.worst) == (0, 0, ())


def test_each_decision_is_judged_by_its_own_moment() -> None:
    decisions = columns([Decided("a b"), Decided("a c b", at_s=5.0)], "latency")
    later = measured(RTTS, (0.0, 5.0))
    later.value[3] = 0.010  # the second time direct takes 10 ms
    found = evaluate(decisions, later, SwitchCounts(), "latency")
    assert [(one.at, one.path) for one in found.worst] == [(NOON + timedelta(seconds=5), ("a", "c", "b"))]
    assert found.regret_mean_ratio == pytest.approx((1 / 3 + 2) / 2)


def test_a_path_that_failed_while_another_worked_is_a_failure_and_no_regret() -> None:
    found = latency([Decided("a b")], [("a", "b", np.inf), *RTTS[1:]])
    assert (found.evaluated, found.failed, found.regret_mean_ratio) == (1, 1, None)
    assert (found.worst[0].regret_ratio, found.worst[0].best) == (None, ("a", "c", "b"))
    assert found.why.endswith("1 failed though another path worked.")


def test_a_goodput_of_zero_is_a_failure() -> None:
    rows = [("a", "b", 0.0), ("a", "c", 200e6), ("c", "b", 100e6)]
    found = evaluate(columns([Decided("a b")], "goodput"), measured(rows), SwitchCounts(), "goodput")
    assert (found.evaluated, found.failed) == (1, 1)


def test_when_nothing_answered_there_was_nothing_to_decide() -> None:
    assert latency([Decided("a b")], [("a", "b", np.inf), ("a", "c", np.inf)]).evaluated == 0


def test_calibration_is_the_share_of_outcomes_no_worse_than_expected() -> None:
    found = latency(
        [
            Decided("a b", p50=0.040, p90=0.050),
            Decided("a b", p50=0.039, p90=0.050),
            Decided("a b", p50=0.030, p90=0.035),
            Decided("a b"),
        ]
    )
    assert (found.within_p50_ratio, found.within_p90_ratio) == pytest.approx((1 / 3, 2 / 3))


def test_goodput_is_the_smallest_of_the_legs_and_more_is_better() -> None:
    rows = [("a", "b", 50e6), ("a", "c", 200e6), ("c", "b", 100e6)]
    asked = [Decided("a b", p50=60e6, p90=40e6), Decided("a c b", p50=90e6, p90=80e6)]
    found = evaluate(columns(asked, "goodput"), measured(rows), SwitchCounts(), "goodput")
    assert found.regret_mean_ratio == pytest.approx((1 + 0) / 2)
    assert found.gain_ratio == pytest.approx(2**0.5)
    assert (found.within_p50_ratio, found.within_p90_ratio) == (0.5, 1)


def test_changes_are_passed_on() -> None:
    found = latency([Decided("a b")])
    assert (found.switches, found.flaps, found.pair_hours) == (3, 1, 0.5)


def test_the_sentence_says_it_all() -> None:
    assert latency([Decided("a c b"), Decided("a b")]).why == (
        "latency: 2 of 2 decisions evaluated; on average 16.7% worse than the best in hindsight and 1.15 times as good "
        "as direct; 0.0% of 1 relayed path worse than direct."
    )
