"""ICMP echo on kernel timestamps, for hosts without a reflector: a STAMP sender that speaks another protocol."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

from linkweather.errors import OperatorError
from linkweather.mesh import LatencyTests
from linkweather.wire import LatencyRow
from probes.latency import echo
from probes.latency.packet import Reply, Request
from probes.latency.sender import Sender, Sent
from probes.latency.sockets import Sending
from probes.latency.targets import Address, Peer, Target
from probes.latency.window import Window

# raw(7), linux/icmpv6.h: a bit a type, set for what a raw socket does not want. Without a filter all other ICMP of
# the machine, and on loopback our own requests, would wake us.
_FILTER = 1
_FILTERS = {
    socket.AF_INET: (255, struct.pack("@I", 0xFFFFFFFF ^ 1 << echo.FAMILIES[socket.AF_INET].reply)),
    socket.AF_INET6: (
        socket.IPPROTO_ICMPV6,
        struct.pack("@8I", *[0xFFFFFFFF] * 4, 0xFFFFFFFF ^ 1 << 1, *[0xFFFFFFFF] * 3),
    ),
}


class IcmpSender(Sender):
    """A `Sender` of ICMP echo requests; a peer's port and the key have no meaning here.

    Unprivileged where net.ipv4.ping_group_range allows it. Raises OperatorError where neither that nor
    CAP_NET_RAW is given.
    """

    def set_peers(self, peers: Iterable[Peer], tests: LatencyTests) -> None:
        """Probe these peers from now on, in this way."""
        super().set_peers([replace(peer, port=0) for peer in peers], tests)

    @cached_property
    def _cookie(self) -> bytes:
        return secrets.token_bytes(echo.COOKIE_BYTES)

    def _checked(self, tests: LatencyTests) -> LatencyTests:
        return tests.model_copy(update={"authenticated": False})

    def _open(self, family: socket.AddressFamily, address: str) -> Sending[Sent]:
        return Sending(_open(family, address))

    def _encode(self, sending: Sending[Sent], request: Request) -> bytes:
        # A raw socket keeps this identifier, an unprivileged one has its own from the kernel.
        identifier = int.from_bytes(self._cookie[:2])
        return echo.encode(echo.FAMILIES[sending.socket.family], identifier, self._cookie, request)

    def _decode(self, data: bytes, source: Address) -> Reply:
        version6 = ":" in source[0]
        family = echo.FAMILIES[socket.AF_INET6 if version6 else socket.AF_INET]
        return echo.decode(family, echo.without_ip_header(data), self._cookie)

    def _row(self, target: Target[Sending[Sent]], window: Window) -> LatencyRow | None:
        row = super()._row(target, window)
        return row and row.model_copy(update={"method": "icmp"})


def _open(family: socket.AddressFamily, address: str) -> socket.socket:
    protocol = echo.FAMILIES[family].protocol
    try:
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, protocol)
    except PermissionError:
        opened = _open_raw(family, protocol)
    try:
        opened.bind((address, 0))
    except OSError:
        opened.close()
        raise OperatorError(f"bind = {address!r}: is no address of this machine (`ip address` lists them)") from None
    return opened


def _open_raw(family: socket.AddressFamily, protocol: int) -> socket.socket:
    try:
        opened = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    except PermissionError:
        raise OperatorError(
            "ICMP needs our group in `sysctl net.ipv4.ping_group_range`, or the capability CAP_NET_RAW"
        ) from None
    level, types = _FILTERS[family]
    opened.setsockopt(level, _FILTER, types)
    return opened
