"""TCP connect time, for hosts that answer nothing else: how long a SYN and what answers it are under way.

A refused connection counts too: the RST that refuses makes the same round trip as a SYN-ACK.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from functools import cached_property
from struct import Struct

from linkweather.mesh import LatencyTests
from linkweather.wire import LatencyRow
from probes.latency import clocks
from probes.latency.engine import Sender, Sent
from probes.latency.icmp import reflected
from probes.latency.kernel_timestamps import REASONS, Sending
from probes.latency.pacing import Window
from probes.latency.stamp_packet import StampRequest
from probes.latency.tally import TimedReply
from probes.latency.targets import Address, LatencyTarget

REFUSED = "the port refuses connections, and each refusal (RST) is a reply"

# A connection is dropped with a RST, not closed: closing leaves a TIME_WAIT of a minute for every probe.
_DROP = Struct("@ii").pack(1, 0)
# struct tcp_info of linux/tcp.h: eight octets, then 32-bit fields; the 16th is the RTT in µs, the 24th counts
# retransmissions, those of the SYN too.
_INFO = Struct("@68xI28xI")
_NS_PER_US = 1000


class TcpSender(Sender):
    """A `Sender` whose probes are connects to the peer's TCP port; the key has no meaning here.

    The sender's own sockets stand for the address families and local addresses: every probe
    brings a socket of its own.
    """

    def close(self) -> None:
        """Give up every probe; `run` does so itself."""
        for connection in list(self._connections):
            self._drop(connection)
        super().close()

    @cached_property
    def _connections(self) -> dict[socket.socket, Sent]:
        return {}

    @cached_property
    def _refusing(self) -> set[str]:
        return set()

    def _checked(self, tests: LatencyTests) -> LatencyTests:
        return tests.model_copy(update={"authenticated": False})

    def _encode(self, sending: Sending[Sent], request: StampRequest) -> bytes:
        del sending, request
        return b""

    def _transmit(self, sending: Sending[Sent], data: bytes, address: Address, sent: Sent) -> None:
        del data
        for connection in list(self._settled()):
            self._drop(connection)
        _, probe = sent
        probe.awaits_stamp = False  # the connection itself will tell, at its end
        connection = socket.socket(sending.socket.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._connections[connection] = sent
        try:
            self._connect(connection, sending.socket.getsockname(), address)
        except OSError:
            self._drop(connection)
            raise

    def _connect(self, connection: socket.socket, local: tuple[str, int], address: Address) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP)
        connection.bind((local[0], 0))
        error = connection.connect_ex(address)
        if error not in {0, errno.EINPROGRESS}:
            raise OSError(error, os.strerror(error))
        connected = self._ticking.guarded(lambda: self._connected(connection))
        if connected is not None:
            asyncio.get_running_loop().add_writer(connection, connected)

    def _settled(self) -> Iterator[socket.socket]:
        """Connections whose probe has timed out, or whose peer is gone."""
        return (connection for connection, (_, probe) in self._connections.items() if probe.settled)

    def _drop(self, connection: socket.socket) -> None:
        del self._connections[connection]
        asyncio.get_running_loop().remove_writer(connection)
        connection.close()

    def _connected(self, connection: socket.socket) -> None:
        now, wall_ns = clocks.moment()
        session, probe = self._connections[connection]
        error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        rtt_us, retransmissions = _INFO.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
        self._drop(connection)
        if retransmissions or probe.settled:
            return  # the first SYN was lost, and the probe is at its timeout
        if error not in {0, errno.ECONNREFUSED}:
            self._tell(session.refuse(probe, REASONS.get(error, "unreachable")))
        else:
            if error:
                self._refusing.add(session.dst)
            elif rtt_us:
                self._tell(session.stamp(probe, wall_ns - rtt_us * _NS_PER_US))
            reply = reflected(probe.sequence, probe.timestamp, session.ssid)
            self._tell(session.receive(TimedReply(reply, now, wall_ns, None if error or not rtt_us else wall_ns)))
        self._emit()

    def _row(self, target: LatencyTarget[Sending[Sent]], window: Window) -> LatencyRow | None:
        row = super()._row(target, window)
        refusing = target.peer.site in self._refusing
        self._refusing.discard(target.peer.site)
        return row and row.model_copy(update={"method": "tcp", "detail": REFUSED if refusing else row.detail})
