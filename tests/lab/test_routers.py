"""Routers' answers, taken apart by scapy."""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_pton

import pytest
from scapy.contrib.mpls import ICMPExtension_MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, UDPerror
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPerror6, IPv6

from linkweather.checksum import checksum
from linkweather.lab.routers import EmulatedRouter, StoppedPacket, choose, through


def router(number: int, mtu_bytes: int = 9000, *, silent: bool = False, labels: tuple[int, ...] = ()) -> EmulatedRouter:
    v4, v6 = inet_pton(AF_INET, f"10.78.0.{number}"), inet_pton(AF_INET6, f"fd78::{number}")
    return EmulatedRouter(v4, v6, mtu_bytes, silent, labels)


TWO = [router(1), router(2)]


def udp(ttl: int, payload_bytes: int = 20, flags: str = "", sport: int = 4000) -> bytes:
    packet = IP(src="10.77.0.1", dst="10.77.0.2", ttl=ttl, flags=flags) / UDP(sport=sport, dport=33434)
    return bytes(packet / bytes(payload_bytes))


def udp6(hop_limit: int, payload_bytes: int = 20) -> bytes:
    return bytes(IPv6(src="fd77::1", dst="fd77::2", hlim=hop_limit) / UDP(sport=4000, dport=1) / bytes(payload_bytes))


def stopped(packet: bytes, routers: list[EmulatedRouter]) -> tuple[int, bytes]:
    found = through(packet, routers)
    assert isinstance(found, StoppedPacket)
    assert found.answer is not None
    return found.place, found.answer


def test_packet_that_passes_two_routers_has_a_ttl_less_by_two_and_a_right_checksum() -> None:
    assert through(udp(3), TWO) == udp(1)
    assert through(udp6(64), TWO) == udp6(62)


@pytest.mark.parametrize(("ttl", "place"), [(1, 1), (2, 2)])
def test_router_where_the_ttl_ends_says_so_and_quotes_the_packet_as_it_came(ttl: int, place: int) -> None:
    at, answer = stopped(udp(ttl), TWO)
    read = IP(answer)
    assert at == place
    assert (read.src, read.dst, read[ICMP].type, read[ICMP].code) == (f"10.78.0.{place}", "10.77.0.1", 11, 0)
    assert (read[IPerror].ttl, read[IPerror].dst, read[UDPerror].sport) == (1, "10.77.0.2", 4000)
    assert checksum(answer[:20]) == checksum(answer[20:]) == 0


def test_ipv6_answer_has_the_routers_address_and_a_right_checksum() -> None:
    place, answer = stopped(udp6(2), TWO)
    read = IPv6(answer)
    assert place == 2
    assert (read.src, read.dst, read[ICMPv6TimeExceeded].code) == ("fd78::2", "fd77::1", 0)
    assert (read[IPerror6].hlim, read[IPerror6].dst) == (1, "fd77::2")
    sent = read[ICMPv6TimeExceeded].cksum
    del read[ICMPv6TimeExceeded].cksum
    assert IPv6(bytes(read))[ICMPv6TimeExceeded].cksum == sent


def test_too_big_packet_that_must_stay_whole_is_refused_with_the_mtu() -> None:
    narrow = [router(1), router(2, mtu_bytes=1400)]
    place, answer = stopped(udp(64, 1400, flags="DF"), narrow)
    icmp = IP(answer)[ICMP]
    assert (place, icmp.type, icmp.code, icmp.nexthopmtu) == (2, 3, 4, 1400)
    place, answer6 = stopped(udp6(64, 1400), narrow)
    assert (place, IPv6(answer6)[ICMPv6PacketTooBig].mtu) == (2, 1400)


def test_too_big_packet_that_may_be_fragmented_passes() -> None:
    assert through(udp(64, 1400), [router(1, mtu_bytes=1400)]) == udp(63, 1400)


def test_silent_router_stops_without_a_word() -> None:
    assert through(udp(1), [router(1, silent=True)]) == StoppedPacket(1, None)


def test_error_about_an_error_is_not_sent() -> None:
    error = IP(src="10.77.0.1", dst="10.77.0.2", ttl=1) / ICMP(type=3, code=3) / udp(1)
    assert through(bytes(error), TWO) == StoppedPacket(1, None)
    error6 = IPv6(src="fd77::1", dst="fd77::2", hlim=1) / ICMPv6TimeExceeded() / udp6(1)
    assert through(bytes(error6), TWO) == StoppedPacket(1, None)


def test_echo_request_is_answered() -> None:
    echo = bytes(IP(src="10.77.0.1", dst="10.77.0.2", ttl=1) / ICMP(id=7, seq=3))
    assert IP(stopped(echo, TWO)[1])[ICMP].type == 11
    echo6 = bytes(IPv6(src="fd77::1", dst="fd77::2", hlim=1) / ICMPv6EchoRequest())
    assert stopped(echo6, TWO)[0] == 1


def test_labels_follow_a_quote_of_128_octets() -> None:
    _, answer = stopped(udp(1), [router(1, labels=(16005, 24001))])
    read = IP(answer)
    assert read[ICMP].length == 32
    outer = read[ICMP].ext[ICMPExtension_MPLS].stack[0]
    assert [(entry.label, entry.s) for entry in (outer, outer.payload)] == [(16005, 0), (24001, 1)]
    assert checksum(answer[20:]) == checksum(answer[20 + 8 + 128 :]) == 0


def test_flow_takes_one_branch_and_flows_take_both() -> None:
    via = [(router(1),), (router(2), router(3))]
    for sport in range(4000, 4008):
        ways = {choose(udp(ttl, ttl, sport=sport), via)[1].v4 for ttl in range(1, 30)}
        assert len(ways) == 1
    assert {choose(udp(9, sport=sport), via)[1].v4[3] for sport in range(4000, 4032)} == {2, 3}


def test_ipv6_flow_takes_one_branch_whatever_its_length() -> None:
    via = [(router(1), router(2))]
    assert len({choose(udp6(9, size), via)[0].v6 for size in range(32)}) == 1


def test_two_choices_in_a_row_are_independent() -> None:
    via = [(router(1), router(2)), (router(3), router(4))]
    ways = {tuple(each.v4[3] for each in choose(udp(9, sport=sport), via)) for sport in range(4000, 4064)}
    assert ways == {(1, 3), (1, 4), (2, 3), (2, 4)}


def test_tcp_flow_does_not_depend_on_the_sequence() -> None:
    via = [(router(1), router(2))]
    segments = [IP(src="10.77.0.1", dst="10.77.0.2") / TCP(sport=4000, dport=443, seq=seq) for seq in range(64)]
    assert len({choose(bytes(segment), via)[0].v4 for segment in segments}) == 1
