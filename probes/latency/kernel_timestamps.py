"""The kernel's timestamps of datagrams: socket options, control messages and the error queue, and nothing else.

The kernel stamps a datagram when the driver takes it (TX) and when the driver delivers it (RX), so a late event loop,
a busy process or a full socket buffer is not in the difference. An RX stamp comes with its datagram, as a control
message. A TX stamp comes later, on the socket's error queue, and only says which datagram it is of by a number: where
the kernel takes our own (SCM_TS_OPT_ID, Linux 6.13) that is the number sent along, else the kernel counts the
socket's successful sends from 0, and so do we. A reply may be there before its TX stamp. ICMP errors come on the same
queue: each names the destination it is about.

Linux, `Documentation/networking/timestamping.rst`; the constants are missing from Python 3.11.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from functools import lru_cache
from struct import Struct
from typing import Generic, NamedTuple, TypeVar

from probes.latency.clocks import NS_PER_S
from probes.latency.stamp_packet import MAX_BYTES

Tag = TypeVar("Tag")

_SO_TIMESTAMPING = 37
_TX_SOFTWARE, _RX_SOFTWARE, _SOFTWARE, _OPT_ID, _OPT_TSONLY = 2, 8, 16, 128, 2048
_RECEIVE_STAMPS = _RX_SOFTWARE | _SOFTWARE
_BOTH_STAMPS = _RECEIVE_STAMPS | _TX_SOFTWARE | _OPT_ID | _OPT_TSONLY
_SCM_TS_OPT_ID = 81
_IP_RECVTTL, _IPV6_RECVHOPLIMIT = 12, socket.IPV6_RECVHOPLIMIT
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_IP_PKTINFO = 8
_SO_MEMINFO, _MEMINFO_WAITING, _MEMINFO_ROOM, _MEMINFO_DROPS = 55, 0, 1, 8

_TRUNCATED = int(socket.MSG_TRUNC)  # the enumeration is ten times as slow, once a datagram

_TIMESPEC = Struct("@ll")
_EXTENDED_ERROR = Struct("@IBBBBII")
_INT = Struct("@i")
_MEMINFO = Struct("@9I")
_ID = Struct("@I")
_FROM_STAMP, _FROM_ICMP, _FROM_ICMP6 = 4, 2, 3

_CONTROL_BYTES = 256
_ERROR_BYTES = 512
_IDS = 2**32
_MOST_UNSTAMPED = 65_536  # stamps may get lost; their tags must not pile up
BATCH = 64

# errno → the reason in a result; anything else is `send_failed`.
REASONS = {
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EADDRNOTAVAIL: "unreachable",
    errno.ENODEV: "unreachable",
    errno.ECONNREFUSED: "refused",
    errno.EPERM: "forbidden",
    errno.EACCES: "forbidden",
}


# A mistake of our own, which no network makes.
_OURS = frozenset({errno.EBADF, errno.ENOTSOCK, errno.EINVAL, errno.EFAULT})

Control = Sequence[tuple[int, int, bytes]]
# Data, source, the kernel's RX stamp in ns, TTL, what to send a reply with so that it leaves from where the request
# came in, and whether the data was cut. A plain tuple: a named one takes half as long to make as to receive.
Datagram = tuple[bytes, tuple[str, int], int | None, int, Control, bool]


class Stamp(NamedTuple, Generic[Tag]):
    """The kernel's TX stamp of the datagram that was sent with this tag."""

    tag: Tag
    kernel_ns: int


class Unreached(NamedTuple):
    """An ICMP error about a datagram to this address."""

    address: tuple[str, int]
    reason: str


def stamp_received(opened: socket.socket) -> None:
    """Ask for RX stamps, TTL and destination of each datagram: what a reflector needs."""
    _try(opened, socket.SOL_SOCKET, _SO_TIMESTAMPING, _RECEIVE_STAMPS)
    if opened.family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        opened.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        opened.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def receive(opened: socket.socket, limit: int = BATCH) -> Iterator[Datagram]:
    """At most `limit` datagrams of those that wait. Pending ICMP errors are for the error queue, and passed over."""
    for _ in range(limit):
        try:
            data, control, flags, source = opened.recvmsg(MAX_BYTES, _CONTROL_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in _OURS:
                raise
            continue  # an ICMP error, about any peer: reading has cleared it
        kernel_ns, ttl, local = None, 0, _ANYWHERE
        # By kind alone: among what we ask for, no kind is in two levels.
        for level, kind, value in control:
            if kind == _SO_TIMESTAMPING:
                seconds, rest = _TIMESPEC.unpack_from(value)
                kernel_ns = seconds * NS_PER_S + rest or None
            elif kind in _TTLS:
                (ttl,) = _INT.unpack_from(value)
            elif kind in _DESTINATIONS:
                local = _reply_from(level, kind, value)
        yield data, source, kernel_ns, ttl, local, flags & _TRUNCATED != 0


class BufferOverflow:
    """What the kernel dropped of what came to these sockets, as their buffers were full: our own loss, and no link's.

    The count is that of SO_RXQ_OVFL, read where it is up to date, without a control message for each datagram.
    """

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._counted = dict.fromkeys(sockets, 0)
        self.filled = 0.0  # the fullest buffer at the last call, from 0 to 1

    def take(self) -> int:
        """How many datagrams since the last call; none where the kernel does not say."""
        new, self.filled = 0, 0.0
        for opened, before in self._counted.items():
            try:
                found = opened.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
            except OSError:
                continue
            if len(found) == _MEMINFO.size:
                figures = _MEMINFO.unpack(found)
                self._counted[opened] = dropped = figures[_MEMINFO_DROPS]
                new += (dropped - before) % _IDS
                self.filled = max(self.filled, figures[_MEMINFO_WAITING] / max(1, figures[_MEMINFO_ROOM]))
        return new


class StampedSocket(Generic[Tag]):
    """A socket whose datagrams are stamped when they leave. `stamps` says whether the kernel does that."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.stamps = _try(opened, socket.SOL_SOCKET, _SO_TIMESTAMPING, _BOTH_STAMPS)
        self._takes_ids = self.stamps and _takes_ids()
        self._next_id = 0
        self._tags: dict[int, Tag] = {}
        if opened.family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            opened.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)

    def send(self, data: bytes, address: tuple[str, int], tag: Tag) -> None:
        """Send one datagram; its stamp will come with the tag. Raises OSError, and then no stamp comes."""
        # Where the kernel does not take our id it counts successful sends, and so do we.
        control = [(socket.SOL_SOCKET, _SCM_TS_OPT_ID, _ID.pack(self._next_id))] if self._takes_ids else ()
        self.socket.sendmsg((data,), control, 0, address)
        if self.stamps:
            self._tags[self._next_id] = tag
            self._next_id = (self._next_id + 1) % _IDS
            if len(self._tags) > _MOST_UNSTAMPED:
                del self._tags[next(iter(self._tags))]

    def drain_errors(self) -> Iterator[Stamp[Tag] | Unreached]:
        """Everything on the error queue: TX stamps, and ICMP errors about what we sent."""
        while True:
            try:
                _, control, _, address = self.socket.recvmsg(0, _ERROR_BYTES, socket.MSG_ERRQUEUE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OURS:
                    raise
                return  # the kernel has no memory now: what waits is read the next time
            event = self._event(control, address)
            if event is not None:
                yield event

    def _event(
        self, control: Sequence[tuple[int, int, bytes]], address: tuple[str, int] | None
    ) -> Stamp[Tag] | Unreached | None:
        kernel_ns = None
        for level, kind, value in control:
            if kind == _SO_TIMESTAMPING and level == socket.SOL_SOCKET:
                seconds, rest = _TIMESPEC.unpack_from(value)
                kernel_ns = seconds * NS_PER_S + rest
            elif (level, kind) in _ERRORS:
                number, origin, _, _, _, info, data = _EXTENDED_ERROR.unpack_from(value)
                if origin == _FROM_STAMP and info == 0 and kernel_ns and data in self._tags:
                    return Stamp(self._tags.pop(data), kernel_ns)
                if origin in {_FROM_ICMP, _FROM_ICMP6} and address:
                    return Unreached(address[:2], REASONS.get(number, "unreachable"))
        return None


_TTLS = {int(socket.IP_TTL), socket.IPV6_HOPLIMIT}
_DESTINATIONS = {_IP_PKTINFO, socket.IPV6_PKTINFO}
_ANYWHERE: Control = ()
_ERRORS = {(socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)}


@lru_cache(1024)
def _reply_from(level: int, kind: int, value: bytes) -> Control:
    """The control message that makes a reply leave from where the request came in, by any interface."""
    # struct in6_pktinfo: address, interface. struct in_pktinfo: interface, spec_dst (ours, also for a broadcast),
    # destination; on sending, spec_dst counts. Interface 0 leaves the route to the kernel.
    info = value[:16] + bytes(4) if level == socket.IPPROTO_IPV6 else bytes(4) + value[4:]
    return ((level, kind, info),)


def _takes_ids() -> bool:
    """Whether the kernel takes our own ids with each datagram (Linux 6.13): tried on a socket made for this."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.bind(("127.0.0.1", 0))
            trial.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _BOTH_STAMPS)
            trial.sendmsg((b"",), [(socket.SOL_SOCKET, _SCM_TS_OPT_ID, _ID.pack(1))], 0, trial.getsockname())
        except OSError:
            return False
    return True


def _try(opened: socket.socket, level: int, option: int, value: int) -> bool:
    try:
        opened.setsockopt(level, option, value)
    except OSError:
        return False  # an older kernel, or a sandbox: user-space stamps, and the rows say so
    return True
