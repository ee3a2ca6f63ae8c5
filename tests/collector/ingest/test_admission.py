from __future__ import annotations

import json
from datetime import timedelta

import pytest

from collector.ingest import admission
from collector.ingest.admission import (
    MAX_PAYLOAD_BYTES,
    SHOWN_ROWS,
    IncomingMessage,
    LinkNames,
    RefusedMessage,
    ReportHead,
    admit,
    conflict,
    fitting,
    head,
    receipts,
    rejected_rows,
)
from collector.store.columns import Entry
from linkweather.containment import faults
from linkweather.mesh import Mesh
from linkweather.wire import Committed, ReportRefusal, Row, encode, topics
from tests.collector.report_samples import NOON, latency, throughput

REPORT = latency(7)
ROW = '{"src":"a","dst":"b","method":"stamp","sent":50,"received":50,"rtt_p50_s":%s}'
TEXT = '{"v":1,"boot":"boot-1","seq":7,"at":"2026-11-01T12:00:07Z","kind":"latency","links":[%s]}'


def message(payload: bytes | str, *, site: str = "a", kind: str = "latency") -> IncomingMessage:
    raw = payload.encode() if isinstance(payload, str) else payload
    return IncomingMessage(topics.report(site, kind), raw, NOON)


def refusal(found: Entry | RefusedMessage) -> RefusedMessage:
    assert isinstance(found, RefusedMessage)
    return found


def test_a_good_report_is_an_entry_of_its_topics_site() -> None:
    assert admit(message(encode(REPORT)), {"a"}) == Entry("a", REPORT, NOON)


def test_while_no_mesh_is_known_every_site_may_report() -> None:
    assert isinstance(admit(message(encode(REPORT)), None), Entry)


@pytest.mark.parametrize(
    ("reason", "payload"),
    [
        ("malformed", b"\xff\x00 not JSON"),
        ("malformed", "[" * 100_000),
        ("impossible", TEXT % (ROW % "-0.001")),
        ("impossible", TEXT % (ROW % "NaN")),
        ("impossible", TEXT % (ROW % "Infinity")),
        ("impossible", TEXT % (ROW % '"0.1"')),
        ("impossible", TEXT % (ROW % "1e999")),
        ("impossible", TEXT % (ROW % "0.1").replace('"received":50', '"received":51')),
        ("impossible", TEXT % (ROW % "0.1").replace('"dst":"b"', '"dst":"a"')),
        ("foreign", TEXT % (ROW % "0.1").replace('"src":"a"', '"src":"c"')),
        ("impossible", (TEXT % (ROW % "0.1")).replace("2026", "1969")),
        ("oversized", b" " * (MAX_PAYLOAD_BYTES + 1)),
    ],
)
def test_what_cannot_be_is_refused_by_reason(reason: str, payload: bytes | str) -> None:
    assert refusal(admit(message(payload), {"a"})).reason == reason


@pytest.mark.parametrize("at", ["2026-11-01T14:00:07Z", "2231-12-31T23:59:59Z", "1970-01-01T00:00:07Z"])
def test_no_report_is_refused_for_its_time(at: str) -> None:
    """Two hours ahead by our clock, as far as a clock can be set, and a machine that has no clock of its own."""
    payload = (TEXT % (ROW % "0.1")).replace("2026-11-01T12:00:07Z", at)
    assert isinstance(admit(message(payload), {"a"}), Entry)


def test_an_unknown_kind_is_refused() -> None:
    assert refusal(admit(message(encode(REPORT), kind="weather"), {"a"})).reason == "unknown_kind"


def test_a_site_outside_the_mesh_is_refused_but_a_peer_outside_is_not() -> None:
    assert refusal(admit(message(encode(REPORT)), {"b", "c"})).reason == "unknown_site"
    assert isinstance(admit(message(encode(REPORT)), {"a"}), Entry)


def test_throughput_is_the_destinations_to_report() -> None:
    payload = encode(throughput(1, src="a", dst="b"))
    assert refusal(admit(message(payload, kind="throughput"), {"a"})).reason == "foreign"
    assert isinstance(admit(message(payload, kind="throughput", site="b"), {"b"}), Entry)


@pytest.mark.parametrize("topic", ["elsewhere", topics.status("a"), "linkweather/v1/site/A/report/latency"])
def test_another_topic_is_refused_without_a_site(topic: str) -> None:
    assert admit(IncomingMessage(topic, b"", NOON), None) == RefusedMessage(
        IncomingMessage(topic, b"", NOON), "unknown_topic", "", None, None
    )


def test_a_refused_reports_key_is_read_where_it_can_be() -> None:
    assert refusal(admit(message(TEXT % (ROW % "-1")), None)).key == ("boot-1", 7)
    assert refusal(admit(message('{"boot":"x"}'), None)).key is None


def test_a_site_gets_one_receipt_per_outbox_and_each_number_once() -> None:
    other = latency(9).model_copy(update={"boot": "boot-2"})
    never = refusal(admit(message(TEXT % (ROW % "-1")), None))
    keyless = refusal(admit(message("{}"), None))
    reports = [("a", latency(1)), ("a", latency(2)), ("a", latency(1)), ("a", other), ("b", latency(3))]
    assert receipts("j1", [(site, report.boot, report.seq) for site, report in reports], [never, keyless]) == [
        (
            "a",
            Committed(journal="j1", boot="boot-1", seqs=(1, 2), refused=(ReportRefusal(seq=7, reason="impossible"),)),
        ),
        ("a", Committed(journal="j1", boot="boot-2", seqs=(9,))),
        ("b", Committed(journal="j1", boot="boot-1", seqs=(3,))),
    ]


def test_a_site_with_nothing_but_refusals_gets_a_receipt_too() -> None:
    never = refusal(admit(IncomingMessage(topics.report("a", "latency"), (TEXT % (ROW % "-1")).encode(), NOON), None))
    assert receipts("j1", [], [never]) == [
        ("a", Committed(journal="j1", boot="boot-1", refused=(ReportRefusal(seq=7, reason="impossible"),)))
    ]


HEAD = ReportHead(("a", "boot-1", 7), "latency", NOON + timedelta(seconds=7))


@pytest.mark.parametrize(
    "payload",
    [
        encode(REPORT),
        TEXT % "",
        (TEXT % "").replace('"v":1,', ""),  # another program's order of fields
        (TEXT % "").replace("12:00:07Z", "13:00:07+01:00"),
    ],
)
def test_a_report_s_head_is_read_without_its_body(payload: bytes | str) -> None:
    assert head(message(payload), {"a"}) == HEAD
    assert head(message(payload), None) == HEAD


@pytest.mark.parametrize(
    "found",
    [
        IncomingMessage(topics.status("a"), encode(REPORT), NOON),
        IncomingMessage("elsewhere", encode(REPORT), NOON),
        message(encode(REPORT), site="b"),
        message(b" " * (MAX_PAYLOAD_BYTES + 1)),
        message("no JSON"),
        message((TEXT % "").replace("12:00:07Z", "12:00:07 ")),
        message((TEXT % "").replace("2026-11-01T12:00:07Z", "2026-13-01T12:00:07Z")),
        message((TEXT % "").replace("2026-11-01T12:00:07Z", "2026-11-01T12:00:07.000")),  # whose noon?
    ],
)
def test_what_would_be_refused_has_no_head(found: IncomingMessage) -> None:
    assert head(found, {"a"}) is None


def test_a_receipt_fits_the_broker_s_packets_and_says_the_same() -> None:
    refused = tuple(ReportRefusal(seq=seq, reason="impossible") for seq in range(1000, 1021))
    whole = Committed(journal="j1", boot="boot-1", seqs=tuple(range(100)), refused=refused)
    assert fitting(whole, None) == [whole]
    assert fitting(whole, len(encode(whole))) == [whole]
    parts = fitting(whole, 200)
    assert max(len(encode(part)) for part in parts) <= 200
    assert tuple(seq for part in parts for seq in part.seqs) == whole.seqs
    assert tuple(one for part in parts for one in part.refused) == refused
    assert {(part.journal, part.boot) for part in parts} == {("j1", "boot-1")}
    assert len(fitting(whole, 1)) == 121  # nothing is smaller than one number


def test_a_conflict_names_what_is_recorded_and_what_came() -> None:
    found = conflict(message(encode(REPORT)), HEAD, {("path", NOON)})
    assert (found.reason, found.site, found.key) == ("conflict", "a", ("boot-1", 7))
    assert found.detail == (
        "recorded under its number: path of 2026-11-01T12:00:00+00:00; this: latency of 2026-11-01T12:00:07+00:00"
    )


def test_a_fault_of_ours_costs_the_message_that_it_arose_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise ZeroDivisionError

    before = faults().get("admission", 0)
    monkeypatch.setattr(admission, "decode_report", failing)
    found = refusal(admit(message(encode(REPORT)), {"a"}))
    assert (found.reason, found.detail, found.key) == ("fault", "ZeroDivisionError", ("boot-1", 7))
    assert faults()["admission"] == before + 1


def strange_report(*links: tuple[str, str]) -> bytes:
    rows = ",".join(ROW.replace('"b"', f'"{dst}"').replace('"stamp"', f'"{method}"') % "0.02" for dst, method in links)
    return (TEXT % rows).encode()


NAMES = LinkNames(frozenset({"a", "b"}), frozenset({"stamp"}))


def test_rows_about_what_the_mesh_does_not_have_are_refused_and_the_others_are_not() -> None:
    payload = strange_report(("b", "stamp"), ("zz", "stamp"), ("b", "magic"))
    found = admit(message(payload), {"a"}, NAMES)
    assert isinstance(found, Entry)
    assert [row.dst for row in found.report.rows if isinstance(row, Row)] == ["b"]
    assert [(row.reason, row.detail) for row in found.refused] == [
        ("unknown_link", "the mesh has no site zz"),
        ("unknown_link", "nothing measures by magic"),
    ]
    assert [row["dst"] for row in map(json.loads, (row.payload for row in found.refused))] == ["zz", "b"]
    assert [one.reason for one in rejected_rows([found])] == ["unknown_link", "unknown_link"]


def test_a_report_of_invented_links_alone_is_refused_whole() -> None:
    never = refusal(admit(message(strange_report(("zz", "stamp"))), {"a"}, NAMES))
    assert (never.reason, never.detail, never.key) == ("unknown_link", "the mesh has no site zz", ("boot-1", 7))


def test_of_many_strange_rows_the_first_are_kept_to_look_at() -> None:
    payload = strange_report(("b", "stamp"), *[(f"z{number}", "stamp") for number in range(SHOWN_ROWS + 5)])
    found = admit(message(payload), {"a"}, NAMES)
    assert isinstance(found, Entry)
    assert [bool(row.payload) for row in found.refused] == [True] * SHOWN_ROWS + [False] * 5


def test_a_site_that_has_left_the_mesh_and_a_method_that_is_installed_may_be_named() -> None:
    both = Mesh.model_validate(
        {"name": "m", "sites": {"a": {"address": "h1"}, "b": {"address": "h2", "method": "own"}}}
    )
    one = Mesh.model_validate({"name": "m", "sites": {"a": {"address": "h1"}}})
    names = LinkNames().with_mesh(both, ["iperf3"]).with_mesh(one, ["iperf3"])
    assert names == LinkNames(frozenset("ab"), frozenset({"stamp", "own", "iperf3"}))
    assert (names.strange(("b", "a", "own")), names.strange(("c", "a", "own"))) == ("", "the mesh has no site c")
