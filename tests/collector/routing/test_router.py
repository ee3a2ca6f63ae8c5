from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.linkstate.snapshot import Snapshot
from collector.routing import router as router_module
from collector.routing.costs import COSTINGS, forecast_goodputs
from collector.routing.route_question import RouteQuestion, RouteQuestionError
from collector.routing.router import Router
from collector.settings import RoutingSettings
from linkweather.mesh import Mesh
from linkweather.models.routes import NoRoute, RouteAnswer
from tests.collector.routing.deciding import decide_all
from tests.collector.routing.meshes import NAN, SITES, mesh, snapshot, stale

RULES = RoutingSettings(latency_margin=1.1, latency_caution=1.0, goodput_margin=1.25, hold_down_s=30.0)


def decide(
    router: Router, at: float = 0.0, *, without: tuple[str, ...] = (), **more: Any
) -> list[tuple[str, str, str]]:
    fields = {name: more.pop(name) for name in ("fresh", "loss_ratio", "goodput_fresh") if name in more}
    now = snapshot(at, without=without, **fields)
    return list(decide_all(router, now, goodputs=forecast_goodputs(now), **more))


def decided(rules: RoutingSettings = RULES, **prices: float) -> Router:
    router = Router(rules, mesh(SITES, (), **prices))
    decide(router)
    return router


def restore(after: Router, before: Router) -> None:
    for objective in COSTINGS:
        view = before.view(objective)
        assert view is not None
        columns = view.columns(view.every_pair())
        after.restore(replace(columns.decisions, at=columns.since.astype(float)))


def ask(router: Router, src: str = "gz", dst: str = "gs", **question: Any) -> RouteAnswer:
    answer = router.route(RouteQuestion(src=src, dst=dst, **question))
    assert isinstance(answer, RouteAnswer), answer.why
    return answer


def refused(router: Router, **question: Any) -> NoRoute:
    answer = router.route(RouteQuestion(**{"src": "gz", "dst": "gs", **question}))
    assert isinstance(answer, NoRoute)
    return answer


def test_only_a_site_that_may_relay_is_a_relay() -> None:
    router = Router(RULES, mesh(hubs=("bj",)))
    decide(router)
    assert ask(router).path.sites == ("gz", "bj", "gs")  # not cc, which is better
    assert ask(router, max_relays=2).path.sites == ("gz", "bj", "gs")
    router.apply_mesh(mesh(hubs=("cc",)))
    decide(router, at=1.0)
    assert ask(router).path.sites == ("gz", "cc", "gs")


def test_relay_is_taken_where_it_is_better_and_the_answer_says_all_of_it() -> None:
    answer = ask(decided())
    assert answer.path.sites == ("gz", "cc", "gs")
    assert answer.path.rtt_p50_s == pytest.approx(0.0265)  # 10 ms and 16 ms, and the relay's own half
    assert answer.path.goodput_p50_bps == 3e9
    assert answer.direct is not None
    assert answer.direct.rtt_p50_s == pytest.approx(0.061)
    assert answer.runner_up is not None
    assert answer.runner_up.sites == ("gz", "bj", "gs")
    assert answer.gain_ratio == pytest.approx(61 / 26.5)
    assert [(leg.src, leg.dst, leg.state) for leg in answer.inputs] == [
        ("gz", "cc", "fresh"),
        ("cc", "gs", "fresh"),
        ("gz", "gs", "fresh"),
    ]
    assert (answer.switch_reason, answer.since) == ("first", datetime.fromtimestamp(0, UTC))
    assert answer.why == (
        "gz → gs through cc: RTT 26.5 ms instead of 61.0 ms direct (2.3 times better, inputs 0 s old); "
        "next best through bj, 35.5 ms."
    )


def test_direct_stays_where_no_relay_is_better() -> None:
    answer = ask(decided(), "gz", "cc")
    assert answer.path.sites == ("gz", "cc")
    assert answer.gain_ratio == 1.0
    assert answer.why == (
        "gz → cc direct: RTT 10.0 ms (inputs 0 s old); no relay is reliably better by the margin of 10 %: "
        "the best, through bj, has 20.5 ms."
    )


def test_goodput_of_a_path_is_its_smallest() -> None:
    answer = ask(decided(), objective="goodput")
    assert answer.path.sites == ("gz", "cc", "gs")
    assert answer.path.goodput_p50_bps == 3e9
    assert answer.gain_ratio == pytest.approx(3.0)


def test_completion_depends_on_the_bytes() -> None:
    router = decided()
    small, large = (ask(router, "gz", "bj", objective="completion", bytes=size) for size in (1e3, 1e12))
    assert small.path.sites == ("gz", "bj")
    assert large.path.sites == ("gz", "bj")
    answer = ask(router, objective="completion", bytes=3e12)
    assert answer.path.sites == ("gz", "cc", "gs")
    assert answer.path.completion_p50_s == pytest.approx(8000, rel=0.01)  # 3 TB at 3 Gbit/s
    assert answer.direct is not None
    assert answer.direct.completion_p50_s == pytest.approx(24000, rel=0.01)
    assert answer.bytes == 3 * 10**12
    assert (answer.since, answer.switch_reason) == (None, None)


def test_first_decision_changes_every_pair_and_the_second_none() -> None:
    router = Router(RULES, mesh())
    now = snapshot()
    changes = decide_all(router, now, goodputs=forecast_goodputs(now))
    assert len(changes) == 24  # 12 pairs, two objectives
    assert {src for _, src, _ in changes} == set(SITES)
    assert decide(router, 1.0) == []


def test_question_before_the_first_decision_has_no_route() -> None:
    assert Router(RULES, mesh()).route(RouteQuestion(src="gz", dst="gs")) == NoRoute(
        src="gz", dst="gs", objective="latency", reason="undecided", why="No route has been decided yet."
    )


def test_question_about_a_site_that_has_just_joined_has_no_route() -> None:
    router = decided()
    router.apply_mesh(mesh((*SITES, "new")))
    assert [router.route(RouteQuestion(src=src, dst=dst)).why for src, dst in (("new", "gs"), ("gz", "new"))] == [
        "No route has been decided yet."
    ] * 2


def test_lost_leg_moves_the_path_in_the_one_snapshot_that_says_so() -> None:
    router = decided()
    assert ("latency", "gz", "gs") in decide(router, 5.0, without=("cc-gs",))
    answer = ask(router)
    assert answer.path.sites == ("gz", "bj", "gs")
    assert answer.switch_reason == "failed"
    assert answer.why.endswith(
        "direct (1.7 times better, inputs 0 s old); moved because the link cc → gs has been down for 0 s."
    )


def test_path_that_failed_comes_back_after_the_hold_down_and_not_before() -> None:
    router = decided()
    decide(router, 5.0, without=("cc-gs",))
    decide(router, 10.0)
    assert ask(router).path.sites == ("gz", "bj", "gs")
    assert "moved because cc → gs was lost 5 s ago" in ask(router).why
    decide(router, 39.9)
    assert ask(router).path.sites == ("gz", "bj", "gs")
    decide(router, 40.0)
    assert ask(router).path.sites == ("gz", "cc", "gs")
    assert ask(router).switch_reason == "returned"


def test_direct_that_failed_is_held_too() -> None:
    router = decided()
    decide(router, 5.0, without=("gz-cc",))
    assert ask(router, "gz", "cc").path.sites == ("gz", "bj", "cc")
    assert "direct cannot be used: the link gz → cc has been down for 0 s" in ask(router, "gz", "cc").why
    decide(router, 10.0)
    assert ask(router, "gz", "cc").path.sites == ("gz", "bj", "cc")
    decide(router, 41.0)
    assert ask(router, "gz", "cc").path.sites == ("gz", "cc")


def test_stale_leg_is_left_for_direct() -> None:
    router = decided()
    decide(router, 20.0, fresh=stale("gz-cc", "bj-gs"))
    answer = ask(router)
    assert answer.path.sites == ("gz", "gs")
    assert answer.switch_reason == "stale"
    assert "moved because gz → cc or cc → gs went stale or lost too much" in answer.why


def test_stale_relay_serves_where_nothing_else_can() -> None:
    router = decided()
    decide(router, 20.0, fresh=stale("gz-cc", "gz-bj"), without=("gz-gs",))
    assert ask(router).path.sites == ("gz", "cc", "gs")
    fresh = Router(RULES, mesh())
    decide(fresh, 20.0, fresh=stale("gz-cc", "gz-bj"), without=("gz-gs",))
    assert ask(fresh).path.sites == ("gz", "cc", "gs")
    assert ask(fresh).inputs[0].state == "stale"
    assert ask(fresh).inputs[2].state == "unusable"


def test_leg_that_loses_much_is_no_relays() -> None:
    loss = np.zeros((4, 4))
    loss[SITES.index("gz"), SITES.index("cc")] = 0.3
    router = Router(RULES, mesh())
    decide(router, loss_ratio=loss)
    assert ask(router).path.sites == ("gz", "bj", "gs")


def test_site_that_is_offline_is_no_relay() -> None:
    router = decided()
    decide(router, 5.0, offline={"cc"})
    assert ask(router).path.sites == ("gz", "bj", "gs")


def test_pair_without_any_path_has_none_and_gets_one_again() -> None:
    router = decided()
    decide(router, 5.0, without=("gz-gs", "gz-cc", "gz-bj"))
    assert refused(router).why == "gz → gs has no usable path: the link gz → gs has been down for 0 s."
    assert ("latency", "gz", "gs") in decide(router, 60.0)
    decide(router, 100.0)
    assert ask(router).path.sites == ("gz", "cc", "gs")


def test_link_never_seen_is_not_in_contact() -> None:
    router = Router(RULES, mesh())
    decide(router, without=("gz-gs", "gz-cc", "gz-bj"))
    assert refused(router).why == "gz → gs has no usable path: the link gz → gs is not in contact."


def test_goodput_that_nobody_measured_is_no_zero_and_keeps_to_a_direct_link_in_contact() -> None:
    now = snapshot()
    goodput = now.goodput_p50_bps.copy()
    goodput[SITES.index("gz")] = NAN
    router = Router(RULES, mesh())
    known = Snapshot.of(SITES, rtt_p50_s=now.rtt_p50_s, goodput_p50_bps=goodput)
    decide_all(router, known, goodputs=forecast_goodputs(known))
    for question in ({"objective": "goodput"}, {"objective": "completion", "bytes": 1e9}):
        answer = ask(router, **question)
        assert answer.why == (
            "gz → gs direct: the goodput of gz → gs is unknown, so no relay can be shown to be better."
        )
        assert (answer.path.sites, answer.path.goodput_p50_bps, answer.gain_ratio) == (("gz", "gs"), None, None)


def test_a_relay_is_left_when_nobody_knows_any_more_what_direct_has() -> None:
    now = snapshot()
    router = Router(RULES, mesh())
    decide_all(router, now, goodputs=forecast_goodputs(now))
    assert ask(router, objective="goodput").relays
    goodput = now.goodput_p50_bps.copy()
    goodput[SITES.index("gz"), SITES.index("gs")] = NAN
    forgotten = Snapshot.of(SITES, rtt_p50_s=now.rtt_p50_s, goodput_p50_bps=goodput)
    decide_all(router, forgotten, goodputs=forecast_goodputs(forgotten))
    assert ask(router, objective="goodput").relays == ()


@pytest.mark.parametrize(("ceiling", "relays"), [(None, ()), (1.0, ()), (0.01, None)])
def test_an_unmeasured_direct_link_that_costs_too_much_is_not_kept_to(
    ceiling: float | None, relays: tuple[str, ...] | None
) -> None:
    now = snapshot()
    router = Router(RULES, mesh(SITES, gz=0.02))
    known = Snapshot.of(SITES, rtt_p50_s=now.rtt_p50_s)
    decide_all(router, known, goodputs=forecast_goodputs(known))
    question = RouteQuestion(src="gz", dst="gs", objective="goodput", max_price_usd_per_gb=ceiling)
    answer = router.route(question)
    assert (answer.relays if isinstance(answer, RouteAnswer) else None) == relays


def test_avoided_site_is_not_taken() -> None:
    answer = ask(decided(), avoid=frozenset({"cc"}))
    assert answer.path.sites == ("gz", "bj", "gs")
    assert (answer.since, answer.switch_reason) == (None, None)


def test_question_for_no_relays_is_answered_by_direct() -> None:
    answer = ask(decided(), max_relays=0)
    assert answer.path.sites == ("gz", "gs")
    assert answer.why == "gz → gs direct: RTT 61.0 ms (inputs 0 s old); the question allows no relay."


@pytest.mark.parametrize(
    ("ceiling", "sites"), [(0.05, ("gz", "cc", "gs")), (0.03, ("gz", "bj", "gs")), (0.02, ("gz", "gs"))]
)
def test_price_ceiling_bounds_the_sum_of_all_that_send(ceiling: float, sites: tuple[str, ...]) -> None:
    answer = ask(decided(gz=0.02, cc=0.03, bj=0.01, gs=9.0), max_price_usd_per_gb=ceiling)
    assert answer.path.sites == sites


def test_unknown_price_is_not_zero() -> None:
    answer = ask(decided(gz=0.02, bj=0.01), max_price_usd_per_gb=0.02)
    assert answer.path.sites == ("gz", "gs")
    assert answer.path.price_usd_per_gb == 0.02
    assert answer.direct == answer.path
    assert "excluded paths: 1 above 0.02 USD/GB, 1 of unknown price" in answer.why
    router = decided(cc=0.01)
    why = refused(router, max_price_usd_per_gb=1.0).why
    assert why.endswith("; excluded paths: 3 of unknown price.")
    assert ask(router).path.price_usd_per_gb is None


@pytest.mark.parametrize("objective", ["latency", "goodput", "completion"])
def test_two_relays_are_found_where_they_are_best(objective: Any) -> None:
    sites = ("a", "b", "c", "d")
    chain = {("a", "b"), ("b", "c"), ("c", "d")}
    rtt = [[NAN if a == b else 0.01 if {(a, b), (b, a)} & chain else 0.5 for b in sites] for a in sites]
    goodput = [[NAN if a == b else 9e9 if (a, b) in chain else 1e9 for b in sites] for a in sites]
    now = Snapshot.of(sites, rtt_p50_s=rtt, goodput_p50_bps=goodput)
    router = Router(RULES, mesh(sites, a=0.01, b=0.01, c=0.01))
    decide_all(router, now, goodputs=forecast_goodputs(now))
    question = {"objective": objective, "bytes": 1e9, "max_relays": 2}
    assert ask(router, "a", "d", **question).path.sites == ("a", "b", "c", "d")
    assert ask(router, "a", "d", **question, max_price_usd_per_gb=0.03).path.sites == ("a", "b", "c", "d")
    assert len(ask(router, "a", "d", **question, max_price_usd_per_gb=0.02).path.sites) < 4
    assert "b" not in ask(router, "a", "d", **question, avoid=frozenset({"b"})).path.sites


def test_a_relay_that_only_forwards_carries_what_one_connection_does_over_all_legs() -> None:
    router = Router(RULES, mesh())
    decide(router)
    answer = ask(router, objective="goodput", relay_mode="forward")
    # 6 Gbit/s at 10 ms and 3 at 16 ms: the second leg's window of 48 Mbit fills 1.85 Gbit/s of 26 ms
    assert (answer.path.sites, answer.relay_mode) == (("gz", "cc", "gs"), "forward")
    assert answer.path.goodput_p50_bps == pytest.approx(3e9 * 16 / 26)
    assert "; cc only passing packets on." in answer.why
    split = ask(router, objective="goodput")
    assert split.path.goodput_p50_bps == pytest.approx(3e9)
    assert split.relay_mode == "split"
    assert "; counts on cc to split the connection." in split.why
    assert "connection" not in ask(router).why


def test_a_relay_that_only_forwards_is_not_taken_where_its_round_trip_costs_what_it_gains() -> None:
    router = Router(RULES, mesh())
    decide(router)
    question: dict[str, Any] = {"bytes": 1e12, "avoid": frozenset({"cc"})}
    # through bj 2 Gbit/s at 20 of 35 ms: 1.14 beside 1 direct, which is not worth it
    assert ask(router, objective="goodput", **question).path.sites == ("gz", "bj", "gs")
    assert ask(router, objective="goodput", relay_mode="forward", **question).path.sites == ("gz", "gs")
    transfers = [ask(router, objective="completion", relay_mode=mode, **question) for mode in ("split", "forward")]
    assert [one.path.sites for one in transfers] == [("gz", "bj", "gs")] * 2
    assert [one.path.completion_p50_s for one in transfers] == pytest.approx(
        [8e12 / 2e9, 8e12 / 2e9 * 35 / 20], rel=1e-3
    )


def test_relay_carries_no_more_pairs_than_it_may() -> None:
    """Four ends, and a hub through which every pair but its own is better: the two with the most to gain get it."""
    sites = ("a", "b", "c", "d", "hub")
    far = {("a", "b"): 0.5, ("b", "a"): 0.4}
    rtt = [[NAN if x == y else 0.01 if "hub" in (x, y) else far.get((x, y), 0.1) for y in sites] for x in sites]
    now = Snapshot.of(sites, rtt_p50_s=rtt)
    router = Router(RULES.model_copy(update={"max_relayed_pairs": 2}), mesh(sites))
    decide_all(router, now)
    relayed = {(src, dst) for src, dst in zip(*np.nonzero(router.relays("latency") == 4), strict=True)}
    assert relayed == {(0, 1), (1, 0)}
    decide_all(router, now)
    assert np.count_nonzero(router.relays("latency") == 4) == 2


def test_full_relay_still_takes_who_has_nothing_else() -> None:
    router = Router(RULES.model_copy(update={"max_relayed_pairs": 0}), mesh())
    decide(router, without=("gz-gs",))
    assert ask(router).path.sites == ("gz", "cc", "gs")
    assert ask(router, "gs", "gz").path.sites == ("gs", "gz")


@pytest.mark.parametrize("lost", ["cc-gs", "gz-cc", "gz-gs", "bj-cc"])
def test_a_lost_link_alone_leads_to_what_all_links_anew_lead_to(lost: str) -> None:
    first, wholly = decided(), decided()
    now = snapshot(5.0, without=(lost,))
    some = [change for step in first.steps(now, goodputs=forecast_goodputs(now), only_lost=True) for change in step]
    assert sorted(some) == sorted(decide(wholly, 5.0, without=(lost,)))
    for objective in ("latency", "goodput"):
        np.testing.assert_array_equal(first.relays(objective), wholly.relays(objective))


@pytest.mark.parametrize("offline", [(), ("c",)])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_what_is_newly_lost_is_what_looking_at_all_routes_finds(count: int, offline: tuple[str, ...]) -> None:
    sites, rng = tuple("abcdefghijkl"), np.random.default_rng(7)
    rtt = rng.uniform(0.01, 1.0, (12, 12))
    newly, wholly = Router(RULES, mesh(sites)), Router(RULES, mesh(sites))
    for router in (newly, wholly):
        decide_all(router, Snapshot.of(sites, at=1.0, rtt_p50_s=rtt))
    found: list[list[tuple[str, str, str]]] = []
    for at in (2.0, 3.0):
        rtt = rtt.copy()
        via = newly.relays("latency")
        src, dst = np.nonzero(via >= 0)
        rtt[src[:count], via[src[:count], dst[:count]]] = NAN  # the first legs of active routes
        now = Snapshot.of(sites, at=at, rtt_p50_s=rtt)
        wholly._tables["latency"].settle(np.ones(12, bool))
        wholly._tables["latency"]._worse[:] = True
        wholly._conditions = np.zeros((0, 0), np.uint8)  # so it costs all links, and not those alone that changed
        for router in (newly, wholly):
            steps = router.steps(now, offline=offline, only_lost=True)
            found.append(sorted(change for step in steps for change in step))
        assert found[-1] == found[-2] != []
        np.testing.assert_array_equal(newly.relays("latency"), wholly.relays("latency"))
        for name in ("expected", "cautious", "weighed", "bar", "sound", "unmeasured", "legs"):
            one, other = (getattr(router._tables["latency"], name) for router in (newly, wholly))
            np.testing.assert_array_equal(one, other, err_msg=name)


def test_a_leg_that_loses_much_is_left_at_once_and_the_others_keep_their_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_module, "CHANGED_OF", 1)
    router = Router(RULES, mesh())
    decide(router)
    assert ask(router).relays == ("cc",)
    now = snapshot(9.0)
    loss, slower = np.zeros((4, 4)), 3.0 * now.rtt_p50_s
    loss[now.position["gz"], now.position["cc"]] = 0.5
    lossy = replace(now, rtt_mean_s=slower, loss_ratio=loss)
    before = router._tables["latency"].expected.copy()
    assert [change for step in router.steps(lossy, only_lost=True) for change in step]
    assert ask(router).relays == ("bj",)
    changed = router._tables["latency"].expected != before
    assert changed[now.position["gz"], now.position["cc"]]
    assert changed.sum() == 1


def test_what_is_only_better_waits_for_a_decision_about_all_links() -> None:
    router = Router(RULES, mesh())
    decide(router, without=("gz-cc", "gz-bj"))
    now = snapshot(100.0)
    assert [len(step) for step in router.steps(now, goodputs=forecast_goodputs(now), only_lost=True)] == []
    assert ask(router).relays == ()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.floats(0.001, 1.0)), min_size=1, max_size=12))
def test_steps_lead_to_what_one_go_leads_to(
    monkeypatch: pytest.MonkeyPatch, news: Sequence[tuple[int, int, float]]
) -> None:
    sites = tuple("abcdefghi")
    rtt = np.random.default_rng(3).random((9, 9))
    in_steps, wholly = Router(RULES, mesh(sites)), Router(RULES, mesh(sites))
    for src, dst, value in news:
        rtt = rtt.copy()
        rtt[src, dst] = value if value > 0.1 else NAN
        now = Snapshot.of(sites, rtt_p50_s=rtt)
        decide_all(wholly, now)
        with monkeypatch.context() as small:
            small.setattr(router_module, "PATHS_PER_STEP", 2 * 9**2)
            assert len(list(in_steps.steps(now))) >= 2 * 5
        np.testing.assert_array_equal(in_steps.relays("latency"), wholly.relays("latency"))


def test_steps_end_when_the_mesh_changes_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_module, "PATHS_PER_STEP", 1)
    router = Router(RULES, mesh())
    steps = router.steps(snapshot())
    next(steps)
    decide_all(router, Snapshot.of(("a", "b"), rtt_p50_s=[[NAN, 1.0], [1.0, NAN]]))
    assert list(steps) == []


def test_lost_routes_are_left_to_a_newer_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    router = decided()
    monkeypatch.setattr(router_module, "PATHS_PER_STEP", 4)  # one pair a step
    steps = router.steps(snapshot(5.0, without=("gz-cc", "bj-cc")), only_lost=True)
    assert len(next(steps)) == 1
    newer = list(router.steps(snapshot(6.0, without=("gz-cc",)), only_lost=True))
    assert list(steps) == []
    assert ask(router, "gz", "cc").path.sites == ("gz", "gs", "cc")  # bj → cc has come back, and is held down
    assert newer


def test_a_link_that_cannot_be_used_is_said_so_of_the_last_decision() -> None:
    router = Router(RULES, mesh())
    assert not router.usable("gz", "cc")
    decide(router, without=("gz-cc",))
    assert router.usable("cc", "gz")
    assert not router.usable("gz", "cc")
    assert not router.usable("gz", "elsewhere")


def test_standing_paths_outlive_a_restart() -> None:
    before = decided()
    decide(before, 5.0, without=("cc-gs",))
    after = Router(RULES, mesh())
    restore(after, before)
    assert decide(after, 6.0, without=("cc-gs",)) == []
    answer = ask(after)
    assert (answer.switch_reason, answer.since) == ("first", datetime.fromtimestamp(5.0, UTC))
    for objective in ("latency", "goodput"):
        np.testing.assert_array_equal(after.relays(objective), before.relays(objective))


def test_mesh_that_changes_keeps_what_stands() -> None:
    router = decided()
    sites = ("aa", "bj", "cc", "gz", "gs")
    now = snapshot()
    order = [SITES.index(site) for site in sites[1:]]
    rtt = np.full((5, 5), NAN)
    rtt[1:, 1:] = now.rtt_p50_s[np.ix_(order, order)]
    router.apply_mesh(mesh(sites))
    changes = list(decide_all(router, Snapshot.of(sites, at=5.0, rtt_p50_s=rtt)))
    assert [change for change in changes if change[0] == "latency"] == []
    assert ask(router).since == datetime.fromtimestamp(0, UTC)


def test_relay_that_left_the_mesh_fails() -> None:
    router = decided()
    sites = ("bj", "gs", "gz")
    now, kept = snapshot(5.0), [0, 2, 3]
    router.apply_mesh(mesh(sites))
    decide_all(router, Snapshot.of(sites, at=5.0, rtt_p50_s=now.rtt_p50_s[np.ix_(kept, kept)]))
    answer = ask(router)
    assert answer.path.sites == ("gz", "bj", "gs")
    assert answer.switch_reason == "failed"


def test_unknown_site_is_the_askers_mistake() -> None:
    with pytest.raises(RouteQuestionError, match="dst: no site 'xx'; the mesh has bj, cc, gs, gz"):
        decided().route(RouteQuestion(src="gz", dst="xx"))


@pytest.mark.parametrize("end", ["gz", "gs"])
def test_an_end_of_the_path_cannot_be_avoided(end: str) -> None:
    with pytest.raises(RouteQuestionError, match=f"avoid: '{end}' is an end of the path"):
        RouteQuestion(src="gz", dst="gs", avoid=frozenset({end}))


def test_a_changed_price_is_in_the_next_answer() -> None:
    router = decided(gz=0.1, cc=0.1)
    before = ask(router)
    router.apply_mesh(mesh(SITES, gz=0.2, cc=0.1))
    decide(router, 1.0)
    assert (before.path.price_usd_per_gb, ask(router).path.price_usd_per_gb) == pytest.approx((0.2, 0.3))


def test_a_link_above_the_price_is_left_out_for_that_and_not_because_it_is_held_down() -> None:
    """The hold-down ends by itself, the price does not."""
    router = decided(gz=0.05)
    decide(router, 5.0, without=("gz-cc",))
    decide(router, 10.0)
    answer = refused(router, dst="cc", max_relays=0, max_price_usd_per_gb=0.01)
    assert (answer.reason, answer.why) == (
        "conditions",
        "gz → cc has no usable path: gz → cc does not meet the conditions; excluded paths: 1 above 0.01 USD/GB.",
    )


def test_a_site_that_claims_short_rtts_draws_no_traffic() -> None:
    """Its own claims count for nothing where its peers measure more."""
    sites = ("a", "b", "liar")
    rtt_s = np.array([[NAN, 0.05, 0.04], [0.05, NAN, 0.04], [0.0001, 0.0001, NAN]])
    router = Router(
        RoutingSettings(), Mesh.model_validate({"sites": {one: {"address": f"{one}.test"} for one in sites}})
    )
    decide_all(router, Snapshot.of(sites, rtt_p50_s=rtt_s))
    found = router.route(RouteQuestion(src="a", dst="b"))
    assert isinstance(found, RouteAnswer)
    assert found.path.sites == ("a", "b")
    claimed = router.route(RouteQuestion(src="liar", dst="b"))
    assert isinstance(claimed, RouteAnswer)
    assert claimed.path.rtt_p50_s == 0.04
    assert "the RTT of liar → b is that of the other direction" in claimed.why
