"""What a received packet says about a probe: ICMP errors with the quoted packet, echo replies, TCP answers. Pure.

Plain bytes, read by hand: scapy 2.8 looks for ICMP extensions at octet 136 only, and takes the quoted payload of a long
error for one. A packet that is truncated, of another program or nonsense is None, never an error.

A probe is recognised by `ProbeIdentity`. Routers that share load choose a branch by the fields of a flow, so these must
not differ between the probes of one flow (Augustin et al., "Avoiding traceroute anomalies with Paris traceroute",
2006). The probe's number stands where no router looks and every quote has it: in the UDP length, the echo sequence
(the payload evens out the checksum, which some routers take for ports), or the TCP sequence.
"""

from __future__ import annotations

import socket
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from linkweather.checksum import checksum
from linkweather.mesh import PathMethod

Outcome = Literal["exceeded", "reached", "refused"]
Kind = Literal["exceeded", "reached", "refused", "too_big"]

_PROTOCOLS: Mapping[int, PathMethod] = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp"}
_EXTENSION_HEADERS = {0, 43, 60}  # RFC 8200 §4: hop-by-hop, routing, destination options
_MPLS_CLASS = 1
# RFC 4884 §5.5: what was sent before that standard quotes 128 octets and has no length.
_OLD_QUOTE_BYTES = 128
_QUOTED = {3: "dest", 11: "exceeded"}  # ICMPv4 types
_QUOTED6 = {1: "dest", 2: "too_big", 3: "exceeded"}
_TCP_SYN_ACK, _TCP_RST, _TCP_ACK = 0x12, 0x04, 0x10


class Quote(NamedTuple):
    """A probe as a reply shows it. `key` is the source port or echo identifier, `port` the destination port.

    `value` is where the probe's number stands: UDP length, echo sequence, TCP sequence.
    """

    method: PathMethod
    destination: str
    key: int
    port: int
    value: int


class TraceReply(NamedTuple):
    """What was said about which probe, and by which address. `mtu_bytes` is 0 where the router does not say."""

    kind: Kind
    address: str
    quote: Quote
    mtu_bytes: int = 0
    labels: tuple[int, ...] = ()


def icmp(packet: bytes) -> TraceReply | None:
    """Read an IPv4 packet with ICMP, as a raw socket gives it."""
    body = _after_ipv4(packet)
    if body is None or len(body) < 8:
        return None
    address = socket.inet_ntoa(packet[12:16])
    kind, code = body[0], body[1]
    if kind == 0:
        return _echo_reply(address, body)
    if kind not in _QUOTED:
        return None
    quote = _quoted4(body[8:])
    if quote is None:
        return None
    too_big = kind == 3 and code == 4  # RFC 1191 §4
    mtu = struct.unpack_from("!H", body, 6)[0] if too_big else 0
    meaning: Kind = "too_big" if too_big else _meaning(_QUOTED[kind], address, quote, port=code == 3)
    # RFC 4884 §4.1: for ICMPv4 the length of the quote counts 32-bit words.
    return TraceReply(meaning, address, quote, mtu, labels(body[8:], body[5] * 4))


def icmp6(body: bytes, address: str) -> TraceReply | None:
    """Read an ICMPv6 message from `address`; a raw socket gives it without its IPv6 header."""
    if len(body) < 8:
        return None
    kind, code = body[0], body[1]
    if kind == 129:
        return _echo_reply(address, body)
    if kind not in _QUOTED6:
        return None
    quote = _quoted6(body[8:])
    if quote is None:
        return None
    said = _QUOTED6[kind]
    if said == "too_big":
        return TraceReply("too_big", address, quote, min(struct.unpack_from("!I", body, 4)[0], 65535))
    # RFC 4884 §4.2: for ICMPv6 the length counts 64-bit words.
    return TraceReply(_meaning(said, address, quote, port=code == 4), address, quote, 0, labels(body[8:], body[4] * 8))


def tcp(packet: bytes) -> TraceReply | None:
    """Read an IPv4 packet with a TCP segment."""
    segment = _after_ipv4(packet)
    return None if segment is None else tcp6(segment, socket.inet_ntoa(packet[12:16]))


def tcp6(segment: bytes, address: str) -> TraceReply | None:
    """Read a TCP segment from `address`: an answer to our SYN acknowledges its sequence number plus one."""
    if len(segment) < 20:
        return None
    port, key, _, acknowledged, _, flags = struct.unpack_from("!HHIIBB", segment)
    if not flags & _TCP_ACK or (flags & _TCP_SYN_ACK != _TCP_SYN_ACK and not flags & _TCP_RST):
        return None
    return TraceReply("reached", address, Quote("tcp", address, key, port, (acknowledged - 1) % 2**32))


def labels(quoted: bytes, quoted_bytes: int) -> tuple[int, ...]:
    """The MPLS labels in the extensions after a quote of so many octets (0: the sender knows no lengths)."""
    extension = quoted[max(quoted_bytes, _OLD_QUOTE_BYTES) :]
    # RFC 4884 §7: version 2, and a correct checksum: without a length there is no other sign of an extension.
    if len(extension) < 8 or extension[0] >> 4 != 2:
        return ()
    has_checksum = extension[2:4] != b"\0\0"
    if checksum(extension) != 0 if has_checksum else not quoted_bytes:
        return ()
    found: list[int] = []
    at = 4
    while at + 4 <= len(extension):
        length, kind = struct.unpack_from("!HB", extension, at)
        if length < 4 or at + length > len(extension):
            break
        if kind == _MPLS_CLASS:  # RFC 4950 §2: label, experimental bits, bottom of stack, TTL
            entries = extension[at + 4 : at + length - (length % 4)]
            found += [entry[0] >> 12 for entry in struct.iter_unpack("!I", entries)]
        at += length
    return tuple(found)


def _echo_reply(address: str, body: bytes) -> TraceReply:
    key, sequence = struct.unpack_from("!HH", body, 4)
    return TraceReply("reached", address, Quote("icmp", address, key, 0, sequence))


def _meaning(said: str, address: str, quote: Quote, *, port: bool) -> Kind:
    if said == "exceeded":
        return "exceeded"
    # Only the host itself knows its ports; it was reached, whatever else it says.
    return "reached" if port or address == quote.destination else "refused"


def _after_ipv4(packet: bytes) -> bytes | None:
    header = (packet[0] & 0xF) * 4 if packet and packet[0] >> 4 == 4 else 0
    return packet[header:] if 20 <= header <= len(packet) else None


def _quoted4(quoted: bytes) -> Quote | None:
    transport = _after_ipv4(quoted)
    if transport is None:
        return None
    return _transport(quoted[9], socket.inet_ntoa(quoted[16:20]), transport)


def _quoted6(quoted: bytes) -> Quote | None:
    if len(quoted) < 40 or quoted[0] >> 4 != 6:
        return None
    destination = socket.inet_ntop(socket.AF_INET6, quoted[24:40])
    following, transport = quoted[6], quoted[40:]
    while following in _EXTENSION_HEADERS and len(transport) >= 8:
        following, transport = transport[0], transport[8 + 8 * transport[1] :]
    return _transport(following, destination, transport)


def _transport(protocol: int, destination: str, transport: bytes) -> Quote | None:
    # RFC 792: a quote has at least eight octets of it.
    method = _PROTOCOLS.get(protocol)
    if method is None or len(transport) < 8:
        return None
    first, second, third, fourth = struct.unpack_from("!HHHH", transport)
    if method == "icmp":
        return Quote(method, destination, third, 0, fourth) if transport[0] in {8, 128} else None
    return Quote(method, destination, first, second, third if method == "udp" else third << 16 | fourth)


UDP_HEADER_BYTES = 8
TCP_BASE = 0x4C570000  # any number will do: no connection is made
MOST_PROBES = 1 << 16
# method → what is added to a probe's number.
OFFSETS: Mapping[PathMethod, int] = {"udp": UDP_HEADER_BYTES + 2, "icmp": 0, "tcp": TCP_BASE}
# Above what Linux gives to programs that ask for any port (net.ipv4.ip_local_port_range), so that they are free.
_FIRST_KEY, _KEYS = 61_000, 4_000


def first_key(src: str, dst: str) -> int:
    """The source port, or echo identifier, of a link's first flow: the same in every trace, after a restart too."""
    return _FIRST_KEY + zlib.crc32(f"{src} {dst}".encode()) % _KEYS


@dataclass(frozen=True, slots=True)
class ProbeIdentity:
    """The probes of one trace. `keys` are the flows' source ports or echo identifiers, `port` is where they go."""

    method: PathMethod
    source: str
    destination: str
    keys: Sequence[int]
    port: int

    @property
    def version(self) -> int:
        """Of IP, 4 or 6."""
        return 6 if ":" in self.destination else 4

    def number(self, quote: Quote) -> int | None:
        """The number of the probe that a reply quotes; None when it is not one of these."""
        ours = (self.method, self.destination) == (quote.method, quote.destination)
        if not ours or quote.key not in self.keys or (self.method != "icmp" and quote.port != self.port):
            return None
        number = quote.value - OFFSETS[self.method]
        return number if 0 <= number < MOST_PROBES else None
