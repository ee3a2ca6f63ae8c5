"""What each link is like now. Times are seconds; the mesh reports every 5 s, so stale is 20 s and expired 300 s."""

from __future__ import annotations

import itertools
import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from collector.linkstate.link_answers import whole_answers
from collector.linkstate.link_states import LinkStates
from collector.linkstate.report_moments import ReportMoment
from collector.settings import StateSettings
from linkweather.containment import faults
from linkweather.mesh import Mesh
from linkweather.models.state import LinkAnswer
from linkweather.wire import Hop, LatencyRow, Outage, PathRow, Row, ThroughputRow
from tests.collector.report_samples import every_link, moment

MESH = Mesh.model_validate(
    {
        "sites": {"a": {"address": "192.0.2.1"}, "b": {"address": "192.0.2.2"}, "c": {"address": "192.0.2.3"}},
        "links": [{"src": "a", "dst": "b"}, {"src": "a", "dst": "c"}, {"src": "b", "dst": "a"}],
    }
)
BY_ROUNDS = StateSettings(goodput_stale_after_s=0.0, goodput_expired_after_s=0.0)


def states() -> LinkStates:
    return LinkStates(MESH, StateSettings())


def latency(p50_s: float | None = 0.020, **fields: Any) -> LatencyRow:
    given = {"sent": 50, "received": 50, "rtt_p50_s": p50_s, "method": "stamp"}
    return LatencyRow(src="a", dst="b", **(given | fields))


def lost(**fields: Any) -> LatencyRow:
    return latency(None, received=0, **fields)


def throughput(goodput_bps: float | None = 3e8, **fields: Any) -> ThroughputRow:
    return ThroughputRow(**({"src": "a", "dst": "b", "method": "iperf3", "goodput_bps": goodput_bps} | fields))


def path(**fields: Any) -> PathRow:
    return PathRow(src="a", dst="b", method="udp", **fields)


def after(now: float, *rows: tuple[float, Row]) -> LinkAnswer:
    """The link a → b at `now`, after these rows in this order."""
    links = states()
    for at, row in rows:
        links.observe(moment(at), [row])
    answer = links.link("a", "b", now)
    assert answer is not None
    return answer


def test_every_link_of_the_mesh_appears_before_any_measurement() -> None:
    answers = every_link(states(), 100.0)
    assert [(answer.src, answer.dst) for answer in answers] == [("a", "b"), ("a", "c"), ("b", "a")]
    assert {answer.state for answer in answers} == {"unknown"}


def test_each_link_ages_by_the_report_interval_of_its_group() -> None:
    slow = {"name": "slow", "sites": ["a", "c"], "latency": {"report_interval_s": 60.0}}
    sites = {name: site.model_dump(include={"address"}) for name, site in MESH.sites.items()}
    mesh = Mesh.model_validate({"sites": sites, "groups": [slow, {"name": "all"}]})
    links = LinkStates(mesh, StateSettings())
    idle = latency().model_copy(update={"dst": "c"})
    links.observe(moment(100.0), [latency(), idle])
    links.observe(moment(150.0), [idle.model_copy(update={"during_throughput": True, "rtt_p50_s": 0.05})])
    answers = [links.link("a", dst, 160.0) for dst in "bc"]
    assert [answer and answer.state for answer in answers] == ["stale", "fresh"]
    assert answers[1] == next(each for each in every_link(links, 160.0) if (each.src, each.dst) == ("a", "c"))
    assert answers[1].rtt_p50_s == 0.02  # the idle row is not older than two of its intervals
    now = links.snapshot(160.0)
    a, b, c = (now.position[name] for name in "abc")
    assert (now.fresh[a, b], now.fresh[a, c], now.usable[a, b]) == (False, True, True)
    assert [links.link("a", dst, 900.0).state for dst in "bc"] == ["expired", "stale"]  # type: ignore[union-attr]
    assert links.horizons_s["latency"] >= 60.0 * 60


def test_never_measured_is_null_and_never_zero() -> None:
    answer = after(100.0).model_dump(exclude={"src", "dst", "state", "goodput_state"})
    assert set(answer.values()) == {None}


def test_a_prober_s_figures_are_those_of_the_newest_row_also_of_a_failed_one() -> None:
    failed = latency(None, method="http", failure="server_error", received=0, figures={"status": 503.0})
    answer = after(103.0, (100.0, latency(method="http", figures={"status": 200.0})), (102.0, failed))
    assert (answer.state, answer.failure, answer.figures) == ("down", "server_error", {"status": 503.0})


@pytest.mark.parametrize("failure", ["behind_nat", "method_missing", "bad_options", "prober_error", "peer_restarting"])
def test_a_row_of_a_link_that_is_not_probed_leaves_its_state_as_it_was(failure: str) -> None:
    closed = LatencyRow(src="a", dst="b", method="http", failure=failure)
    assert after(103.0, (100.0, closed)).state == "unknown"
    assert after(103.0, (100.0, latency()), (102.0, closed)).state == "fresh"


def test_a_link_outside_the_mesh_is_none_and_its_rows_are_not_kept() -> None:
    links = states()
    links.observe(moment(1.0), [LatencyRow(src="c", dst="a", method="stamp", sent=1, received=1)])
    assert links.link("c", "a", 1.0) is None


def test_of_a_report_the_rows_of_known_links_are_kept() -> None:
    links = states()
    outside = LatencyRow(src="c", dst="a", method="stamp", sent=1, received=1, rtt_p50_s=0.5)
    links.observe(moment(1.0), [outside, latency(0.02)])
    found = links.link("a", "b", 1.0)
    assert found is not None
    assert found.rtt_p50_s == 0.02


def test_one_good_row_makes_a_link_fresh() -> None:
    answer = after(103.0, (100.0, latency(rtt_min_s=0.018, rtt_p95_s=0.025, address="192.0.2.2")))
    assert (answer.state, answer.age_s, answer.rtt_age_s, answer.method) == ("fresh", 3.0, 3.0, "stamp")
    assert answer.address == "192.0.2.2"
    assert (answer.rtt_min_s, answer.rtt_p50_s, answer.rtt_p95_s) == (0.018, 0.020, 0.025)
    assert answer.jitter_s == pytest.approx(0.005)


def test_jitter_is_the_row_s_own_where_it_has_one() -> None:
    assert after(101.0, (100.0, latency(rtt_p95_s=0.03, jitter_p95_p50_s=0.007))).jitter_s == 0.007


def test_jitter_without_p95_is_null() -> None:
    assert after(101.0, (100.0, latency())).jitter_s is None


@pytest.mark.parametrize(("age_s", "state"), [(20.0, "fresh"), (20.1, "stale"), (300.0, "stale"), (300.1, "expired")])
def test_a_link_goes_stale_then_expires(age_s: float, state: str) -> None:
    assert after(1000.0 + age_s, (1000.0, latency())).state == state


def test_a_clock_ahead_of_ours_gives_age_zero_and_not_a_negative_age() -> None:
    assert after(99.0, (100.0, latency())).age_s == 0.0


@pytest.mark.parametrize("bad", [lost(), latency(None, sent=0, received=0, failure="unresolved")])
def test_contact_lost_is_down_at_once(bad: LatencyRow) -> None:
    assert after(106.0, (95.0, latency()), (100.0, latency()), (105.0, bad)).state == "down"


def test_a_first_row_without_reply_is_down_and_has_no_rtt() -> None:
    answer = after(101.0, (100.0, lost()))
    assert (answer.state, answer.method, answer.rtt_p50_s, answer.rtt_age_s, answer.loss_ratio) == (
        "down",
        "stamp",
        None,
        None,
        1.0,
    )


def test_a_site_behind_nat_that_nobody_probes_is_unknown_and_not_down() -> None:
    closed = latency(None, sent=0, received=0, failure="behind_nat")
    answer = after(101.0, (100.0, closed))
    assert (answer.state, answer.failure) == ("unknown", "behind_nat")
    assert after(106.0, (100.0, latency()), (105.0, closed)).state == "fresh"  # from before, until it expires


def test_recovery_waits_for_two_good_rows() -> None:
    rows = [(100.0, lost()), (105.0, latency()), (110.0, latency())]
    assert [after(111.0, *rows[:count]).state for count in (1, 2, 3)] == ["down", "down", "fresh"]


def test_a_down_link_that_nobody_speaks_of_any_more_expires() -> None:
    assert after(401.0, (100.0, lost())).state == "expired"


def test_a_row_of_a_prober_that_counts_no_probes_has_an_rtt_and_no_loss() -> None:
    answer = after(
        101.0,
        (100.0, latency(0.05, sent=0, received=0, method="ping")),
        (100.5, latency(0.05, sent=0, received=0, method="ping")),
    )
    assert (answer.state, answer.rtt_p50_s, answer.loss_ratio) == ("fresh", 0.05, None)


def test_what_our_own_test_drops_is_no_loss_of_the_link() -> None:
    answer = after(
        111.0,
        (100.0, latency(received=49)),
        (105.0, latency(received=40, during_throughput=True)),
        (110.0, latency()),
    )
    assert (answer.loss_ratio, answer.loss_probes) == (0.01, 100)


def test_loss_under_load_is_shown_where_nothing_recent_is_unloaded() -> None:
    loaded = latency(received=40, during_throughput=True)
    assert after(101.0, (100.0, loaded)).loss_ratio == 0.2
    # 20 s are four report intervals: the unloaded row is as old as a fresh one may be, and then older.
    assert after(121.0, (100.0, latency()), (120.0, loaded)).loss_ratio == 0.0
    assert after(122.0, (100.0, latency()), (121.0, loaded), (121.5, loaded)).loss_ratio == 0.2


def test_loss_is_over_the_last_hundred_probes() -> None:
    # Three rows of 50: the first is beyond the last 100; 2 + 3 of 100 were lost.
    answer = after(111.0, (100.0, lost()), (105.0, latency(received=48)), (110.0, latency(received=47)))
    assert (answer.loss_ratio, answer.loss_probes) == (0.05, 100)


def test_an_outage_that_lasts_is_told_with_how_long_it_has_lasted() -> None:
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    at, start = noon.timestamp(), noon - timedelta(seconds=2.5)
    lasts = lost(outages=(Outage(start=start, lost=20),))
    ended = latency(outages=(Outage(start=start, end=noon + timedelta(seconds=1), lost=35),))
    assert after(at + 2, (at - 5, latency()), (at, lasts)).outage_s == 4.5
    assert after(at + 7, (at, lasts), (at + 5, ended)).outage_s is None
    assert after(at - 3, (at - 4, lasts)).outage_s == 0.0  # a site's clock may be ahead of ours
    assert after(at - 3, (at - 4, latency())).outage_s is None


def test_loss_without_any_probe_is_null() -> None:
    assert after(101.0, (100.0, latency(None, sent=0, received=0, failure="unresolved"))).loss_ratio is None


def test_loss_by_direction_counts_the_way_back_of_those_that_got_there() -> None:
    # 100 sent, 20 lost forward: 80 got there, 8 of them lost on the way back.
    answer = after(101.0, (100.0, latency(sent=100, received=72, lost_forward=20, lost_back=8)))
    assert (answer.loss_ratio, answer.loss_forward_ratio, answer.loss_back_ratio) == (0.28, 0.2, 0.1)


def test_loss_by_direction_is_null_where_it_could_not_be_told() -> None:
    answer = after(101.0, (100.0, latency(received=40)))
    assert (answer.loss_ratio, answer.loss_forward_ratio, answer.loss_back_ratio) == (0.2, None, None)


def test_loss_back_is_null_when_nothing_got_there() -> None:
    answer = after(101.0, (100.0, lost(lost_forward=50, lost_back=0)))
    assert (answer.loss_forward_ratio, answer.loss_back_ratio) == (1.0, None)


def test_a_row_that_our_own_test_loaded_does_not_spoil_the_idle_rtt() -> None:
    answer = after(106.0, (100.0, latency(0.020)), (105.0, latency(0.090, during_throughput=True)))
    assert (answer.rtt_p50_s, answer.during_throughput, answer.rtt_age_s, answer.age_s) == (0.020, False, 6.0, 1.0)


def test_a_loaded_row_is_shown_where_no_idle_one_is_recent() -> None:
    answer = after(131.0, (100.0, latency(0.020)), (130.0, latency(0.090, during_throughput=True)))
    assert (answer.rtt_p50_s, answer.during_throughput) == (0.090, True)


def test_a_loaded_row_alone_is_shown_as_such() -> None:
    answer = after(101.0, (100.0, latency(0.090, during_throughput=True)))
    assert (answer.rtt_p50_s, answer.during_throughput) == (0.090, True)


def test_an_old_row_that_comes_late_does_not_move_time_backwards() -> None:
    answer = after(
        106.0, (105.0, latency(0.020)), (100.0, latency(0.080)), (101.0, throughput()), (90.0, throughput(1e8))
    )
    assert (answer.rtt_p50_s, answer.age_s, answer.goodput_bps, answer.goodput_age_s) == (0.020, 1.0, 3e8, 5.0)


def replayed(now: float, *reports: tuple[str, int, float, float, Row]) -> LinkAnswer:
    """The link at `now` after rows of (boot, seq, at, arrival), in this order."""
    links = states()
    for boot, seq, at, arrival, row in reports:
        measured, arrived = (datetime.fromtimestamp(one, UTC) for one in (at, arrival))
        links.observe(ReportMoment.of(measured, arrived, boot, seq), [row])
    answer = links.link("a", "b", now)
    assert answer is not None
    return answer


def test_a_clock_that_was_ahead_and_is_corrected_hides_no_dead_link() -> None:
    """Rows of now + 50 min, then rows of now without any reply."""
    ahead = [("x", seq, 1000.0 + 5 * seq + 3000, 1000.0 + 5 * seq, latency()) for seq in range(3)]
    dead = [("x", seq, 1000.0 + 5 * seq, 1000.0 + 5 * seq, lost()) for seq in range(3, 5)]
    assert (replayed(1011.0, *ahead).state, replayed(1011.0, *ahead).age_s) == ("fresh", 1.0)
    answer = replayed(1021.0, *ahead, *dead)
    assert (answer.state, answer.age_s, answer.rtt_age_s, answer.failure) == ("down", 1.0, 11.0, "no_reply")
    # The same after a restart of the probe.
    again = [("y", seq - 3, at, arrival, row) for _, seq, at, arrival, row in dead]
    assert replayed(1021.0, *ahead, *again).state == "down"


def test_a_time_later_than_the_arrival_counts_as_the_arrival_and_ages() -> None:
    row = ("x", 0, 8200.0, 1000.0, latency())
    assert [replayed(now, row).state for now in (1020.0, 1021.0, 1301.0)] == ["fresh", "stale", "expired"]


def test_a_clock_that_was_set_back_dates_the_newest_row() -> None:
    """50 min behind: the newest row says so itself, and the older one is not taken for newer."""
    before = ("x", 0, 4000.0, 4000.0, latency())
    answer = replayed(4006.0, before, ("x", 1, 1005.0, 4005.0, lost()))
    assert (answer.state, answer.age_s) == ("expired", 3001.0)


def test_a_backlog_does_not_look_fresh_nor_hide_the_present() -> None:
    waited = [("x", seq, 1000.0 + 5 * seq, 4000.0, latency()) for seq in range(3)]
    assert replayed(4001.0, *waited).state == "expired"
    # The newest report first, from the present boot; then the backlog of a boot never seen before.
    present = ("y", 0, 3999.0, 3999.5, lost())
    assert replayed(4001.0, present, *waited).state == "down"


def test_the_present_boot_prevails_from_the_moment_at_which_it_passes_the_old_one() -> None:
    old = ("x", 9, 1000.0, 1000.0, latency(0.020))
    behind, passed = ("y", 0, 995.0, 1005.0, latency(0.030)), ("y", 1, 1000.0, 1010.0, latency(0.040))
    assert replayed(1006.0, old, behind).rtt_p50_s == 0.020
    assert replayed(1011.0, old, behind, passed).rtt_p50_s == 0.040


def test_the_order_of_arrival_does_not_matter() -> None:
    rows: list[tuple[float, Row]] = [
        (100.0, latency(0.020, received=49)),
        (105.0, lost(failure="timeout", detail="no reply")),
        (110.0, latency(0.021, during_throughput=True)),
        (111.0, throughput(2e8)),
        (112.0, throughput(None, failure="refused")),
        (115.0, latency(0.022)),
        (116.0, path(fingerprint="f", changed=True)),
    ]
    expected = after(117.0, *rows)
    orders = list(itertools.permutations(rows))
    assert all(after(117.0, *order) == expected for order in orders[::41])


def test_long_histories_in_any_order_end_the_same() -> None:
    chance = random.Random(7)
    rows = [
        (5.0 * number, latency(sent=chance.choice([1, 7, 50]), received=1) if chance.random() < 0.5 else lost(sent=7))
        for number in range(300)
    ]
    expected = after(1501.0, *rows)
    for _ in range(5):
        chance.shuffle(rows)
        assert after(1501.0, *rows) == expected


def test_what_is_kept_of_a_link_is_bounded() -> None:
    links = states()
    for number in range(1000):
        links.observe(moment(number), [latency(None, sent=0, received=0, failure="unresolved")])
    assert links._memory.latency.sizes.tolist() == [100, 0, 0]


def test_goodput_carries_its_interval_and_age() -> None:
    row = throughput(3e8, goodput_low_bps=2.9e8, goodput_high_bps=3.1e8, rtt_loaded_s=0.05, limited_by="network")
    answer = after(160.0, (100.0, row))
    assert (answer.goodput_bps, answer.goodput_low_bps, answer.goodput_high_bps) == (3e8, 2.9e8, 3.1e8)
    assert (answer.goodput_age_s, answer.goodput_state) == (60.0, "fresh")
    assert (answer.rtt_loaded_s, answer.limited_by) == (0.05, "network")


def test_a_throughput_row_alone_says_nothing_about_contact() -> None:
    assert after(101.0, (100.0, throughput())).state == "unknown"


@pytest.mark.parametrize(
    # Stale two rounds after the five that a quiet link may miss, or a week; expired after twelve, or a week.
    ("every_s", "age_s", "state"),
    [
        (600.0, 604_800.0, "fresh"),
        (600.0, 604_801.0, "expired"),
        (100_800.0, 705_600.0, "fresh"),
        (100_800.0, 705_601.0, "stale"),
        (100_800.0, 1_209_600.0, "stale"),
        (100_800.0, 1_209_601.0, "expired"),
    ],
)
def test_goodput_ages_by_the_mesh_s_rounds_and_lasts_a_week(every_s: float, age_s: float, state: str) -> None:
    mesh = Mesh.model_validate(MESH.model_dump() | {"throughput": {"every_s": every_s}})
    links = LinkStates(mesh, StateSettings())
    links.observe(moment(100.0), [throughput()])
    found = links.link("a", "b", 100.0 + age_s)
    assert found is not None
    assert found.goodput_state == state
    assert (found.goodput_forecast_p50_bps is None) == (state == "expired")


def test_goodput_ages_by_rounds_alone_where_the_settings_say_so() -> None:
    links = LinkStates(MESH, BY_ROUNDS)
    links.observe(moment(100.0), [throughput()])
    found = [links.link("a", "b", 100.0 + age_s) for age_s in (4200.0, 4201.0, 7200.0, 7201.0)]
    assert [answer.goodput_state for answer in found if answer] == ["fresh", "stale", "stale", "expired"]


def test_a_round_is_never_shorter_than_two_slots_per_site() -> None:
    # every_s = 0: tests follow each other; 3 sites with slots of 5 s make a round of 30 s, and two of them 60 s.
    mesh = Mesh.model_validate(MESH.model_dump() | {"throughput": {"every_s": 0.0}})
    links = LinkStates(mesh, BY_ROUNDS)
    links.observe(moment(100.0), [throughput()])
    found = [links.link("a", "b", now) for now in (160.0, 160.1)]
    assert [answer.goodput_state for answer in found if answer] == ["fresh", "stale"]


def test_a_changed_path_makes_the_goodput_before_it_stale() -> None:
    before = after(120.0, (100.0, throughput()), (110.0, path(fingerprint="x", changed=True, path_mtu_bytes=1500)))
    since = after(120.0, (100.0, path(fingerprint="x", changed=True)), (110.0, throughput()))
    assert (before.goodput_state, since.goodput_state) == ("stale", "fresh")
    assert (before.path_fingerprint, before.path_age_s, before.path_mtu_bytes) == ("x", 10.0, 1500)


def test_hops_are_those_of_a_trace_that_reached_the_destination() -> None:
    way = (Hop(ttl=1, address="192.0.2.9"), Hop(ttl=4, address="192.0.2.2"))
    assert after(120.0, (100.0, path(hops=way, reached=True))).hops == 4
    assert after(120.0, (100.0, path(hops=way, reached=False))).hops is None


def test_one_way_delay_is_shown_with_its_clock_error() -> None:
    answer = after(120.0, (110.0, latency(owd_forward_p50_s=0.012, owd_error_s=0.001)))
    assert (answer.owd_p50_s, answer.owd_error_s) == (0.012, 0.001)


def test_an_unchanged_path_leaves_the_goodput_fresh() -> None:
    assert after(120.0, (100.0, throughput()), (110.0, path(fingerprint="x"))).goodput_state == "fresh"


def test_a_failed_throughput_test_is_told_and_keeps_the_last_goodput() -> None:
    answer = after(120.0, (100.0, throughput()), (110.0, throughput(None, failure="refused", detail="nobody there")))
    assert (answer.goodput_bps, answer.goodput_age_s) == (3e8, 20.0)
    assert (answer.failure, answer.failure_kind, answer.failure_detail, answer.failure_age_s) == (
        "refused",
        "throughput",
        "nobody there",
        10.0,
    )


def test_a_throughput_test_that_failed_is_named_beside_a_newer_failure_of_another_kind() -> None:
    answer = after(120.0, (100.0, throughput(None, failure="refused", detail="port 5201")), (110.0, lost()))
    assert (answer.failure, answer.failure_kind) == ("no_reply", "latency")
    named = (answer.goodput_failure, answer.goodput_failure_detail, answer.goodput_failure_age_s)
    assert named == ("refused", "port 5201", 20.0)


@pytest.mark.parametrize(
    ("failed", "succeeded"),
    [
        (lost(), latency()),
        (lost(), latency(during_throughput=True)),
        (throughput(None, failure="refused"), throughput()),
        (path(failure="permission"), path(fingerprint="x")),
    ],
)
def test_a_failure_is_over_once_a_measurement_of_its_kind_succeeds(failed: Row, succeeded: Row) -> None:
    during, over = after(120.0, (100.0, failed)), after(120.0, (100.0, failed), (110.0, succeeded))
    assert during.failure is not None
    found = {name: value for name, value in dict(over).items() if "failure" in name and value is not None}
    assert found == {}
    again = after(120.0, (100.0, failed), (110.0, succeeded), (115.0, failed))
    assert again.failure_age_s == 5.0


def test_another_kind_s_success_ends_no_failure() -> None:
    assert after(120.0, (100.0, throughput(None, failure="refused")), (110.0, latency())).failure == "refused"


def test_the_newest_failure_of_any_kind_is_told() -> None:
    answer = after(120.0, (110.0, path(failure="permission")), (105.0, lost()))
    assert (answer.failure, answer.failure_kind) == ("permission", "path")


def test_a_row_without_any_reply_is_a_failure_with_a_reason() -> None:
    assert after(120.0, (110.0, lost())).failure == "no_reply"


def test_a_link_that_stays_in_a_changed_mesh_keeps_what_is_known() -> None:
    links = states()
    links.observe(moment(100.0), [latency()])
    links.apply_mesh(
        Mesh.model_validate(MESH.model_dump() | {"links": [{"src": "a", "dst": "b"}, {"src": "c", "dst": "a"}]})
    )
    assert [(answer.src, answer.dst, answer.state) for answer in every_link(links, 101.0)] == [
        ("a", "b", "fresh"),
        ("c", "a", "unknown"),
    ]


def test_thresholds_follow_a_changed_mesh() -> None:
    links = states()
    links.observe(moment(100.0), [latency()])
    links.apply_mesh(Mesh.model_validate(MESH.model_dump() | {"latency": {"report_interval_s": 60.0}}))
    found = links.link("a", "b", 340.0)
    assert found is not None
    assert found.state == "fresh"


def test_each_kind_of_row_is_read_back_as_far_as_it_says_something() -> None:
    # Twice what the forecasts remember, 300 s and a week, and twelve steps; paths for the rounds of a goodput.
    assert states().horizons_s == {"latency": 720.0, "throughput": 1_224_000.0, "path": 7200.0}


def test_an_unknown_kind_of_row_changes_nothing() -> None:
    assert after(101.0, (100.0, Row(src="a", dst="b", method="stamp"))) == after(101.0)


def test_figures_beyond_single_precision_are_no_forecast_and_harm_no_other_link() -> None:
    """Two rows of 3.4e38, as a journal of an earlier version may hold: their sum is beyond a float32."""
    links = states()
    absurd = LatencyRow.model_construct(src="a", dst="c", method="stamp", sent=50, received=50, rtt_p50_s=3.4e38)
    for at in (100.0, 105.0, 110.0):
        links.observe(ReportMoment(at, "boot", int(at)), [absurd, latency(0.020)])
    good, bad, _ = every_link(links, 111.0)
    assert good.rtt_forecast_p50_s == pytest.approx(0.020)
    assert good.rtt_forecast_samples == 3
    assert (bad.state, bad.rtt_forecast_p50_s, bad.rtt_forecast_samples) == ("fresh", None, None)
    assert np.isnan(links.snapshot(111.0).rtt_p50_s[0, 2])


def test_a_link_whose_next_test_cannot_be_said_costs_its_own_fields() -> None:
    def next_test(_src: str, dst: str, _now: float) -> dict[str, Any]:
        return {"next_test_in_s": 60.0 / "bca".index(dst)}

    links = LinkStates(MESH, StateSettings(), next_test)
    links.observe(ReportMoment(100.0, "boot", 1), [latency(0.020)])
    before = faults().get("link answer", 0)
    bad, good, _ = whole_answers(links.table(101.0).with_next_tests(links.next_test))
    assert (bad.state, bad.next_test_in_s, good.next_test_in_s) == ("fresh", None, 60.0)
    assert faults()["link answer"] > before


def test_a_value_that_is_no_number_is_null() -> None:
    links = states()
    nan = LatencyRow.model_construct(src="a", dst="c", method="stamp", sent=50, received=50, rtt_min_s=math.nan)
    links.observe(ReportMoment(100.0, "boot", 1), [nan, latency(0.020)])
    _, found, _ = every_link(links, 101.0)
    assert (found.state, found.rtt_min_s) == ("fresh", None)


def test_a_fault_in_one_row_costs_that_row() -> None:
    before = faults().get("link state", 0)
    fields: dict[str, Any] = {"sent": "many", "received": 50, "rtt_p50_s": 0.5}
    bad = LatencyRow.model_construct(src="a", dst="c", method="icmp", **fields)
    links = states()
    links.observe(moment(0), [bad, latency(0.02)])
    assert faults()["link state"] == before + 1
    good, unknown, _ = every_link(links, 1)
    assert (good.rtt_p50_s, unknown.state) == (0.02, "unknown")


def test_a_fault_in_one_of_many_reports_costs_its_row() -> None:
    before = faults().get("link state", 0)
    fields: dict[str, Any] = {"sent": "many", "received": 50, "rtt_p50_s": 0.5}
    bad = LatencyRow.model_construct(src="a", dst="c", method="icmp", **fields)
    links = states()
    back = latency(0.03).model_copy(update={"src": "b", "dst": "a"})
    links.observe_all([(moment(0), [latency(0.02)]), (moment(1), [bad, latency(0.05)]), (moment(2), [back])])
    assert faults()["link state"] == before + 1
    assert [(link.rtt_p50_s, link.state) for link in every_link(links, 3)] == [
        (0.05, "fresh"),
        (None, "unknown"),
        (0.03, "fresh"),
    ]


def test_many_reports_together_leave_what_each_alone_does() -> None:
    chance, reports = random.Random(7), []
    for seq in range(60):
        src, dst = chance.choice([("a", "b"), ("a", "c"), ("b", "a"), ("a", "a")])
        row: Row = chance.choice(
            [latency(chance.uniform(0.01, 0.1)), lost(), throughput(), path(fingerprint="f", changed=True)]
        )
        rows = [row.model_copy(update={"src": src, "dst": dst})]
        reports.append((ReportMoment(100 + chance.uniform(0, 60), chance.choice(["old", "new"]), seq), rows))
    one_by_one, together = states(), states()
    for report in reports:
        one_by_one.observe(*report)
    together.observe_all(reports)
    assert every_link(together, 170.0) == every_link(one_by_one, 170.0)


def test_links_are_counted_by_state() -> None:
    links = states()
    links.observe(moment(100), [latency(), lost().model_copy(update={"dst": "c"})])
    assert links.counts(101.0) == {"fresh": 1, "degraded": 0, "stale": 0, "expired": 0, "down": 1, "unknown": 1}
    assert links.counts(130.0)["stale"] == 1


def test_a_window_is_read_back_as_far_as_a_recovery_takes() -> None:
    links = LinkStates(MESH, StateSettings(recover_after_rows=40, loss_probes=90))
    assert links.window_rows("latency") == {"depth": 40, "probes": 90}
    assert states().window_rows("latency") == {"depth": 12, "probes": 100}
    assert links.window_rows("path") == {"depth": 1}
