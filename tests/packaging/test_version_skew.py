"""A newer side beside an older one: what a message has more is passed over, and what it lacks has a default.

Each of these is read by the other side of the wire; docs/upgrading.md says which side is upgraded first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from linkweather import settings
from linkweather.mesh import Mesh
from linkweather.mesh.site_mesh import SiteMesh, SiteMeshes
from linkweather.wire import Committed, Message, Status, decode, decode_report, encode
from linkweather.wire.capacity import DeviceRow
from linkweather.wire.mesh_parts import MeshHead, PublishedMesh
from linkweather.wire.reports import BootCount, Presence, ReportRefusal
from linkweather.wire.throughput import Answer, Claim, Invite
from tests.collector.report_samples import NOON, capacity, latency, path, throughput

MESH = settings.parse((Path(__file__).parents[2] / "config" / "mesh-hubs.toml").read_text(encoding="utf-8"), Mesh, "")
# What is a table of names in the messages, and no form with fields.
TABLES = {
    "sites",
    "places",
    "options",
    "packages",
    "throughput_tests",
    "overflows",
    "unpublished",
    "damaged_files",
    "failed_authentication",
}
REPORTS = (latency(1), throughput(2), path(3, "f"), capacity(4, DeviceRow(type="h100", total=8, free=4)))
MESSAGES: tuple[Message, ...] = (
    Committed(boot="x", seqs=(1, 2), refused=(ReportRefusal(seq=3, reason="impossible"),)),
    Status(state="online", at=NOON, version="9.9", boots=(BootCount(boot="x", next=4),)),
    Presence(state="here", instance="i", started=NOON, host="h"),
    PublishedMesh(journal="j", replaces=("k",)),
    MeshHead(journal="j", version="v", parts=1),
    Invite(id="1", duration_s=3.0, iperf3="3.18"),
    Answer(id="1", accepted=False, reason="busy", retry_after_s=5.0),
    Claim(id="1", groups=("uplink-a",), for_s=10.0),
)


def widened(value: Any, *, table: bool = False) -> Any:
    """As of a later version: a field more in every form."""
    if isinstance(value, list):
        return [widened(each) for each in value]
    if not isinstance(value, dict):
        return value
    wider = {name: widened(each, table=name in TABLES) for name, each in value.items()}
    return wider if table else {**wider, "of_a_later_version": {"depth": [1, {"deeper": None}]}}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_of_a_later_version_says_the_same(message: Message) -> None:
    payload = json.dumps(widened(json.loads(encode(message)))).encode()
    assert b"of_a_later_version" in payload
    assert decode(type(message), payload) == message


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.kind)
def test_a_report_of_a_later_probe_says_the_same(report: Any) -> None:
    payload = json.dumps(widened(json.loads(encode(report)))).encode()
    site = "b" if report.kind == "throughput" else "a"
    assert decode_report(site, report.kind, payload).report == report


@pytest.mark.parametrize("site", MESH.sites)
def test_a_mesh_of_a_later_collector_is_the_same_to_a_site(site: str) -> None:
    payload = SiteMeshes(MESH).encoded(site)
    wider = json.dumps(widened(json.loads(payload))).encode()
    assert SiteMesh.model_validate_json(wider) == SiteMesh.model_validate_json(payload)


# The first release's own words: fields that came later are not in them.
OF_0_1_0: Mapping[type[Message], bytes] = {
    Status: b'{"v":1,"state":"online","at":"2026-11-01T12:00:00Z","version":"0.1.0","outbox_reports":4}',
    Committed: b'{"v":1,"boot":"x","seqs":[1,2]}',
    Invite: b'{"v":1,"id":"1","duration_s":3.0,"iperf3":"3.12"}',
    Answer: b'{"v":1,"id":"1","accepted":false,"reason":"busy","retry_after_s":5.0}',
    PublishedMesh: b"{}",
}


@pytest.mark.parametrize("kind", OF_0_1_0, ids=lambda kind: kind.__name__)
def test_a_message_of_the_first_release_is_understood(kind: type[Message]) -> None:
    known = {name: value for name, value in json.loads(OF_0_1_0[kind]).items() if name != "v"}
    message = json.loads(encode(decode(kind, OF_0_1_0[kind])))
    assert {name: message[name] for name in known} == known
