"""What iperf3 and pScheduler wrote, as rows: directions, units, and what has no place among ours."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from collector.migration.iperf3_results import iperf3_source, of_each_test
from collector.migration.measurement import ImportSource, NotCarriedOverError, entries_of, sites_of
from collector.migration.pscheduler_results import pscheduler_source
from linkweather.errors import OperatorError
from linkweather.mesh import Mesh
from tests.collector.migration import samples

SITES = {"192.0.2.1": "a", "192.0.2.2": "b", "a.example": "a", "b.example": "b"}
ENDED = datetime(2023, 11, 14, 22, 13, 30, tzinfo=UTC)


def of_iperf3(**changes: Any) -> ImportSource:
    return iperf3_source("x.json", json.dumps(samples.iperf3(**changes)).encode())


def row(source: ImportSource) -> dict[str, Any]:
    """The only row of a source, as the fields that it sets."""
    ((entry,), left_out) = entries_of(source, SITES)
    assert left_out == []
    (found,) = entry.report.rows
    return found.model_dump(exclude_none=True)


def test_a_test_of_iperf3_is_a_row_of_the_site_where_the_bytes_arrived() -> None:
    source = of_iperf3()
    (entry,), _ = entries_of(source, SITES)
    assert (entry.site, entry.report.seq, entry.report.at, entry.received_at) == ("b", 0, ENDED, ENDED)
    assert entry.report.boot.startswith("import-")
    assert row(source) == {
        "src": "a",
        "dst": "b",
        "method": "iperf3",
        "goodput_bps": 96.0,
        "goodput_10s_bps": 96.0,
        "bytes": 120,
        "duration_s": 10.0,
        "streams": 2,
        "retransmits": 3,
        "congestion": "cubic",
        "reason": "imported",
    }


@pytest.mark.parametrize(("server", "reverse", "src"), [(0, 0, "a"), (0, 1, "b"), (1, 0, "a"), (1, 1, "b")])
def test_the_direction_is_that_of_the_bytes(*, server: int, reverse: int, src: str) -> None:
    assert row(of_iperf3(server=bool(server), start__test_start__reverse=reverse))["src"] == src


def test_a_short_test_says_nothing_of_ten_seconds() -> None:
    assert "goodput_10s_bps" not in row(of_iperf3(end__sum_received__seconds=3.0))


def test_a_test_that_failed_is_a_failure_with_what_iperf3_said() -> None:
    found = row(of_iperf3(error="control socket has closed unexpectedly", end={}))
    assert (found["failure"], found["detail"]) == ("failed", "control socket has closed unexpectedly")

    assert row(of_iperf3(end__sum_received__bits_per_second=0))["detail"] == "it says no rate at which bytes arrived"


def test_a_test_that_failed_before_it_began_is_of_tcp_where_it_has_its_segments() -> None:
    one = samples.iperf3(error="unable to start", end={}, start__tcp_mss_default=1448)
    del one["start"]["test_start"]
    assert row(iperf3_source("x.json", json.dumps(one).encode()))["failure"] == "failed"
    del one["start"]["tcp_mss_default"]
    with pytest.raises(NotCarriedOverError, match="failed before it said by which protocol it measures"):
        iperf3_source("x.json", json.dumps(one).encode())


def test_a_clients_and_a_servers_file_are_one_test_and_the_one_that_says_most_is_kept() -> None:
    server, client, other = (
        iperf3_source(name, json.dumps(samples.iperf3(**changes)).encode())
        for name, changes in (
            ("1.json", {"server": True, "start__cookie": "x", "end__sum_sent": {}}),
            ("2.json", {"start__cookie": "x"}),
            ("3.json", {"start__cookie": "y"}),
        )
    )
    broken = ImportSource("4.json", "", (), left_out=("is broken",))
    found = list(of_each_test([server, client, other, broken, broken]))
    assert found[1:] == [client, other, broken, broken]
    assert (found[0].measurements, found[0].left_out) == ((), ("is of the same test as 2.json",))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"start__connected": []}, "never connected, so it names one host only"),
        ({"start__test_start__protocol": "UDP"}, "by UDP or both ways"),
        ({"start__test_start__bidir": 1}, "by UDP or both ways"),
        ({"end__sum_sent_bidir_reverse": {}}, "by UDP or both ways"),
        ({"start": 3}, "is not as iperf3 -J writes it"),
        ({"start__timestamp__timesecs": 1e300}, "is not as iperf3 -J writes it"),
    ],
)
def test_what_is_no_goodput_of_a_link_is_said(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(NotCarriedOverError, match=sentence):
        of_iperf3(**changes)


def test_a_value_that_cannot_be_costs_its_row_and_keeps_its_number() -> None:
    (entry,), left_out = entries_of(of_iperf3(end__sum_received__bytes=-1), SITES)
    assert entry.report.rows == ()
    assert left_out == ["2023-11-14T22:13:30Z: bytes = -1: must be at least 0"]


def test_two_hosts_of_one_site_are_no_link() -> None:
    _, left_out = entries_of(of_iperf3(), {**SITES, "192.0.2.2": "a"})
    assert left_out == ["2023-11-14T22:13:30Z: 192.0.2.1 → 192.0.2.2 are both the site a"]


def of_pscheduler(*runs: Any) -> ImportSource:
    return pscheduler_source("runs.json", json.dumps(list(runs)).encode())


def test_throughput_of_pscheduler_is_the_receivers_where_it_says_so() -> None:
    one = samples.run("throughput", samples.THROUGHPUT)
    found = row(of_pscheduler(one))
    assert (found["goodput_bps"], found["duration_s"], found["retransmits"]) == (9e8, 10.0, 7)
    assert (found["src"], found["dst"], found["method"], found["reason"]) == ("a", "b", "iperf3", "imported")
    one["result"]["summary"]["summary"]["receiver-throughput-bits"] = 8e8
    assert row(of_pscheduler(one))["goodput_bps"] == 8e8


def test_round_trips_of_pscheduler_are_a_row_of_latency() -> None:
    found = row(of_pscheduler(samples.run("rtt", samples.RTT)))
    assert {name: value for name, value in found.items() if name.startswith("rtt_")} == {
        "rtt_min_s": 0.01,
        "rtt_p50_s": 0.02,
        "rtt_mean_s": 0.02,
        "rtt_max_s": 0.03,
        "rtt_stdev_s": 0.001,
    }
    assert (found["sent"], found["received"], found["method"]) == (4, 3, "owping")
    without = row(of_pscheduler(samples.run("rtt", {**samples.RTT, "roundtrips": []})))
    assert "rtt_p50_s" not in without
    lost = row(of_pscheduler(samples.run("rtt", {**samples.RTT, "received": 0})))
    assert "rtt_min_s" not in lost


def test_one_way_latency_is_in_buckets_of_the_width_that_the_test_asked_for() -> None:
    found = row(of_pscheduler(samples.run("latency", samples.LATENCY)))
    assert found["owd_forward_p50_s"] == pytest.approx(0.01025)
    assert (found["owd_error_s"], found["lost_forward"], found["reordered"]) == (0.0005, 1, 2)
    finer = row(of_pscheduler(samples.run("latencybg", samples.LATENCY, **{"bucket-width": 0.0001})))
    assert finer["owd_forward_p50_s"] == pytest.approx(0.001025)
    bare = {name: value for name, value in samples.LATENCY.items() if name in {"packets-sent", "packets-received"}}
    assert "owd_forward_p50_s" not in row(of_pscheduler(samples.run("latency", bare)))


def test_a_run_that_failed_is_a_failure() -> None:
    one = samples.run("rtt", {"succeeded": False, "error": "no route\nto host"})
    one["tool"] = {}
    del one["test"]["spec"]["source"], one["schedule"]["duration"]
    found = row(of_pscheduler(one))
    assert (found["failure"], found["detail"], found["method"]) == ("failed", "no route to host", "pscheduler")


def test_runs_that_have_no_place_are_said_and_the_others_are_numbered() -> None:
    good = samples.run("rtt", samples.RTT)
    udp = samples.run("throughput", samples.THROUGHPUT, udp=True)
    source = of_pscheduler(samples.run("dns", {}), good, {}, udp, good)
    assert [one.split(":")[0] for one in source.left_out] == ["run 1", "run 3", "run 4"]
    entries, _ = entries_of(source, SITES)
    assert [entry.report.seq for entry in entries] == [0, 1]


def test_runs_stand_in_an_array_or_one_a_line_or_alone() -> None:
    good = json.dumps(samples.run("rtt", samples.RTT))
    assert len(pscheduler_source("x", good.encode()).measurements) == 1
    assert len(pscheduler_source("x", f"{good}\n\n{good}\n".encode()).measurements) == 2
    with pytest.raises(NotCarriedOverError, match="is not as pScheduler writes it"):
        pscheduler_source("x", b"<xml/>")


def test_a_host_is_a_site_by_option_id_compute_id_or_address() -> None:
    sites = {"a": {"address": "192.0.2.1"}, "b": {"address": "b.example", "compute_id": "big"}}
    mesh = Mesh.model_validate({"sites": sites})
    hosts = ("192.0.2.1", "a", "big", "b.example", "old")
    assert list(sites_of(hosts, mesh, {"old": "b"}).values()) == ["a", "a", "b", "b", "b"]
    with pytest.raises(OperatorError) as error:
        sites_of(("u", "v", "w", "x", "y", "z", "old"), mesh, {"old": "c"})
    assert str(error.value) == (
        "no site of the mesh: old (--site says c), u, v, w, x and 2 more: "
        "say which sites they are with --site NAME=SITE"
    )
    with pytest.raises(OperatorError, match=r"mesh: u: say"):
        sites_of(("u",), mesh, {})
