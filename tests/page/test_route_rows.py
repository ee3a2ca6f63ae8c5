"""Decisions as rows and sentences."""

from __future__ import annotations

from linkweather.models.routes import MeshRoutes, PathExpectation, RouteAnswer, RouteSummary, UnroutedPair
from linkweather.models.scores import EvaluationAnswer, RouteEvaluation
from page.route_rows import AnsweredPath, path_rows, route_rows, route_sentence, score_rows
from page.words import words
from tests.page.pictures import ENGLISH, MARKED, NOON, picture


def test_from_a_site_the_relayed_routes_come_first_and_the_lost_ones_last() -> None:
    near, far = (
        PathExpectation(sites=("a", "c"), rtt_p50_s=0.02),
        PathExpectation(sites=("a", "b", "c"), rtt_p50_s=0.01),
    )
    routes = MeshRoutes(
        at=NOON,
        objective="latency",
        routes=(
            RouteSummary(src="a", dst="b", path=near, direct=near, gain_ratio=1.0, since=NOON, switch_reason="first"),
            RouteSummary(src="a", dst="c", path=far, direct=near, gain_ratio=2.0, since=NOON, switch_reason="better"),
            RouteSummary(src="a", dst="e", path=far, switch_reason="failed"),
            RouteSummary(src="b", dst="a", path=near),
        ),
        no_routes=(UnroutedPair(src="a", dst="d", reason="down"), UnroutedPair(src="b", dst="d", reason="down")),
    )
    view = picture().with_routes(routes)
    assert route_rows(view, "latency", "a", ENGLISH) == [
        ("c", "through b", True, "20.0 ms", "10.0 ms", "2.00 ×", "better, 11-01 12:00:00"),
        ("e", "through b", True, "–", "10.0 ms", "", "the one before failed"),
        ("b", "direct", False, "20.0 ms", "20.0 ms", "", ""),
        ("d", "–", False, "–", "–", "", "the direct link is down"),
    ]
    assert route_rows(view, "goodput", "a", ENGLISH) == []


def answer(*through: str, objective: str = "latency", direct: bool = True) -> RouteAnswer:
    figures = {"rtt_p50_s": 0.01, "goodput_p50_bps": 1e8, "completion_p50_s": 60.0}
    path = PathExpectation(sites=("a", *through, "b"), **figures)
    straight = PathExpectation(sites=("a", "b"), rtt_p50_s=0.02, goodput_p50_bps=5e7, completion_p50_s=120.0)
    values = {"src": "a", "dst": "b", "objective": objective, "at": NOON, "path": path, "why": "so"}
    return RouteAnswer.model_validate({**values, "direct": straight if direct else None})


def test_an_answer_has_each_of_its_paths_once() -> None:
    assert path_rows(answer("c"), ENGLISH) == [
        AnsweredPath("take", "a → c → b", "10.0 ms", "100 Mbit/s", "60.0 s", "–"),
        AnsweredPath("direct", "a → b", "20.0 ms", "50.0 Mbit/s", "2.00 min", "–"),
    ]
    assert [row.role for row in path_rows(answer(), ENGLISH)] == ["take"]


def test_a_route_is_explained_by_the_api_in_its_language_and_here_in_another() -> None:
    assert route_sentence(answer("c"), ENGLISH) == "so"
    assert route_sentence(answer("c"), MARKED) == "[a → b through c: 10.0 ms instead of 20.0 ms direct.]"
    assert route_sentence(answer(objective="goodput"), MARKED) == "[a → b: direct, 100 Mbit/s.]"
    assert route_sentence(answer("c", direct=False), MARKED) == "[a → b through c: 10.0 ms instead of – direct.]"
    by_time = route_sentence(answer("c", objective="completion"), words("zh"))
    assert by_time == "a → b 经 c：60.0 s，直连为 2.00 min。"


def test_the_score_has_the_objectives_whose_decisions_were_measured_afterwards() -> None:
    good = RouteEvaluation(
        objective="latency", decisions=9, evaluated=8, relayed=2, gain_ratio=1.104, regret_mean_ratio=0.012,
        relayed_worse_ratio=0.5,
    )  # fmt: skip
    bare = RouteEvaluation(objective="goodput", evaluated=1)
    none = RouteEvaluation(objective="completion", decisions=3)
    found = EvaluationAnswer(since=NOON, until=NOON, evaluations=(good, bare, none))
    assert score_rows(found, ENGLISH) == [
        ("latency", "8", "1.10 ×", "1.2 %", "2", "50.0 %"),
        ("goodput", "1", "–", "–", "0", "–"),
    ]
    assert score_rows(None, ENGLISH) == []
