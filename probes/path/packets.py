"""Probes as bytes, whole IP packets built with scapy.

A room of its own, because scapy takes half a second to import: only the tracer's process does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6

from linkweather.mesh import PathMethod
from probes.path.replies import OFFSETS, UDP_HEADER_BYTES, ProbeIdentity

HEADER_BYTES: Mapping[int, int] = {4: 20, 6: 40}


def probe(identity: ProbeIdentity, flow: int, ttl: int, number: int) -> bytes:
    """Probe `number` of a trace."""
    return bytes(_network(identity, flow, ttl) / _TRANSPORTS[identity.method](identity, flow, number))


def sized(identity: ProbeIdentity, size_bytes: int, number: int) -> bytes:
    """A probe of exactly `size_bytes` that no router may fragment; by UDP its number follows from its size."""
    packet = _network(identity, 0, 64) / _TRANSPORTS[identity.method](identity, 0, number)
    return bytes(packet / bytes(size_bytes - len(bytes(packet))))


def number_of_size(version: int, size_bytes: int) -> int:
    """The number of a UDP probe of this size."""
    return size_bytes - HEADER_BYTES[version] - OFFSETS["udp"]


def _network(identity: ProbeIdentity, flow: int, ttl: int) -> Any:
    if identity.version == 6:
        # RFC 6438: routers may share load by the flow label; it is part of the flow.
        return IPv6(src=identity.source, dst=identity.destination, hlim=ttl, fl=identity.keys[flow])
    return IP(src=identity.source, dst=identity.destination, ttl=ttl, flags="DF", id=1)


def _udp(identity: ProbeIdentity, flow: int, number: int) -> Any:
    payload_bytes = number + OFFSETS["udp"] - UDP_HEADER_BYTES
    return UDP(sport=identity.keys[flow], dport=identity.port) / bytes(payload_bytes)


def _echo(identity: ProbeIdentity, flow: int, number: int) -> Any:
    # Sequence and complement sum to zero: the checksum stays that of the flow.
    even = (number ^ 0xFFFF).to_bytes(2, "big")
    kind = ICMPv6EchoRequest if identity.version == 6 else ICMP
    return kind(id=identity.keys[flow], seq=number) / even


def _syn(identity: ProbeIdentity, flow: int, number: int) -> Any:
    sequence = number + OFFSETS["tcp"]
    return TCP(sport=identity.keys[flow], dport=identity.port, seq=sequence, flags="S", options=[("MSS", 1400)])


_TRANSPORTS: Mapping[PathMethod, Callable[[ProbeIdentity, int, int], Any]] = {"udp": _udp, "icmp": _echo, "tcp": _syn}
