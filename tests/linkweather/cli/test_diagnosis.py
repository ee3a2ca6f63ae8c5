"""What ails sites that tests make up, and what they are told to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from linkweather.cli.diagnosis import diagnose
from linkweather.models.incidents import IncidentAnswer
from linkweather.models.ledger import SinkAnswer
from linkweather.models.state import LinkAnswer, SiteAnswer

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def _site(name: str = "gz", state: Any = "online", **fields: Any) -> SiteAnswer:
    return SiteAnswer(site=name, state=state, address="192.0.2.1", report_age_s=3.0, **fields)


def _link(src: str, dst: str, state: Any = "fresh", **fields: Any) -> LinkAnswer:
    return LinkAnswer(src=src, dst=dst, state=state, timestamp="kernel", **fields)


def test_a_site_that_is_well_has_nothing_to_do() -> None:
    well = _site(outbox_reports=3, dropped_reports=0, overflows={}, damaged_files={"mesh.json": 0})
    assert diagnose([well], [_link("gz", "cc"), _link("cc", "gz")]) == []


@pytest.mark.parametrize(
    ("fields", "what", "todo"),
    [
        ({"state": "offline", "reason": "it was stopped"}, "it is offline: it was stopped", "start its probe"),
        ({"clock": "the clock of gz is 90 s behind"}, "90 s behind", "timedatectl"),
        ({"throughput_problem": "iperf3 3.0 cannot …"}, "iperf3 3.0", "install an iperf3"),
        ({"outbox_reports": 5000}, "5000 reports wait", "broker"),
        ({"dropped_reports": 1}, "lost to a full outbox: 1", "outbox_max_bytes"),
        ({"refused_reports": 2}, "refused by the collector", "linkweather ledger"),
        ({"oversized_reports": 2}, "larger than the broker takes", "max_packet_size"),
        ({"damaged_reports": 2}, "damage of its outbox", "disk"),
        ({"damaged_files": {"mesh.json": 1}}, "mesh.json 1", "delete"),
        ({"unpublished": {"not_authorized": 4}}, "not_authorized 4", "ACL"),
        ({"overflows": {"receipts": 9}}, "receipts 9", "too much to do"),
        (
            {"failed_authentication": {"10.0.0.3": 12, "10.0.0.4": 1}},
            "12 probes from 10.0.0.3, 1 probe from 10.0.0.4 failed authentication",
            "key file",
        ),
        ({"dropped_datagrams": 12}, "12 datagrams without an answer", "allow"),
    ],
)
def test_what_a_site_says_of_itself(fields: dict[str, Any], what: str, todo: str) -> None:
    (found,) = diagnose([_site(**fields)], [])
    assert found.subject == "gz"
    assert what in found.what
    assert todo in found.todo


def test_a_site_never_heard() -> None:
    (found,) = diagnose([SiteAnswer(site="gz", address="192.0.2.1")], [])
    assert "never been heard" in found.what


@pytest.mark.parametrize(
    ("kind", "failure", "subject", "todo"),
    [
        ("latency", "wrong_key", "cc", "key file"),
        ("latency", "unresolved", "cc", "DNS"),
        ("latency", "short_reply", "cc", "method"),
        ("latency", "method_missing", "gz", "package"),
        ("path", "permission", "gz", "CAP_NET_RAW"),
        ("throughput", "no_program", "gz", "install iperf3"),
        ("throughput", "refused", "cc", "throughput_ports"),
        ("throughput", "no_reachable_end", "cc", "forward a port"),
    ],
)
def test_a_failure_is_of_the_site_where_it_is_mended(kind: Any, failure: str, subject: str, todo: str) -> None:
    link = _link("gz", "cc", failure=failure, failure_kind=kind, failure_detail="so it says")
    (found,) = diagnose([_site("gz"), _site("cc")], [link])
    assert found.subject == subject
    assert todo in found.todo
    assert found.what.endswith(": so it says")


def test_a_throughput_test_that_failed_is_found_behind_another_failure_and_said_once() -> None:
    hidden = _link("gz", "cc", failure="no_reply", failure_kind="latency", goodput_failure="refused")
    shown = _link("bj", "cc", failure="refused", failure_kind="throughput", goodput_failure="refused")
    (found,) = diagnose([_site("cc")], [hidden, shown])
    assert found.what == "throughput tests are refused, on 2 links (from bj, gz)"


def test_of_many_links_three_are_named() -> None:
    links = [_link(f"s{number}", "cc", failure="wrong_key", failure_kind="latency") for number in range(5)]
    (found,) = diagnose([_site("cc")], links)
    assert "on 5 links (from s0, s1, s2, …)" in found.what


def _silent(src: str, dst: str) -> LinkAnswer:
    return _link(src, dst, "down", failure="no_reply", failure_kind="latency", method="stamp")


def test_a_site_that_reports_and_that_no_probe_reaches_has_a_closed_port() -> None:
    links = [_silent("a", "gz"), _silent("b", "gz"), _link("c", "gz", failure="behind_nat", failure_kind="latency")]
    (found,) = diagnose([_site()], links)
    assert "no probe of its 2 peers is answered" in found.what
    assert "8620, UDP" in found.todo
    assert diagnose([_site()], [*links, _link("d", "gz")]) == []
    assert diagnose([_site()], links[:1]) == []
    (other,) = diagnose([_site()], [one.model_copy(update={"method": "icmp"}) for one in links[:2]])
    assert "what icmp uses" in other.todo


def test_a_kernel_without_time_stamps() -> None:
    (found,) = diagnose([_site(), _site("cc")], [_link("gz", "cc").model_copy(update={"timestamp": "user"})])
    assert (found.subject, "SO_TIMESTAMPING" in found.todo) == ("gz", True)


def test_the_collector_s_own_trouble_and_its_sinks_come_first() -> None:
    fields = {"severity": "critical", "cause": "c", "subjects": (), "since": NOON, "findings": ()}
    trouble = IncidentAnswer(id="1", kind="collector", sentence="the collector runs 7 s late", **fields)  # type: ignore[arg-type]
    over = trouble.model_copy(update={"until": NOON})
    sink = SinkAnswer(sink="influx", state="failing", error="503", lag_rows=7)
    well = SinkAnswer(sink="mqtt", state="running", lag_rows=0)
    found = diagnose([_site(reason="x", state="offline")], [], [over, trouble], [sink, well])
    assert [one.subject for one in found] == ["collector", "sink influx", "gz"]
