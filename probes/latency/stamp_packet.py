"""STAMP packets (RFC 8762), with the session identifier of RFC 8972: bytes in, fields out, and back.

Timestamps and error estimates stay as they are on the wire, raw integers (see `timestamps`). Fields that must be
zero are ignored on receipt and sent as zero. A sender reads and writes named tuples. A reflector makes none, at
100,000 packets a second: it copies a request's octets into the reply, and adds T3 as the last thing before sending.
"""

from __future__ import annotations

import hmac
from struct import Struct
from typing import NamedTuple

from linkweather.errors import MessageError

BASE_BYTES = 44
AUTHENTICATED_BYTES = 112
TWAMP_BYTES, TWAMP_REPLY_BYTES = 14, 41  # RFC 5357 §4.1.2 and §4.2.1, without padding
LEAST_REPLY_BYTES = 38  # all four timestamps; some responders leave out the TTL of the 41 octets as well
MAX_BYTES = 1472  # what fits an Ethernet frame over IPv4 in one piece
_SIGNED_BYTES = 96
_HMAC_BYTES = 16

# The layouts of RFC 8762 §4.2.1 (unauthenticated), §4.2.2 (authenticated) and §4.3 (replies), without HMAC.
_REQUEST = Struct("!IQHH28x")
_SIGNED_REQUEST = Struct("!I12xQHH68x")
_REPLY = Struct("!IQHHQIQH2xB3x")
_SIGNED_REPLY = Struct("!I12xQHH4xQ8xI12xQH6xB15x")
# Where a reply carries T3 and T2; a request has its timestamp and zeros there.
_TIMES, _SIGNED_TIMES = (4, 16), (16, 32)
# What RFC 8762 §4.2 wants to be zero in a request.
_BLANK, _SIGNED_BLANK = slice(16, BASE_BYTES), slice(28, _SIGNED_BYTES)
_MOST_RESIDENCE_S = 16
_SECONDS_MASK = 0xFFFFFFFF
# The same replies as a reflector fills them: SSID and the sender's fields are octets of the request, T3 comes later.
_REFLECTED = Struct("!I8xH2sQ14s2xB3x")
_SIGNED_REFLECTED = Struct("!I20xH2s4xQ8x4s12x10s6xB15x16x")
_T3, _SIGNED_T3 = 4, 16
SSID, SIGNED_SSID = 14, 26
_TIMESTAMP = Struct("!Q")
_NO_SSID = bytes(2)
_NO_TIME = bytes(8)
_MASK = 0xFFFFFFFF


class StampRequest(NamedTuple):
    """What a session-sender sends. `extra` is what stands behind the base packet."""

    sequence: int
    timestamp: int
    error: int
    ssid: int
    extra: bytes = b""


class StampReply(NamedTuple):
    """What a reflector sends back: T3 (`timestamp`), T2 (`received`), and the request's own fields.

    `light` says that it came in the shorter format of TWAMP-Light, without a session identifier.
    """

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
    light: bool = False


def encode_request(request: StampRequest, key: bytes | None = None) -> bytes:
    """Encode a request; with a key, in authenticated mode."""
    layout = _SIGNED_REQUEST if key else _REQUEST
    packed = layout.pack(*request[:4])
    return packed + (_digest(packed, key) if key else b"") + request.extra


def decode_request(data: bytes, key: bytes | None = None) -> StampRequest:
    """Decode a request. Raises MessageError: `short`, or with a key `bad_hmac`."""
    base = _check(data, key)
    layout = _SIGNED_REQUEST if key else _REQUEST
    return StampRequest._make((*layout.unpack_from(data), data[base:]))


def decode_reply(data: bytes, key: bytes | None = None) -> StampReply:
    """Decode a reply, STAMP's or TWAMP-Light's. Raises MessageError: `short_reply`, or with a key `bad_hmac`."""
    if not key and LEAST_REPLY_BYTES <= len(data) < BASE_BYTES:
        # RFC 5357 §4.2.1: the layout is STAMP's, and ends after the sender's error estimate, or after its TTL.
        padded = data[:TWAMP_REPLY_BYTES].ljust(BASE_BYTES, b"\0")
        return StampReply._make((*_REPLY.unpack(padded), b"", True))
    try:
        base = _check(data, key)
    except MessageError as error:
        raise _refused_reply(error.reason, len(data), key) from None
    layout = _SIGNED_REPLY if key else _REPLY
    return StampReply._make((*layout.unpack_from(data), data[base:], False))


def echoed(sequence: int, timestamp: int, ssid: int) -> StampReply:
    """A request's fields as a stateless reflector without residence time would send them back.

    T2 and T3 are alike, so that nothing is subtracted; error 0 is a clock that says nothing, so no one-way delays.
    """
    return StampReply(sequence & _MASK, timestamp, 0, ssid, timestamp, sequence & _MASK, timestamp, 0, 0)


def is_reply(data: bytes, *, authenticated: bool) -> bool:
    """Whether a datagram has the form of a reflector's reply, ours or another's.

    A reply carries when it was received and when it left, on one clock and seconds apart at most; a request has zeros
    there, or TWAMP-Light's padding, which is like this once in 10⁸.
    """
    sent, received = _SIGNED_TIMES if authenticated else _TIMES
    if len(data) < LEAST_REPLY_BYTES or data[received : received + 8] == _NO_TIME:
        return False
    # Both formats of time begin with 32 bits of seconds.
    residence_s = int.from_bytes(data[sent : sent + 4]) - int.from_bytes(data[received : received + 4])
    return (residence_s + _MOST_RESIDENCE_S) & _SECONDS_MASK <= 2 * _MOST_RESIDENCE_S


def is_plain_request(data: bytes, *, authenticated: bool) -> bool:
    """Whether everything that must be zero in a session-sender's packet is."""
    return not any(data[_SIGNED_BLANK if authenticated else _BLANK])


def sequence_of(request: bytes) -> int:
    """The sequence number of a request, in either mode."""
    return int.from_bytes(request[:4])


def ssid_of(request: bytes) -> bytes:
    """The session identifier of an unauthenticated request; one of TWAMP-Light has none (RFC 8762 §4.6)."""
    return request[SSID : SSID + 2] if len(request) >= BASE_BYTES else _NO_SSID


def ssid_of_signed(request: bytes) -> bytes:
    """The session identifier of an authenticated request."""
    return request[SIGNED_SSID : SIGNED_SSID + 2]


def draft(request: bytes, ssid: bytes, sequence: int, received: int, *, ttl: int, error: int) -> bytearray:
    """The base packet of an unauthenticated reply, without T3. `received` is T2, `error` our own error estimate."""
    return bytearray(_REFLECTED.pack(sequence, error, ssid, received, request[:14], ttl))


def draft_signed(request: bytes, ssid: bytes, sequence: int, received: int, *, ttl: int, error: int) -> bytearray:
    """Likewise in authenticated mode, also without HMAC."""
    return bytearray(_SIGNED_REFLECTED.pack(sequence, error, ssid, received, request[:4], request[16:26], ttl))


def depart(reply: bytearray, timestamp: int, key: bytes | None) -> None:
    """Complete a draft with T3, and with a key by the HMAC over it."""
    if key:
        _TIMESTAMP.pack_into(reply, _SIGNED_T3, timestamp)
        reply[_SIGNED_BYTES:AUTHENTICATED_BYTES] = _digest(reply[:_SIGNED_BYTES], key)
    else:
        _TIMESTAMP.pack_into(reply, _T3, timestamp)


def _check(data: bytes, key: bytes | None) -> int:
    base = AUTHENTICATED_BYTES if key else BASE_BYTES
    if len(data) < base:
        raise MessageError("short")
    if key and not hmac.compare_digest(_digest(data[:_SIGNED_BYTES], key), data[_SIGNED_BYTES:base]):
        raise MessageError("bad_hmac")
    return base


def _refused_reply(reason: str, octets: int, key: bytes | None) -> MessageError:
    if reason == "bad_hmac":
        return MessageError(reason, "a reflector answers, but not with our key: it has another one, or none")
    least = AUTHENTICATED_BYTES if key else LEAST_REPLY_BYTES
    return MessageError("short_reply", f"what answers sends {octets} octets, and a reply has {least} or more")


def _digest(signed: bytes | bytearray, key: bytes) -> bytes:
    # RFC 8762 §4.4: HMAC-SHA-256 cut to 128 bits; one call, as it stands in every packet's way.
    return hmac.digest(key, signed, "sha256")[:_HMAC_BYTES]
