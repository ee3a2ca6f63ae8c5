"""The Internet checksum (RFC 1071), in IP, ICMP, UDP and TCP."""

from __future__ import annotations

import struct


def checksum(data: bytes) -> int:
    """The checksum of octets; 0 over octets that contain their own, if that is right."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(word for (word,) in struct.iter_unpack("!H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
