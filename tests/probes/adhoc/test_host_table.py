"""Several hosts side by side, frozen."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from linkweather.wire import LatencyRow, ThroughputRow
from probes.adhoc import comparison
from probes.adhoc import host_table as table
from probes.adhoc.findings import (
    HERE,
    THERE,
    UDP,
    Findings,
    HostOutcome,
    LatencyFindings,
    MeasuredHost,
    ThroughputFindings,
    document,
)
from probes.adhoc.method_choice import Attempt
from probes.adhoc.saved import SavedTest
from probes.latency.stamp import StampProber
from probes.throughput.iperf3_output import Datagrams

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def latency(p50_s: float, lost: int) -> LatencyFindings:
    row = LatencyRow(
        src=HERE,
        dst=THERE,
        method="stamp",
        sent=50,
        received=50 - lost,
        rtt_p50_s=p50_s,
        rtt_p99_s=p50_s + 0.002,
        jitter_p95_p50_s=0.0012,
    )
    return LatencyFindings(row, [p50_s] * (50 - lost), [Attempt("stamp", StampProber.wording, 8620, answered=True)])


def throughput(goodput_bps: float, *, reverse: bool, datagrams: Datagrams | None = None) -> ThroughputFindings:
    src, dst = (THERE, HERE) if reverse else (HERE, THERE)
    row = ThroughputRow(src=src, dst=dst, method=UDP if datagrams else "iperf3", goodput_bps=goodput_bps)
    return ThroughputFindings(row, (), 0.1, reverse=reverse, port=5201, wanted=True, datagrams=datagrams)


def outcome(host: str, *parts: LatencyFindings | ThroughputFindings) -> HostOutcome:
    half = next((part for part in parts if isinstance(part, LatencyFindings)), None)
    first, second, *_ = [*(part for part in parts if isinstance(part, ThroughputFindings)), None, None]
    return HostOutcome(host, Findings(MeasuredHost(host, "192.0.2.7"), AT, half, first, second))


def failure(*, reverse: bool) -> ThroughputFindings:
    row = ThroughputRow(src=HERE, dst=THERE, method="iperf3", failure="refused", detail="no iperf3 server there")
    return ThroughputFindings(row, (), 0.1, reverse=reverse, port=5201, wanted=True)


SILENT = LatencyFindings(LatencyRow(src=HERE, dst=THERE, method="tcp", failure="no_reply"), (), ())


def test_hosts_stand_side_by_side_and_failures_below() -> None:
    hosts = [
        outcome("gw.example.org", latency(0.0234, 1), throughput(94.1e6, reverse=True)),
        outcome("b", latency(0.1, 0), failure(reverse=True)),
        outcome("c", SILENT),
        HostOutcome("d.invalid", failure="unresolved", detail="d.invalid has no address: Name or service not known"),
    ]
    assert table.text(hosts).splitlines() == [
        "host            method  RTT p50      p99   jitter  loss    from host",
        "gw.example.org   STAMP  23.4 ms  25.4 ms  1.20 ms   2 %  94.1 Mbit/s",
        "b                STAMP   100 ms   102 ms  1.20 ms   0 %            –",
        "c                    –        –        –        –     –            –",
        "d.invalid            –        –        –        –     –            –",
        "",
        "goodput from b (192.0.2.7): not measured, no iperf3 server there",
        "c (192.0.2.7): no reply at all",
        "d.invalid has no address: Name or service not known",
    ]


def test_both_ways_and_datagrams_have_their_columns() -> None:
    both = (
        throughput(9.9e6, reverse=True, datagrams=Datagrams(400, 3, 7e-5)),
        throughput(9.5e6, reverse=False, datagrams=Datagrams(0, 0, 0.0)),
    )
    assert table.text([outcome("a", *both), outcome("b", throughput(1e9, reverse=False))]).splitlines() == [
        "host    from host  UDP loss      to host",
        "a     9.90 Mbit/s    0.75 %  9.50 Mbit/s",
        "b               –         –  1.00 Gbit/s",
    ]


def test_a_table_fits_80_columns_by_cutting_names() -> None:
    both = (throughput(94.1e6, reverse=True), throughput(94.1e6, reverse=False))
    lines = table.text([outcome("a-long-name.of-a-site.example.org", latency(0.0234, 50 // 3), *both)]).splitlines()
    assert lines[1].startswith("a-long-name…")
    assert max(len(line) for line in lines) <= 80


@pytest.mark.parametrize("before", [None, SavedTest(host="a", at=AT)])
def test_changes_stand_under_their_host(before: SavedTest | None) -> None:
    since = " since 2026-11-22 12:00 UTC" if before else ""
    what = "nothing that was measured both times" if before else "no earlier test of this host"
    assert comparison.text(before, SavedTest(host="a")) == f"Changes at a{since}\n  {what}"


def test_a_host_that_could_not_be_tested_has_failed_and_its_document_says_why() -> None:
    outcome = HostOutcome("nowhere.example", failure="unresolved", detail="no such name")
    assert outcome.failed
    assert outcome.document == {"host": "nowhere.example", "failure": "unresolved", "detail": "no such name"}


def test_the_document_of_a_tested_host_is_that_of_its_findings() -> None:
    tested = outcome("b", latency(0.1, 0))
    assert tested.findings is not None
    assert (tested.failed, tested.document) == (False, document(tested.findings))
