from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from linkweather.errors import MessageError
from linkweather.wire import (
    Answer,
    BootCount,
    Committed,
    DeviceRow,
    Hop,
    LatencyReport,
    LatencyRow,
    LinkReport,
    LinkWeights,
    NextTest,
    PathReport,
    PathRow,
    ReportRefusal,
    Row,
    Status,
    ThroughputReport,
    ThroughputRow,
    decode,
    decode_report,
    encode,
)

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
ROW: dict[str, Any] = {"src": "a", "dst": "b", "method": "stamp", "sent": 50, "received": 49, "rtt_p50_s": 0.01}


def payload(*rows: dict[str, Any], **fields: Any) -> bytes:
    report = {"v": 1, "boot": "x", "seq": 1, "at": "2026-11-01T12:00:00Z", "kind": "latency", "links": rows}
    return json.dumps({**report, **fields}).encode()


def rows(kind: str, text: bytes) -> Sequence[Row]:
    report = decode_report("a", kind, text).report
    assert isinstance(report, LinkReport)
    return report.rows


def refused(text: bytes, kind: str = "latency") -> MessageError:
    with pytest.raises(MessageError) as error:
        decode_report("a", kind, text)
    return error.value


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("latency", {"src": "a", "dst": "b", "method": "stamp"}),
        ("latency", {"src": "a", "dst": "b", "method": "stamp", "sent": 0, "received": 0, "window_s": 5.0}),
        ("throughput", {"src": "b", "dst": "a", "method": "iperf3", "duration_s": 3.0}),
        ("path", {"src": "a", "dst": "b", "method": "udp"}),
    ],
)
def test_a_row_with_neither_a_result_nor_a_failure_is_impossible(kind: str, row: dict[str, Any]) -> None:
    error = refused(payload(row, kind=kind), kind)
    assert (error.reason, error.detail) == ("impossible", "links.0: Value error, neither a result nor a failure")
    explained = payload(row | {"failure": "unresolved"}, kind=kind)
    assert rows(kind, explained)[0].failure == "unresolved"


def test_a_prober_that_counts_no_probes_may_report_an_rtt_alone() -> None:
    (row,) = rows("latency", payload({"src": "a", "dst": "b", "method": "ping", "rtt_p50_s": 0.01}))
    assert row.failure is None


def test_a_latency_report_in_its_frozen_form() -> None:
    row = LatencyRow(src="a", dst="b", method="stamp", sent=50, received=49, lost_back=1, rtt_p50_s=0.0123)
    report = LatencyReport(boot="x", seq=17, at=NOON, links=(row,))
    assert encode(report) == (
        b'{"v":1,"boot":"x","seq":17,"at":"2026-11-01T12:00:00Z","kind":"latency","links":[{"src":"a","dst":"b",'
        b'"method":"stamp","sent":50,"received":49,"lost_back":1,"rtt_p50_s":0.0123,"during_throughput":false}]}'
    )


def test_a_throughput_report_in_its_frozen_form() -> None:
    row = ThroughputRow(src="a", dst="b", method="iperf3", failure="refused", detail="no server")
    assert encode(ThroughputReport(boot="x", seq=1, at=NOON, links=(row,))) == (
        b'{"v":1,"boot":"x","seq":1,"at":"2026-11-01T12:00:00Z","kind":"throughput","links":[{"src":"a","dst":"b",'
        b'"method":"iperf3","failure":"refused","detail":"no server"}]}'
    )


def test_a_path_report_in_its_frozen_form() -> None:
    row = PathRow(src="a", dst="b", method="udp", hops=(Hop(ttl=1, address="192.0.2.1"), Hop(ttl=2)), fingerprint="f")
    assert encode(PathReport(boot="x", seq=1, at=NOON, links=(row,))) == (
        b'{"v":1,"boot":"x","seq":1,"at":"2026-11-01T12:00:00Z","kind":"path","links":[{"src":"a","dst":"b",'
        b'"method":"udp","hops":[{"ttl":1,"address":"192.0.2.1"},{"ttl":2}],"fingerprint":"f","changed":false}]}'
    )


def test_committed_in_its_frozen_form() -> None:
    message = Committed(boot="x", seqs=(1, 2), refused=(ReportRefusal(seq=3, reason="impossible"),))
    assert encode(message) == b'{"v":1,"boot":"x","seqs":[1,2],"refused":[{"seq":3,"reason":"impossible"}]}'


@pytest.mark.parametrize(
    "message",
    [
        LatencyReport(boot="x", seq=0, at=NOON, links=()),
        Committed(boot="x"),
        Status(state="online", at=NOON, version="1", capabilities=("stamp",), outbox_reports=3),
        Answer(id="1", accepted=False, reason="busy", retry_after_s=5.0),
    ],
)
def test_what_is_encoded_is_decoded(message: Any) -> None:
    assert decode(type(message), encode(message)) == message


def test_fields_that_a_reader_does_not_know_are_ignored() -> None:
    report = decode_report("a", "latency", payload({**ROW, "colour": "blue"}, weather="fine")).report
    assert report.rows == (LatencyRow(**ROW),)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"rtt_p50_s": -0.001}, "links.0.rtt_p50_s: "),
        ({"rtt_p50_s": float("nan")}, "links.0.rtt_p50_s: "),
        ({"rtt_p50_s": float("inf")}, "links.0.rtt_p50_s: "),
        ({"rtt_p50_s": "0.01"}, "links.0.rtt_p50_s: "),
        ({"owd_forward_p50_s": float("nan")}, "links.0.owd_forward_p50_s: "),
        ({"sent": -1}, "links.0.sent: "),
        ({"sent": 2**63}, "links.0.sent: "),
        ({"sent": 50.5}, "links.0.sent: "),
        ({"received": 51}, "links.0: Value error, received <= sent does not hold: 51 > 50"),
        ({"src": "A"}, "links.0.src: "),
        ({"dst": "a" * 33}, "links.0.dst: "),
        ({"method": ""}, "links.0.method: "),
        ({"detail": "x" * 1001}, "links.0.detail: "),
        ({"timestamp": "guess"}, "links.0.timestamp: "),
        ({"dst": "a"}, "a → a is no link"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_place(change: dict[str, Any], where: str) -> None:
    error = refused(payload({**ROW, **change}))
    assert error.reason == "impossible"
    assert error.detail.startswith(where)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"v": 2}, "v: "),
        ({"seq": -1}, "seq: "),
        ({"boot": ""}, "boot: "),
        ({"at": "2026-11-01T12:00:00"}, "at: "),
        ({"at": "yesterday"}, "at: "),
        ({"kind": "throughput"}, "kind: "),
        ({"links": {}}, "links: "),
    ],
)
def test_a_report_around_good_rows_must_be_possible_too(change: dict[str, Any], where: str) -> None:
    error = refused(payload(ROW, **change))
    assert error.reason == "impossible"
    assert error.detail.startswith(where)


def test_a_negative_one_way_delay_is_a_measurement() -> None:
    report = decode_report("a", "latency", payload({**ROW, "owd_forward_p50_s": -0.001})).report
    assert isinstance(report.rows[0], LatencyRow)
    assert report.rows[0].owd_forward_p50_s == -0.001


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"{", b'{"v":1,}', b"[" * 10_000])
def test_what_is_no_json_is_malformed(text: bytes) -> None:
    assert refused(text).reason == "malformed"


@pytest.mark.parametrize("text", [b"null", b"[]", b"17", b'"report"'])
def test_json_that_is_no_report_is_impossible(text: bytes) -> None:
    error = refused(text)
    assert error.reason == "impossible"
    assert error.detail


def test_an_unknown_kind_is_named_and_cut() -> None:
    error = refused(payload(ROW), "w" * 100)
    assert (error.reason, error.detail) == ("unknown_kind", "w" * 64)


def test_a_site_may_not_speak_about_another_sites_link() -> None:
    error = refused(payload(ROW, {**ROW, "src": "c"}))
    assert (error.reason, error.detail) == ("foreign", "a may not report links of c")


def test_throughput_belongs_to_the_receiving_end() -> None:
    row = {"src": "b", "dst": "a", "method": "iperf3", "goodput_bps": 1.0}
    assert rows("throughput", payload(row, kind="throughput"))[0].dst == "a"
    assert refused(payload({**row, "src": "a", "dst": "b"}, kind="throughput"), "throughput").reason == "foreign"


def capacity(*devices: dict[str, Any]) -> bytes:
    values = {"boot": "x", "seq": 1, "at": "2026-11-01T12:00:00Z", "kind": "capacity", "devices": devices}
    return json.dumps(values).encode()


def test_a_capacity_report_speaks_for_the_site_of_its_topic_and_of_no_link() -> None:
    report = decode_report("a", "capacity", capacity({"type": "a100", "total": 8, "free": 2, "later": 1})).report
    assert report.rows == (DeviceRow(type="a100", total=8, free=2),)
    assert not isinstance(report, LinkReport)


@pytest.mark.parametrize(
    ("devices", "detail"),
    [
        ([], "devices: Tuple should have at least 1 item after validation, not 0"),
        ([{"type": "a100", "total": 8, "free": 9}], "devices.0: Value error, free <= total does not hold: 9 > 8"),
        ([{"type": "a100", "total": -1}], "devices.0.total: Input should be greater than or equal to 0"),
        (
            [{"type": "a100", "total": 1, "queue_s": -1}],
            "devices.0.queue_s: Input should be greater than or equal to 0",
        ),
        ([{"type": "a", "total": 1}, {"type": "a", "total": 2}], "Value error, a type occurs twice"),
    ],
)
def test_a_capacity_that_cannot_be_is_refused(devices: list[dict[str, Any]], detail: str) -> None:
    with pytest.raises(MessageError) as refused:
        decode_report("a", "capacity", capacity(*devices))
    assert (refused.value.reason, refused.value.detail) == ("impossible", detail)


def test_a_status_leaves_out_next_tests_until_it_fits_and_nothing_else() -> None:
    at = datetime(2026, 11, 1, 12, tzinfo=UTC)
    tests = tuple(NextTest(src=f"s{number:03}", at=at, reason="first") for number in range(200))
    status = Status(state="online", at=at, next_tests=tests)
    assert status.fitting(None) == status
    assert status.fitting(len(encode(status))) == status
    small = status.fitting(3000)
    assert small.next_tests == tests[:25]  # of some 60 bytes each; the soonest are kept
    assert len(encode(small)) <= 3000
    assert status.fitting(10) == Status(state="online", at=at)


def test_weights_name_as_many_rounds_as_links() -> None:
    text = '{"v":1,"site":"a","at":"2026-11-27T12:00:00Z","src":["b","c"],"rounds":[0.5,6]}'
    assert decode(LinkWeights, text.encode()).rounds == (0.5, 6.0)
    with pytest.raises(MessageError, match="1 values for 2 sources"):
        decode(LinkWeights, text.replace(",6", "").encode())


def test_a_status_without_room_for_all_boots_keeps_the_newest() -> None:
    boots = tuple(BootCount(boot=f"boot-{number:02}", next=number) for number in range(64))
    status = Status(state="online", boots=boots)
    assert status.fitting(4000).boots == boots[32:]
    assert status.fitting(10).boots == ()
