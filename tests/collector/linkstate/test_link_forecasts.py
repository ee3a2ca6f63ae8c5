"""Forecasts of links, and the snapshot. The mesh reports every 5 s: stale is 20 s, expired 300 s; a round is 600 s."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from collector.linkstate.link_columns import GOODPUT_FACTS, LATENCY_FACTS
from collector.linkstate.link_states import LinkStates, pace
from collector.linkstate.snapshot import LinkMatrices, Snapshot
from collector.settings import StateSettings
from linkweather.mesh import Mesh
from linkweather.models.state import LinkAnswer
from linkweather.wire import LatencyRow, PathRow, Row, ThroughputRow
from tests.collector.report_samples import every_link, moment

SITES = {site: {"address": f"192.0.2.{number}"} for number, site in enumerate("abc", start=1)}
MESH = Mesh.model_validate({"sites": SITES})
MATRICES = [name for name in Snapshot.__dataclass_fields__ if name not in ("sites", "at")]


def states(*rows: tuple[float, Row]) -> LinkStates:
    links = LinkStates(MESH, StateSettings())
    for at, row in rows:
        links.observe(moment(at), [row])
    return links


def latency(p50_s: float | None = 0.020, **fields: Any) -> LatencyRow:
    given: dict[str, Any] = {
        "src": "a",
        "dst": "b",
        "sent": 50,
        "received": 50,
        "rtt_p50_s": p50_s,
        "method": "stamp",
    }
    return LatencyRow(**(given | fields))


def lost() -> LatencyRow:
    return latency(None, received=0)


def throughput(goodput_bps: float | None = 3e8, **fields: Any) -> ThroughputRow:
    return ThroughputRow(**({"src": "a", "dst": "b", "method": "iperf3", "goodput_bps": goodput_bps} | fields))


def answer(links: LinkStates, now: float) -> LinkAnswer:
    found = links.link("a", "b", now)
    assert found is not None
    return found


def assert_same(one: Snapshot, other: Snapshot) -> None:
    for name in MATRICES:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6, err_msg=name)


def history(until: float) -> list[tuple[float, list[Row]]]:
    """Rows of all links of the mesh: every 5 s in the last 2000 s, some of them loaded, and a test in ten minutes."""
    chance = random.Random(11)
    found: list[tuple[float, list[Row]]] = []
    for at in np.arange(0.0, until, 5.0).tolist():
        ends = [{"src": src, "dst": dst} for src, dst in MESH.pairs()]
        rows: list[Row] = [
            latency(chance.gauss(0.02, 0.001), during_throughput=chance.random() < 0.1, received=49, **link)
            for link in ends
        ]
        if at >= until - 2000.0:
            found.append((at, rows))
        if at % 600 == 0:
            found.append((at + 2.0, [throughput(chance.lognormvariate(19.0, 0.2), **link) for link in ends]))
    return found


def test_a_link_s_answer_carries_both_forecasts() -> None:
    links = states((100.0, latency(0.020)), (105.0, latency(0.020)), (106.0, throughput()))
    found = answer(links, 107.0)
    assert (found.rtt_forecast_p50_s, found.rtt_forecast_samples) == (0.02, 2)
    assert (found.goodput_forecast_p50_bps, found.goodput_forecast_samples) == (3e8, 1)
    assert found.rtt_forecast_p10_s is not None
    assert found.rtt_forecast_p90_s is not None
    assert 0.019 < found.rtt_forecast_p10_s < 0.02 < found.rtt_forecast_p90_s < 0.021  # also of a link that never erred
    assert found.goodput_forecast_p10_bps is not None
    assert found.goodput_forecast_p90_bps is not None
    assert 1e8 < found.goodput_forecast_p10_bps < 3e8 < found.goodput_forecast_p90_bps < 9e8


def test_nothing_is_forecast_of_a_link_that_has_expired_or_was_never_measured() -> None:
    links = states((100.0, latency()), (100.0, throughput()))
    assert answer(links, 400.0).rtt_forecast_p50_s == 0.02
    assert answer(links, 401.0).rtt_forecast_p50_s is None
    assert answer(links, 604_901.0).goodput_forecast_p50_bps is None
    assert answer(states(), 1.0).rtt_forecast_samples is None


def test_rows_that_our_own_tests_loaded_are_forecast_only_where_there_are_no_recent_others() -> None:
    idle = [(100.0, latency(0.020)), (105.0, latency(0.020))]
    loaded = [(110.0 + 5 * number, latency(0.090, during_throughput=True)) for number in range(4)]
    assert answer(states(*idle, *loaded), 126.0).rtt_forecast_p50_s == 0.02
    later = states(*idle, *loaded, (130.0, latency(0.090, during_throughput=True)))
    assert answer(later, 131.0).rtt_forecast_p50_s == 0.09
    assert later.snapshot(131.0).rtt_p50_s[0, 1] == pytest.approx(0.09)


def test_failed_tests_and_paths_are_no_figures() -> None:
    links = states(
        (100.0, throughput(None, failure="refused")), (100.0, PathRow(src="a", dst="b", method="udp", fingerprint="f"))
    )
    assert answer(links, 101.0).goodput_forecast_samples is None


def test_an_snapshot_has_what_each_link_is_like() -> None:
    row = latency(0.020, received=49, rtt_p95_s=0.026, owd_forward_p50_s=0.012)
    snapshot = states((100.0, row), (101.0, throughput())).snapshot(110.0)
    assert (snapshot.sites, snapshot.at) == (("a", "b", "c"), 110.0)
    assert np.argwhere(snapshot.usable).tolist() == np.argwhere(snapshot.fresh).tolist() == [[0, 1]]
    assert snapshot.rtt_p50_s[0, 1] == pytest.approx(0.020)
    assert (snapshot.rtt_age_s[0, 1], snapshot.rtt_samples[0, 1]) == (10.0, 1)
    assert snapshot.jitter_s[0, 1] == pytest.approx(0.006)
    assert snapshot.owd_p50_s[0, 1] == 0.012
    assert snapshot.loss_ratio[0, 1] == 0.02
    assert snapshot.goodput_p50_bps[0, 1] == pytest.approx(3e8)
    assert (snapshot.goodput_age_s[0, 1], snapshot.goodput_samples[0, 1]) == (9.0, 1)
    assert np.isnan(snapshot.rtt_p50_s[1, 0])
    assert snapshot.rtt_samples.sum() == snapshot.goodput_samples.sum() == 1


@pytest.mark.parametrize(
    ("now", "usable", "fresh"), [(120.0, True, True), (121.0, True, False), (400.0, True, False), (401.0, False, False)]
)
def test_contact_ages_in_the_snapshot(now: float, usable: bool, fresh: bool) -> None:  # noqa: FBT001 - parametrized
    snapshot = states((100.0, latency())).snapshot(now)
    assert (snapshot.usable[0, 1], snapshot.fresh[0, 1], np.isfinite(snapshot.rtt_p50_s[0, 1])) == (
        usable,
        fresh,
        usable,
    )


def test_loss_of_contact_is_down_at_once_and_recovery_waits_for_two_rows() -> None:
    links = states((100.0, latency()), (105.0, latency()), (110.0, lost()))
    seen = [(answer(links, 111.0).state, bool(links.snapshot(111.0).usable[0, 1]))]
    for at in (115.0, 120.0):
        links.observe(moment(at), [latency()])
        seen.append((answer(links, at).state, bool(links.snapshot(at).usable[0, 1])))
    assert seen == [("down", False), ("down", False), ("fresh", True)]


def test_goodput_in_the_snapshot_ages_and_is_stale_after_a_new_path() -> None:
    links = LinkStates(MESH, StateSettings(goodput_stale_after_s=21_600.0, goodput_expired_after_s=86_400.0))
    links.observe(moment(100.0), [throughput()])
    snapshots = [links.snapshot(now) for now in (21_700.0, 21_701.0, 86_500.0, 86_501.0)]
    assert [(bool(one.goodput_usable[0, 1]), bool(one.goodput_fresh[0, 1])) for one in snapshots] == [
        (True, True),
        (True, False),
        (True, False),
        (False, False),
    ]
    links.observe(moment(110.0), [PathRow(src="a", dst="b", method="udp", fingerprint="f", changed=True)])
    assert not links.snapshot(111.0).goodput_fresh[0, 1]
    assert not links.snapshot(111.0).usable.any()


def test_tests_that_a_budget_pays_for_every_other_day_count_together() -> None:
    days = [100.0 + 172_800.0 * number for number in range(3)]
    links = states(*((at, throughput()) for at in days))
    assert links.snapshot(days[-1]).goodput_samples[0, 1] == 3


def test_a_restarted_collector_gives_the_same_answers() -> None:
    now = 80_000.0
    live, rebuilt = LinkStates(MESH, StateSettings()), LinkStates(MESH, StateSettings())
    for at, rows in history(now):
        if at % 900 == 0:
            live.snapshot(at)  # who asks in between changes nothing
        live.observe(moment(at), rows)
    for at, rows in history(now):
        for kind, horizon_s in live.horizons_s.items():
            if at >= now - horizon_s and kind == ("latency" if isinstance(rows[0], LatencyRow) else "throughput"):
                rebuilt.observe(moment(at), rows)
    assert_same(rebuilt.snapshot(now), live.snapshot(now))
    assert every_link(rebuilt, now) == every_link(live, now)


def test_rows_that_come_after_an_outage_leave_what_they_would_have_left_in_time() -> None:
    rows = history(700.0)
    in_time, late = LinkStates(MESH, StateSettings()), LinkStates(MESH, StateSettings())
    for at, report in rows:
        in_time.observe(moment(at), report)
    for at, report in [*rows[:60], *rows[100:], *rows[60:100]]:
        late.observe(moment(at), report)
    assert_same(late.snapshot(700.0), in_time.snapshot(700.0))


def test_links_that_stay_in_a_changed_mesh_keep_their_forecasts() -> None:
    links = states((100.0, latency()), (105.0, latency()), (106.0, throughput()))
    links.apply_mesh(Mesh.model_validate({"sites": {"z": {"address": "192.0.2.9"}} | SITES}))
    snapshot = links.snapshot(107.0)
    assert (snapshot.rtt_samples[1, 2], snapshot.goodput_samples[1, 2]) == (2, 1)
    assert snapshot.usable.sum() == 1


def test_columns_of_links_age_as_the_snapshot_does() -> None:
    """Also where a link's RTT comes from rows that our own tests loaded, and where nothing is known of one."""
    links, rng = LinkStates(MESH, StateSettings()), random.Random(3)
    for at in np.arange(0.0, 300.0, 5.0).tolist():
        quiet = [latency(rng.gauss(0.02, 0.001), received=49, src=src, dst=dst) for src, dst in MESH.pairs()][:-1]
        links.observe(moment(at), [row.model_copy(update={"during_throughput": at > 200}) for row in quiet])
    links.observe(moment(299.0), [throughput(), throughput(2e8, dst="c")])
    places = (np.array([0, 0, 2]), np.array([1, 2, 1]))
    limits, rows_pace = pace(MESH, StateSettings())
    known, kinds, matrices = links.latency_columns(places, 301.0), rows_pace.kinds(), LinkMatrices("abc")
    tested = links.goodput_columns(places, 301.0)
    matrices.put_facts({name: getattr(known, name) for name in LATENCY_FACTS}, places)
    matrices.put_facts({name: getattr(tested, name) for name in GOODPUT_FACTS}, places)
    whole = links.snapshot(320.0)
    for name in ("p10", "p50", "p90", "age_s", "samples"):
        rtt, goodput = known.rtt.forecast(320.0, kinds["rtt"]), tested.goodput.forecast(320.0, kinds["goodput"])
        unit = {"age_s": ("age_s", "age_s"), "samples": ("samples", "samples")}.get(name, (f"{name}_s", f"{name}_bps"))
        np.testing.assert_array_equal(getattr(rtt, name), getattr(whole, f"rtt_{unit[0]}")[places])
        np.testing.assert_array_equal(getattr(goodput, name), getattr(whole, f"goodput_{unit[1]}")[places])
    assert known.up.tolist() == [True, True, False]
    assert matrices.facts(["contact_at"], places)["contact_at"].tolist() == [295.0, 295.0, -np.inf]
    assert limits.expired_s == 300.0


def test_a_refresh_in_parts_leaves_a_snapshot_what_it_would_have_made() -> None:
    rows = history(700.0)
    refreshed, asked = LinkStates(MESH, StateSettings()), LinkStates(MESH, StateSettings())
    for at, report in rows:
        refreshed.observe(moment(at), report)
        asked.observe(moment(at), report)
        assert not refreshed.refresh_some(at)  # six links are not many
    assert_same(refreshed.snapshot(700.0), asked.snapshot(700.0))
