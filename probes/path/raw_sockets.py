"""Raw sockets of a trace: whole IP packets out, replies with the kernel's receive time in. They decide nothing."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from scapy.config import conf

from linkweather.errors import MeasurementError
from linkweather.mesh import PathMethod
from probes.latency.kernel_timestamps import REASONS
from probes.path import replies
from probes.path.replies import TraceReply

_SO_TIMESTAMPNS, _SO_ATTACH_FILTER = 35, 26
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER = 10, 23
_PMTUDISC_PROBE = 3  # the kernel's own figure for the path MTU does not apply
_SIOCGIFMTU = 0x8921
_TIMESPEC = struct.Struct("@ll")
_BUFFER_BYTES = 65535
_CONTROL_BYTES = 128
# The kernel has no room at this moment: the packet counts as lost.
_TRANSIENT = {errno.ENOBUFS, errno.EAGAIN}
# Our own kernel refuses a packet that is too big for the first link and must not be fragmented.
TOO_BIG = errno.EMSGSIZE

_KINDS: Mapping[PathMethod, socket.SocketKind] = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}


class ReceivedReply(NamedTuple):
    """A reply, and when it came: by the kernel's clock (UTC, ns) and by the steady one."""

    reply: TraceReply
    kernel_ns: int | None
    now: float


class RawWire:
    """Sends to and hears from one destination. `stack` closes its sockets.

    Raises MeasurementError `no_privileges` where raw sockets are not allowed.
    """

    def __init__(self, to: Destination, tcp_ports: Sequence[int], stack: contextlib.ExitStack) -> None:
        self._destination = to.socket_address()
        family, v4 = to.family, to.family == socket.AF_INET
        try:
            self._out = stack.enter_context(socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW))
            icmp = stack.enter_context(
                socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMP if v4 else socket.IPPROTO_ICMPV6)
            )
            self._readers: dict[int, tuple[socket.socket, Callable[[bytes, str], TraceReply | None]]] = {
                icmp.fileno(): (icmp, _icmp if v4 else replies.icmp6)
            }
            if tcp_ports:
                tcp = stack.enter_context(socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP))
                _only_ports(tcp, tcp_ports, v4=v4)
                self._readers[tcp.fileno()] = (tcp, _tcp if v4 else replies.tcp6)
        except PermissionError:
            raise MeasurementError(
                "no_privileges", "tracing a path needs root, or the capability CAP_NET_RAW"
            ) from None
        level, option = (socket.IPPROTO_IP, _IP_MTU_DISCOVER) if v4 else (socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER)
        self._out.setsockopt(level, option, _PMTUDISC_PROBE)
        for reader, _ in self._readers.values():
            reader.settimeout(0)
            reader.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def send(self, packet: bytes) -> bool:
        """Send a packet; false when it is too big for the first link. Raises MeasurementError: it cannot be sent."""
        try:
            self._out.sendto(packet, self._destination)
        except OSError as error:
            if error.errno == TOO_BIG:
                return False
            if error.errno not in _TRANSIENT:
                code = error.errno or 0
                raise MeasurementError(REASONS.get(code, "send_failed"), os.strerror(code)) from None
        return True

    def receive(self, wait_s: float) -> Iterator[ReceivedReply]:
        """The replies that come within `wait_s`; returns after the first ones. What is no reply is left out."""
        for file in select.select([*self._readers], (), (), max(0.0, wait_s))[0]:
            reader, parse = self._readers[file]
            with contextlib.suppress(BlockingIOError):
                while True:
                    packet, control, _, where = reader.recvmsg(_BUFFER_BYTES, _CONTROL_BYTES)
                    reply = parse(packet, str(where[0]))
                    if reply is not None:
                        yield ReceivedReply(reply, _kernel_ns(control), time.monotonic())


class Destination(NamedTuple):
    """Where a trace goes. `scope` is the interface's number of a link-local address, else 0."""

    family: int
    address: str
    scope: int = 0

    def __str__(self) -> str:
        """The address, with the interface of a link-local one: `fe80::1%eth0`."""
        return f"{self.address}%{socket.if_indextoname(self.scope)}" if self.scope else self.address

    def socket_address(self, port: int = 0, *, own: str | None = None) -> tuple[str, int] | tuple[str, int, int, int]:
        """The address as a socket takes it; for `own`, an address of ours on the same link."""
        address = self.address if own is None else own
        return (address, port) if self.family == socket.AF_INET else (address, port, 0, self.scope)


def resolve(host: str, family: int) -> Destination:
    """The host's first address. Raises MeasurementError `unresolved`."""
    try:
        found = socket.getaddrinfo(host, None, family=family, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no host name"
        raise MeasurementError("unresolved", f"{host} has no address: {why}") from None
    address, _, *more = found[0][4]
    # With an interface Python returns the address as it was given, here without it.
    return Destination(int(found[0][0]), str(address).partition("%")[0], int(more[1]) if more else 0)


def source(to: Destination, bind: Sequence[str]) -> str:
    """The address that our packets have: the one bound to, else the kernel's choice. Raises MeasurementError."""
    own = [address for address in bind if (":" in address) == (to.family == socket.AF_INET6)]
    try:
        with socket.socket(to.family, socket.SOCK_DGRAM) as asked:
            if own:
                asked.bind(to.socket_address(own=own[0]))
            asked.connect(to.socket_address(9))  # sends nothing
            return str(asked.getsockname()[0]).partition("%")[0]
    except OSError as error:
        reason = REASONS.get(error.errno or 0, "send_failed")
        raise MeasurementError(reason, f"{to}: {error.strerror}") from None


def reserve(
    method: PathMethod, to: Destination, own: str, count: int, stack: contextlib.ExitStack, *, first: int | None = None
) -> list[int]:
    """Source ports that no other program has while the stack is open; for ICMP as many identifiers.

    They count from `first`, except for ports that are taken; without it they are any.
    """
    if method == "icmp":
        start = secrets.randbelow(65536) if first is None else first
        return [(start + flow) % 65536 for flow in range(count)]
    keys = []
    for flow in range(count):
        holder = stack.enter_context(socket.socket(to.family, _KINDS[method]))
        try:
            holder.bind(to.socket_address(0 if first is None else first + flow, own=own))
        except OSError:
            holder.bind(to.socket_address(own=own))
        keys.append(int(holder.getsockname()[1]))
    return keys


def first_mtu_bytes(to: Destination) -> int:
    """The MTU of the interface that leads to the destination."""
    routes = conf.route if to.family == socket.AF_INET else conf.route6
    name = socket.if_indextoname(to.scope) if to.scope else str(routes.route(to.address)[0])
    with socket.socket(to.family, socket.SOCK_DGRAM) as asked:
        answer = fcntl.ioctl(asked, _SIOCGIFMTU, struct.pack("16si", name.encode(), 0) + bytes(20))
    return int(min(struct.unpack_from("16si", answer)[1], _BUFFER_BYTES))


def _icmp(packet: bytes, _: str) -> TraceReply | None:
    return replies.icmp(packet)


def _tcp(packet: bytes, _: str) -> TraceReply | None:
    return replies.tcp(packet)


def _kernel_ns(control: Sequence[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return None


def _only_ports(tcp: socket.socket, ports: Sequence[int], *, v4: bool) -> None:
    """Let the kernel pass only segments to these ports: else a raw socket gets those of a throughput test as well."""
    # Classic BPF; IPv6 packets come without their header: ldx 4*([0]&0xf); ldh [x+2], or ldh [2].
    load = [(0xB1, 0, 0, 0), (0x48, 0, 0, 2)] if v4 else [(0x28, 0, 0, 2)]
    tests = [(0x15, len(ports) - at, 0, port) for at, port in enumerate(ports)]
    program = [*load, *tests, (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("@HBBI", *step) for step in program))
    tcp.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code)))
