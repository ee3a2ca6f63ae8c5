"""ICMP echo (RFC 792, RFC 4443) as a prober, for hosts without a reflector.

A host that answers echo requests is a stateless STAMP reflector that does not say how long it took: it sends our own
fields back. So the data carries what a STAMP request carries, and a reply is read as a STAMP reply; the sessions,
windows and statistics are the same. What is missing is the residence time, which counts as the network's, the
direction of losses, and one-way delays.
"""

from __future__ import annotations

import errno
import secrets
import socket
import struct
from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

from linkweather.checksum import checksum
from linkweather.errors import MessageError, OperatorError
from linkweather.mesh import LatencyTests, Site
from probes.latency.prober import Address, Needs, NoOptions, Wording
from probes.latency.stamp_packet import StampReply, StampRequest, echoed

DATA_BYTES = 56  # as `ping` sends, so that the two compare
COOKIE_BYTES = 8

_HEADER = Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_DATA = Struct(f"!{COOKIE_BYTES}sIQH")  # whose, sequence, timestamp, session
_MESSAGE_BYTES = _HEADER.size + DATA_BYTES


class EchoFamily(NamedTuple):
    """What differs between the two versions of ICMP."""

    protocol: int
    request: int
    reply: int


FAMILIES: Mapping[int, EchoFamily] = {
    socket.AF_INET: EchoFamily(socket.IPPROTO_ICMP, request=8, reply=0),
    socket.AF_INET6: EchoFamily(socket.IPPROTO_ICMPV6, request=128, reply=129),
}


def encode(family: EchoFamily, identifier: int, cookie: bytes, request: StampRequest) -> bytes:
    """An echo request. The cookie marks replies as ours: other programs choose identifiers too."""
    data = _DATA.pack(cookie, request.sequence, request.timestamp, request.ssid).ljust(DATA_BYTES, b"\0")
    sequence = request.sequence & 0xFFFF
    # ICMPv6's checksum covers addresses that only the kernel knows: it fills that one in.
    blank = _HEADER.pack(family.request, 0, 0, identifier, sequence) + data
    total = checksum(blank) if family.protocol == socket.IPPROTO_ICMP else 0
    return _HEADER.pack(family.request, 0, total, identifier, sequence) + data


def decode(family: EchoFamily, message: bytes, cookie: bytes) -> StampReply:
    """The reply to a request of ours. Raises MessageError: `short`, or `foreign` for another program's."""
    if len(message) < _HEADER.size:
        raise MessageError("short")
    if message[0] != family.reply or message[_HEADER.size : _HEADER.size + COOKIE_BYTES] != cookie:
        raise MessageError("foreign")
    if len(message) < _MESSAGE_BYTES:
        raise MessageError("short")
    _, sequence, timestamp, ssid = _DATA.unpack_from(message, _HEADER.size)
    return echoed(sequence, timestamp, ssid)


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


class IcmpProber:
    """Echo requests, by the unprivileged kind of socket where net.ipv4.ping_group_range allows it."""

    wording = Wording("ICMP echo", "", "the host answers", "no echo reply comes")
    needs = Needs()
    options = NoOptions

    def __init__(self) -> None:
        self._cookie = secrets.token_bytes(COOKIE_BYTES)

    def destination(self, site: Site, options: NoOptions) -> Address:
        """The site's address; ICMP has no ports."""
        del options
        return site.address, 0

    def apply_settings(self, tests: LatencyTests, key: bytes | None) -> None:
        """Nothing in the mesh's settings is about ICMP, which cannot be authenticated."""

    def open(self, family: socket.AddressFamily, address: str) -> socket.socket:
        """An ICMP socket. Raises OperatorError where neither the group nor CAP_NET_RAW allows one."""
        return _open(family, address)

    def encode(self, request: StampRequest, family: socket.AddressFamily) -> bytes:
        """An echo request; a raw socket keeps its identifier, an unprivileged one has its own from the kernel."""
        return encode(FAMILIES[family], int.from_bytes(self._cookie[:2]), self._cookie, request)

    def decode(self, data: bytes, family: socket.AddressFamily) -> StampReply:
        """An echo reply. Raises MessageError: `short`, `foreign`."""
        return decode(FAMILIES[family], without_ip_header(data), self._cookie)


def _open(family: socket.AddressFamily, address: str) -> socket.socket:
    protocol = FAMILIES[family].protocol
    try:
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, protocol)
    except PermissionError:
        opened = _open_raw(family, protocol)
    except OSError as error:
        raise OperatorError(f"ICMP cannot be sent from here: {error.strerror}") from None
    try:
        opened.bind((address, 0))
    except OSError as error:
        opened.close()
        known = {errno.EADDRNOTAVAIL: "is no address of this machine (`ip address` lists them)"}
        why = known.get(error.errno or 0, f"ICMP cannot be sent from there: {error.strerror}")
        raise OperatorError(f"bind = {address!r}: {why}") from None
    return opened


def _open_raw(family: socket.AddressFamily, protocol: int) -> socket.socket:
    try:
        opened = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    except PermissionError:
        raise OperatorError(
            "ICMP needs our group in `sysctl net.ipv4.ping_group_range`, or the capability CAP_NET_RAW"
        ) from None
    except OSError as error:
        raise OperatorError(f"ICMP cannot be sent from here: {error.strerror}") from None
    level, types = _FILTERS[family]
    opened.setsockopt(level, _FILTER, types)
    return opened
