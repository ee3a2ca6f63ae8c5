"""What routers see of the probes of one flow, and how each is known again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkweather.checksum import checksum
from linkweather.lab.routers import EmulatedRouter, StoppedPacket, through
from linkweather.mesh import PathMethod
from probes.path.packets import number_of_size, probe, sized
from probes.path.replies import ProbeIdentity, Quote, icmp, icmp6

METHODS: tuple[PathMethod, ...] = ("udp", "icmp", "tcp")
ENDS = {4: ("10.77.0.1", "10.77.0.2"), 6: ("fd77::1", "fd77::2")}
ROUTER = EmulatedRouter(bytes([10, 78, 0, 1]), bytes([0xFD, 0x78] + [0] * 13 + [1]), 9000)


def identity(method: PathMethod, version: int) -> ProbeIdentity:
    source, destination = ENDS[version]
    return ProbeIdentity(method, source, destination, (4000, 4001), 33434)


def what_is_hashed(packet: bytes) -> bytes:
    """Addresses, protocol, flow label, and the first four octets of transport: all that load is shared by."""
    if packet[0] >> 4 == 4:
        return packet[9:10] + packet[12:24]
    return packet[1:4] + packet[6:7] + packet[8:44]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("method", METHODS)
def test_flow_stays_the_same_whatever_the_ttl_and_number(method: PathMethod, version: int) -> None:
    ours = identity(method, version)
    probes = [probe(ours, 0, ttl, number) for ttl, number in ((1, 0), (2, 1), (30, 300))]
    assert len({what_is_hashed(each) for each in probes}) == 1
    assert what_is_hashed(probe(ours, 1, 1, 0)) != what_is_hashed(probes[0])
    assert [each[8 if version == 4 else 7] for each in probes] == [1, 2, 30]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("method", METHODS)
@given(flow=st.integers(0, 1), number=st.integers(0, 400))
def test_quoted_probe_is_known_again(method: PathMethod, version: int, flow: int, number: int) -> None:
    ours = identity(method, version)
    stopped = through(probe(ours, flow, 1, number), [ROUTER])
    assert isinstance(stopped, StoppedPacket)
    assert stopped.answer is not None
    reply = icmp(stopped.answer) if version == 4 else icmp6(stopped.answer[40:], "fd78::1")
    assert reply is not None
    assert ours.number(reply.quote) == number
    assert reply.quote.key == ours.keys[flow]


@pytest.mark.parametrize(
    "quote",
    [
        Quote("icmp", "10.77.0.2", 4000, 33434, 12),
        Quote("udp", "10.77.0.3", 4000, 33434, 12),
        Quote("udp", "10.77.0.2", 4002, 33434, 12),
        Quote("udp", "10.77.0.2", 4000, 33435, 12),
        Quote("udp", "10.77.0.2", 4000, 33434, 9),
    ],
)
def test_packet_of_somebody_else_is_none_of_ours(quote: Quote) -> None:
    assert identity("udp", 4).number(Quote("udp", "10.77.0.2", 4001, 33434, 12)) == 2
    assert identity("udp", 4).number(quote) is None


def test_stray_sequences_are_none_of_ours() -> None:
    assert identity("tcp", 4).number(Quote("tcp", "10.77.0.2", 4000, 33434, 0xFFFFFFFF)) is None


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("method", ["udp", "icmp"])
@pytest.mark.parametrize("size", [1280, 1281, 9000])
def test_sized_probe_has_exactly_that_size_and_may_not_be_fragmented(
    method: PathMethod, version: int, size: int
) -> None:
    number = number_of_size(version, size) if method == "udp" else 5
    packet = sized(identity(method, version), size, number)
    assert len(packet) == size
    assert version == 6 or (packet[6] & 0x40 and checksum(packet[:20]) == 0)
