"""The Internet checksum (RFC 1071), in IP, ICMP, UDP and TCP. On its own, for the lab and the probes both need it."""

from __future__ import annotations

import struct


def checksum(data: bytes) -> int:
    """The checksum of octets; 0 if the octets contain their own correct checksum."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(word for (word,) in struct.iter_unpack("!H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
