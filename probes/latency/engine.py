"""The session-sender's shell: one socket per address family and one timer for every peer of a site."""

from __future__ import annotations

import asyncio
import math
import random
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from linkweather.errors import MessageError, OperatorError
from linkweather.mesh import LatencyTests
from linkweather.wire import LatencyRow
from probes.latency import clocks, stamp_tlvs
from probes.latency.engine_timer import Ticking
from probes.latency.kernel_timestamps import BATCH, REASONS, Sending, Stamp, families, open_socket, receive
from probes.latency.name_resolution import Name, Names, Resolved
from probes.latency.pacing import Pacer, Window, Windows
from probes.latency.session import ProbeOutcome, Session
from probes.latency.stamp_packet import (
    AUTHENTICATED_BYTES,
    BASE_BYTES,
    StampReply,
    StampRequest,
    decode_reply,
    encode_request,
)
from probes.latency.tally import SentProbe, TimedReply
from probes.latency.targets import Address, LatencyPeer, LatencyTarget, Targets

Sent = tuple[Session, SentProbe]

_BUFFERED = 4096  # more than the receive buffer holds


class Sender:
    """Probes every peer of `site`, each every `interval_s`; rows of a window come together, through `on_window`.

    `on_sample` gets each probe's fate as it settles. `bind` names local addresses, at most one per family.
    With `count`, every peer gets so many probes, and `run` returns when they are settled.
    `counters` counts what could not be sent, and replies that were not ours, by reason.
    Raises OperatorError: an address that cannot be bound, authenticated tests without a key.
    """

    def __init__(
        self,
        site: str,
        tests: LatencyTests,
        *,
        on_window: Callable[[datetime, list[LatencyRow]], None],
        on_sample: Callable[[ProbeOutcome], None] = lambda _: None,
        key: bytes | None = None,
        bind: Sequence[str] = (),
        count: int | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._key = key
        self._tests = self._checked(tests)
        self._padding = _padding(tests)
        self._on_window = on_window
        self._on_sample = on_sample
        self._count = math.inf if count is None else count
        self._targets: Targets[Sending[Sent]] = Targets(site, rng or random.Random())  # noqa: S311 - no secret
        self._pacer: Pacer[LatencyTarget[Sending[Sent]]] = Pacer(tests.interval_s)
        self._names = Names(self._resolved)
        self._deadlines: deque[tuple[float, Session, SentProbe]] = deque()
        self._windows = Windows()
        self._loaded: str | None = None
        self._stopping = False
        self._sendings: dict[int, Sending[Sent]] = {}
        for family, address in families(bind).items():
            self._sendings[family] = self._open(family, address)
        stamped = all(sending.stamps for sending in self._sendings.values())
        self._ticking = Ticking(self._tick, self._readable, eager=not stamped)

    def set_peers(self, peers: Iterable[LatencyPeer], tests: LatencyTests) -> None:
        """Probe these peers from now on, in this way. A peer that is already probed keeps its session.

        Raises OperatorError when the tests are to be authenticated and there is no key.
        """
        wanted = dict.fromkeys(peers)
        self._follow(self._checked(tests))
        for target in self._targets:
            if target.peer not in wanted:
                self._targets.remove(target)
                self._pacer.remove(target)
        for peer in wanted:
            if peer not in self._targets:
                self._add(peer)
        self._names.watch(target.peer.name for target in self._targets if target.peer.closed is None)
        self._arm()

    def mark_loaded(self, site: str | None) -> None:
        """Say with which peer a throughput test runs, or that it is over: the rows that overlap it say so."""
        self._loaded = site
        for target in self._targets:
            if target.peer.site == site:
                target.session.mark_loaded()

    def stop(self) -> None:
        """Send no more; the window ends now, and `run` returns when its probes are settled."""
        self._stopping = True
        self._windows.end(time.monotonic(), time.time_ns())
        self._arm()

    async def run(self) -> None:
        """Probe until cancelled, or stopped and settled."""
        over = self._ticking.begin([sending.socket for sending in self._sendings.values()])
        try:
            self._arm()
            async with asyncio.TaskGroup() as group:
                names = group.create_task(self._names.run(), name="latency-names")
                await over
                names.cancel()
        finally:
            self._ticking.end()
            self.close()

    def close(self) -> None:
        """Close the sockets; `run` does so itself."""
        for sending in self._sendings.values():
            sending.socket.close()

    # What another method does differently

    def _open(self, family: socket.AddressFamily, address: str) -> Sending[Sent]:
        return Sending(open_socket(family, address, 0))

    def _encode(self, sending: Sending[Sent], request: StampRequest) -> bytes:
        del sending
        if self._padding:
            request = request._replace(extra=self._padding)
        return encode_request(request, self._key if self._tests.authenticated else None)

    def _decode(self, data: bytes, source: Address) -> StampReply:
        del source
        return decode_reply(data, self._key if self._tests.authenticated else None)

    # Peers

    def _checked(self, tests: LatencyTests) -> LatencyTests:
        if tests.authenticated and self._key is None:
            raise OperatorError("latency.authenticated = true: needs a key, 64 hexadecimal digits in a key file")
        return tests

    def _follow(self, tests: LatencyTests) -> None:
        if tests.interval_s != self._tests.interval_s:
            self._pacer = Pacer(tests.interval_s)
            for target in self._targets:
                self._pacer.add(target, time.monotonic())
        for target in self._targets:
            target.session.timeout_s = tests.timeout_s
        self._tests = tests
        self._padding = _padding(tests)

    def _add(self, peer: LatencyPeer) -> None:
        target = self._targets.add(peer, self._tests.timeout_s)
        self._pacer.add(target, time.monotonic())
        if self._windows.current:
            target.session.open(self._windows.current, clocks.read(), loaded=peer.site == self._loaded)

    def _resolved(self, name: Name, choices: list[Resolved]) -> None:
        choice = next((choice for choice in choices if choice.family in self._sendings), None)
        for target in self._targets:
            # Who is closed may have the address of its NAT in common with who is not.
            if target.peer.name != name or target.peer.closed is not None:
                continue
            if choice is not None:
                self._targets.reach(target, self._sendings[choice.family], choice.address)
            elif target.route is None:  # a name that fails later keeps its last address
                target.reason = "no_local_address" if choices else "unresolved"

    # One timer: probes, timeouts, ends of windows

    def _arm(self) -> None:
        self._ticking.arm(self._next_s())

    def _next_s(self) -> float:
        while self._deadlines and self._deadlines[0][2].settled:
            self._deadlines.popleft()
        deadline_s = self._deadlines[0][0] if self._deadlines else math.inf
        if self._stopping:
            return deadline_s if self._windows.unsettled else 0.0
        return min(deadline_s, self._windows.next_s, self._pacer.next_s)

    def _tick(self) -> None:
        # What came in before its timeout must be seen before the timeout is: all of it.
        now = time.monotonic()
        self._drain(_BUFFERED)
        while self._deadlines and self._deadlines[0][0] <= now:
            _, session, probe = self._deadlines.popleft()
            self._tell(session.expire(probe))
        if not self._stopping:
            self._roll(now)
            # No more at once than whose stamps and replies the buffer holds: the others' tick is the next.
            for target in self._pacer.due(now, BATCH):
                self._probe(target)
            # Most TX stamps are there at once: taking them now saves a wake-up for each.
            self._drain_errors()
        self._emit()
        self._arm()

    def _readable(self) -> None:
        self._drain(BATCH)
        self._emit()

    def _roll(self, now: float) -> None:
        window = self._windows.roll(now, time.time_ns(), self._tests.report_interval_s)
        if window is None:
            return
        state = clocks.read()
        for target in self._targets:
            target.session.open(window, state, loaded=target.peer.site == self._loaded)

    def _emit(self) -> None:
        for window in self._windows.settled():
            rows = [row for target in self._targets if (row := self._row(target, window)) is not None]
            if rows:
                self._on_window(window.at, rows)
        if self._stopping and not self._windows.unsettled:
            self._ticking.finish()

    def _row(self, target: LatencyTarget[Sending[Sent]], window: Window) -> LatencyRow | None:
        row = target.session.close(window, target.reason)
        if row is not None and row.failure is not None:
            self._names.doubt(target.peer.name)
        return row

    def _tell(self, sample: ProbeOutcome | None) -> None:
        if sample is not None:
            self._on_sample(sample)

    # Datagrams

    def _probe(self, target: LatencyTarget[Sending[Sent]]) -> None:
        if target.route is None:
            return
        sending, address = target.route
        now, wall_ns = clocks.moment()
        probe, request = target.session.send(now, wall_ns, awaits_stamp=sending.stamps)
        try:
            self._transmit(sending, self._encode(sending, request), address, (target.session, probe))
        except OSError as error:
            reason = REASONS.get(error.errno or 0, "send_failed")
            self.counters[reason] += 1
            self._tell(target.session.refuse(probe, reason))
        else:
            self._deadlines.append((now + self._tests.timeout_s, target.session, probe))
        target.sent += 1
        if target.sent >= self._count:
            self._pacer.remove(target)
            if all(other.sent >= self._count for other in self._targets):
                self.stop()

    def _transmit(self, sending: Sending[Sent], data: bytes, address: Address, sent: Sent) -> None:
        try:
            sending.send(data, address, sent)
        except OSError:
            # It may be an ICMP error about another peer, which reading clears.
            self._drain_errors()
            sending.send(data, address, sent)

    def _drain(self, limit: int) -> None:
        self._drain_errors()
        for sending in self._sendings.values():
            for data, source, kernel_ns, *_ in receive(sending.socket, limit):
                try:
                    reply = self._decode(data, source)
                    session = self._targets.owner(reply, source).session
                    self._tell(session.receive(TimedReply(reply, *clocks.moment(), kernel_ns)))
                except MessageError as error:
                    self.counters[error.reason] += 1

    def _drain_errors(self) -> None:
        for sending in self._sendings.values():
            for event in sending.drain_errors():
                if isinstance(event, Stamp):
                    session, probe = event.tag
                    self._tell(session.stamp(probe, event.kernel_ns))
                elif (target := self._targets.at(event.address)) is not None:
                    target.session.note(event.reason)


def _padding(tests: LatencyTests) -> bytes:
    missing = tests.packet_bytes - (AUTHENTICATED_BYTES if tests.authenticated else BASE_BYTES)
    return stamp_tlvs.padding(missing) if missing >= stamp_tlvs.HEADER_BYTES else b""
