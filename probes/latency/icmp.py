"""ICMP echo on kernel timestamps, for hosts without a reflector: a STAMP sender that speaks another protocol."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from struct import Struct
from typing import NamedTuple

from linkweather.checksum import checksum
from linkweather.errors import MessageError, OperatorError
from linkweather.mesh import LatencyTests
from linkweather.wire import LatencyRow
from probes.latency.engine import Sender, Sent
from probes.latency.kernel_timestamps import Sending
from probes.latency.pacing import Window
from probes.latency.stamp_packet import StampReply, StampRequest
from probes.latency.targets import Address, LatencyPeer, LatencyTarget

DATA_BYTES = 56  # as `ping` sends, so that the two compare
COOKIE_BYTES = 8

_HEADER = Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_DATA = Struct(f"!{COOKIE_BYTES}sIQH")  # whose, sequence, timestamp, session
_MASK = 0xFFFFFFFF
_MESSAGE_BYTES = _HEADER.size + DATA_BYTES


class Family(NamedTuple):
    """What differs between the two versions of ICMP."""

    protocol: int
    request: int
    reply: int


FAMILIES: Mapping[int, Family] = {
    socket.AF_INET: Family(socket.IPPROTO_ICMP, request=8, reply=0),
    socket.AF_INET6: Family(socket.IPPROTO_ICMPV6, request=128, reply=129),
}


def encode(family: Family, identifier: int, cookie: bytes, request: StampRequest) -> bytes:
    """An echo request. The cookie marks replies as ours: other programs choose identifiers too."""
    data = _DATA.pack(cookie, request.sequence, request.timestamp, request.ssid).ljust(DATA_BYTES, b"\0")
    sequence = request.sequence & 0xFFFF
    # ICMPv6's checksum covers addresses that only the kernel knows: it fills that one in.
    blank = _HEADER.pack(family.request, 0, 0, identifier, sequence) + data
    total = checksum(blank) if family.protocol == socket.IPPROTO_ICMP else 0
    return _HEADER.pack(family.request, 0, total, identifier, sequence) + data


def decode(family: Family, message: bytes, cookie: bytes) -> StampReply:
    """The reply to a request of ours. Raises MessageError: `short`, or `foreign` for what answers somebody else."""
    if len(message) < _HEADER.size:
        raise MessageError("short")
    if message[0] != family.reply or message[_HEADER.size : _HEADER.size + COOKIE_BYTES] != cookie:
        raise MessageError("foreign")
    if len(message) < _MESSAGE_BYTES:
        raise MessageError("short")
    _, sequence, timestamp, ssid = _DATA.unpack_from(message, _HEADER.size)
    return reflected(sequence, timestamp, ssid)


def reflected(sequence: int, timestamp: int, ssid: int) -> StampReply:
    """A request's fields as a stateless reflector without residence time would send them back.

    T2 and T3 are alike, so that nothing is subtracted; error 0 is a clock that says nothing, so no one-way delays.
    """
    return StampReply(sequence & _MASK, timestamp, 0, ssid, timestamp, sequence & _MASK, timestamp, 0, 0)


def without_ip_header(datagram: bytes) -> bytes:
    """The ICMP message in what a socket delivered: raw IPv4 sockets deliver the IP header too.

    RFC 791 §3.1: it begins with the version, 4, and its length in 32-bit words. An echo reply begins with 0 or 129.
    """
    if datagram[:1] and datagram[0] >> 4 == 4:
        return datagram[4 * (datagram[0] & 0x0F) :]
    return datagram


# raw(7), linux/icmpv6.h: a bit a type, set for what a raw socket does not want. Without a filter all other ICMP of
# the machine, and on loopback our own requests, would wake us.
_FILTER = 1
_FILTERS = {
    socket.AF_INET: (255, struct.pack("@I", 0xFFFFFFFF ^ 1 << FAMILIES[socket.AF_INET].reply)),
    socket.AF_INET6: (
        socket.IPPROTO_ICMPV6,
        struct.pack("@8I", *[0xFFFFFFFF] * 4, 0xFFFFFFFF ^ 1 << 1, *[0xFFFFFFFF] * 3),
    ),
}


class IcmpSender(Sender):
    """A `Sender` of ICMP echo requests; a peer's port and the key have no meaning here.

    Unprivileged where net.ipv4.ping_group_range allows it. Raises OperatorError where neither that nor
    CAP_NET_RAW is given.
    """

    def set_peers(self, peers: Iterable[LatencyPeer], tests: LatencyTests) -> None:
        """Probe these peers from now on, in this way."""
        super().set_peers([replace(peer, port=0) for peer in peers], tests)

    @cached_property
    def _cookie(self) -> bytes:
        return secrets.token_bytes(COOKIE_BYTES)

    def _checked(self, tests: LatencyTests) -> LatencyTests:
        return tests.model_copy(update={"authenticated": False})

    def _open(self, family: socket.AddressFamily, address: str) -> Sending[Sent]:
        return Sending(_open(family, address))

    def _encode(self, sending: Sending[Sent], request: StampRequest) -> bytes:
        # A raw socket keeps this identifier, an unprivileged one has its own from the kernel.
        identifier = int.from_bytes(self._cookie[:2])
        return encode(FAMILIES[sending.socket.family], identifier, self._cookie, request)

    def _decode(self, data: bytes, source: Address) -> StampReply:
        version6 = ":" in source[0]
        family = FAMILIES[socket.AF_INET6 if version6 else socket.AF_INET]
        return decode(family, without_ip_header(data), self._cookie)

    def _row(self, target: LatencyTarget[Sending[Sent]], window: Window) -> LatencyRow | None:
        row = super()._row(target, window)
        return row and row.model_copy(update={"method": "icmp"})


def _open(family: socket.AddressFamily, address: str) -> socket.socket:
    protocol = FAMILIES[family].protocol
    try:
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, protocol)
    except PermissionError:
        opened = _open_raw(family, protocol)
    try:
        opened.bind((address, 0))
    except OSError:
        opened.close()
        raise OperatorError(f"bind = {address!r}: is no address of this machine (`ip address` lists them)") from None
    return opened


def _open_raw(family: socket.AddressFamily, protocol: int) -> socket.socket:
    try:
        opened = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    except PermissionError:
        raise OperatorError(
            "ICMP needs our group in `sysctl net.ipv4.ping_group_range`, or the capability CAP_NET_RAW"
        ) from None
    level, types = _FILTERS[family]
    opened.setsockopt(level, _FILTER, types)
    return opened
