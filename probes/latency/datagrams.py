"""Probes that are single datagrams: sent and received by the engine, stamped by the kernel, coded by a prober."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from linkweather.errors import MeasurementError, MessageError, OperatorError
from linkweather.mesh import LatencyTests
from probes.latency import clocks
from probes.latency.kernel_timestamps import BATCH, BufferOverflow, Stamp, StampedSocket, receive
from probes.latency.prober import Address, DatagramProber, blame
from probes.latency.session import ProbeOutcome, Session
from probes.latency.stamp_packet import StampRequest
from probes.latency.tally import SentProbe, TimedReply
from probes.latency.targets import LatencyTarget, Targets
from probes.latency.udp_sockets import families

Sent = tuple[Session, SentProbe]

# Why a peer's datagram was refused → the failure of its row, where that says more than silence.
_FAILURES: Mapping[str, str] = {"short_reply": "short_reply", "bad_hmac": "wrong_key"}
_BUFFERED = 4096  # more than the receive buffer holds


class DatagramTransport:
    """The sockets of a datagram prober, one for each address family.

    `on_outcome` gets what became of a probe, as soon as it is known. Replies that are not ours are counted in
    `counters`, by reason. Raises OperatorError: an address that cannot be bound, settings that cannot be.
    """

    def __init__(
        self,
        prober: DatagramProber,
        tests: LatencyTests,
        key: bytes | None,
        *,
        bind: Sequence[str],
        targets: Targets,
        counters: Counter[str],
        on_outcome: Callable[[ProbeOutcome | None], None],
    ) -> None:
        self._prober = prober
        self._key = key
        self._targets = targets
        self._counters = counters
        self._on_outcome = on_outcome
        self._sendings: dict[socket.AddressFamily, StampedSocket[Sent]] = {}
        self.apply_settings(tests)
        try:
            for family, address in families(bind).items():
                self._sendings[family] = StampedSocket(prober.open(family, address))
        except OperatorError:
            self.close()
            raise
        self.families = frozenset(self._sendings)
        self.sockets = [sending.socket for sending in self._sendings.values()]
        self._overflow = BufferOverflow(self.sockets)
        self.stamps = all(sending.stamps for sending in self._sendings.values())

    def apply_settings(self, tests: LatencyTests) -> None:
        """Probe in this way from now on."""
        self._prober.apply_settings(tests, self._key)

    def set_key(self, key: bytes | None) -> None:
        """Sign with this key from the next `apply_settings` on."""
        self._key = key

    def send(self, target: LatencyTarget, probe: SentProbe, request: StampRequest) -> None:
        """Send a probe to a target with a route. Raises OSError, and MeasurementError for a fault of the prober."""
        assert target.route is not None  # noqa: S101 - the engine's own rule
        family, address = target.route
        try:
            data = self._prober.encode(request, family)
        except Exception as error:  # noqa: BLE001 - a prober may be anybody's: its fault costs its own probe
            raise MeasurementError("prober_error", blame(self._prober, error, self._counters)) from None
        try:
            self._sendings[family].send(data, address, (target.session, probe))
        except OSError:
            # It may be an ICMP error about another peer, which reading clears.
            self.drain_stamps()
            self._sendings[family].send(data, address, (target.session, probe))

    def drain(self, *, all_of_it: bool) -> None:
        """Take in what has come: all that the buffers hold, or a batch."""
        self.drain_stamps()
        limit = _BUFFERED if all_of_it else BATCH
        for family, sending in self._sendings.items():
            for data, source, kernel_ns, *_ in receive(sending.socket, limit):
                self._receive(data, family, source, kernel_ns)
        if all_of_it and (dropped := self._overflow.take()):
            self._counters["overflow"] += dropped
            for target in self._targets:
                target.session.note_overflow(dropped)

    def drain_stamps(self) -> None:
        """Take in TX stamps, and ICMP errors about what was sent."""
        for sending in self._sendings.values():
            for event in sending.drain_errors():
                if isinstance(event, Stamp):
                    session, probe = event.tag
                    self._on_outcome(session.stamp(probe, event.kernel_ns))
                elif (target := self._targets.at(event.address)) is not None:
                    target.session.note(event.reason)

    def close(self) -> None:
        """Close the sockets."""
        for sending in self._sendings.values():
            sending.socket.close()

    def _receive(self, data: bytes, family: socket.AddressFamily, source: Address, kernel_ns: int | None) -> None:
        try:
            reply = self._prober.decode(data, family)
        except MessageError as error:
            self._refuse(error, source)
            return
        except Exception as error:  # noqa: BLE001 - likewise: the datagram is dropped, and counted
            blame(self._prober, error, self._counters)
            return
        try:
            session = self._targets.owner(reply, source).session
            self._on_outcome(session.receive(TimedReply(reply, *clocks.moment(), kernel_ns)))
        except MessageError as error:
            self._counters[error.reason] += 1

    def _refuse(self, error: MessageError, source: Address) -> None:
        self._counters[error.reason] += 1
        failure, target = _FAILURES.get(error.reason), self._targets.at(source)
        if failure is not None and target is not None:
            target.session.note(failure, error.detail or None)
