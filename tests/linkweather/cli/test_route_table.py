"""Routes and evaluations as people read them."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from linkweather.cli.tables import (
    evaluations_table,
    placement_lines,
    placement_scores_table,
    relay_lines,
    route_table,
    routes_table,
    worst_lines,
)
from linkweather.models.routes import MeshRoutes, PathExpectation, RouteAnswer, RouteSummary, UnroutedPair
from linkweather.models.scores import (
    EvaluationAnswer,
    PlacementEvaluation,
    RelayScore,
    RouteEvaluation,
    SiteScore,
    WorstRoute,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DIRECT = PathExpectation(sites=("a", "b"), rtt_p50_s=0.06, rtt_p90_s=0.061, goodput_p50_bps=5e7, goodput_p90_bps=4e7)
RELAYED = PathExpectation(
    sites=("a", "c", "b"), rtt_p50_s=0.02, rtt_p90_s=0.03, completion_p50_s=90.0, completion_p90_s=130.0
)
ROUTE = RouteAnswer(
    src="a",
    dst="b",
    objective="completion",
    at=NOON,
    path=RELAYED,
    direct=DIRECT,
    runner_up=DIRECT,
    gain_ratio=3.0,
    why="it is so",
)

SUMMARY = RouteSummary(src="a", dst="b", path=ROUTE.path, direct=ROUTE.direct, gain_ratio=ROUTE.gain_ratio)


def printed(table: Table) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_the_chosen_path_stands_beside_direct_and_nothing_stands_twice() -> None:
    assert printed(route_table(ROUTE))[2:] == [
        "take a → c → b 20.0 30.0 – – 90.0 s 2.17 min –",
        "direct a → b 60.0 61.0 50.0 40.0 – – –",
    ]


def test_completion_has_columns_only_where_it_was_asked_for() -> None:
    answer = ROUTE.model_copy(update={"path": DIRECT})
    assert printed(route_table(answer))[0] == "path RTT ms p90 Mbit/s p90 USD/GB"


def test_all_pairs_have_a_line_relayed_ones_first_and_none_is_said() -> None:
    direct = SUMMARY.model_copy(update={"path": DIRECT, "gain_ratio": 1.0})
    none = UnroutedPair(src="b", dst="a", reason="down")
    answers = MeshRoutes(at=NOON, objective="latency", routes=(direct, SUMMARY), no_routes=(none,))
    assert printed(routes_table(answers)) == [
        "pair path RTT ms p90 direct times better",
        "─" * len(printed(routes_table(answers))[1]),
        "a → b through c 20.0 30.0 60.0 3.00",
        "a → b direct 60.0 61.0 60.0 –",
        "b → a none – – – –",
    ]


def test_all_pairs_by_goodput_show_rates() -> None:
    answers = MeshRoutes(at=NOON, objective="goodput", routes=(SUMMARY.model_copy(update={"direct": None}),))
    assert printed(routes_table(answers))[2] == "a → b through c – – – 3.00"


def test_evaluations_have_a_column_each_and_their_worst_decisions_a_line() -> None:
    worst = [
        WorstRoute(at=NOON, src="a", dst="b", path=("a", "b"), best=("a", "c", "b"), regret_ratio=0.5),
        WorstRoute(at=NOON, src="a", dst="c", path=("a", "c"), best=("a", "b", "c")),
    ]
    evaluation = RouteEvaluation(
        objective="latency", decisions=9, evaluated=7, gain_ratio=1.25, regret_mean_ratio=0.04, worst=tuple(worst)
    )
    lines = printed(evaluations_table(EvaluationAnswer(since=NOON, until=NOON, evaluations=(evaluation,))))
    assert {"decisions looked at 9", "regret, mean 4.0%", "as good as direct 1.25 ×", "regret, p90 –"} <= set(lines)
    assert worst_lines(evaluation) == [
        "12:00:00 a → b: 50.0% worse; best was a → c → b",
        "12:00:00 a → c: failed; best was a → b → c",
    ]


def test_a_line_says_what_a_relay_was_worth() -> None:
    score = RelayScore(site="c", decisions=12, gain_ratio=1.5, worse_ratio=0.25)
    (line,) = relay_lines(RouteEvaluation(objective="latency", relays=(score,)))
    assert line == "over c: 12 decisions, 1.50 × direct, 25.0% worse than it, – within p90"
    suspect = score.model_copy(update={"suspect": "claims too much"})
    (line,) = relay_lines(RouteEvaluation(objective="latency", relays=(suspect,)))
    assert line.endswith("– within p90; suspect: claims too much")


def test_placements_have_a_table_and_a_line_for_each_site_s_claims() -> None:
    score = SiteScore(site="c", device_claims=4, devices_held_ratio=0.25, suspect="claims too much")
    placed = PlacementEvaluation(decisions=5, evaluated=4, devices_held_ratio=0.25, sites=(score,))
    assert {"decisions looked at 5", "devices there as said 25.0%"} <= set(printed(placement_scores_table(placed)))
    assert placement_lines(placed) == [
        "c: 25.0% of 4 claims of devices and – of 0 of goodput came true; suspect: claims too much",
    ]
