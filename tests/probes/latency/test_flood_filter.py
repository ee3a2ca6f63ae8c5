"""Who gets through to a flooded reflector."""

from __future__ import annotations

import contextlib
import socket

import pytest

from probes.latency.flood_filter import attach, detach, program, strangers_share
from probes.latency.kernel_timestamps import receive
from probes.latency.reflector import Reflector
from probes.latency.stamp_packet import SSID, StampRequest, encode_request
from probes.latency.stamp_responder import StampResponder
from probes.latency.udp_sockets import open_socket

PEER = "192.0.2.1"


@pytest.mark.parametrize(
    ("per_s", "dropped", "filled", "filtering", "share"),
    [
        (80_000.0, 1, 0.0, False, 0.025),
        (4000.0, 1, 0.0, False, 0.05),  # more could not be read
        (4000.0, 1, 0.0, True, 0.5),
        (40_000.0, 0, 0.3, False, 0.05),  # it will overflow in a moment
        (40_000.0, 0, 0.0, True, 0.05),  # it goes on while what comes would be too much
        (40_000.0, 0, 0.2, False, None),  # a machine that can read it all
        (2000.0, 1, 1.0, False, None),  # we were late, and nothing floods us
        (2000.0, 9, 1.0, True, None),
    ],
)
def test_strangers_have_a_share_while_the_buffer_fills(
    per_s: float, dropped: int, filled: float, share: float | None, *, filtering: bool
) -> None:
    assert strangers_share(per_s, dropped, filled, filtering=filtering) == share


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_kernel_lets_known_sessions_in_and_a_share_of_the_rest(family: socket.AddressFamily, address: str) -> None:
    opened, sender = open_socket(family, address, 0), open_socket(family, address, 0)

    def arrived(*ssids: int) -> list[int]:
        for ssid in ssids:
            sender.sendto(encode_request(StampRequest(1, 2, 3, ssid)), opened.getsockname())
        sender.sendto(b"short", opened.getsockname())
        return [int.from_bytes(data[SSID : SSID + 2]) for data, *_ in receive(opened, 1000) if len(data) > 5]

    with opened, sender:
        port = sender.getsockname()[1]
        attach(opened, program([(1, b"\0\7"), (port, b"\1\2")], SSID, 0.0))
        assert arrived(7, 0x102, 0x201, 0x102) == [0x102, 0x102]
        attach(opened, program([(port, b"\1\2")], SSID, 0.5))
        some = arrived(*[7] * 400, *[0x102] * 9)
        assert some.count(0x102) == 9
        assert 100 < some.count(7) < 300  # ten standard deviations either way
        detach(opened)
        assert arrived(7, 8) == [7, 8]


def test_the_sessions_of_peers_that_keep_to_a_pace_are_known_those_with_the_most_replies_first() -> None:
    responder = StampResponder(8620)
    responder.follow({PEER}, ())

    def probe(port: int, ssid: int, times: int, address: str = PEER) -> None:
        for _ in range(times):
            responder.answer(encode_request(StampRequest(1, 2, 3, ssid)), (address, port), 0.0, 0, ttl=9, error=1)

    probe(5000, 1, 3)
    probe(5000, 2, 9)
    probe(6000, 3, 900)  # most of its thousand a second, at once
    probe(7000, 4, 9, "198.51.100.1")  # no peer
    assert responder.steady_sessions(0.0, 9) == [(5000, b"\0\2"), (5000, b"\0\1")]
    assert responder.steady_sessions(0.0, 1) == [(5000, b"\0\2")]
    assert responder.steady_sessions(10.0, 1) == [(6000, b"\0\3")]
    assert (responder.ssid_at, StampResponder(8620, key=bytes(32)).ssid_at) == (14, 26)


def test_a_reflector_whose_buffer_overflows_answers_its_peers_and_all_when_it_is_over() -> None:
    reflector = Reflector(0, bind=["127.0.0.1"], peers=lambda: ({"127.0.0.9"}, ()))
    (opened,) = reflector._sockets
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer, stranger = (open_socket(socket.AF_INET, address, 0) for address in ("127.0.0.9", "127.0.0.8"))

    def answered(sender: socket.socket, times: int = 1) -> int:
        before = reflector.answered
        for _ in range(times):
            sender.sendto(encode_request(StampRequest(1, 2, 3, 4)), ("127.0.0.1", reflector.port))
        reflector._drain(opened)
        return reflector.answered - before

    with contextlib.closing(reflector), peer, stranger:
        assert (answered(peer), answered(stranger)) == (1, 1)
        answered(stranger, 5000)
        reflector._watch(reflector._watched + 0.2)
        assert 4900 < reflector.dropped["overflow"] < 5000
        # 25,000 a second came: of strangers' datagrams every twelfth gets in.
        assert sum(answered(stranger) for _ in range(60)) < 40
        assert [answered(peer) for _ in range(60)] == [1] * 60
        flooded = reflector._watched
        reflector._watch(flooded + 1)
        assert sum(answered(stranger) for _ in range(60)) < 40  # it may only have paused
        reflector._watch(flooded + 6)
        assert [answered(stranger) for _ in range(60)] == [1] * 60


def test_a_buffer_that_fills_is_filtered_before_it_overflows() -> None:
    reflector = Reflector(0, bind=["127.0.0.1"], peers=lambda: ({"127.0.0.9"}, ()))
    (opened,) = reflector._sockets
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 200_000)
    with contextlib.closing(reflector), open_socket(socket.AF_INET, "127.0.0.8", 0) as stranger:
        for _ in range(250):
            stranger.sendto(encode_request(StampRequest(1, 2, 3, 4)), ("127.0.0.1", reflector.port))
        before = reflector._watched
        reflector._watched -= 0.02
        reflector._drain(opened)  # a whole batch, and more waits
        assert reflector._watched > before
        reflector._drain(opened)
        reflector._watch(reflector._watched + 0.02)
        assert reflector._filtering
        assert not reflector.dropped["overflow"]
