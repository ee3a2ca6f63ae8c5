"""Every field has a bound: what no network, clock or ledger shows is refused, and what one may show is not."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from linkweather.errors import MessageError
from linkweather.wire import (
    REPORTS,
    Answer,
    CapacityReport,
    Claim,
    Committed,
    DeviceRow,
    Invite,
    LatencyRow,
    Message,
    PathRow,
    Served,
    Status,
    ThroughputRow,
    decode,
    decode_report,
)
from linkweather.wire.fields import MAX_TEXT, printable

END = {"src": "a", "dst": "b", "failure": "no_reply"}
LATENCY = {**END, "method": "stamp"}
ANSWER = {"id": "x", "accepted": True}
INVITE = {"id": "x", "duration_s": 3.0, "iperf3": "3.17"}
DEVICE = {"type": "昇腾910B", "total": 8}
PEM = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0B\nAQ==\n-----END PUBLIC KEY-----\n"

OUTAGE = {"start": "2026-11-01T12:00:00Z", "end": "2026-11-01T12:00:00Z", "lost": 5}
CONTROLS = [chr(code) for code in (*range(32), *range(127, 160), 0x2028, 0x2029, 0x202E, 0x2067)]
FAR = ["1969-12-31T23:59:59Z", "2232-01-01T00:00:01Z", "9999-12-31T23:59:59Z"]

BAD: list[tuple[type[Message], dict[str, Any], str, Any]] = [
    *[(LatencyRow, LATENCY, name, 3600.1) for name in LatencyRow.model_fields if name.startswith(("rtt_", "jitter_"))],
    *[(LatencyRow, LATENCY, name, -3600.1) for name in ("owd_forward_p50_s", "owd_back_p50_s")],
    *[(LatencyRow, LATENCY, name, 10**12 + 1) for name in ("sent", "late", "duplicated", "lost_forward")],
    (LatencyRow, LATENCY, "rtt_p50_s", 3.4e38),
    (LatencyRow, LATENCY, "window_s", 1e9 + 1),
    (LatencyRow, LATENCY, "figures", {"x": 1e31}),
    (
        LatencyRow,
        LATENCY,
        "outages",
        [OUTAGE] * 1001,
    ),
    (LatencyRow, LATENCY, "outages", [{"start": "1969-12-31T23:59:59Z", "lost": 5}]),
    (ThroughputRow, {**END, "method": "iperf3"}, "goodput_bps", 1.1e14),
    (ThroughputRow, {**END, "method": "iperf3"}, "bytes", 10**18 + 1),
    (ThroughputRow, {**END, "method": "iperf3"}, "rtt_loaded_s", 1e300),
    (PathRow, {**END, "method": "udp"}, "path_mtu_bytes", 2**17 + 1),
    (PathRow, {**END, "method": "udp"}, "hops", [{"ttl": 1, "address": "192.0.2.1\n"}]),
    (PathRow, {**END, "method": "udp"}, "hops", [{"ttl": 1, "also": ["192.0.2.1"] * 65}]),
    (DeviceRow, DEVICE, "usd_per_device_hour", 1.1e15),
    (DeviceRow, DEVICE, "queue_s", 1e10),
    (DeviceRow, DEVICE, "queued_device_hours", 1e13),
    (DeviceRow, DEVICE, "type", "a\u202eb"),
    (Answer, ANSWER, "secret", "a\u0000b"),
    (Answer, ANSWER, "secret", "é"),
    (Answer, ANSWER, "public_key_pem", PEM.replace("MII", "é")),
    (Answer, ANSWER, "public_key_pem", "--logfile=/etc/passwd"),
    (Answer, ANSWER, "iperf3", "3.17\u0000"),
    (Answer, ANSWER, "retry_after_s", 1e300),
    (Answer, ANSWER, "until", "9999-12-31T23:59:59Z"),
    (Invite, INVITE, "id", "a\nb"),
    (Invite, INVITE, "duration_s", 1e300),
    (Invite, INVITE, "max_bytes", 2**63),
    (Claim, {"id": "x", "for_s": 1.0}, "groups", ["uplink"] * 65),
    (Served, {}, "congestion", "cubic\u001b[2J"),
    (Status, {"state": "online"}, "version", "0.1\u0085"),
    (Status, {"state": "online"}, "at", "0001-01-01T00:00:00+14:00"),
    (Status, {"state": "online"}, "capabilities", ["latency"] * 65),
    (Status, {"state": "online"}, "throughput_tests", {f"reason-{n}": 1 for n in range(65)}),
    (Status, {"state": "online"}, "dropped_reports", 2**63 - 1),
    (Committed, {"boot": "x"}, "seqs", [2**53 + 1]),
    (Committed, {"boot": "x"}, "seqs", [1] * 10_001),
    (Committed, {"boot": "x"}, "boot", "é"),
]


@pytest.mark.parametrize(("model", "message", "field", "value"), BAD)
def test_a_value_beyond_its_bound_is_refused(
    model: type[Message], message: dict[str, Any], field: str, value: Any
) -> None:
    decode(model, json.dumps({"boot": "x", **message}))
    with pytest.raises(MessageError) as refused:
        decode(model, json.dumps({**message, field: value}))
    assert refused.value.reason == "impossible"


@pytest.mark.parametrize("character", CONTROLS)
def test_no_control_character_comes_in(character: str) -> None:
    with pytest.raises(MessageError):
        decode(LatencyRow, json.dumps({**LATENCY, "detail": f"no{character}reply"}))
    assert printable(f"no{character}reply") == "no reply"


def test_what_people_write_comes_in() -> None:
    assert decode(LatencyRow, json.dumps({**LATENCY, "detail": "Zürich → 東京: keine Antwort"})).detail
    assert decode(DeviceRow, json.dumps(DEVICE)).type == "昇腾910B"
    assert decode(Answer, json.dumps({**ANSWER, "secret": "Ab_-9", "public_key_pem": PEM})).public_key_pem == PEM


def test_what_a_program_printed_is_cut_to_what_a_message_takes() -> None:
    assert printable("iperf3: error\n\udcff" + 2 * MAX_TEXT * "x") == "iperf3: error  " + (MAX_TEXT - 15) * "x"


@pytest.mark.parametrize("at", FAR)
def test_a_time_that_no_clock_can_show_is_refused(at: str) -> None:
    report = {"boot": "x", "seq": 1, "at": at, "kind": "capacity", "devices": [DEVICE]}
    with pytest.raises(MessageError) as refused:
        decode_report("a", "capacity", json.dumps(report).encode())
    assert refused.value.detail.startswith("at: ")


def test_a_report_holds_so_many_rows_at_most() -> None:
    rows = [{"type": f"device-{number}", "total": 1} for number in range(10_001)]
    report: dict[str, Any] = {"boot": "x", "seq": 1, "at": "2026-11-01T12:00:00Z", "kind": "capacity", "devices": rows}
    with pytest.raises(MessageError):
        decode(CapacityReport, json.dumps(report))
    decode(CapacityReport, json.dumps({**report, "devices": rows[:-1]}))


def test_more_faults_than_a_report_has_rows_are_not_listed() -> None:
    report = {"boot": "x", "seq": 1, "at": "2026-11-01T12:00:00Z", "kind": "latency", "links": [7] * 10_001}
    with pytest.raises(MessageError) as refused:
        decode_report("a", "latency", json.dumps(report).encode())
    assert refused.value.detail == "10001 values cannot be"


def _unbounded(model: type[BaseModel], seen: set[str]) -> list[str]:
    """The fields of a message and of what is nested in it whose JSON schema has no bound."""
    schema = model.model_json_schema()
    found = []
    for name, properties in [(model.__name__, schema["properties"])] + [
        (name, part["properties"]) for name, part in schema.get("$defs", {}).items()
    ]:
        if name in seen:
            continue
        seen.add(name)
        found += [f"{name}.{field}" for field, one in properties.items() if not _is_bounded(one)]
    return found


_BOUNDS = {"string": {"maxLength", "pattern"}, "number": {"maximum"}, "integer": {"maximum", "exclusiveMaximum"}}
_BOUNDS |= {"array": {"maxItems"}, "object": {"maxProperties"}}


def _is_bounded(schema: dict[str, Any]) -> bool:
    options = schema.get("anyOf", [schema])
    return all(
        one.keys() & {"const", "enum", "$ref"}
        or one.get("type") in {"boolean", "null"}
        or one.get("format") == "date-time"  # a schema cannot say so; above, each is tried
        or one.keys() & _BOUNDS[one["type"]]
        for one in options
    )


def test_no_field_of_any_message_is_without_a_bound() -> None:
    seen: set[str] = set()
    models = [*REPORTS.values(), Invite, Answer, Claim, Committed, Status]
    assert [field for model in models for field in _unbounded(model, seen) if not field.endswith(".kind")] == []
    assert "Hop" in seen
    assert get_args(REPORTS["path"].model_fields["kind"].annotation) == ("path",)


def test_what_is_left_without_the_bad_rows_must_be_a_report_by_itself() -> None:
    twice = {"type": "a100", "total": 8}
    devices = [{"type": "h100", "total": -1}, twice, twice]
    report = {"v": 1, "boot": "b", "seq": 1, "at": "2026-01-31T12:00:00Z", "kind": "capacity", "devices": devices}
    with pytest.raises(MessageError) as caught:
        decode_report("a", "capacity", json.dumps(report).encode())
    assert caught.value.reason == "impossible"
    assert "twice" in caught.value.detail
