"""What each site says of itself."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations

import numpy as np

from collector.linkstate.site_states import SiteStates
from linkweather.mesh import Mesh
from linkweather.models.state import SiteAnswer
from linkweather.wire import NextTest, Status

MESH = Mesh.model_validate({"sites": {"a": {"address": "192.0.2.1", "operator": "X"}, "b": {"address": "192.0.2.2"}}})
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def site(states: SiteStates, now: float = 100.0) -> SiteAnswer:
    return states.sites(now)[0]


def test_a_site_never_heard_is_unknown_with_nulls() -> None:
    answer = site(SiteStates(MESH))
    assert (answer.site, answer.state, answer.address, answer.operator) == ("a", "unknown", "192.0.2.1", "X")
    assert (answer.outbox_reports, answer.report_age_s, answer.version) == (None, None, None)


def test_a_status_is_shown_as_it_was_sent() -> None:
    states = SiteStates(MESH)
    states.status("a", Status(state="online", at=AT, version="0.1.0", capabilities=("stamp",), outbox_reports=3))
    answer = site(states)
    assert (answer.state, answer.status_at, answer.version, answer.capabilities) == ("online", AT, "0.1.0", ("stamp",))
    assert (answer.outbox_reports, answer.dropped_reports, answer.dropped_datagrams) == (3, 0, 0)


def test_a_will_knows_no_numbers_so_they_are_null() -> None:
    states = SiteStates(MESH)
    states.status("a", Status(state="offline"))
    assert (site(states).state, site(states).outbox_reports) == ("offline", None)


def test_why_tests_ran_and_what_the_budget_has_left_are_shown() -> None:
    states = SiteStates(MESH)
    ran = {"scheduled": 4, "loss": 1}
    states.status(
        "a", Status(state="online", throughput_tests=ran, budget_bytes_per_day=1_000_000, budget_left_bytes=250_000)
    )
    answer = site(states)
    assert answer.throughput_tests == ran
    assert (answer.budget_bytes_per_day, answer.budget_left_bytes) == (1_000_000, 250_000)


def test_a_site_without_a_budget_has_none_to_show() -> None:
    states = SiteStates(MESH)
    states.status("a", Status(state="online"))
    answer = site(states)
    assert (answer.throughput_tests, answer.budget_bytes_per_day, answer.budget_left_bytes) == ({}, None, None)
    states.status("a", Status(state="offline"))
    assert site(states).throughput_tests is None


def test_the_last_words_of_a_site_that_leaves_may_have_numbers() -> None:
    states = SiteStates(MESH)
    states.status("a", Status(state="offline", outbox_reports=2))
    assert (site(states).outbox_reports, site(states).dropped_reports) == (2, None)


def test_the_age_is_that_of_the_newest_report_in_any_order() -> None:
    states = SiteStates(MESH)
    states.reported("a", 95.0)
    states.reported("a", 90.0)
    assert site(states).report_age_s == 5.0


def test_what_comes_from_outside_the_mesh_is_not_kept() -> None:
    states = SiteStates(MESH)
    states.status("x", Status(state="online"))
    states.reported("x", 1.0)
    assert (states._statuses, states._reported_at) == ({}, {})


def test_a_site_that_leaves_the_mesh_is_forgotten() -> None:
    states = SiteStates(MESH)
    states.status("a", Status(state="online"))
    states.status("b", Status(state="online"))
    states.reported("a", 1.0)
    states.apply_mesh(Mesh.model_validate({"sites": {"b": {"address": "192.0.2.2"}}}))
    states.apply_mesh(MESH)
    assert [answer.state for answer in states.sites(1.0)] == ["unknown", "online"]
    assert site(states).report_age_s is None


def test_a_site_is_offline_by_its_will_until_the_statuses_are_forgotten() -> None:
    states = SiteStates(MESH)
    states.status("a", Status(state="online", at=AT))
    states.status("b", Status(state="offline"))
    assert states.offline == ["b"]
    states.forget_statuses()
    assert (states.offline, site(states).state) == ([], "unknown")


def test_next_test_of_a_link_is_what_its_destination_says() -> None:
    states, now = SiteStates(MESH), AT.timestamp()
    assert states.next_test("a", "b", now) == {}
    due = NextTest(
        src="a", at=datetime(2026, 1, 31, 12, 0, 25, tzinfo=UTC), reason="first", waits_for="budget", rounds=0.5
    )
    states.status("b", Status(state="online", next_tests=(due,)))
    said = {
        "next_test_in_s": 25.0,
        "next_test_reason": "first",
        "next_test_waits_for": "budget",
        "next_test_rounds": 0.5,
    }
    assert states.next_test("a", "b", now) == said
    assert states.next_test("a", "b", now + 60.0)["next_test_in_s"] == 0.0
    kept = states.next_tests()
    assert states.next_test("b", "a", now) == {}
    states.forget_statuses()
    assert states.next_test("a", "b", now) == {}
    states.status("b", Status(state="offline"))
    assert states.next_test("a", "b", now) == {"next_test_waits_for": "offline"}
    assert kept.of("a", "b", now) == said  # what another thread works on does not move


def test_links_of_which_a_next_test_is_known_are_those_that_have_a_field() -> None:
    third = MESH.sites["b"].model_copy(update={"address": "192.0.2.3"})
    known = {**MESH.sites, "c": third}
    names = list(known)
    src, dst = (np.array(ends) for ends in zip(*permutations(range(len(names)), 2), strict=True))
    due = NextTest(src="a", at=AT, reason="first")
    for untested in (third, third.model_copy(update={"throughput": False})):
        states = SiteStates(Mesh(sites={**known, "c": untested}))
        for status in (None, Status(state="online", next_tests=(due,)), Status(state="offline", next_tests=(due,))):
            if status:
                states.status("b", status)
            tests = states.next_tests()
            has = [bool(tests.of(names[one], names[other], 0.0)) for one, other in zip(src, dst, strict=True)]
            assert tests.known(names, src, dst).tolist() == has


def test_of_a_site_that_is_not_asked_about_no_next_test_is_known() -> None:
    states = SiteStates(MESH)
    states.status("b", Status(state="online", next_tests=(NextTest(src="a", at=AT, reason="first"),)))
    no_links = np.array([], np.intp)
    assert states.next_tests().known(["a"], no_links, no_links).tolist() == []


def test_next_test_of_a_link_that_the_mesh_does_not_test_is_disabled() -> None:
    states = SiteStates(MESH)
    sites = {**MESH.sites, "a": MESH.sites["a"].model_copy(update={"throughput": False})}
    states.apply_mesh(MESH.model_copy(update={"sites": sites}))
    assert states.next_test("a", "b", 0.0) == states.next_test("b", "a", 0.0) == {"next_test_waits_for": "disabled"}
    off = MESH.throughput.model_copy(update={"enabled": False})
    assert SiteStates(MESH.model_copy(update={"throughput": off})).next_test("a", "b", 0.0) != {}


def test_site_that_tests_no_throughput_says_why() -> None:
    states = SiteStates(MESH)
    states.status("a", Status(state="online", throughput_problem="iperf3 3.1.3 cannot …"))
    assert site(states).throughput_problem == "iperf3 3.1.3 cannot …"
    states.status("a", Status(state="offline"))
    assert site(states).throughput_problem is None


def test_damaged_files_of_a_site_are_a_sentence() -> None:
    states = SiteStates(MESH)
    states.status("a", Status(state="online", damaged_files={"outbox.sqlite": 2, "mesh.json": 1}))
    states.status("b", Status(state="online"))
    assert states.damage() == [
        "the site a has set aside 1 of mesh.json, 2 of outbox.sqlite, found damaged: delete what is not needed"
    ]


def test_what_a_site_s_row_says_of_it_is_its_last_status_and_its_newest_report() -> None:
    states, status = SiteStates(MESH), Status(state="online")
    assert (states.said("a"), states.reported_at("a")) == (None, None)
    states.status("a", status)
    states.reported("a", 90.0)
    states.reported("a", 80.0)
    assert (states.said("a"), states.reported_at("a")) == (status, 90.0)


def _gone(states: SiteStates, now: float) -> tuple[str, float | None, str | None]:
    answer = site(states, now)
    return answer.state, None if answer.since is None else answer.since.timestamp(), answer.reason


def _online(interval_s: float = 5.0) -> SiteStates:
    latency = MESH.latency.model_copy(update={"report_interval_s": interval_s})
    states = SiteStates(MESH.model_copy(update={"latency": latency}))
    states.status("a", Status(state="online", at=AT))
    return states


def test_a_site_is_offline_after_a_silence_of_fifteen_seconds() -> None:
    states = _online()
    states.reported("a", 99.0, 100.0)
    assert _gone(states, 115.0) == ("online", None, None)
    assert _gone(states, 116.0) == ("offline", 100.0, "nothing came from it for 16 s")


def test_a_site_that_reports_each_minute_is_silent_after_three() -> None:
    states = _online(60.0)
    states.reported("a", 99.0, 100.0)
    assert _gone(states, 280.0)[0] == "online"
    assert _gone(states, 281.0)[0] == "offline"


def test_a_site_reports_as_often_as_its_fastest_group() -> None:
    sites = {name: {"address": f"192.0.2.{number}"} for number, name in enumerate("abc", 1)}
    slow = {"name": "slow", "sites": ["a", "b"], "latency": {"report_interval_s": 60.0}}
    fast = {"name": "fast", "sites": ["b", "c"], "latency": {"report_interval_s": 10.0}}
    mesh = Mesh.model_validate({"sites": sites, "groups": [slow, fast]})
    assert [mesh.report_s(name) for name in ("a", "b", "c")] == [60.0, 10.0, 10.0]
    assert Mesh.model_validate({"sites": sites, "links": []}).report_s("a") == 5.0


def test_reports_that_waited_at_a_site_break_its_silence() -> None:
    states = _online()
    states.reported("a", 10.0, 100.0)
    assert _gone(states, 110.0)[0] == "online"


def test_a_silence_does_not_count_while_the_collector_could_not_hear() -> None:
    states = _online()
    states.reported("a", 100.0, 100.0)
    states.not_hearing(130.0)
    assert _gone(states, 145.0)[0] == "online"
    assert _gone(states, 146.0) == ("offline", 100.0, "nothing came from it for 46 s")


def test_a_will_and_a_stop_are_told_apart() -> None:
    states = _online()
    states.reported("a", 100.0, 100.0)
    states.status("a", Status(state="offline"))
    assert _gone(states, 101.0) == ("offline", 100.0, "its connection to the broker was lost")
    states.status("a", Status(state="offline", at=AT))
    assert _gone(states, 101.0) == ("offline", AT.timestamp(), "it was stopped")


def test_a_site_whose_clock_is_wrong_is_online_and_says_so() -> None:
    states = _online()
    for number in range(20):
        states.clocks.reported("a", 100.0 + number - 3000.0, 100.0 + number)
        states.reported("a", 100.0 + number - 3000.0, 100.0 + number)
    state, _, reason = _gone(states, 120.0)
    assert state == "online"
    assert reason is not None
    assert "50 min behind" in reason
