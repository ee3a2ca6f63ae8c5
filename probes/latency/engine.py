"""The engine: one timer for every peer that is probed by one method, and what a prober's probes have in common.

A tick does what is due, in this order: it takes in what came, so that no reply that waits is taken for lost; it
expires the probes whose timeout is over; it opens a window, and probes the peers whose slot has come. A window's rows
go out together, when the last of its probes is settled. `pacing` says when, `session` what became of each probe, and
`datagrams` or `exchanges`, after the kind of the prober, send.
"""

from __future__ import annotations

import asyncio
import math
import random
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Protocol

from linkweather.errors import MeasurementError
from linkweather.mesh import LatencyTests
from linkweather.wire import LatencyRow
from probes.latency import clocks
from probes.latency.datagrams import DatagramTransport
from probes.latency.engine_timer import EngineTimer
from probes.latency.exchanges import ExchangeTransport
from probes.latency.kernel_timestamps import BATCH, REASONS
from probes.latency.name_resolution import LookUp, Name, NameResolver, look_up
from probes.latency.pacing import Pacer, Window, Windows
from probes.latency.prober import ExchangeProber, Method
from probes.latency.session import ProbeOutcome, Session
from probes.latency.stamp_packet import StampRequest
from probes.latency.tally import SentProbe
from probes.latency.targets import LatencyPeer, LatencyTarget, Route, Targets

# Failures by which the address answers, so that another one of its name is not tried.
_ADDRESS_ANSWERS = frozenset({"late", "short_reply", "wrong_key", "prober_error"})


class Transport(Protocol):
    """How the engine sends probes. What became of them comes by the callback that the transport was given."""

    @property
    def families(self) -> AbstractSet[socket.AddressFamily]:
        """What it can send over."""

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """What is to be drained when it is readable."""

    @property
    def stamps(self) -> bool:
        """Whether the kernel says when a probe left."""

    def apply_settings(self, tests: LatencyTests) -> None:
        """Probe in this way from now on."""

    def set_key(self, key: bytes | None) -> None:
        """Sign with this key from the next `apply_settings` on."""

    def send(self, target: LatencyTarget, probe: SentProbe, request: StampRequest) -> None:
        """Send a probe to a target with a route. Raises OSError, and MeasurementError for a fault of the prober."""

    def drain(self, *, all_of_it: bool) -> None:
        """Take in what has come: all of it, or a batch."""

    def drain_stamps(self) -> None:
        """Take in TX stamps."""

    def close(self) -> None:
        """Give up what is still out."""


class LatencyEngine:
    """Probes every peer of `site`, each every `interval_s`; rows of a window come together, through `on_window`.

    `on_sample` gets each probe's outcome as it settles. `bind` names local addresses, at most one per family.
    With `count`, every peer gets so many probes, and `run` returns when they are settled.
    `counters` counts what could not be sent, and replies that were not ours, by reason.
    Raises OperatorError: an address that cannot be bound, settings that the prober refuses.
    """

    def __init__(
        self,
        site: str,
        method: Method,
        tests: LatencyTests,
        *,
        on_window: Callable[[datetime, list[LatencyRow]], None],
        on_sample: Callable[[ProbeOutcome], None] = lambda _: None,
        key: bytes | None = None,
        bind: Sequence[str] = (),
        count: int | None = None,
        rng: random.Random | None = None,
        look_up: LookUp = look_up,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._tests = tests
        self._on_window = on_window
        self._on_sample = on_sample
        self._count = math.inf if count is None else count
        self._targets = Targets(site, method.name, rng or random.Random())  # noqa: S311 - no secret
        self._pacer: Pacer[LatencyTarget] = Pacer(tests.interval_s)
        self._names = NameResolver(self._resolved, look_up)
        self._deadlines: deque[tuple[float, Session, SentProbe]] = deque()
        self._windows = Windows()
        self._loaded: str | None = None
        self._stopping = False
        self._exchanges: ExchangeTransport | None = None
        self._transport = self._make_transport(method, key, bind)
        self._timer = EngineTimer(self._tick, self._readable, eager=not self._transport.stamps)

    def set_peers(self, peers: Iterable[LatencyPeer], tests: LatencyTests) -> None:
        """Probe these peers from now on, in this way. A peer that is already probed keeps its session.

        Raises OperatorError for settings that the prober refuses.
        """
        wanted = dict.fromkeys(peers)
        self._apply_settings(tests)
        for target in self._targets:
            if target.peer not in wanted:
                self._targets.remove(target)
                self._pacer.remove(target)
        for peer in wanted:
            if peer not in self._targets:
                self._add(peer)
        self._names.watch(target.peer.name for target in self._targets if target.peer.closed is None)
        self._arm()

    @property
    def addresses(self) -> frozenset[str]:
        """Where its peers are now, as far as that is known."""
        return frozenset(target.route.address[0] for target in self._targets if target.route)

    def set_key(self, key: bytes | None) -> None:
        """Sign with this key from now on."""
        self._transport.set_key(key)
        self._transport.apply_settings(self._tests)

    def mark_loaded(self, site: str | None) -> None:
        """Say with which peer a throughput test runs, or that it is over: the rows that overlap it say so."""
        self._loaded = site
        for target in self._targets:
            if target.peer.site == site:
                target.session.mark_loaded()

    def hold(self, site: str, until: float) -> None:
        """Do not probe a site until then, as it restarts; a time that is over: probe it."""
        for target in self._targets:
            if target.peer.site == site:
                target.held_until = until

    def stop(self) -> None:
        """Send no more; the window ends now, and `run` returns when its probes are settled."""
        self._stopping = True
        self._windows.end(time.monotonic(), time.time_ns())
        self._arm()

    async def run(self) -> None:
        """Probe until cancelled, or stopped and settled."""
        over = self._timer.begin(self._transport.sockets)
        try:
            self._arm()
            async with asyncio.TaskGroup() as group:
                if self._exchanges is not None:
                    self._exchanges.group = group
                names = group.create_task(self._names.run(), name="latency-names")
                await over
                names.cancel()
                self.close()
        finally:
            self._timer.end()
            self.close()

    def close(self) -> None:
        """Close the sockets; `run` does so itself."""
        self._transport.close()

    def _make_transport(self, method: Method, key: bytes | None, bind: Sequence[str]) -> Transport:
        if isinstance(method.prober, ExchangeProber):
            self._exchanges = ExchangeTransport(
                method.prober, self._tests, bind=bind, counters=self.counters, on_outcome=self._exchanged
            )
            return self._exchanges
        return DatagramTransport(
            method.prober,
            self._tests,
            key,
            bind=bind,
            targets=self._targets,
            counters=self.counters,
            on_outcome=self._settled,
        )

    # Peers

    def _apply_settings(self, tests: LatencyTests) -> None:
        self._transport.apply_settings(tests)
        if tests.interval_s != self._tests.interval_s:
            self._pacer = Pacer(tests.interval_s)
            for target in self._targets:
                self._pacer.add(target, time.monotonic())
        for target in self._targets:
            target.session.timeout_s = tests.timeout_s
        self._tests = tests

    def _add(self, peer: LatencyPeer) -> None:
        target = self._targets.add(peer, self._tests.timeout_s)
        self._pacer.add(target, time.monotonic())
        if self._windows.current:
            target.session.open(self._windows.current, clocks.read(), loaded=peer.site == self._loaded)

    def _resolved(self, name: Name, choices: list[Route]) -> None:
        self._targets.resolved(name, choices, self._transport.families, time.monotonic())

    # One timer: probes, timeouts, ends of windows

    def _arm(self) -> None:
        self._timer.arm(self._next_s())

    def _next_s(self) -> float:
        while self._deadlines and self._deadlines[0][2].settled:
            self._deadlines.popleft()
        deadline_s = self._deadlines[0][0] if self._deadlines else math.inf
        if self._stopping:
            return deadline_s if self._windows.unsettled else 0.0
        return min(deadline_s, self._windows.next_s, self._pacer.next_s)

    def _tick(self) -> None:
        now = time.monotonic()
        self._transport.drain(all_of_it=True)
        while self._deadlines and self._deadlines[0][0] <= now:
            _, session, probe = self._deadlines.popleft()
            self._settled(session.expire(probe))
        if not self._stopping:
            self._roll()
            # No more at once than whose stamps and replies the buffer holds: the others' tick is the next.
            for target in self._pacer.due(now, BATCH):
                self._probe(target)
            # Most TX stamps are there at once: taking them now saves a wake-up for each.
            self._transport.drain_stamps()
        self._publish()
        self._arm()

    def _readable(self) -> None:
        self._transport.drain(all_of_it=False)
        self._publish()

    def _roll(self) -> None:
        # Both clocks at one moment: read apart, a late tick gave two windows in a row one `at`.
        window = self._windows.roll(*clocks.moment(), self._tests.report_interval_s)
        if window is None:
            return
        state = clocks.read()
        for target in self._targets:
            target.session.open(window, state, loaded=target.peer.site == self._loaded)

    def _probe(self, target: LatencyTarget) -> None:
        if target.route is None:
            return
        now, wall_ns = clocks.moment()
        if now < target.held_until:
            target.session.note("peer_restarting", "not probed while the site restarts")
            return
        stamps = self._transport.stamps
        probe, request = target.session.send(now, wall_ns, awaits_stamp=stamps)
        probe.tally.address = target.probed
        try:
            self._transport.send(target, probe, request)
        except OSError as error:
            reason = REASONS.get(error.errno or 0, "send_failed")
            self.counters[reason] += 1
            self._settled(target.session.fail(probe, reason))
        except MeasurementError as error:
            self._settled(target.session.fail(probe, error.reason, error.detail))
        else:
            self._deadlines.append((now + self._tests.timeout_s, target.session, probe))
        target.sent += 1
        if target.sent >= self._count:
            self._pacer.remove(target)
            if all(other.sent >= self._count for other in self._targets):
                self.stop()

    # What becomes of probes and windows

    def _settled(self, outcome: ProbeOutcome | None) -> None:
        if outcome is not None:
            self._on_sample(outcome)

    def _exchanged(self, outcome: ProbeOutcome | None) -> None:
        self._settled(outcome)
        self._publish()

    def _publish(self) -> None:
        for window in self._windows.settled():
            rows = [row for target in self._targets if (row := self._row(target, window)) is not None]
            if rows:
                self._on_window(window.at, rows)
        if self._stopping and not self._windows.unsettled:
            self._timer.finish()

    def _row(self, target: LatencyTarget, window: Window) -> LatencyRow | None:
        closed = target.peer.closed
        row = target.session.close(window, target.reason, closed.sentence if closed else None)
        if row is not None and row.failure is not None:
            self._names.doubt(target.peer.name)
            # Only what was all sent to the present address says anything of it.
            if row.sent and target.since <= window.start_s and row.failure not in _ADDRESS_ANSWERS:
                self._targets.try_next(target, time.monotonic())
        return row
