"""TCP connect time, for hosts that answer nothing else: how long a SYN and what answers it are under way.

The kernel times a handshake itself and says so in its TCP_INFO; only a SYN that was sent once gives an RTT, as
after a retransmission nothing says which of the two was answered (RFC 6298 §3, Karn's algorithm). A refused
connection counts too: the RST that refuses makes the same round trip as a SYN-ACK, and is timed by our own clock.
"""

from __future__ import annotations

import asyncio
import socket
import time
from struct import Struct

from linkweather.errors import MeasurementError
from linkweather.mesh import Site
from probes.latency.prober import Address, Needs, NoOptions, ProberCall, RoundTrip, Wording

REFUSED = "the port refuses connections, and each refusal (RST) is a reply"

# A connection is dropped with a RST, not closed: closing leaves a TIME_WAIT of a minute for every probe.
_DROP = Struct("@ii").pack(1, 0)
# struct tcp_info of linux/tcp.h: eight octets, then 32-bit fields; the 16th is the RTT in µs, the 24th counts
# retransmissions, those of the SYN too.
_INFO = Struct("@68xI28xI")


class TcpProber:
    """Connects to the site's TCP port and drops the connection."""

    wording = Wording(
        "TCP connect time", " at port {port}", "the host answers there", "nothing answers at TCP port {port}"
    )
    needs = Needs()
    options = NoOptions

    def destination(self, site: Site, options: NoOptions) -> Address:
        """The site's TCP port."""
        del options
        return site.address, site.tcp_port

    async def exchange(self, call: ProberCall) -> RoundTrip:
        """One handshake, or one refusal."""
        began = time.monotonic()
        with tcp_socket(call) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP)
            try:
                return await connect(connection, call.address)
            except ConnectionRefusedError:
                return RoundTrip(time.monotonic() - began, remark=REFUSED)


def tcp_socket(call: ProberCall) -> socket.socket:
    """A non-blocking TCP socket at the call's local address. Raises OSError."""
    opened = socket.socket(call.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        opened.bind((call.local, 0))
    except OSError:
        opened.close()
        raise
    return opened


async def connect(connection: socket.socket, address: Address) -> RoundTrip:
    """Connect, and say how long the handshake took. Raises OSError, and MeasurementError: `no_reply` to the first SYN.

    Where the kernel has no figure our own clock's stands for it.
    """
    began = time.monotonic()
    await asyncio.get_running_loop().sock_connect(connection, address)
    took_s = time.monotonic() - began
    rtt_us, retransmissions = _INFO.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
    if retransmissions:
        raise MeasurementError("no_reply")
    return RoundTrip(rtt_us / 1e6, "kernel") if rtt_us else RoundTrip(took_s)
