"""What the kernel knows of a TCP connection: the sock_diag(7) request and its answers as bytes. Pure.

Layouts: linux/netlink.h, linux/inet_diag.h, linux/tcp.h (struct tcp_info, which only ever grows at its end).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

NETLINK_SOCK_DIAG = 4
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST, _DUMP = 0x1, 0x300
_DONE, _ERROR = 3, 2
_INFO, _CONG = 2, 4  # INET_DIAG_INFO, INET_DIAG_CONG
# TCP_ESTABLISHED, and the states in which the rest is sent: FIN_WAIT1, CLOSE_WAIT, LAST_ACK.
_SENDING = 1 << 1 | 1 << 4 | 1 << 8 | 1 << 9

_HEADER = struct.Struct("=IHHII")
_WANTED = struct.Struct("=BBBxI")
_PORTS = struct.Struct(">HH")
_REST_BYTES = 16 + 16 + 4 + 8  # of the socket's id: addresses, interface, cookie; zero asks for any
_MESSAGE_BYTES = 72
_COOKIE = slice(44, 52)
_ATTRIBUTE = struct.Struct("=HH")
_RCV_MSS = struct.Struct("=I"), 20
_TOTAL_RETRANS = struct.Struct("=I"), 100
_BYTES_ACKED = struct.Struct("=Q"), 120
_BYTES_RECEIVED = struct.Struct("=Q"), 128
_DATA_SEGS_IN = struct.Struct("=I"), 152
# Since Linux 4.10: microseconds with data to send, and of those without room at the receiver, and here.
_BUSY = struct.Struct("=QQQ"), 168


@dataclass(frozen=True, slots=True)
class TcpConnection:
    """A connection as our kernel sees it: what limited its sending, for how long since it began; what came in.

    `cookie` is the kernel's own identifier of it. `received_bytes` are in order; `arrived_bytes` are all segments with
    data times their size, those that wait behind a lost one too.
    """

    cookie: bytes
    acked_bytes: int
    retransmits: int
    busy_s: float
    window_limited_s: float
    buffer_limited_s: float
    congestion: str | None
    received_bytes: int = 0
    arrived_bytes: int = 0


def request(family: socket.AddressFamily, port: int, *, remote: bool = False) -> bytes:
    """Ask for every connection from a local port, or to a `remote` one, that can send."""
    extensions = 1 << (_INFO - 1) | 1 << (_CONG - 1)
    wanted = _WANTED.pack(family, socket.IPPROTO_TCP, extensions, _SENDING) + _PORTS.pack(
        *((0, port) if remote else (port, 0))
    )
    length = _HEADER.size + len(wanted) + _REST_BYTES
    return _HEADER.pack(length, _BY_FAMILY, _REQUEST | _DUMP, 1, 0) + wanted + bytes(_REST_BYTES)


def connections(datagram: bytes) -> tuple[list[TcpConnection], bool]:
    """The connections in one answer, and whether it was the last; truncated or too old entries are skipped."""
    found: list[TcpConnection] = []
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        length, kind, *_ = _HEADER.unpack_from(datagram, offset)
        if kind in {_DONE, _ERROR} or length < _HEADER.size:
            return found, True
        connection = _connection(datagram[offset + _HEADER.size : offset + length])
        found += [connection] if connection else []
        offset += _aligned(length)
    return found, not datagram


def _connection(message: bytes) -> TcpConnection | None:
    attributes = dict(_attributes(message[_MESSAGE_BYTES:]))
    info, busy = attributes.get(_INFO, b""), _BUSY[1]
    if len(info) < busy + _BUSY[0].size:
        return None
    busy_us, window_us, buffer_us = _BUSY[0].unpack_from(info, busy)
    total_retrans, bytes_acked, bytes_received, segments_in, segment_bytes = (
        struct_.unpack_from(info, offset)[0]
        for struct_, offset in (_TOTAL_RETRANS, _BYTES_ACKED, _BYTES_RECEIVED, _DATA_SEGS_IN, _RCV_MSS)
    )
    return TcpConnection(
        cookie=message[_COOKIE],
        acked_bytes=bytes_acked,
        retransmits=total_retrans,
        busy_s=busy_us / 1e6,
        window_limited_s=window_us / 1e6,
        buffer_limited_s=buffer_us / 1e6,
        congestion=attributes.get(_CONG, b"").rstrip(b"\0").decode("ascii", "replace") or None,
        received_bytes=bytes_received,
        arrived_bytes=segments_in * segment_bytes,
    )


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
