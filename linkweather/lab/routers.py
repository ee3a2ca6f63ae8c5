"""The routers on a link: they decrement the TTL, share load, answer. Pure: bytes in, bytes out."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from linkweather.checksum import checksum

Why = Literal["exceeded", "too_big"]

# What an error quotes: RFC 1812 §4.3.2.3 (a packet of 576 octets in all), RFC 4443 §2.4 (1280 in all).
_QUOTE_BYTES, _QUOTE6_BYTES = 576 - 28, 1280 - 48
_EXTENDED_QUOTE_BYTES = 128  # RFC 4884 §4: where extensions follow
_ERROR_TTL = 64
_DONT_FRAGMENT = 0x40
_ICMP, _ICMP6, _TCP, _UDP = 1, 58, 6, 17
# An error message is never answered by another (RFC 1122 §3.2.2, RFC 4443 §2.4).
_ECHOES = {0, 8}


@dataclass(frozen=True, slots=True)
class EmulatedRouter:
    """A router: its packed addresses, the largest packet that it forwards, and whether it answers."""

    v4: bytes
    v6: bytes
    mtu_bytes: int
    silent: bool = False
    labels: tuple[int, ...] = ()


class StoppedPacket(NamedTuple):
    """A packet that the router at `place`, from 1, did not forward, and its answer, if any."""

    place: int
    answer: bytes | None


def choose(packet: bytes, via: Sequence[Sequence[EmulatedRouter]]) -> list[EmulatedRouter]:
    """The routers that a packet meets; where several share the load, a hash of its flow decides."""
    return [
        choice[_hash(packet, place) % len(choice)] if len(choice) > 1 else choice[0] for place, choice in enumerate(via)
    ]


def through(packet: bytes, routers: Sequence[EmulatedRouter]) -> bytes | StoppedPacket:
    """The packet as it leaves the last router, or where it was stopped.

    A packet that is too big but may be fragmented passes whole: the lab does not fragment.
    """
    version4 = packet[0] >> 4 == 4
    ttl = packet[8] if version4 else packet[7]
    whole = not version4 or packet[6] & _DONT_FRAGMENT
    for place, router in enumerate(routers, start=1):
        if ttl - place < 1:
            return _stopped(packet, place, router, "exceeded")
        if whole and len(packet) > router.mtu_bytes:
            return _stopped(packet, place, router, "too_big")
    return _with_ttl(packet, ttl - len(routers))


def _hash(packet: bytes, place: int) -> int:
    return int.from_bytes(hashlib.blake2b(_flow(packet), digest_size=4, salt=bytes([place])).digest(), "big")


def _flow(packet: bytes) -> bytes:
    if packet[0] >> 4 == 4:
        header = (packet[0] & 0xF) * 4
        return packet[9:10] + packet[12:20] + packet[header : header + 4]
    # Ports; of ICMP type, code and checksum, as many routers do.
    return packet[6:7] + packet[8:44]


def _with_ttl(packet: bytes, ttl: int) -> bytes:
    if packet[0] >> 4 == 6:
        return packet[:7] + bytes([ttl]) + packet[8:]
    length = (packet[0] & 0xF) * 4
    header = packet[:8] + bytes([ttl]) + packet[9:10] + b"\0\0" + packet[12:length]
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + packet[length:]


def _stopped(packet: bytes, place: int, router: EmulatedRouter, why: Why) -> StoppedPacket:
    version4 = packet[0] >> 4 == 4
    if router.silent or _is_error(packet):
        return StoppedPacket(place, None)
    as_it_came = _with_ttl(packet, (packet[8] if version4 else packet[7]) - place + 1)
    return StoppedPacket(place, (_answer4 if version4 else _answer6)(as_it_came, router, why))


def _is_error(packet: bytes) -> bool:
    if packet[0] >> 4 == 4:
        at = (packet[0] & 0xF) * 4
        return packet[9] == _ICMP and packet[at : at + 1] not in {bytes([kind]) for kind in _ECHOES}
    return packet[6] == _ICMP6 and packet[40:41] < b"\x80"  # RFC 4443 §2.1


_TYPES4: Mapping[Why, tuple[int, int]] = {"exceeded": (11, 0), "too_big": (3, 4)}
_TYPES6: Mapping[Why, tuple[int, int]] = {"exceeded": (3, 0), "too_big": (2, 0)}


def _answer4(packet: bytes, router: EmulatedRouter, why: Why) -> bytes:
    kind, code = _TYPES4[why]
    quote, words = _quote(packet, router, _QUOTE_BYTES, 4)
    mtu = router.mtu_bytes if why == "too_big" else 0
    icmp = _summed(lambda total: struct.pack("!BBHBBH", kind, code, total, 0, words, mtu) + quote, b"")
    head = struct.pack("!BBHHHBBH", 0x45, 0xC0, 20 + len(icmp), 0, 0, _ERROR_TTL, _ICMP, 0)
    return _with_ttl(head + router.v4 + packet[12:16], _ERROR_TTL) + icmp


def _answer6(packet: bytes, router: EmulatedRouter, why: Why) -> bytes:
    kind, code = _TYPES6[why]
    if why == "too_big":
        quote, rest = packet[:_QUOTE6_BYTES], struct.pack("!I", router.mtu_bytes)
    else:
        quote, words = _quote(packet, router, _QUOTE6_BYTES, 8)
        rest = struct.pack("!BBH", words, 0, 0)
    ends = router.v6 + packet[8:24]
    pseudo = ends + struct.pack("!II", 8 + len(quote), _ICMP6)  # RFC 8200 §8.1
    icmp = _summed(lambda total: struct.pack("!BBH", kind, code, total) + rest + quote, pseudo)
    return struct.pack("!IHBB", 6 << 28, len(icmp), _ICMP6, _ERROR_TTL) + ends + icmp


def _summed(build: Callable[[int], bytes], pseudo: bytes) -> bytes:
    return build(checksum(pseudo + build(0)))


def _quote(packet: bytes, router: EmulatedRouter, most_bytes: int, word_bytes: int) -> tuple[bytes, int]:
    """The quoted packet, with the router's labels after it (RFC 4950), and its length in words (0: no labels)."""
    if not router.labels:
        return packet[:most_bytes], 0
    quote = packet[:_EXTENDED_QUOTE_BYTES].ljust(_EXTENDED_QUOTE_BYTES, b"\0")
    return quote + _extension(router.labels), _EXTENDED_QUOTE_BYTES // word_bytes


def _extension(labels: Sequence[int]) -> bytes:
    last = len(labels) - 1
    entries = b"".join(struct.pack("!I", label << 12 | (place == last) << 8 | 1) for place, label in enumerate(labels))
    stack = struct.pack("!HBB", 4 + len(entries), 1, 1) + entries
    return _summed(lambda total: struct.pack("!BBH", 0x20, 0, total) + stack, b"")
