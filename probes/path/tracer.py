"""`python -m probes.path.tracer REQUEST`: one trace, as JSON lines on standard output (`tracer_lines`).

A process of its own: scapy takes 71 MB and half a second to import, and raw sockets need privileges.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from linkweather.errors import MeasurementError
from linkweather.mesh import PathMethod
from linkweather.wire import decode, encode
from probes.path.mtu import MtuSearch
from probes.path.replies import ProbeIdentity
from probes.path.trace import Trace, TracePlan
from probes.path.tracer_lines import Begun, Done, Failed, Line, TraceRequest

if TYPE_CHECKING:
    from probes.path.raw_sockets import RawWire, ReceivedReply

# What every path must carry: RFC 791 §3.1, of which headers leave room for a probe, and RFC 8200 §5.
_LEAST_BYTES = {4: 68, 6: 1280}
_MTU_TIMEOUT_S = 1.0
# Echo is answered without the reserve that limits ICMP errors, so it is asked first.
_MTU_METHODS: tuple[PathMethod, ...] = ("icmp", "udp")


class _Tracer:
    """One trace of one request."""

    def __init__(self, request: TraceRequest, stack: contextlib.ExitStack) -> None:
        from probes.path import packets, raw_sockets  # noqa: PLC0415 - scapy may be missing, which is a result

        self._packets, self._wires = packets, raw_sockets
        self._request = request
        self._stack = stack
        self.destination = raw_sockets.resolve(request.host, request.family)
        self._source = raw_sockets.source(self.destination, request.bind)
        self._identity = self._identify(request.method, request.flows, request.first_key)
        ports = self._identity.keys if request.method == "tcp" else ()
        self._wire: RawWire = raw_sockets.RawWire(self.destination, ports, stack)

    def trace(self) -> bool:
        """Trace the hops; whether the destination answered."""
        trace, reached = Trace(TracePlan(flows=self._request.flows, max_ttl=self._request.max_hops)), False
        sent: dict[int, tuple[int, float]] = {}
        while not trace.over:
            now = time.monotonic()
            for sample in trace.lost(now):
                _say(sample)
            probe = trace.next(now)
            if probe is not None:
                packet = self._packets.probe(self._identity, *probe)
                sent[probe.number] = (time.time_ns(), time.monotonic())
                self._wire.send(packet)
            for heard in self._wire.receive(trace.wake_at(now) - now):
                number = self._identity.number(heard.reply.quote)
                if number in sent:
                    sample_heard = trace.heard(number, heard.reply, _rtt_s(heard, *sent[number]), heard.now)
                    if sample_heard is not None:
                        reached |= sample_heard.outcome == "reached"
                        _say(sample_heard)
        return reached

    def path_mtu_bytes(self, *, reached: bool) -> int | None:
        """The path MTU by the first method that the destination answers at all; None where it answers none."""
        least = _LEAST_BYTES[self._identity.version]
        for method in _MTU_METHODS if reached else _MTU_METHODS[:1]:
            identity = self._identify(method, 1)
            if self._search(identity, MtuSearch(least, least)) is not None:
                first = self._wires.first_mtu_bytes(self.destination)
                return self._search(identity, MtuSearch(first, least))
        return None

    def _identify(self, method: PathMethod, flows: int, first: int | None = None) -> ProbeIdentity:
        keys = self._wires.reserve(method, self.destination, self._source, flows, self._stack, first=first)
        return ProbeIdentity(method, self._source, self.destination.address, keys, self._request.port)

    def _search(self, identity: ProbeIdentity, search: MtuSearch) -> int | None:
        number = 0
        while search.size_bytes is not None:
            number = self._number(identity, search.size_bytes, number)
            packet = self._packets.sized(identity, search.size_bytes, number)
            if not self._wire.send(packet):
                search.too_big(0)
                continue
            said = self._await(identity, number)
            if said is None:
                search.silent()
            elif said.reply.kind == "too_big":
                search.too_big(said.reply.mtu_bytes)
            else:
                search.passed()
        return search.found_bytes

    def _number(self, identity: ProbeIdentity, size_bytes: int, last: int) -> int:
        return last + 1 if identity.method == "icmp" else self._packets.number_of_size(identity.version, size_bytes)

    def _await(self, identity: ProbeIdentity, number: int) -> ReceivedReply | None:
        until = time.monotonic() + _MTU_TIMEOUT_S
        while (left_s := until - time.monotonic()) > 0:
            for heard in self._wire.receive(left_s):
                if identity.number(heard.reply.quote) == number and heard.reply.kind in {"reached", "too_big"}:
                    return heard
        return None


def _rtt_s(heard: ReceivedReply, sent_ns: int, sent_at: float) -> float:
    """The RTT by the kernel's receive time; by the steady clock where the system clock was set meanwhile."""
    elapsed_s = heard.now - sent_at
    rtt_s = elapsed_s if heard.kernel_ns is None else (heard.kernel_ns - sent_ns) / 1e9
    return rtt_s if 0 <= rtt_s <= elapsed_s else elapsed_s


def _say(line: Line) -> None:
    sys.stdout.buffer.write(encode(line) + b"\n")
    sys.stdout.buffer.flush()


def _perform(request: TraceRequest) -> None:
    with contextlib.ExitStack() as stack:
        tracer = _Tracer(request, stack)
        _say(Begun(address=str(tracer.destination)))
        reached = tracer.trace()
        _say(Done(path_mtu_bytes=tracer.path_mtu_bytes(reached=reached)))


def main() -> int:
    """Trace; exit status 1 after a failure, which is printed as a line as well."""
    request = decode(TraceRequest, sys.argv[1])
    try:
        _perform(request)
    except ImportError as error:
        failed = Failed(failure="missing", detail=f"the library scapy cannot be used: {error}")
    except MeasurementError as error:
        failed = Failed(failure=error.reason, detail=error.detail)
    else:
        return 0
    _say(failed)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # the daemon has ended
        os._exit(1)
