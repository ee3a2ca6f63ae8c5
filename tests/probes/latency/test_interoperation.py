"""Our sender against a reflector that is not ours, and our reflector against a sender that is not ours."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import socket
import struct
import subprocess
import sys
import time
from typing import Any

import pytest

from linkweather.mesh import LatencyTests
from linkweather.wire import LatencyRow
from probes.latency import clocks, targets
from probes.latency.clocks import Clock
from probes.latency.engine import LatencyEngine
from probes.latency.prober import load
from probes.latency.reflector import Reflector
from probes.latency.session import Session
from probes.latency.targets import LatencyPeer
from tests.probes.latency import scapy_peer
from tests.probes.latency.scapy_peer import stamp
from tests.waiting import running_task

FAST = LatencyTests(interval_s=0.01, timeout_s=0.3, report_interval_s=1e6)
LIMIT_S = 30.0


async def measured(port: int, count: int = 30) -> LatencyRow:
    """The one row of so many probes."""
    rows: list[LatencyRow] = []
    sender = LatencyEngine(
        "a", load("stamp"), FAST, on_window=lambda _, window: rows.extend(window), count=count, bind=["127.0.0.1"]
    )
    sender.set_peers([LatencyPeer("b", "127.0.0.1", port)], FAST)
    async with asyncio.timeout(LIMIT_S):
        await sender.run()
    assert not sender.counters
    (row,) = rows
    return row


async def asked(reflector: Reflector, *requests: bytes) -> list[Any]:
    """What scapy reads in the replies."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.setblocking(False)  # noqa: FBT003 - the standard library's signature
        replies = []
        async with running_task(reflector.run()), asyncio.timeout(LIMIT_S):
            for request in requests:
                await loop.sock_sendto(peer, request, ("127.0.0.1", reflector.port))
                data, _ = await loop.sock_recvfrom(peer, 2048)
                assert len(data) == len(request)
                replies.append(stamp.STAMPSessionReflectorTestUnauthenticated(data))
    return replies


def request(sequence: int, ns: int, *tlvs: Any) -> bytes:
    return bytes(
        stamp.STAMPSessionSenderTestUnauthenticated(
            seq=sequence,
            ts=scapy_peer.ntp(ns),
            err_estimate=scapy_peer.error(synchronised=True),
            ssid=0x1234,
            tlv_objects=list(tlvs),
        )
    )


async def test_our_sender_measures_a_bare_rfc_8762_reflector() -> None:
    with scapy_peer.reflector() as port:
        row = await measured(port)
    assert (row.sent, row.received, row.failure, row.timestamp) == (30, 30, None, "kernel")
    assert (row.lost_forward, row.lost_back, row.owd_forward_p50_s) == (0, 0, None)
    assert 0 < (row.rtt_p50_s or 0) < 0.1


async def test_a_stateless_reflector_leaves_the_direction_of_a_loss_unknown() -> None:
    with scapy_peer.reflector(drops=lambda sequence: 10 <= sequence < 17) as port:
        row = await measured(port)
    assert (row.sent, row.received, row.lost_forward, row.lost_back) == (30, 23, None, None)
    assert row.outages is not None
    ((start, end, lost),) = [(outage.start, outage.end, outage.lost) for outage in row.outages]
    assert lost == 7
    assert end is not None
    # Seven intervals of 10 ms; on a busy machine slots are left out, and then it is longer.
    assert 0.06 < (end - start).total_seconds() < LIMIT_S


async def test_one_way_delays_are_given_where_both_clocks_are_synchronised_also_negative_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clocks, "read", lambda: Clock(synchronised=True, error_s=2.0**-10))
    with scapy_peer.reflector(ahead_ns=500_000_000, synchronised=True) as port:
        row = await measured(port)
    assert row.owd_forward_p50_s == pytest.approx(0.5, abs=0.1)
    assert row.owd_back_p50_s == pytest.approx(-0.5, abs=0.1)
    assert row.owd_error_s == pytest.approx(2 * 2**-10, abs=5e-7)  # half a microsecond, at most, is rounded
    assert (row.rtt_p50_s or 1) < 0.1


@pytest.mark.parametrize(("ours", "theirs"), [(True, False), (False, True), (False, False)])
async def test_one_clock_that_nobody_steers_is_no_one_way_delay(
    monkeypatch: pytest.MonkeyPatch, *, ours: bool, theirs: bool
) -> None:
    monkeypatch.setattr(clocks, "read", lambda: Clock(synchronised=ours, error_s=0.001))
    with scapy_peer.reflector(synchronised=theirs) as port:
        row = await measured(port, count=3)
    assert row.received == 3
    assert (row.owd_forward_p50_s, row.owd_back_p50_s, row.owd_error_s) == (None, None, None)


@pytest.mark.parametrize(("stateless", "sequences"), [(False, [0, 1]), (True, [7, 9])])
async def test_our_reflector_answers_a_sender_of_scapy(*, stateless: bool, sequences: list[int]) -> None:
    ns = time.time_ns()
    replies = await asked(Reflector(0, bind=["127.0.0.1"], stateless=stateless), request(7, ns), request(9, ns))
    assert [reply.seq for reply in replies] == sequences
    assert [reply.seq_sender for reply in replies] == [7, 9]
    for reply in replies:
        assert reply.ssid == 0x1234
        assert float(reply.ts_sender) == pytest.approx(float(scapy_peer.ntp(ns)), abs=1e-6)
        assert reply.ts_sender <= reply.ts_rx <= reply.ts
        assert reply.err_estimate_sender == scapy_peer.error(synchronised=True)
        assert (reply.mbz1, reply.mbz2, reply.tlv_objects) == (0, 0, [])


async def test_our_reflector_flags_the_tlvs_of_scapy_that_it_does_not_know() -> None:
    # scapy has the order of flags reversed: 0x80 is its "R", so they are given as numbers.
    padding = stamp.STAMPTestTLV(flags=0x80, type=1, len=3, value=b"abc")
    location = stamp.STAMPTestTLV(flags=0x80, type=2, len=4, value=b"wxyz")
    reflector = Reflector(0, bind=["127.0.0.1"])
    (reply,) = await asked(reflector, request(1, time.time_ns(), padding, location))
    assert [(int(tlv.flags), tlv.type, tlv.value) for tlv in reply.tlv_objects] == [
        (0x00, 1, b"abc"),
        (0x80, 2, b"wxyz"),
    ]


def test_linkweather_test_works_against_a_bare_rfc_8762_reflector() -> None:
    with scapy_peer.reflector() as port:
        done = subprocess.run(
            [
                *(sys.executable, "-c", "from linkweather.cli.root import main; main()", "test", "127.0.0.1"),
                *("--latency", "--port", str(port), "--count", "20", "--interval", "0.01", "--json"),
            ],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    latency = json.loads(done.stdout)["latency"]
    assert (latency["method"], latency["sent"], latency["received"]) == ("stamp", 20, 20)


@pytest.mark.parametrize("key", [None, bytes(range(32))])
async def test_the_sequence_wraps_on_the_wire_without_a_loss(
    monkeypatch: pytest.MonkeyPatch, key: bytes | None
) -> None:
    monkeypatch.setattr(targets, "Session", functools.partial(Session, first_sequence=2**32 - 20))
    tests = FAST.model_copy(update={"authenticated": key is not None})
    rows: list[LatencyRow] = []
    reflector = Reflector(0, bind=["127.0.0.1"], key=key)
    sender = LatencyEngine(
        "a",
        load("stamp"),
        tests,
        on_window=lambda _, window: rows.extend(window),
        count=40,
        key=key,
        bind=["127.0.0.1"],
    )
    sender.set_peers([LatencyPeer("b", "127.0.0.1", reflector.port)], tests)
    async with running_task(reflector.run()), asyncio.timeout(LIMIT_S):
        await sender.run()
    assert (reflector.answered, reflector.dropped, sender.counters) == (40, {}, {})
    ((received, forward, back, duplicated, reordered),) = [
        (row.received, row.lost_forward, row.lost_back, row.duplicated, row.reordered) for row in rows
    ]
    assert (received, forward, back, duplicated, reordered) == (40, 0, 0, 0, 0)


@pytest.mark.parametrize(("packet_bytes", "sent_bytes"), [(0, 44), (47, 44), (48, 48), (1472, 1472)])
async def test_probes_are_padded_to_the_size_that_is_asked_for(packet_bytes: int, sent_bytes: int) -> None:
    tests = FAST.model_copy(update={"packet_bytes": packet_bytes})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.setblocking(False)  # noqa: FBT003 - the standard library's signature
        sender = LatencyEngine("a", load("stamp"), tests, on_window=lambda _, __: None, count=1, bind=["127.0.0.1"])
        sender.set_peers([LatencyPeer("b", *silent.getsockname())], tests)
        async with running_task(sender.run()), asyncio.timeout(LIMIT_S):
            request, _ = await asyncio.get_running_loop().sock_recvfrom(silent, 2048)
    assert len(request) == sent_bytes
    tlvs = stamp.STAMPSessionSenderTestUnauthenticated(request).tlv_objects
    assert [(int(tlv.flags), tlv.type, tlv.len) for tlv in tlvs] == [(0x80, 1, sent_bytes - 48)] * (sent_bytes > 44)


async def test_padded_authenticated_probes_are_answered_as_long_and_trusted() -> None:
    key = bytes(range(32))
    tests = FAST.model_copy(update={"authenticated": True, "packet_bytes": 1000})
    rows: list[LatencyRow] = []
    reflector = Reflector(0, bind=["127.0.0.1"], key=key)
    sender = LatencyEngine(
        "a", load("stamp"), FAST, on_window=lambda _, window: rows.extend(window), count=5, key=key, bind=["127.0.0.1"]
    )
    sender.set_peers([LatencyPeer("b", "127.0.0.1", reflector.port)], tests)
    async with running_task(reflector.run()), asyncio.timeout(LIMIT_S):
        await sender.run()
    assert [(row.received, row.failure) for row in rows] == [(5, None)]
    assert not reflector.flagged


@pytest.mark.parametrize("octets", [38, 41])
async def test_a_responder_of_twamp_light_is_measured_and_the_row_names_it(octets: int) -> None:
    """twampy and others answer 44 octets with 38 or 41: all four timestamps are there."""
    with scapy_peer.reflector(octets=octets) as port:
        row = await measured(port)
    assert (row.method, row.failure, row.sent, row.received) == ("twamp-light", None, 30, 30)
    assert 0 < (row.rtt_p50_s or 0) < 0.05
    assert (row.lost_forward, row.lost_back) == (0, 0)


async def test_replies_that_are_too_short_are_named_with_their_length() -> None:
    rows: list[LatencyRow] = []
    with scapy_peer.reflector(octets=30) as port:
        sender = LatencyEngine(
            "a", load("stamp"), FAST, on_window=lambda _, window: rows.extend(window), count=3, bind=["127.0.0.1"]
        )
        sender.set_peers([LatencyPeer("b", "127.0.0.1", port)], FAST)
        async with asyncio.timeout(LIMIT_S):
            await sender.run()
    assert [(row.method, row.failure, row.detail, row.received) for row in rows] == [
        ("stamp", "short_reply", "what answers sends 30 octets, and a reply has 38 or more", 0)
    ]
    assert sender.counters == {"short_reply": 3}


async def test_a_reflector_without_our_key_is_named_and_not_taken_for_silence() -> None:
    rows: list[LatencyRow] = []
    tests = FAST.model_copy(update={"authenticated": True})
    reflector = Reflector(0, bind=["127.0.0.1"])
    sender = LatencyEngine(
        "a", load("stamp"), tests, on_window=lambda _, window: rows.extend(window), count=3, key=bytes(range(32))
    )
    sender.set_peers([LatencyPeer("b", "127.0.0.1", reflector.port)], tests)
    async with running_task(reflector.run()), asyncio.timeout(LIMIT_S):
        await sender.run()
    assert [(row.failure, row.detail) for row in rows] == [
        ("wrong_key", "a reflector answers, but not with our key: it has another one, or none")
    ]


async def test_a_forged_request_in_a_reflector_s_name_ends_after_one_reply() -> None:
    """Whoever sends A a request in B's name would have A and B answer each other for ever."""
    here, there = Reflector(0, bind=["127.0.0.1"]), Reflector(0, bind=["127.0.0.1"])
    request = bytes(stamp.STAMPSessionSenderTestUnauthenticated(seq=1))
    async with running_task(here.run()), running_task(there.run()), asyncio.timeout(LIMIT_S):
        there._sockets[0].sendto(request, ("127.0.0.1", here.port))
        while not there.dropped:  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.01)
    assert (here.answered, dict(here.dropped)) == (1, {})
    assert (there.answered, dict(there.dropped)) == (0, {"loop": 1})


async def test_what_comes_while_a_reflector_s_buffer_is_full_is_counted_as_its_own_loss() -> None:
    reflector = Reflector(0, bind=["127.0.0.1"])
    reflector._sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    request = bytes(stamp.STAMPSessionSenderTestUnauthenticated(seq=1))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(100):
            sender.sendto(request, ("127.0.0.1", reflector.port))
        async with running_task(reflector.run()), asyncio.timeout(LIMIT_S):
            while reflector.answered + reflector.dropped["overflow"] < 100:  # noqa: ASYNC110 - it sets no event
                await asyncio.sleep(0.01)
    assert 0 < reflector.answered < 100
    assert "from all senders came while our own buffer was full" in str(reflector.dropped.sentence())


async def test_what_comes_while_a_sender_s_buffer_is_full_is_counted_and_costs_no_probe() -> None:
    rows: list[LatencyRow] = []
    reflector = Reflector(0, bind=["127.0.0.1"])
    sender = LatencyEngine(
        "a", load("stamp"), FAST, on_window=lambda _, window: rows.extend(window), count=3, bind=["127.0.0.1"]
    )
    sender.set_peers([LatencyPeer("b", "127.0.0.1", reflector.port)], FAST)
    (opened,) = sender._transport.sockets
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(100):
            stranger.sendto(b"x", opened.getsockname())
    async with running_task(reflector.run()), asyncio.timeout(LIMIT_S):
        await sender.run()
    assert sender.counters["overflow"] + sender.counters["short_reply"] == 100
    assert sender.counters["overflow"] > 0
    assert [(row.sent, row.received, row.failure) for row in rows] == [(3, 3, None)]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="a raw socket needs privileges")
async def test_a_datagram_spoofed_in_a_reflector_s_name_ends_after_one_reply() -> None:
    """The same from outside: the source is an address and a port that the sender does not have."""
    here, there = Reflector(0, bind=["127.0.0.1"]), Reflector(0, bind=["127.0.0.2"])
    request = bytes(stamp.STAMPSessionSenderTestUnauthenticated(seq=1))
    header = struct.pack("!HHHH", there.port, here.port, 8 + len(request), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as forger:
        forger.bind(("127.0.0.2", 0))
        async with running_task(here.run()), running_task(there.run()), asyncio.timeout(LIMIT_S):
            forger.sendto(header + request, ("127.0.0.1", 0))
            while not there.dropped:  # noqa: ASYNC110 - it sets no event
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)  # a loop of two would have made thousands
    assert (here.answered, there.answered, dict(there.dropped)) == (1, 0, {"loop": 1})


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="port 862 needs privileges")
async def test_a_session_sender_at_port_862_is_answered() -> None:
    """stamp-suite sends from there, unless it is given another port."""
    reflector = Reflector(0, bind=["127.0.0.1"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.setblocking(False)  # noqa: FBT003 - the standard library's signature
        peer.bind(("127.0.0.86", 862))
        async with running_task(reflector.run()), asyncio.timeout(LIMIT_S):
            request = bytes(stamp.STAMPSessionSenderTestUnauthenticated(seq=7))
            await asyncio.get_running_loop().sock_sendto(peer, request, ("127.0.0.1", reflector.port))
            data, _ = await asyncio.get_running_loop().sock_recvfrom(peer, 2048)
    assert stamp.STAMPSessionReflectorTestUnauthenticated(data).seq_sender == 7
