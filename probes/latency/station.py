"""A site's latency measurements: a sender for each method that its mesh asks for, and the reflector."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import datetime
from statistics import median
from typing import Final

from linkweather.errors import OperatorError
from linkweather.mesh import STAMP_PORT, LatencyTests, Mesh
from linkweather.wire import LatencyRow
from probes.latency.engine import Sender
from probes.latency.methods import SENDERS
from probes.latency.reflector import Reflector, log_drops
from probes.latency.session import ProbeOutcome
from probes.latency.targets import LatencyPeer

log = logging.getLogger(__name__)

SETTLE_LIMIT_S: Final = 2.0


class Station:
    """Follows a mesh as `site`; the rows of a window come through `on_window`, a call per method.

    `allow` names the prefixes that the reflector answers; without it, everybody's.
    Making one binds the STAMP sender. Raises OperatorError: an address that cannot be bound.
    """

    def __init__(
        self,
        site: str,
        *,
        on_window: Callable[[datetime, list[LatencyRow]], None],
        key: bytes | None,
        bind: Sequence[str] = (),
        allow: Sequence[str] | None = None,
    ) -> None:
        self._site = site
        self._on_window = on_window
        self._key = key
        self._bind = bind
        self._allow = allow
        # What the reflectors, one after another, did not answer, by reason.
        self.dropped: Counter[str] = Counter()
        self._working = WorkingLatency()
        self._mesh: Mesh | None = None
        self._answering_changed = asyncio.Event()
        self._senders = {"stamp": self._sender("stamp")}
        self._new: asyncio.Queue[tuple[str, Sender]] = asyncio.Queue()
        self._new.put_nowait(("stamp", self._senders["stamp"]))

    def follow(self, mesh: Mesh) -> None:
        """Measure and answer as this mesh says."""
        self._mesh = mesh
        peers = _peers_by_method(mesh, self._site)
        if "icmp" in peers and self._ready("icmp") is None:
            peers.setdefault("tcp", []).extend(peers.pop("icmp"))
        for method in {*self._senders, *peers}:
            sender = self._ready(method)
            if sender is not None:
                sender.set_peers([_peer(mesh, name, method) for name in peers.get(method, ())], mesh.latency)
        self._answering_changed.set()

    def mark_loaded(self, site: str | None) -> None:
        """Say with which peer a throughput test runs, or that it is over."""
        self._working.follow(site)
        for sender in self._senders.values():
            sender.mark_loaded(site)

    def working_latency(self, site: str, last_s: float) -> float | None:
        """The median RTT to the peer of the running test in its last seconds; None where it is not probed."""
        return self._working.p50(site, last_s, time.monotonic())

    async def run(self, stop: asyncio.Event) -> None:
        """Measure and answer until `stop` is set and what is under way is settled."""
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(self._answer(), name="reflector")
            telling = group.create_task(log_drops(self.dropped), name="dropped datagrams")
            starting = group.create_task(self._start_senders(stop), name="latency senders")
            await stop.wait()
            await asyncio.wait([starting], timeout=SETTLE_LIMIT_S)
            for task in (starting, telling, answering):
                task.cancel()

    def _sender(self, method: str) -> Sender:
        return SENDERS[method](
            self._site,
            LatencyTests(),
            on_window=self._on_window,
            on_sample=self._sampled,
            key=self._key,
            bind=self._bind,
        )

    def _sampled(self, sample: ProbeOutcome) -> None:
        if sample.site == self._working.peer:
            self._working.take(sample.site, sample.rtt_s, time.monotonic())

    def _ready(self, method: str) -> Sender | None:
        """The sender of a method, made when it is first needed; None where this machine cannot have it."""
        if method not in self._senders:
            try:
                sender = self._sender(method)
            except OperatorError as error:
                log.warning("latency by %s cannot be measured, by TCP connect time instead: %s", method, error)
                return None
            self._senders[method] = sender
            self._new.put_nowait((method, sender))
        return self._senders[method]

    async def _start_senders(self, stop: asyncio.Event) -> None:
        """Run the senders as they come, until told to stop; then let each settle its probes."""
        async with asyncio.TaskGroup() as group:
            coming = group.create_task(self._run_new(group), name="new senders")
            await stop.wait()
            coming.cancel()
            for sender in self._senders.values():
                sender.stop()

    async def _run_new(self, group: asyncio.TaskGroup) -> None:
        while True:
            method, sender = await self._new.get()
            group.create_task(sender.run(), name=f"latency[{method}]")

    async def _answer(self) -> None:
        """Answer probes at the port, and with the key, that the mesh gives this site."""
        while True:
            self._answering_changed.clear()
            wanted = self._answering()
            port, key = wanted
            reflector = Reflector(port, bind=self._bind, key=key, allow=self._allow, dropped=self.dropped)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(reflector.run(), name=f"reflector[{port}]")
                while self._answering() == wanted:
                    await self._answering_changed.wait()
                    self._answering_changed.clear()
                running.cancel()

    def _answering(self) -> tuple[int, bytes | None]:
        mesh = self._mesh
        if mesh is None or self._site not in mesh.sites:
            return STAMP_PORT, None
        return mesh.sites[self._site].port, self._key if mesh.latency.authenticated else None


def _peers_by_method(mesh: Mesh, site: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in mesh.peers(site):
        found.setdefault(mesh.sites[name].method, []).append(name)
    return found


def _peer(mesh: Mesh, name: str, method: str) -> LatencyPeer:
    site = mesh.sites[name]
    # What answers at its address is its NAT: a figure of that would not be one of the link.
    closed = "behind_nat" if site.nat else None
    return LatencyPeer(name, site.address, site.tcp_port if method == "tcp" else site.port, closed)


# A minute at a hundred probes a second: more than the longest test.
REMEMBERED = 6000


class WorkingLatency:
    """The RTTs to the peer under test; probes to others are not looked at."""

    def __init__(self) -> None:
        self.peer: str | None = None
        self._rtts: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)

    def follow(self, peer: str | None) -> None:
        """A test with this peer begins; None: it is over."""
        self.peer = peer
        self._rtts.clear()

    def take(self, peer: str, rtt_s: float | None, now: float) -> None:
        """A probe settled at `now`, on any clock that does not jump; None: without an RTT."""
        if peer == self.peer and rtt_s is not None:
            self._rtts.append((now, rtt_s))

    def p50(self, peer: str, last_s: float, now: float) -> float | None:
        """The median RTT to the peer over the last seconds; None where no reply came."""
        found = [rtt_s for at, rtt_s in self._rtts if peer == self.peer and at > now - last_s]
        return median(found) if found else None
