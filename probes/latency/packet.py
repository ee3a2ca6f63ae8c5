"""STAMP packets (RFC 8762), with the session identifier of RFC 8972: bytes in, fields out, and back.

Timestamps and error estimates stay as they are on the wire, raw integers: a reflector copies them
without looking (see `timestamps`). Fields that must be zero are ignored on receipt and sent as zero.
Named tuples, not dataclasses: they are made once a packet, at 100,000 packets a second.
"""

from __future__ import annotations

import hmac
from struct import Struct
from typing import NamedTuple

from linkweather.errors import MessageError

BASE_BYTES = 44
AUTHENTICATED_BYTES = 112
TWAMP_BYTES, TWAMP_REPLY_BYTES = 14, 41  # RFC 5357 §4.1.2 and §4.2.1, without padding
MAX_BYTES = 1472  # what fits an Ethernet frame over IPv4 in one piece
_SIGNED_BYTES = 96
_HMAC_BYTES = 16

# The layouts of RFC 8762 §4.2.1 (unauthenticated), §4.2.2 (authenticated) and §4.3 (replies), without HMAC.
_REQUEST = Struct("!IQHH28x")
_SIGNED_REQUEST = Struct("!I12xQHH68x")
_REPLY = Struct("!IQHHQIQH2xB3x")
_SIGNED_REPLY = Struct("!I12xQHH4xQ8xI12xQH6xB15x")
_TWAMP_REQUEST = Struct("!IQH")
_TIMESTAMP = Struct("!Q")


class Request(NamedTuple):
    """What a session-sender sends. `extra` is what stands behind the base packet.

    `short_bytes` is how much shorter than the base packet it was: only TWAMP-Light's may be.
    """

    sequence: int
    timestamp: int
    error: int
    ssid: int
    extra: bytes = b""
    short_bytes: int = 0


class Reply(NamedTuple):
    """What a reflector sends back: T3 (`timestamp`), T2 (`received`), and the request's own fields."""

    sequence: int
    timestamp: int
    error: int
    ssid: int
    received: int
    sender_sequence: int
    sender_timestamp: int
    sender_error: int
    sender_ttl: int
    extra: bytes = b""


def encode_request(request: Request, key: bytes | None = None) -> bytes:
    """Encode a request; with a key, in authenticated mode."""
    layout = _SIGNED_REQUEST if key else _REQUEST
    return _seal(layout.pack(*request[:4]), key) + request.extra


def encode_reply(reply: Reply, key: bytes | None = None) -> bytes:
    """Encode a reply; with a key, in authenticated mode."""
    layout = _SIGNED_REPLY if key else _REPLY
    return _seal(layout.pack(*reply[:9]), key) + reply.extra


def restamp(reply: bytes, timestamp: int) -> bytes:
    """An unauthenticated reply with another T3: the last thing before it leaves."""
    return reply[:4] + _TIMESTAMP.pack(timestamp) + reply[12:]


def decode_request(data: bytes, key: bytes | None = None) -> Request:
    """Decode a request. Raises MessageError: `short`, or with a key `bad_hmac`."""
    base = _check(data, key)
    layout = _SIGNED_REQUEST if key else _REQUEST
    return Request._make((*layout.unpack_from(data), data[base:], 0))


def decode_twamp(data: bytes) -> Request:
    """Decode a request of TWAMP-Light that is shorter than STAMP's (RFC 8762 §4.6). Raises MessageError: `short`."""
    if len(data) < TWAMP_BYTES:
        raise MessageError("short")
    # What follows is padding of any kind, not a session identifier.
    return Request._make((*_TWAMP_REQUEST.unpack_from(data), 0, b"", BASE_BYTES - len(data)))


def decode_reply(data: bytes, key: bytes | None = None) -> Reply:
    """Decode a reply. Raises MessageError: `short`, or with a key `bad_hmac`."""
    base = _check(data, key)
    layout = _SIGNED_REPLY if key else _REPLY
    return Reply._make((*layout.unpack_from(data), data[base:]))


def _check(data: bytes, key: bytes | None) -> int:
    base = AUTHENTICATED_BYTES if key else BASE_BYTES
    if len(data) < base:
        raise MessageError("short")
    if key and not hmac.compare_digest(_digest(data[:_SIGNED_BYTES], key), data[_SIGNED_BYTES:base]):
        raise MessageError("bad_hmac")
    return base


def _seal(packed: bytes, key: bytes | None) -> bytes:
    return packed + _digest(packed, key) if key else packed


def _digest(signed: bytes, key: bytes) -> bytes:
    # RFC 8762 §4.4: HMAC-SHA-256 cut to 128 bits; one call, as it stands in every packet's way.
    return hmac.digest(key, signed, "sha256")[:_HMAC_BYTES]
