"""The summary and the JSON document of given findings, frozen."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from linkweather.wire import LatencyRow, Outage, ThroughputRow
from probes.adhoc import summary
from probes.adhoc.findings import (
    HERE,
    THERE,
    UDP,
    Findings,
    LatencyFindings,
    MeasuredHost,
    ThroughputFindings,
    document,
)
from probes.adhoc.method_choice import Attempt, choice, site
from probes.latency.icmp import IcmpProber
from probes.latency.prober import NoOptions
from probes.latency.stamp import StampProber
from probes.latency.tcp import TcpProber
from probes.throughput.iperf3_output import Datagrams

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TARGET = MeasuredHost("gw.example.org", "192.0.2.7")
STAMP = Attempt("stamp", StampProber.wording, 8620, answered=True)
NO_STAMP = Attempt("stamp", StampProber.wording, 8620, answered=False)
ICMP = Attempt("icmp", IcmpProber.wording, 0, answered=True)
NO_ICMP = Attempt("icmp", IcmpProber.wording, 0, answered=False)
ROW = LatencyRow(
    src=HERE,
    dst=THERE,
    method="stamp",
    window_s=0.5,
    sent=5,
    received=4,
    lost_forward=0,
    lost_back=1,
    duplicated=0,
    reordered=2,
    late=1,
    late_max_s=0.25,
    rtt_min_s=0.0231,
    rtt_mean_s=0.0236,
    rtt_p50_s=0.0234,
    rtt_p95_s=0.0250,
    rtt_p99_s=0.0253,
    rtt_max_s=0.0254,
    rtt_stdev_s=0.00101,
    jitter_p95_p50_s=0.0016,
    jitter_rfc3550_s=0.00043,
    owd_forward_p50_s=0.0121,
    owd_back_p50_s=0.0113,
    owd_error_s=0.0005,
    timestamp="kernel",
)
LATENCY = LatencyFindings(ROW, (0.0231, 0.0233, None, 0.0235, 0.0254), (STAMP,))
GOODPUT = ThroughputRow(
    src=THERE,
    dst=HERE,
    method="iperf3",
    goodput_bps=94.1e6,
    goodput_low_bps=93.5e6,
    goodput_high_bps=94.7e6,
    bytes=4_705_000,
    duration_s=0.4,
    streams=1,
    retransmits=3,
    rtt_loaded_s=0.031,
    congestion="cubic",
    stopped_by="time",
)
SENT_BACK = GOODPUT.model_copy(
    update={"src": HERE, "dst": THERE, "method": UDP, "congestion": None, "retransmits": None, "rtt_loaded_s": None}
)
DATAGRAMS = ThroughputFindings(
    SENT_BACK,
    (9e6, 10e6),
    0.1,
    reverse=False,
    port=5201,
    wanted=True,
    udp_rate_bps=1e7,
    datagrams=Datagrams(400, 3, 7e-5),
)
THROUGHPUT = ThroughputFindings(GOODPUT, (50e6, 94e6, 95e6, 94e6), 0.1, reverse=True, port=5201, wanted=True)


def lost(method: str, forward: int | None, back: int | None) -> LatencyRow:
    return ROW.model_copy(update={"method": method, "lost_forward": forward, "lost_back": back})


def test_the_summary_of_both_halves() -> None:
    assert summary.text(Findings(TARGET, AT, LATENCY, THROUGHPUT)).splitlines() == [
        "Latency to gw.example.org (192.0.2.7)",
        "  method   STAMP at UDP port 8620: a reflector answers there",
        "  RTT      min 23.1 ms   p50 23.4 ms   p95 25.0 ms   p99 25.3 ms   max 25.4 ms",
        "           mean 23.6 ms, standard deviation 1.01 ms, kernel timestamps",
        "  jitter   1.60 ms (p95 − p50), 430 µs (RFC 3550)",
        "  loss     1 of 5 (20 %): 0 forward, 1 back",
        "           1 late (by up to 250 ms), 2 reordered, 0 duplicated",
        "  one way  forward 12.1 ms, back 11.3 ms (p50; clocks within 500 µs)",
        "",
        "  23.0 – 23.5 ms │██████████████████████████████████████████████████████████ 2",
        "  23.5 – 24.0 ms │█████████████████████████████ 1",
        "  24.0 – 24.5 ms │",
        "  24.5 – 25.0 ms │",
        "  25.0 – 25.5 ms │█████████████████████████████ 1",
        "",
        "Goodput from gw.example.org (192.0.2.7) to here",
        "  method   iperf3 at TCP port 5201",
        "  goodput  94.1 Mbit/s (between 93.5 Mbit/s and 94.7 Mbit/s, 95 %)",
        "  moved    4.71 MB in 400 ms, 1 stream, cubic",
        "  resent   3 segments",
        "  RTT      31.0 ms under this load",
        "",
        "  100 Mbit/s ┤  ▆▆▆▆▆▆",
        "             ┤  ██████",
        "        50.0 ┤████████",
        "             ┤████████",
        "           0 └────────",
        "              0  0.4 s",
    ]


def test_a_udp_test_the_other_way_tells_rate_loss_and_jitter() -> None:
    text = summary.text(Findings(TARGET, AT, None, THROUGHPUT, DATAGRAMS))
    assert text.startswith("Goodput from gw.example.org (192.0.2.7) to here\n")
    assert text.partition("\n\nGoodput from here")[2].splitlines()[:6] == [
        " to gw.example.org (192.0.2.7)",
        "  method   iperf3 sends 10.0 Mbit/s of UDP, at port 5201",
        "  goodput  94.1 Mbit/s (between 93.5 Mbit/s and 94.7 Mbit/s, 95 %)",
        "  moved    4.71 MB in 400 ms, 1 stream",
        "  loss     3 of 400 (0.75 %)",
        "  jitter   70.0 µs (RFC 3550)",
    ]


def test_a_direction_is_told_only_where_it_is_known() -> None:
    assert summary.loss(lost("stamp", 0, 1)) == "1 of 5 (20 %): 0 forward, 1 back"
    assert summary.loss(lost("icmp", None, None)) == "1 of 5 (20 %); the direction is not known"
    assert summary.loss(ROW.model_copy(update={"received": 5})) == "0 of 5"


def test_no_reply_says_what_was_tried() -> None:
    nothing = LatencyFindings(
        LatencyRow(src=HERE, dst=THERE, method="tcp", failure="no_reply"), (), (NO_STAMP, NO_ICMP)
    )
    found = Findings(TARGET, AT, nothing)
    assert summary.text(found).splitlines() == [
        "Latency to gw.example.org (192.0.2.7): no reply at all",
        "  tried    STAMP: no reflector answers at UDP port 8620",
        "           ICMP echo: no echo reply comes",
    ]
    assert found.failed


def test_a_reply_that_is_no_result_is_not_called_silence() -> None:
    short = Attempt("stamp", StampProber.wording, 8620, answered=False, instead="replies of 20 octets, too short")
    nothing = LatencyFindings(LatencyRow(src=HERE, dst=THERE, method="stamp", failure="short_reply"), (), (short,))
    assert summary.text(Findings(TARGET, AT, nothing)).splitlines() == [
        "Latency to gw.example.org (192.0.2.7): no reply that is a result",
        "  tried    STAMP: replies of 20 octets, too short, at port 8620",
    ]


def test_a_failure_with_figures_is_no_silence_either() -> None:
    row = LatencyRow(src=HERE, dst=THERE, method="http", failure="server_error", figures={"status": 503.0})
    text = summary.text(Findings(TARGET, AT, LatencyFindings(row, (), (NO_STAMP,))))
    assert text.splitlines()[0] == "Latency to gw.example.org (192.0.2.7): failed"


def test_the_method_line_says_why() -> None:
    tcp = Attempt("tcp", TcpProber.wording, 443, answered=True)
    refused = Attempt("stamp", StampProber.wording, 8620, answered=False, reason="refused")
    assert choice(ICMP, ()) == "ICMP echo: the host answers"
    assert choice(ICMP, [refused]) == "ICMP echo, as no reflector answers at UDP port 8620 (refused)"
    assert choice(tcp, [NO_STAMP, NO_ICMP]) == (
        "TCP connect time at port 443, as no reflector answers at UDP port 8620 and no echo reply comes"
    )
    assert choice(Attempt("tcp", TcpProber.wording, 22, answered=False), ()) == "TCP connect time at port 22"


def test_a_port_is_that_of_the_method_used() -> None:
    def ports(port: int | None, tcp_port: int | None = None) -> list[int]:
        host = site("gw.example.org", port, tcp_port)
        return [prober.destination(host, NoOptions())[1] for prober in (StampProber(), IcmpProber(), TcpProber())]

    assert ports(None) == [8620, 0, 443]
    assert ports(7000) == [7000, 0, 7000]
    assert ports(7000, 22) == [7000, 0, 22]


def test_a_missing_server_fails_only_when_throughput_was_asked_for() -> None:
    row = ThroughputRow(src=HERE, dst=THERE, method="iperf3", failure="refused", detail="no iperf3 server at h:5201")
    for wanted in (True, False):
        found = Findings(TARGET, AT, LATENCY, ThroughputFindings(row, (), 0.1, reverse=False, port=5201, wanted=wanted))
        assert found.failed == wanted
        assert summary.text(found).endswith(
            "Goodput from here to gw.example.org (192.0.2.7): not measured\n  reason   no iperf3 server at h:5201"
        )


def test_what_a_row_does_not_know_is_left_out() -> None:
    bare = ThroughputRow(src=HERE, dst=THERE, method="iperf3", goodput_bps=5e6, bytes=10, duration_s=1, streams=2)
    test = ThroughputFindings(bare, (5e6,), 0.1, reverse=False, port=5201, wanted=True)
    assert summary.text(Findings(MeasuredHost("h", "h"), AT, None, test)).splitlines()[:4] == [
        "Goodput from here to h",
        "  method   iperf3 at TCP port 5201",
        "  goodput  5.00 Mbit/s",
        "  moved    10 B in 1.00 s, 2 streams",
    ]


def test_a_note_and_an_interruption_are_said() -> None:
    noted = ROW.model_copy(update={"detail": "samples set aside: 1 clock_stepped", "owd_forward_p50_s": None})
    text = summary.text(Findings(TARGET, AT, LatencyFindings(noted, (0.02,), (STAMP,)), interrupted=True))
    assert "\n  note     samples set aside: 1 clock_stepped\n" in text
    assert "one way" not in text
    assert text.endswith("\n\nInterrupted: this is what was measured until then.")


def test_the_document_speaks_the_field_names_of_reports() -> None:
    values = json.loads(json.dumps(document(Findings(TARGET, AT, LATENCY, THROUGHPUT))))
    assert values["host"] == "gw.example.org"
    assert values["address"] == "192.0.2.7"
    assert values["at"] == "2026-11-22T12:00:00+00:00"
    assert values["latency"]["rtt_p50_s"] == 0.0234
    assert values["latency"]["rtts_s"] == [0.0231, 0.0233, None, 0.0235, 0.0254]
    assert values["latency"]["attempts"] == [
        {"method": "stamp", "port": 8620, "answered": True, "outcome": "a reflector answers there"}
    ]
    assert values["throughput"]["goodput_bps"] == 94.1e6
    assert values["throughput"]["direction"] == "reverse"
    assert set(LatencyRow.model_fields) - set(values["latency"]) == {"src", "dst", "during_throughput"}


def test_the_document_of_both_ways_has_the_datagrams() -> None:
    values = document(Findings(TARGET, AT, None, THROUGHPUT, DATAGRAMS))
    assert (values["throughput"]["method"], values["throughput"]["datagrams"]) == ("iperf3", None)
    opposite = values["throughput_opposite"]
    assert (opposite["method"], opposite["direction"], opposite["udp_rate_bps"]) == ("iperf3_udp", "forward", 1e7)
    assert opposite["datagrams"] == {"sent": 400, "lost": 3, "jitter_rfc3550_s": 7e-5}


def test_a_document_without_halves_is_a_failure() -> None:
    nothing = Findings(TARGET, AT)
    assert nothing.failed
    assert document(nothing)["latency"] is None


@pytest.mark.parametrize("rtts_s", [(1234.5,) * 4, (9.9999e-5, 0.1, 3.0, 0.02)])
def test_the_summary_fits_80_columns(rtts_s: tuple[float, ...]) -> None:
    wide = ROW.model_copy(
        update={name: 0.000123456 for name in LatencyRow.model_fields if name.startswith(("rtt_", "jitter_", "owd_"))}
    )
    text = summary.text(Findings(TARGET, AT, LatencyFindings(wide, rtts_s, (NO_STAMP, NO_ICMP, ICMP)), THROUGHPUT))
    assert max(len(line) for line in text.splitlines()) <= 80


def test_outages_are_told_with_their_start_and_how_long_they_were() -> None:
    ended = Outage(start=AT, end=AT + timedelta(seconds=2.5), lost=25)
    lasts = Outage(start=AT + timedelta(seconds=5), lost=7)
    row = ROW.model_copy(update={"outages": (ended, lasts)})
    shown = summary.text(Findings(TARGET, AT, LatencyFindings(row, LATENCY.rtts_s, (STAMP,)))).splitlines()
    assert [line for line in shown if "probes in a row" in line] == [
        "  outage   from 12:00:00 UTC, 2.50 s: 25 probes in a row without a reply",
        "  outage   from 12:00:05 UTC, to the end: 7 probes in a row without a reply",
    ]


def test_a_prober_s_own_figures_are_times_or_numbers_by_their_names() -> None:
    row = ROW.model_copy(update={"figures": {"first_byte_s": 0.012, "status": 204.0}})
    assert list(summary._figures(row)) == [("figures", "first byte 12.0 ms, status 204")]
    assert list(summary._figures(ROW)) == []
