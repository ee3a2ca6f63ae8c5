"""What a reflector makes of a request's TLVs (RFC 8972 §4), which stand behind the base packet. Pure.

A TLV is flags, type, length of the value, value. The sender sets the flag U; a reflector that knows the type
clears it. Two types are known here, padding and the HMAC; others come back as they are, with U.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

UNRECOGNISED, MALFORMED, UNVERIFIED = 0x80, 0x40, 0x20  # the flags U, M, I
PADDING, HMAC = 1, 8  # RFC 8972 §4.1 and §4.8
HEADER_BYTES = 4
MOST = 32  # TLVs that are looked at: a packet of hundreds must not cost what hundreds of packets cost

_HEADER = Struct("!BBH")
_SEQUENCE = Struct("!I")
_HMAC_BYTES = 16


class _Found(NamedTuple):
    """Where a TLV begins, its type (None: it does not fit, and neither does what follows) and where it ends."""

    start: int
    kind: int | None
    end: int


class Reflected(NamedTuple):
    """What goes behind the reply, as long as what came; and the flags that it carries, all together."""

    extra: bytes
    flags: int


def padding(octets: int) -> bytes:
    """One Extra Padding TLV of so many octets in all, at least 4."""
    length = octets - HEADER_BYTES
    return _HEADER.pack(UNRECOGNISED, PADDING, length) + bytes(length)


def reflect(extra: bytes, *, key: bytes | None, received: int, replied: int) -> Reflected:
    """What a reflector sends back of what stood behind a request.

    `received` is the request's sequence and `replied` the reply's: with a key, the HMAC of the TLVs covers it.
    """
    if not extra.strip(b"\0"):
        return Reflected(extra, 0)  # type 0 is no TLV: this is the padding of RFC 8762, which is copied
    tlvs = list(_walk(extra))
    copy = bytearray(extra)
    if key and not _verified(extra, tlvs, key, received):
        # RFC 8972 §4.8: nothing of them is processed, and each says so.
        for tlv in tlvs:
            copy[tlv.start] |= UNVERIFIED | (MALFORMED if tlv.kind is None else 0)
        return Reflected(bytes(copy), UNVERIFIED)
    flags = 0
    for tlv in tlvs:
        copy[tlv.start] = _flags(tlv, key)
        flags |= copy[tlv.start]
        if tlv.kind == HMAC and key:
            digest = _digest(copy[: tlv.start], key, replied)
            copy[tlv.start + HEADER_BYTES : tlv.end] = digest
    return Reflected(bytes(copy), flags)


def _walk(extra: bytes) -> Iterator[_Found]:
    start = 0
    for _ in range(MOST):
        if start == len(extra):
            return
        if start + HEADER_BYTES > len(extra):
            break
        _, kind, length = _HEADER.unpack_from(extra, start)
        end = start + HEADER_BYTES + length
        if end > len(extra) or (kind == HMAC and length != _HMAC_BYTES):
            break
        yield _Found(start, kind, end)
        start = end
    if start < len(extra):
        yield _Found(start, None, len(extra))


def _flags(tlv: _Found, key: bytes | None) -> int:
    if tlv.kind is None:
        return MALFORMED
    known = tlv.kind == PADDING or (tlv.kind == HMAC and key is not None)
    return 0 if known else UNRECOGNISED


def _verified(extra: bytes, tlvs: list[_Found], key: bytes, received: int) -> bool:
    """RFC 8972 §4.8: an HMAC TLV is last but for padding, and covers what is before it; padding alone needs none."""
    kinds = [tlv.kind for tlv in tlvs]
    if kinds == [PADDING]:
        return True
    if kinds.count(HMAC) != 1 or any(kind != PADDING for kind in kinds[kinds.index(HMAC) + 1 :]):
        return False
    tlv = tlvs[kinds.index(HMAC)]
    return hmac.compare_digest(_digest(extra[: tlv.start], key, received), extra[tlv.start + HEADER_BYTES : tlv.end])


def _digest(before: bytes | bytearray, key: bytes, sequence: int) -> bytes:
    return hmac.digest(key, _SEQUENCE.pack(sequence) + before, "sha256")[:_HMAC_BYTES]
