"""The load generator's pure parts: what is played is a mesh that checks, and rows that a collector takes."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from linkweather.mesh import Mesh
from linkweather.settings import parse
from linkweather.wire import LatencyReport, decode_report
from tests.bench.fleet import quantile, throughput
from tests.bench.fleet_map import Fleet, FleetMap, LatencyRows, name, pair_of
from tests.bench.played_sites import Played

FLEET = Fleet(sites=23, interval_s=5.0)


def test_the_fleet_s_mesh_has_all_its_links() -> None:
    mesh = parse(FleetMap(FLEET).mesh(FLEET), Mesh, "mesh.toml")
    assert sum(1 for _ in mesh.pairs()) == 23 * 22
    assert mesh.latency.report_interval_s == 5.0


def test_a_fleet_with_hubs_plays_the_links_of_its_mesh() -> None:
    fleet = Fleet(sites=9, interval_s=5.0, hubs=2)
    mesh = parse(FleetMap(fleet).mesh(fleet), Mesh, "mesh.toml")
    played = {(name(src), name(dst)) for src in range(9) for dst in fleet.peers(src)}
    assert (set(mesh.pairs()), mesh.link_count) == (played, fleet.links)
    assert {(name(near), name(far)) for near, far in (pair_of(turn, fleet) for turn in range(9 * 8))} == played


def test_a_played_report_is_taken_whole() -> None:
    rtt_s = FleetMap(FLEET).rtt_s
    rows = LatencyRows(FLEET, rtt_s).of(3, seq=0)
    payload = b'{"v":1,"boot":"b","seq":0,"at":"2026-11-27T12:00:00Z","kind":"latency","links":[%s]}' % rows
    decoded = decode_report(name(3), "latency", payload)
    assert isinstance(decoded.report, LatencyReport)
    assert not decoded.refused
    assert [row.dst for row in decoded.report.links] == [name(site) for site in range(23) if site != 3]
    shown = [row.rtt_p50_s or 0.0 for row in decoded.report.links]
    assert shown == pytest.approx(np.delete(rtt_s[3], 3), rel=0.03)


def test_every_pair_has_its_turn_once() -> None:
    turns = Counter(pair_of(turn, Fleet(7, 5.0)) for turn in range(42))
    assert len(turns) == 42
    assert all(near != far for near, far in turns)
    assert pair_of(42, Fleet(7, 5.0)) == pair_of(0, Fleet(7, 5.0))


def test_a_quantile_is_a_value_that_occurred() -> None:
    assert quantile([3.0, 1.0, 2.0, 4.0], 0.5) == 2.0
    assert quantile([3.0, 1.0, 2.0, 4.0], 0.99) == 4.0
    assert math.isnan(quantile([], 0.5))


def test_the_table_says_what_share_was_committed_and_how_much_sent_again() -> None:
    before = Played(0.0, 2, 0, 1.0, Counter(made=1, sent=1), [])
    counts = Counter(made=11, rows=100, sent=13, committed=9, committed_rows=50)
    found = throughput(before, Played(10.0, 2, 0, 3.0, counts, [0.2, 0.4]))
    assert found["offered"] == "10 rows/s"
    assert found["committed"] == "5 rows/s (50%)"
    assert found["sent again"] == "0.20 a report"
    assert found["publish to committed p50, p99"] == "0.20, 0.40 s"
    assert found["the sites' own load"] == "0.20 of a core"
