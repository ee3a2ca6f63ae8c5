"""ICMP echo messages as bytes."""

from __future__ import annotations

import socket

import pytest

from linkweather.errors import MessageError
from probes.latency import icmp
from probes.latency.stamp_packet import StampReply, StampRequest, echoed

V4, V6 = icmp.FAMILIES[socket.AF_INET], icmp.FAMILIES[socket.AF_INET6]
COOKIE = bytes.fromhex("0102030405060708")
REQUEST = StampRequest(0x00030002, 0xEEACAF0080000000, 0x9464, 0x1234)
DATA = "0102030405060708 00030002 eeacaf0080000000 1234".replace(" ", "") + "00" * 34
# The 16-bit words: 0800 + 0102 + 0002 (header: type, identifier, sequence), 0102 + 0304 + 0506 + 0708 (cookie),
# 0003 + 0002 (sequence), eeac + af00 + 8000 + 0000 (timestamp), 1234 (session)
# = 0904 + 1014 + 0005 + 21dac + 1234 = 248fd; folded 48ff; complement b700.
FROZEN = bytes.fromhex("0800b70001020002" + DATA)


def test_a_request_is_frozen_with_its_checksum_worked_out_by_hand() -> None:
    assert icmp.encode(V4, 0x0102, COOKIE, REQUEST) == FROZEN


def test_the_checksum_of_version_6_is_left_to_the_kernel() -> None:
    assert icmp.encode(V6, 0x0102, COOKIE, REQUEST) == bytes.fromhex("8000000001020002" + DATA)


@pytest.mark.parametrize(("family", "kind"), [(V4, b"\x00"), (V6, b"\x81")])
def test_a_reply_reads_as_that_of_a_stateless_reflector_without_residence(family: icmp.EchoFamily, kind: bytes) -> None:
    timestamp = REQUEST.timestamp
    expected = StampReply(0x00030002, timestamp, 0, 0x1234, timestamp, 0x00030002, timestamp, 0, 0)
    assert icmp.decode(family, kind + FROZEN[1:], COOKIE) == expected


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "short"),
        (b"\0" * 7, "short"),
        (FROZEN, "foreign"),  # a request, as loopback shows it
        (b"\0" * 64, "foreign"),  # somebody else's reply
        (b"\0" + FROZEN[1:63], "short"),
    ],
)
def test_what_is_no_reply_to_us_is_refused_by_reason(message: bytes, reason: str) -> None:
    with pytest.raises(MessageError) as refused:
        icmp.decode(V4, message, COOKIE)
    assert refused.value.reason == reason


def test_an_ip_header_is_taken_off_where_there_is_one() -> None:
    reply = b"\0" + FROZEN[1:]
    assert icmp.without_ip_header(b"\x45" + bytes(19) + reply) == reply
    assert icmp.without_ip_header(b"\x46" + bytes(23) + reply) == reply  # with options
    assert icmp.without_ip_header(reply) == reply
    assert icmp.without_ip_header(b"") == b""


def test_a_sequence_beyond_32_bits_wraps() -> None:
    assert echoed(2**32 + 5, 1, 2) == StampReply(5, 1, 0, 2, 1, 5, 1, 0, 0)
