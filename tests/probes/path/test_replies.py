"""Replies frozen as bytes, and made by scapy, an encoder that is not ours."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.mpls import MPLS, ICMPExtension_MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP, ICMPExtension_Header, ICMPExtension_InterfaceInformation
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
)

from probes.path.replies import Quote, TraceReply, icmp, icmp6, labels, tcp, tcp6

US, THEM, ROUTER = "10.77.0.1", "10.77.0.2", "10.78.0.1"
US6, THEM6, ROUTER6 = "fd77::1", "fd77::2", "fd78::1"
PROBE = bytes(IP(src=US, dst=THEM, ttl=1, id=1) / UDP(sport=4000, dport=33434) / bytes(20))
PROBE6 = bytes(IPv6(src=US6, dst=THEM6, hlim=1) / UDP(sport=4000, dport=33434) / bytes(20))
QUOTE, QUOTE6 = Quote("udp", THEM, 4000, 33434, 28), Quote("udp", THEM6, 4000, 33434, 28)
# 10.78.0.1 says that the TTL of our UDP probe (4000 → 33434, 28 octets) to 10.77.0.2 is exceeded; 8 octets of it.
GOLDEN = bytes.fromhex(
    "45000038000000004001647c0a4e00010a4d0001"  # IPv4, ICMP
    "0b00b80b00000000"  # time exceeded
    "45000030000100000111a5200a4d00010a4d0002"  # the quote
    "0fa0829a001ca42a"
)


def error(kind: int, code: int, quoted: bytes, *, length: int = 0, mtu: int = 0, source: str = ROUTER) -> bytes:
    return bytes(IP(src=source, dst=US, proto=1) / (struct.pack("!BBHBBH", kind, code, 0, 0, length, mtu) + quoted))


def extension(*entries: int) -> bytes:
    stack = [MPLS(label=label, s=place == len(entries) - 1, ttl=1) for place, label in enumerate(entries)]
    return bytes(ICMPExtension_Header() / ICMPExtension_MPLS(stack=stack))


def test_time_exceeded_in_frozen_bytes() -> None:
    assert icmp(GOLDEN) == TraceReply("exceeded", ROUTER, QUOTE)


def test_eight_quoted_octets_of_transport_are_enough() -> None:
    assert icmp(error(11, 0, PROBE[:28])) == TraceReply("exceeded", ROUTER, QUOTE)
    assert icmp(error(11, 0, PROBE[:27])) is None


def test_quoted_header_may_have_options() -> None:
    quoted = bytes([0x46]) + PROBE[1:20] + b"\x94\x04\0\0" + PROBE[20:]
    assert icmp(error(11, 0, quoted)) == TraceReply("exceeded", ROUTER, QUOTE)


def test_port_unreachable_is_the_destination_whoever_says_so() -> None:
    # A host with several addresses may answer with another.
    assert icmp(error(3, 3, PROBE)) == TraceReply("reached", ROUTER, QUOTE)


def test_whatever_the_destination_refuses_it_was_reached() -> None:
    assert icmp(error(3, 13, PROBE, source=THEM)) == TraceReply("reached", THEM, QUOTE)


def test_router_that_forbids_ends_the_path() -> None:
    assert icmp(error(3, 13, PROBE)) == TraceReply("refused", ROUTER, QUOTE)


def test_too_big_says_what_would_fit() -> None:
    assert icmp(error(3, 4, PROBE, mtu=1480)) == TraceReply("too_big", ROUTER, QUOTE, 1480)
    # RFC 1191 §5: routers before that standard leave 0 there.
    assert icmp(error(3, 4, PROBE)) == TraceReply("too_big", ROUTER, QUOTE, 0)


def test_echo_reply_shows_identifier_and_sequence() -> None:
    reply = bytes(IP(src=THEM, dst=US) / ICMP(type=0, id=77, seq=5) / b"xy")
    assert icmp(reply) == TraceReply("reached", THEM, Quote("icmp", THEM, 77, 0, 5))


def test_quoted_echo_request_and_syn_are_read() -> None:
    echo = bytes(IP(src=US, dst=THEM, ttl=1) / ICMP(id=77, seq=5))
    assert icmp(error(11, 0, echo)) == TraceReply("exceeded", ROUTER, Quote("icmp", THEM, 77, 0, 5))
    syn = bytes(IP(src=US, dst=THEM, ttl=1) / TCP(sport=4000, dport=443, seq=0xFEDCBA98))
    assert icmp(error(11, 0, syn[:28])) == TraceReply("exceeded", ROUTER, Quote("tcp", THEM, 4000, 443, 0xFEDCBA98))


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        GOLDEN[:20],
        PROBE6,
        error(5, 0, PROBE),
        error(11, 0, b"\x65" + PROBE[1:]),
        error(11, 0, b"\x41" + PROBE[1:]),
        error(11, 0, bytes(IP(src=US, dst=THEM, proto=47) / bytes(8))),
        error(11, 0, bytes(IP(src=US, dst=THEM) / ICMP(type=0))),
    ],
)
def test_what_is_no_answer_to_a_probe_is_nothing(packet: bytes) -> None:
    assert icmp(packet) is None


def test_ipv6_errors_are_read() -> None:
    exceeded = bytes(ICMPv6TimeExceeded() / PROBE6)
    assert icmp6(exceeded, ROUTER6) == TraceReply("exceeded", ROUTER6, QUOTE6)
    assert icmp6(bytes(ICMPv6DestUnreach(code=4) / PROBE6), THEM6) == TraceReply("reached", THEM6, QUOTE6)
    assert icmp6(bytes(ICMPv6DestUnreach(code=1) / PROBE6), ROUTER6) == TraceReply("refused", ROUTER6, QUOTE6)
    assert icmp6(bytes(ICMPv6PacketTooBig(mtu=1400) / PROBE6), ROUTER6) == TraceReply("too_big", ROUTER6, QUOTE6, 1400)
    assert icmp6(bytes(ICMPv6EchoReply(id=77, seq=5)), THEM6) == TraceReply(
        "reached", THEM6, Quote("icmp", THEM6, 77, 0, 5)
    )


def test_quoted_ipv6_extension_headers_are_skipped() -> None:
    probe = bytes(IPv6(src=US6, dst=THEM6) / IPv6ExtHdrDestOpt() / ICMPv6EchoRequest(id=77, seq=5))
    reply = icmp6(bytes(ICMPv6TimeExceeded() / probe), ROUTER6)
    assert reply == TraceReply("exceeded", ROUTER6, Quote("icmp", THEM6, 77, 0, 5))


@pytest.mark.parametrize(
    "body",
    [b"", b"\x03\0\0\0\0\0\0", bytes(ICMPv6TimeExceeded() / PROBE), b"\x87" + bytes(60), b"\x03" + bytes(30)],
)
def test_what_is_no_answer_over_ipv6_is_nothing(body: bytes) -> None:
    assert icmp6(body, ROUTER6) is None


@pytest.mark.parametrize("flags", ["SA", "R", "RA"])
def test_answer_to_a_syn_acknowledges_its_sequence(flags: str) -> None:
    packet = IP(src=THEM, dst=US) / TCP(sport=443, dport=4000, ack=0x4C570006, flags=flags)
    expected = TraceReply("reached", THEM, Quote("tcp", THEM, 4000, 443, 0x4C570005)) if "A" in flags else None
    assert tcp(bytes(packet)) == expected
    assert tcp6(bytes(packet[TCP]), THEM) == expected


@pytest.mark.parametrize("flags", ["A", "PA", "S", "FA"])
def test_segment_of_another_connection_is_nothing(flags: str) -> None:
    assert tcp(bytes(IP(src=THEM, dst=US) / TCP(sport=443, dport=4000, ack=5, flags=flags))) is None


def test_sequence_zero_is_acknowledged_by_one_and_the_last_by_zero() -> None:
    packet = IP(src=THEM, dst=US) / TCP(sport=443, dport=4000, ack=0, flags="RA")
    assert tcp(bytes(packet)) == TraceReply("reached", THEM, Quote("tcp", THEM, 4000, 443, 2**32 - 1))
    assert tcp(bytes(packet)[:39]) is None
    assert tcp(b"") is None


def test_labels_of_a_standard_and_of_an_old_router_are_read() -> None:
    quoted = PROBE.ljust(128, b"\0") + extension(16005, 24001)
    assert icmp(error(11, 0, quoted, length=32)) == TraceReply("exceeded", ROUTER, QUOTE, 0, (16005, 24001))
    assert icmp(error(11, 0, quoted)) == TraceReply("exceeded", ROUTER, QUOTE, 0, (16005, 24001))


def test_labels_after_a_longer_quote_are_found_by_its_length() -> None:
    quoted = PROBE.ljust(160, b"\1") + extension(99)
    assert icmp(error(11, 0, quoted, length=40)) == TraceReply("exceeded", ROUTER, QUOTE, 0, (99,))
    body = struct.pack("!BBHBBH", 3, 0, 0, 20, 0, 0) + PROBE6.ljust(160, b"\1") + extension(99)
    assert icmp6(body, ROUTER6) == TraceReply("exceeded", ROUTER6, QUOTE6, 0, (99,))


def test_long_quote_without_extensions_has_no_labels() -> None:
    # The payload where an old router's extensions would be begins like one, but the checksum says no.
    quoted = PROBE.ljust(128, b"\0") + b"\x20\0\xab\xcd" + extension(99)[4:]
    assert labels(quoted, 0) == ()
    without_checksum = PROBE.ljust(128, b"\0") + b"\x20\0\0\0" + extension(99)[4:]
    assert labels(without_checksum, 0) == ()
    assert labels(without_checksum, 128) == (99,)


def test_other_extensions_and_broken_ones_are_passed_over() -> None:
    other = ICMPExtension_InterfaceInformation(has_ifindex=1, ifindex=3)
    both = b"\x20\0\0\0" + bytes(other) + bytes(ICMPExtension_MPLS(stack=[MPLS(label=7)]))
    assert labels(bytes(128) + both, 128) == (7,)
    for broken in (b"\0\3\1\1", b"\0\x40\1\1", b"\0\4"):
        assert labels(bytes(128) + b"\x20\0\0\0" + broken.ljust(4, b"\0"), 128) == ()
    assert labels(bytes(128) + b"\x10\0\0\0" + bytes(4), 128) == ()


def test_label_stack_with_an_odd_tail_keeps_its_whole_entries() -> None:
    assert labels(bytes(128) + b"\x20\0\0\0" + b"\0\x0a\1\1" + struct.pack("!I", 42 << 12 | 0x101) + b"xx", 128) == (
        42,
    )


@given(st.binary(max_size=300))
def test_no_bytes_break_the_decoders(data: bytes) -> None:
    for reply in (icmp(data), icmp6(data, ROUTER6), tcp(data), tcp6(data, THEM)):
        assert reply is None or 0 <= reply.quote.value < 2**32


@given(st.binary(max_size=200), st.integers(0, 255), st.sampled_from([3, 11]), st.integers(0, 15))
def test_no_quote_breaks_the_decoders(quoted: bytes, length: int, kind: int, code: int) -> None:
    head = struct.pack("!BBHBBH", kind, code, 0, 0, length, 0)
    icmp(GOLDEN[:20] + head + quoted)
    icmp(GOLDEN[:20] + head + PROBE + quoted)
    icmp6(bytes([kind % 4]) + head[1:4] + bytes([length, 0, 0, 0]) + PROBE6 + quoted, ROUTER6)


@given(st.binary(max_size=120))
def test_no_extension_breaks_the_decoder(data: bytes) -> None:
    assert all(0 <= label < 2**20 for label in labels(bytes(128) + b"\x20\0\0\0" + data, 128))
