"""A link, a site and a route as labels and figures."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from linkweather.models.link_history import SlaFigures
from page.link_lines import brief, full, gain, goodput_line, next_test, next_test_cell, site_lines, sla_line, state_line
from page.words import words
from tests.page.pictures import ENGLISH, NOON, link, picture, routes, site


def said(lines: Iterable[tuple[str, str, str]]) -> dict[str, tuple[str, str]]:
    return {label: (value, more) for label, value, more in lines}


def test_beside_the_grid_a_link_has_its_figures_and_their_age() -> None:
    one = link(
        "a", "b", rtt_p50_s=0.0267, rtt_age_s=2.0, loss_ratio=0.12, loss_forward_ratio=0.12, loss_back_ratio=0.0,
        jitter_s=0.001, goodput_bps=7.9e7, goodput_low_bps=7.5e7, goodput_high_bps=8e7, goodput_age_s=180.0,
    )  # fmt: skip
    view = picture().with_links([one], 1.0).with_routes(routes("c"))
    assert said(brief(view, "a", "b", ENGLISH)) == {
        "state": ("fresh", ""),
        "RTT": ("26.7 ms", "2 s ago"),
        "loss": ("12.0 %", "12.0 % there, 0.0 % back"),
        "jitter": ("1.00 ms", ""),
        "goodput": ("79.0 Mbit/s", "75.0 Mbit/s – 80.0 Mbit/s, 3 min ago"),
        "traffic": ("through c", "4.00 ms"),
    }


def test_a_pair_without_a_link_has_no_lines() -> None:
    assert brief(picture(), "c", "b", ENGLISH) == []


def test_a_link_never_measured_and_on_its_direct_path_says_no_more_than_is_known() -> None:
    view = picture().with_routes(routes())
    assert said(brief(view, "a", "c", ENGLISH)) == {
        "state": ("unknown", ""), "RTT": ("–", ""), "loss": ("–", ""), "jitter": ("–", ""), "goodput": ("–", ""),
    }  # fmt: skip
    assert "traffic" not in said(brief(view, "a", "b", ENGLISH))


def test_on_its_own_view_a_link_has_all_that_is_known_and_nothing_else() -> None:
    one = link(
        "a", "b", rtt_p50_s=0.0021794, owd_p50_s=0.001, owd_error_s=0.0002, rtt_loaded_s=0.03, hops=7,
        path_age_s=60.0, path_mtu_bytes=1500, method="stamp", address="192.0.2.7", next_test_in_s=11.0,
        next_test_reason="scheduled", failure="timeout", failure_kind="throughput", failure_age_s=5.0,
        goodput_failure="no_port", goodput_failure_detail="5201 is closed", goodput_failure_age_s=5.0,
    )  # fmt: skip
    found = said(full(picture(), one, ENGLISH))
    assert found == {
        "state": ("fresh", ""),
        "RTT": ("2.18 ms", ""),
        "one-way delay": ("1.00 ms", "± 200 µs"),
        "RTT under load": ("30.0 ms", "while our own test ran"),
        "stretch": ("2.00 ×", "of light in fibre"),
        "path": ("7 hops", "60 s ago"),
        "path MTU": ("1.50 kB", ""),
        "next throughput test": ("in 11 s", "scheduled"),
        "method": ("stamp", "192.0.2.7"),
        "last throughput test": ("no_port", "5201 is closed, 5 s ago"),
        "last failure": ("not over in time", "throughput, 5 s ago"),
    }
    assert said(full(picture(), link("a", "b"), ENGLISH)) == {"state": ("fresh", "")}


def test_a_link_that_is_down_says_for_how_long_and_why() -> None:
    assert state_line(link("a", "b", "down", outage_s=12.0), ENGLISH) == ("state", "down", "for 12 s")
    both = state_line(link("a", "b", "down", outage_s=12.0, reason="timeout", since=NOON), ENGLISH)
    assert both.more == "timeout; since 12:00:00 UTC"
    assert state_line(link("a", "b", "down"), ENGLISH).more == ""
    assert state_line(link("a", "b", since=NOON), ENGLISH).more == ""
    assert state_line(link("a", "b", "stale", reason="its clock"), ENGLISH).more == "its clock"


def test_a_degraded_link_says_by_what_against_what_and_since_when() -> None:
    by = [
        {"kind": "loss", "since": NOON, "value": 0.12, "normal": 0.0},
        {"kind": "latency", "since": NOON, "value": 0.04, "normal": 0.02, "limit": 0.03},
        {"kind": "goodput", "since": NOON, "value": 1e7},
    ]
    assert state_line(
        link("a", "b", "degraded", degraded_by=tuple(by), reason="said otherwise", since=NOON), ENGLISH
    ).more == ("loss 12.0 % (normally 0.0 %); RTT 40.0 ms (limit 30.0 ms); goodput 10.0 Mbit/s; since 12:00:00 UTC")


def test_a_goodput_without_interval_or_age_stands_alone() -> None:
    assert goodput_line(link("a", "b", goodput_bps=1e6, goodput_low_bps=1e6), ENGLISH).more == ""


def test_a_test_that_is_not_due_says_why() -> None:
    off = next_test(link("a", "b", next_test_waits_for="disabled"), ENGLISH)
    assert (off.value, off.more) == ("none", "turned off in the mesh")
    assert next_test(link("a", "b", next_test_waits_for="moon"), ENGLISH).more == "moon"
    assert next_test(link("a", "b"), ENGLISH).value == "–"
    assert next_test_cell(link("a", "b"), ENGLISH) == "–"
    due = link("a", "b", next_test_in_s=11.0, next_test_reason="loss", next_test_waits_for="budget")
    assert next_test_cell(due, ENGLISH) == "in 11 s, loss, waits for its budget"


def test_a_scheduled_test_says_how_often_its_link_is_worth_one_where_decisions_say_so() -> None:
    due = link("a", "b", next_test_in_s=11.0, next_test_reason="scheduled", next_test_rounds=0.254)
    assert next_test(due, ENGLISH).more == "every 0.25 rounds, by what decisions gain"
    assert next_test(due.model_copy(update={"next_test_rounds": None}), ENGLISH).more == "scheduled"
    assert next_test(due.model_copy(update={"next_test_reason": "loss"}), ENGLISH).more == "loss"
    assert "0.25" in next_test_cell(due, words("zh"))


def test_an_availability_is_never_rounded_to_all() -> None:
    one = sla_line(SlaFigures(available_ratio=0.9999999, measured_ratio=0.5), ENGLISH)
    assert one == ("available", "99.999 %", "of the last 30 days; 50.000 % of them are measured")
    assert sla_line(SlaFigures(), ENGLISH).value == "– %"


def test_a_site_says_what_it_said() -> None:
    one = site(
        "a", report_age_s=1.0, clock_offset_s=-1.25, clock="its clock is behind", version="0.1.0",
        capabilities=("stamp", "iperf3"), outbox_reports=3, dropped_reports=0, budget_bytes_per_day=10**9,
        budget_left_bytes=10**8, throughput_tests={"first": 2, "moon": 1}, operator="one", region="north",
        compute_id="X1", throughput_problem="no iperf3",
    )  # fmt: skip
    assert said(site_lines(one, ENGLISH)) == {
        "state": ("online", "1 s ago"),
        "address": ("192.0.2.1", ""),
        "operator": ("one", ""),
        "region": ("north", ""),
        "computing-power identifier": ("X1", ""),
        "version": ("0.1.0", "stamp, iperf3"),
        "clock": ("1.2 s behind", "its clock is behind"),
        "reports waiting": ("3", "in the site's outbox"),
        "reports lost": ("0", "as the outbox was full"),
        "budget left": ("100 MB of 1.00 GB a day", "for throughput tests"),
        "throughput tests": ("first: 2, moon: 1", "of its incoming links, since its start"),
        "no throughput tests": ("no iperf3", ""),
    }


def test_a_site_that_said_nothing_has_little() -> None:
    assert said(site_lines(site("a", state="unknown"), ENGLISH)) == {
        "state": ("never reported", ""), "address": ("192.0.2.1", ""),
    }  # fmt: skip
    silent = site("a", state="offline", reason="silent for 20 s", report_age_s=20.0)
    assert said(site_lines(silent, ENGLISH))["state"] == ("offline", "silent for 20 s")
    ahead = said(site_lines(site("a", clock_offset_s=2.0, throughput_tests={}), ENGLISH))
    assert (ahead["clock"][0], ahead["throughput tests"][0]) == ("2.0 s ahead", "0")


@pytest.mark.parametrize(
    ("offset_s", "said"),
    [(-1e-3, "right"), (0.0, "right"), (0.049, "right"), (0.05, "0.1 s ahead"), (-0.06, "0.1 s behind")],
)
def test_a_clock_is_right_within_what_can_be_known(offset_s: float, said: str) -> None:
    clock = next(one for one in site_lines(site("a", clock_offset_s=offset_s), ENGLISH) if one.label == "clock")
    assert clock.value == said


def test_a_route_s_figure_is_that_of_its_objective() -> None:
    (fast,), (wide,) = routes("c").routes, routes("c", objective="goodput", goodput_p50_bps=1e8).routes
    assert (gain(fast), gain(wide)) == ("4.00 ms", "100 Mbit/s")
