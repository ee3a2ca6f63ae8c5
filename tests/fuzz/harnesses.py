"""A harness for each decoder: any bytes go in; a named refusal, or a value that holds together, comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from collector.settings import CollectorSettings
from linkweather import settings
from linkweather.errors import MessageError, OperatorError
from linkweather.lab.labfile import LabFile
from linkweather.mesh import Mesh
from linkweather.mesh.site_mesh import SiteMesh, site_mesh
from linkweather.models.events import EVENTS
from linkweather.models.placements import Job
from linkweather.wire import (
    REPORTS,
    Answer,
    Claim,
    Committed,
    Invite,
    Presence,
    Status,
    decode,
    decode_report,
    encode,
    topics,
)
from linkweather.wire.mesh_parts import MeshAssembly, MeshHead
from linkweather.wire.server_sent_events import EventParser
from linkweather.wire.state_rows import decode_state_row, encode_state_row
from probes.latency import icmp, stamp_tlvs
from probes.latency.stamp_packet import BASE_BYTES, decode_reply, decode_request, encode_request, is_reply
from probes.latency.stamp_responder import StampResponder
from probes.path import replies, tracer_lines
from probes.settings import ProbeSettings
from probes.throughput.iperf3_output import Transcript, parse_build
from probes.throughput.result import conclude
from probes.throughput.stop_rule import StopRule

KEY = bytes(range(32))
_MESSAGES: Sequence[type[Any]] = (Committed, Status, Invite, Answer, Claim, Presence, SiteMesh, MeshHead)
_COOKIE = b"linkwthr"[: icmp.COOKIE_BYTES].ljust(icmp.COOKIE_BYTES, b"\0")


def report(data: bytes) -> None:
    """A site's report; what is taken is taken again as it was written: to the nanosecond."""
    for kind in REPORTS:
        try:
            found = decode_report("a", kind, data)
        except MessageError:
            continue
        written = encode(found.report)
        again = decode_report("a", kind, written)
        assert encode(again.report) == written
        assert not again.refused


def message(data: bytes) -> None:
    """Each other message of MQTT, and topics."""
    topics.parse(data.decode(errors="replace"))
    models: Sequence[type[Any]] = (*_MESSAGES, *EVENTS.values())
    for model in models:
        try:
            found = decode(model, data)
        except MessageError:
            continue
        assert decode(model, encode(found)) == found


def stamp(data: bytes) -> None:
    """A reply to our probe, and a request to our reflector, with a key and without one."""
    for key in (None, KEY):
        for read in (decode_reply, decode_request):
            try:
                found = read(data, key)
            except MessageError:
                continue
            assert len(found.extra) < len(data)
        is_reply(data, authenticated=key is not None)
        for allow in (None, ("192.0.2.0/24",)):
            responder = StampResponder(8620, key=key, allow=allow)
            try:
                reply = responder.answer(data, ("192.0.2.1", 862), 0.0, 1 << 40, ttl=1, error=1)
            except MessageError:
                continue
            assert len(reply) == len(data) or (allow and len(data) < BASE_BYTES)


def tlvs(data: bytes) -> None:
    """What stands behind a request."""
    for key in (None, KEY):
        found = stamp_tlvs.reflect(data, key=key, received=1, replied=2)
        assert len(found.extra) == len(data)
    request = encode_request(decode_request(bytes(112)), KEY) + data
    if len(request) <= 1472:
        assert len(StampResponder(8620, key=KEY).answer(request, ("192.0.2.1", 1), 0.0, 1, ttl=1, error=1)) == len(
            request
        )


def traceroute(data: bytes) -> None:
    """Packets that a raw socket gives to the tracer, and the tracer's own lines."""
    for found in (replies.icmp(data), replies.icmp6(data, "fe80::1"), replies.tcp(data), replies.tcp6(data, "::1")):
        assert found is None or 0 <= found.mtu_bytes <= 65535
    for size in (0, 128, len(data)):
        assert all(0 <= label < 2**20 for label in replies.labels(data, size))
    _refused(tracer_lines.parse, data)


def echo(data: bytes) -> None:
    """ICMP echo replies."""
    for family in icmp.FAMILIES.values():
        _refused(partial(icmp.decode, family, cookie=_COOKIE), icmp.without_ip_header(data))


def iperf3(data: bytes) -> None:
    """What iperf3 prints; the result of it holds numbers only."""
    text = data.decode(errors="replace")
    parse_build(text)
    for streams in (1, 2):
        transcript = Transcript(streams)
        for line in text.splitlines():
            transcript.feed(line)
        for reverse in (False, True):
            result = conclude(
                *(transcript,),
                reverse=reverse,
                congestion=None,
                ended="time",
                status=0,
                cpu_demand=None,
                rule=StopRule(max_duration_s=3.0),
            )
            numbers = (result.goodput_bps, result.goodput_low_bps, result.goodput_high_bps, result.duration_s)
            assert all(number is None or math.isfinite(number) for number in numbers)


def files(data: bytes) -> None:
    """Each settings file, read as text that a person wrote."""
    for model in (ProbeSettings, CollectorSettings, LabFile, Job):
        _refused(partial(_parsed, model), data)


def mesh(data: bytes) -> None:
    """The mesh; one that is taken has its links, and a site's part of it survives the wire."""
    found = _refused(partial(_parsed, Mesh), data)
    if found is not None and len(found.sites) <= 50 and found.link_count <= 2500:
        assert found.link_count == len(list(found.pairs()))
        site = next(iter(found.sites))
        part = site_mesh(found, site)
        assert SiteMesh.model_validate_json(encode(part)) == part


def streams(data: bytes) -> None:
    """What comes in pieces: a site's part of the mesh, rows of state, events of the API."""
    head, _, rest = data.partition(b"\n")
    assembly = MeshAssembly()
    taken = _refused(partial(decode, MeshHead), head)
    if taken is not None:
        assembly.take_head(taken)
    assembly.take_part(head.decode(errors="replace"), rest)
    row = _refused(decode_state_row, data)
    assert row is None or decode_state_row(encode_state_row(row)) == row
    parser = EventParser()
    for line in data.decode(errors="replace").split("\n"):
        parser.line(line)


def _parsed(model: type[Any], data: bytes) -> Any:
    return settings.parse(data.decode(errors="replace"), model, "file")


def _refused(read: Callable[[bytes], Any], data: bytes) -> Any:
    """What is read; None for a refusal."""
    try:
        return read(data)
    except (MessageError, OperatorError):
        return None


HARNESSES: Mapping[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (report, message, stamp, tlvs, traceroute, echo, iperf3, files, mesh, streams)
}
