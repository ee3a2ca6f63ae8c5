from __future__ import annotations

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from probes.throughput.tcpinfo import TcpConnection, connections, request

DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)
COOKIE = b"12345678"
NO_ENTRY = struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -2) + bytes(16)


def tcp_info(size: int = 224) -> bytes:
    info = bytearray(size)
    struct.pack_into("=I", info, 20, 1_448)  # tcpi_rcv_mss
    struct.pack_into("=I", info, 100, 7)  # tcpi_total_retrans
    struct.pack_into("=QQ", info, 120, 5_000_000, 28_960)  # tcpi_bytes_acked, tcpi_bytes_received
    struct.pack_into("=I", info, 152, 25)  # tcpi_data_segs_in
    # tcpi_busy_time, tcpi_rwnd_limited, tcpi_sndbuf_limited
    struct.pack_into("=QQQ", info, 168, 1_500_000, 250_000, 125_000)
    return bytes(info)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def answer(*attributes: bytes) -> bytes:
    # linux/inet_diag.h: struct inet_diag_msg; its id's cookie stands behind 4 + 2 + 2 + 16 + 16 + 4 octets.
    body = bytes(44) + COOKIE + bytes(20) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body


SEEN = TcpConnection(COOKIE, 5_000_000, 7, 1.5, 0.25, 0.125, "cubic", 28_960, 36_200)


def test_the_request_asks_for_connections_from_a_port_that_can_send() -> None:
    asked = request(socket.AF_INET6, 5201)
    # linux/inet_diag.h: struct inet_diag_req_v2 is 56 octets, after a netlink header of 16.
    assert struct.unpack_from("=IHHII", asked) == (72, 20, 0x301, 1, 0)
    assert len(asked) == 72
    assert asked[16:24] == bytes([10, 6, 0b1010, 0, 0b00010010, 0b11, 0, 0])
    assert asked[24:28] == bytes([0x14, 0x51, 0, 0])
    assert asked[28:] == bytes(44)


def test_the_request_may_ask_for_connections_to_a_port() -> None:
    asked = request(socket.AF_INET, 5201, remote=True)
    assert asked[24:28] == bytes([0, 0, 0x14, 0x51])


def test_a_connection_is_read_with_its_congestion_control() -> None:
    assert connections(answer(attribute(2, tcp_info()), attribute(4, b"cubic\0"))) == ([SEEN], False)


def test_several_messages_in_a_datagram_end_with_the_last() -> None:
    one = answer(attribute(4, b"cubic\0"), attribute(2, tcp_info()))
    assert connections(one + one + DONE) == ([SEEN, SEEN], True)
    assert connections(DONE) == ([], True)


def test_an_error_of_the_kernel_is_the_end() -> None:
    assert connections(NO_ENTRY) == ([], True)
    assert connections(b"") == ([], True)


def test_a_kernel_that_does_not_count_the_time_is_passed_over() -> None:
    old = tcp_info()[:168]
    assert connections(answer(attribute(2, old), attribute(4, b"cubic\0"))) == ([], False)
    assert connections(answer()) == ([], False)


def test_congestion_control_is_unknown_where_the_kernel_does_not_name_it() -> None:
    found, _ = connections(answer(attribute(2, tcp_info())))
    assert found[0].congestion is None


def test_an_attribute_of_an_impossible_length_ends_its_message() -> None:
    assert connections(answer(struct.pack("=HH", 0, 2), attribute(2, tcp_info()))) == ([], False)


def test_a_message_of_an_impossible_length_ends_the_datagram() -> None:
    assert connections(struct.pack("=IHHII", 0, 20, 2, 1, 0)) == ([], True)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    found, _ = connections(data)
    assert len(found) <= 1
