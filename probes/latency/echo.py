"""ICMP echo messages (RFC 792, RFC 4443): bytes in, fields out, and back.

A host that answers echo requests is a stateless STAMP reflector whose residence time is not told:
it sends our own fields back. So the data carries what a STAMP request carries, and a reply is read
as a STAMP reply; the sessions, windows and statistics are the same.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

from linkweather.checksum import checksum
from linkweather.errors import MessageError
from probes.latency.packet import Reply, Request

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


def encode(family: Family, identifier: int, cookie: bytes, request: Request) -> bytes:
    """An echo request. The cookie marks replies as ours: other programs choose identifiers too."""
    data = _DATA.pack(cookie, request.sequence, request.timestamp, request.ssid).ljust(DATA_BYTES, b"\0")
    sequence = request.sequence & 0xFFFF
    # ICMPv6's checksum covers addresses that only the kernel knows: it fills that one in.
    blank = _HEADER.pack(family.request, 0, 0, identifier, sequence) + data
    total = checksum(blank) if family.protocol == socket.IPPROTO_ICMP else 0
    return _HEADER.pack(family.request, 0, total, identifier, sequence) + data


def decode(family: Family, message: bytes, cookie: bytes) -> Reply:
    """The reply to a request of ours. Raises MessageError: `short`, or `foreign` for what answers somebody else."""
    if len(message) < _HEADER.size:
        raise MessageError("short")
    if message[0] != family.reply or message[_HEADER.size : _HEADER.size + COOKIE_BYTES] != cookie:
        raise MessageError("foreign")
    if len(message) < _MESSAGE_BYTES:
        raise MessageError("short")
    _, sequence, timestamp, ssid = _DATA.unpack_from(message, _HEADER.size)
    return reflected(sequence, timestamp, ssid)


def reflected(sequence: int, timestamp: int, ssid: int) -> Reply:
    """A request's fields as a stateless reflector without residence time would send them back.

    T2 and T3 are alike, so that nothing is subtracted; error 0 is a clock that says nothing, so no one-way delays.
    """
    return Reply(sequence & _MASK, timestamp, 0, ssid, timestamp, sequence & _MASK, timestamp, 0, 0)


def without_ip_header(datagram: bytes) -> bytes:
    """The ICMP message in what a socket delivered: raw IPv4 sockets deliver the IP header too.

    RFC 791 §3.1: it begins with the version, 4, and its length in 32-bit words. An echo reply begins with 0 or 129.
    """
    if datagram[:1] and datagram[0] >> 4 == 4:
        return datagram[4 * (datagram[0] & 0x0F) :]
    return datagram
