from __future__ import annotations

from dataclasses import replace

import pytest

from linkweather.errors import MeasurementError
from linkweather.mesh import Mesh, Site, ThroughputTests
from linkweather.mesh.site_mesh import site_mesh
from linkweather.wire import Answer, Invite, Served
from probes.throughput.invitation import (
    Declined,
    caller,
    declined,
    distance_s,
    not_served,
    not_tested,
    patience_s,
    refusal,
    row,
    unreachable,
)
from probes.throughput.result import Result

INVITE = Invite(id="1", duration_s=3.0, iperf3="3.12")


def mesh(*, enabled: bool = True, without: str = "") -> Mesh:
    sites = {name: Site(address=f"192.0.2.{ord(name)}", throughput=name != without) for name in "abc"}
    return Mesh(sites=sites, throughput=ThroughputTests(enabled=enabled))


def test_a_member_is_served() -> None:
    assert refusal("a", "b", INVITE, mesh(), ready=True) is None


@pytest.mark.parametrize(
    ("by", "invited_to", "reason"),
    [
        ("z", mesh(), "unknown_site"),
        ("b", mesh(), "unknown_site"),
        ("a", None, "no_mesh"),
        ("a", mesh(enabled=False), "throughput_off"),
        ("a", mesh(without="a"), "throughput_off"),
        ("a", mesh(without="b"), "throughput_off"),
    ],
)
def test_others_are_refused_with_a_reason(by: str, invited_to: Mesh | None, reason: str) -> None:
    assert refusal(by, "b", INVITE, invited_to, ready=True) == reason


def test_a_site_that_is_no_longer_in_the_mesh_serves_nobody() -> None:
    assert refusal("a", "z", INVITE, mesh(), ready=True) == "unknown_site"


@pytest.mark.parametrize(
    ("duration_s", "rtt_s", "reason"),
    [
        (0.0, 0.01, "too_long"),
        (1e9, None, "too_long"),
        # 3 s, and 8 round trips of slow start: twice of what we have measured, or of 0.3 s where it is less.
        (8.0, 0.01, None),
        (8.1, 0.01, "too_long"),
        (13.0, 0.6, None),
        (13.1, 0.6, "too_long"),
        # Not measured: of the 2 s at most that any path is taken to have.
        (19.0, None, None),
        (19.1, None, "too_long"),
    ],
)
def test_a_test_longer_than_the_mesh_and_the_path_allow_is_refused(
    duration_s: float, rtt_s: float | None, reason: str | None
) -> None:
    invite = Invite(id="1", duration_s=duration_s, iperf3="3.12")
    assert refusal("a", "b", invite, mesh(), ready=True, rtt_s=rtt_s) == reason


def test_a_site_without_the_program_refuses() -> None:
    assert refusal("a", "b", INVITE, mesh(), ready=None) == "missing"
    assert refusal("a", "b", INVITE, mesh(), ready=False) == "starting"


def test_a_postponement_says_when_to_come_again_and_a_refusal_does_not() -> None:
    assert declined(INVITE, "leased", 2.5).retry_after_s == 2.5
    assert declined(INVITE, "ports_taken").retry_after_s == 5.0
    assert declined(INVITE, "missing").retry_after_s is None


def test_a_postponement_is_no_measurement_and_an_incapable_peer_is_a_published_failure() -> None:
    assert not_tested("a", "b", declined(INVITE, "leased", 2.5)) == Declined("leased", 2.5)
    published = not_tested("a", "b", declined(INVITE, "missing"))
    assert not isinstance(published, Declined)
    assert (published.src, published.dst, published.method, published.failure) == ("a", "b", "iperf3", "missing")


def test_a_decline_without_a_reason_is_a_failure_called_declined() -> None:
    published = not_tested("a", "b", Answer(id="1", accepted=False))
    assert not isinstance(published, Declined)
    assert published.failure == "declined"


RESULT = Result(
    (),
    "receiver",
    1,
    goodput_bps=9.0,
    goodput_low_bps=8.0,
    goodput_high_bps=10.0,
    goodput_10s_bps=8.5,
    bytes=3,
    duration_s=2.9,
    stopped_by="converged",
    cpu_demand=0.2,
)


def test_a_row_carries_the_whole_result() -> None:
    published = row("a", "b", replace(RESULT, congestion="bbr", retransmits=7, limited_by="receiver host"))
    assert (published.goodput_low_bps, published.goodput_bps, published.goodput_high_bps) == (8.0, 9.0, 10.0)
    assert (published.bytes, published.duration_s, published.streams, published.retransmits) == (3, 2.9, 1, 7)
    assert (published.congestion, published.stopped_by, published.failure) == ("bbr", "converged", None)
    assert (published.goodput_10s_bps, published.limited_by, published.rtt_loaded_s) == (8.5, "receiver host", None)


def test_what_the_client_cannot_know_the_source_tells() -> None:
    served = Served(retransmits=4, congestion="cubic", limited_by="network")
    published = row("a", "b", RESULT, served=served, rtt_loaded_s=0.031)
    assert (published.retransmits, published.congestion, published.limited_by) == (4, "cubic", "network")
    assert published.rtt_loaded_s == 0.031


def test_what_the_client_knows_goes_before_what_the_source_tells() -> None:
    served = Served(retransmits=4, congestion="cubic", limited_by="network")
    known = replace(RESULT, retransmits=0, congestion="bbr", limited_by="receiver host")
    published = row("a", "b", known, served=served)
    assert (published.retransmits, published.congestion, published.limited_by) == (0, "bbr", "receiver host")


def natted(*names: str) -> Mesh:
    return Mesh(sites={name: Site(address=f"192.0.2.{ord(name)}", nat=name in names) for name in "abc"})


@pytest.mark.parametrize(
    ("nat", "calls"), [("", "b"), ("b", "b"), ("c", "b"), ("a", "a"), ("ac", "a"), ("ab", None), ("abc", None)]
)
def test_the_destination_calls_unless_only_it_can_be_called(nat: str, calls: str | None) -> None:
    assert caller(natted(*nat), "a", "b") == calls


def test_a_source_behind_nat_refuses_a_destination_behind_another() -> None:
    assert refusal("b", "a", INVITE, natted("a", "b"), ready=True) == "no_reachable_end"
    assert refusal("b", "a", INVITE, natted("a"), ready=True) is None
    found = unreachable("a", "b")
    assert (found.failure, found.goodput_bps) == ("no_reachable_end", None)


def test_a_destination_that_cannot_serve_now_postpones_and_one_that_cannot_at_all_fails() -> None:
    assert not_served("a", "b", MeasurementError("ports_taken")) == Declined("ports_taken", 5.0)
    published = not_served("a", "b", MeasurementError("bind", "not ours"))
    assert not isinstance(published, Declined)
    assert (published.failure, published.detail) == ("bind", "not ours")


def test_who_finds_a_lease_taken_comes_again_before_it_runs_out_for_most_tests_end_early() -> None:
    assert patience_s(16.0) == 5.0
    assert patience_s(1.5) == 1.5


@pytest.mark.parametrize(
    ("every_s", "sent", "wanted_s"),
    [
        # A table of two sites has 15 s: nine tenths of half of it, of an eighth of a cycle, of a minute.
        (600.0, False, 6.75),
        (0.0, True, 6.75),
        (60.0, True, 6.75),
        (240.0, True, 27.0),
        (600.0, True, 54.0),
    ],
)
def test_two_tests_of_a_link_have_the_distance_that_its_schedule_has(
    every_s: float, wanted_s: float, *, sent: bool
) -> None:
    two = Mesh(
        sites={name: Site(address=f"192.0.2.{ord(name)}") for name in "ab"}, throughput=ThroughputTests(every_s=every_s)
    )
    assert distance_s(site_mesh(two, "a"), "b", sent=sent) == pytest.approx(wanted_s)
