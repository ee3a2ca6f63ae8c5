"""Forecasts of links, and the outlook. The mesh reports every 5 s: stale is 20 s, expired 300 s; a round is 600 s."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from collector.linkstate.link_states import LinkStates
from collector.linkstate.snapshot import Outlook
from collector.settings import StateSettings
from linkweather.mesh import Mesh
from linkweather.models.state import LinkAnswer
from linkweather.wire import LatencyRow, PathRow, Row, ThroughputRow

SITES = {site: {"address": f"192.0.2.{number}"} for number, site in enumerate("abc", start=1)}
MESH = Mesh.model_validate({"sites": SITES})
MATRICES = [name for name in Outlook.__dataclass_fields__ if name not in ("sites", "at")]


def states(*rows: tuple[float, Row]) -> LinkStates:
    links = LinkStates(MESH, StateSettings())
    for at, row in rows:
        links.observe(at, [row])
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


def assert_same(one: Outlook, other: Outlook) -> None:
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
    assert answer(links, 7301.0).goodput_forecast_p50_bps is None
    assert answer(states(), 1.0).rtt_forecast_samples is None


def test_rows_that_our_own_tests_loaded_are_forecast_only_where_there_are_no_recent_others() -> None:
    idle = [(100.0, latency(0.020)), (105.0, latency(0.020))]
    loaded = [(110.0 + 5 * number, latency(0.090, during_throughput=True)) for number in range(4)]
    assert answer(states(*idle, *loaded), 126.0).rtt_forecast_p50_s == 0.02
    later = states(*idle, *loaded, (130.0, latency(0.090, during_throughput=True)))
    assert answer(later, 131.0).rtt_forecast_p50_s == 0.09
    assert later.outlook(131.0).rtt_p50_s[0, 1] == pytest.approx(0.09)


def test_failed_tests_and_paths_are_no_figures() -> None:
    links = states(
        (100.0, throughput(None, failure="refused")), (100.0, PathRow(src="a", dst="b", method="udp", fingerprint="f"))
    )
    assert answer(links, 101.0).goodput_forecast_samples is None


def test_an_outlook_has_what_each_link_is_like() -> None:
    row = latency(0.020, received=49, rtt_p95_s=0.026, owd_forward_p50_s=0.012)
    outlook = states((100.0, row), (101.0, throughput())).outlook(110.0)
    assert (outlook.sites, outlook.at) == (("a", "b", "c"), 110.0)
    assert np.argwhere(outlook.usable).tolist() == np.argwhere(outlook.fresh).tolist() == [[0, 1]]
    assert outlook.rtt_p50_s[0, 1] == pytest.approx(0.020)
    assert (outlook.rtt_age_s[0, 1], outlook.rtt_samples[0, 1]) == (10.0, 1)
    assert outlook.jitter_s[0, 1] == pytest.approx(0.006)
    assert outlook.owd_p50_s[0, 1] == 0.012
    assert outlook.loss_ratio[0, 1] == 0.02
    assert outlook.goodput_p50_bps[0, 1] == pytest.approx(3e8)
    assert (outlook.goodput_age_s[0, 1], outlook.goodput_samples[0, 1]) == (9.0, 1)
    assert np.isnan(outlook.rtt_p50_s[1, 0])
    assert outlook.rtt_samples.sum() == outlook.goodput_samples.sum() == 1


@pytest.mark.parametrize(
    ("now", "usable", "fresh"), [(120.0, True, True), (121.0, True, False), (400.0, True, False), (401.0, False, False)]
)
def test_contact_ages_in_the_outlook(now: float, usable: bool, fresh: bool) -> None:  # noqa: FBT001 - parametrized
    outlook = states((100.0, latency())).outlook(now)
    assert (outlook.usable[0, 1], outlook.fresh[0, 1], np.isfinite(outlook.rtt_p50_s[0, 1])) == (usable, fresh, usable)


def test_loss_of_contact_is_down_at_once_and_recovery_waits_for_two_rows() -> None:
    links = states((100.0, latency()), (105.0, latency()), (110.0, lost()))
    seen = [(answer(links, 111.0).state, bool(links.outlook(111.0).usable[0, 1]))]
    for at in (115.0, 120.0):
        links.observe(at, [latency()])
        seen.append((answer(links, at).state, bool(links.outlook(at).usable[0, 1])))
    assert seen == [("down", False), ("down", False), ("fresh", True)]


def test_goodput_in_the_outlook_ages_and_is_stale_after_a_new_path() -> None:
    links = states((100.0, throughput()))
    told = [links.outlook(now) for now in (1300.0, 1301.0, 7300.0, 7301.0)]
    assert [(bool(one.goodput_usable[0, 1]), bool(one.goodput_fresh[0, 1])) for one in told] == [
        (True, True),
        (True, False),
        (True, False),
        (False, False),
    ]
    links.observe(110.0, [PathRow(src="a", dst="b", method="udp", fingerprint="f", changed=True)])
    assert not links.outlook(111.0).goodput_fresh[0, 1]
    assert not links.outlook(111.0).usable.any()


def test_a_restarted_collector_gives_the_same_answers() -> None:
    now = 80_000.0
    live, rebuilt = LinkStates(MESH, StateSettings()), LinkStates(MESH, StateSettings())
    for at, rows in history(now):
        if at % 900 == 0:
            live.outlook(at)  # who asks in between changes nothing
        live.observe(at, rows)
    for at, rows in history(now):
        for kind, horizon_s in live.horizons_s.items():
            if at >= now - horizon_s and kind == ("latency" if isinstance(rows[0], LatencyRow) else "throughput"):
                rebuilt.observe(at, rows)
    assert_same(rebuilt.outlook(now), live.outlook(now))
    assert rebuilt.links(now) == live.links(now)


def test_rows_that_come_after_an_outage_leave_what_they_would_have_left_in_time() -> None:
    rows = history(700.0)
    in_time, late = LinkStates(MESH, StateSettings()), LinkStates(MESH, StateSettings())
    for at, report in rows:
        in_time.observe(at, report)
    for at, report in [*rows[:60], *rows[100:], *rows[60:100]]:
        late.observe(at, report)
    assert_same(late.outlook(700.0), in_time.outlook(700.0))


def test_links_that_stay_in_a_changed_mesh_keep_their_forecasts() -> None:
    links = states((100.0, latency()), (105.0, latency()), (106.0, throughput()))
    links.use(Mesh.model_validate({"sites": {"z": {"address": "192.0.2.9"}} | SITES}))
    outlook = links.outlook(107.0)
    assert (outlook.rtt_samples[1, 2], outlook.goodput_samples[1, 2]) == (2, 1)
    assert outlook.usable.sum() == 1
