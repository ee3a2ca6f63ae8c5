"""A site's latency measurements: an engine for each method and pace that its mesh asks for, and the reflector."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any, Final

from linkweather.errors import OperatorError
from linkweather.mesh import LatencyTests, Mesh
from linkweather.mesh.mesh_model import OF_MESH
from linkweather.wire import LatencyRow
from probes.latency.engine import LatencyEngine
from probes.latency.prober import AbsentProber, Method, load
from probes.latency.reflector import Peers, Reflector
from probes.latency.reflector_drops import ReflectorDrops, log_drops
from probes.latency.reflector_guard import Recent
from probes.latency.session import ProbeOutcome
from probes.latency.stamp import StampProber, key_id
from probes.latency.targets import LatencyPeer

log = logging.getLogger(__name__)

SETTLE_LIMIT_S: Final = 2.0
# By what a link is measured where this machine has no right to its method.
_INSTEAD: Mapping[str, str] = {"icmp": "tcp"}


# A minute at a hundred probes a second: more than the longest test.
REMEMBERED = 6000


MOST_KEYS = 10_000

# A method, and the group of the mesh whose links have intervals of their own; OF_MESH for those of the mesh.
EngineKey = tuple[str, int]


async def no_goodbye() -> None:
    """Say nothing."""


class Station:
    """Follows a mesh as `site`; the rows of a window come through `on_window`, a call per method.

    `allow` names the prefixes that the reflector answers; without it, everybody's.
    Making one binds the STAMP engine's sockets. Raises OperatorError: an address that cannot be bound.
    """

    def __init__(
        self,
        site: str,
        *,
        on_window: Callable[[datetime, list[LatencyRow]], None],
        keys: Sequence[bytes],
        bind: Sequence[str] = (),
        allow: Sequence[str] | None = None,
    ) -> None:
        self._site = site
        self._emit = on_window
        self._keys = tuple(keys)
        self._reflecting: Reflector | None = None
        self._key_ids: Recent[str, str | None] = Recent(MOST_KEYS)
        self._bind = bind
        self._allow = allow
        # What the reflectors, one after another, did not answer, by reason.
        self.dropped = ReflectorDrops()
        self._working = WorkingLatency()
        self._mesh: Mesh | None = None
        self._answering_changed = asyncio.Event()
        self._methods: dict[str, Method] = {}
        self._engines: dict[EngineKey, LatencyEngine] = {}
        self._new: asyncio.Queue[tuple[str, LatencyEngine]] = asyncio.Queue()
        self._begin(load("stamp"))

    def apply_mesh(self, mesh: Mesh) -> None:
        """Measure and answer as this mesh says."""
        self._mesh = mesh
        peers = self._by_engine(mesh)
        for key in [key for key in self._engines if key not in peers and key[1] != OF_MESH]:
            self._engines.pop(key).stop()
        for (method, group), engine in self._engines.items():
            try:
                tests = mesh.tests_of(group).latency
                engine.set_peers(peers.get((method, group), ()), _tests(tests, self._methods[method]))
            except OperatorError as error:
                log.error("latency by %s is measured as before, the new mesh is refused: %s", method, error)
        self._answering_changed.set()

    def _by_engine(self, mesh: Mesh) -> dict[EngineKey, list[LatencyPeer]]:
        """The peers of each engine; there is one for each."""
        wanted = mesh.peers(self._site)
        usable = {method: self._usable(method) for method in {mesh.sites[name].method for name in wanted}}
        peers: dict[EngineKey, list[LatencyPeer]] = {}
        for name in wanted:
            method, group = usable[mesh.sites[name].method], mesh.group_of(self._site, name)
            key = method, OF_MESH if mesh.tests_of(group).latency == mesh.latency else group
            peers.setdefault(key, []).append(LatencyPeer.of(mesh, name, self._methods[method]))
        for method, group in peers.keys() - self._engines.keys():
            self._begin(self._methods[method], group)
        return peers

    def mark_loaded(self, site: str | None) -> None:
        """Say with which peer a throughput test runs, or that it is over."""
        self._working.watch(site)
        for engine in self._engines.values():
            engine.mark_loaded(site)

    def working_latency(self, site: str, last_s: float) -> float | None:
        """The median RTT to the peer of the running test in its last seconds; None where it is not probed."""
        return self._working.p50(site, last_s, time.monotonic())

    def note_key(self, site: str, key_id: str | None) -> None:
        """A site's tests have this key."""
        self._key_ids.keep(site, key_id)

    def set_keys(self, keys: Sequence[bytes]) -> None:
        """Sign with the first of these keys from now on, and accept the other, too. No probe under way is lost."""
        self._keys, answering = tuple(keys), self._answering()
        self._share_keys()
        for engine in self._engines.values():
            engine.set_key(self._keys[0] if self._keys else None)
        if self._reflecting is not None and answering is not None and answering[1]:
            self._reflecting.set_keys(self._keys)

    def _share_keys(self) -> None:
        for method in self._methods.values():
            if isinstance(method.prober, StampProber):
                method.prober.also = self._keys[1] if len(self._keys) > 1 else None

    def hold(self, site: str, limit_s: float) -> None:
        """Do not probe a site's reflector for so long: it restarts."""
        self._hold(site, time.monotonic() + limit_s)

    def resume(self, site: str) -> None:
        """Probe a site's reflector again."""
        self._hold(site, 0.0)

    def _hold(self, site: str, until: float) -> None:
        for (method, _), engine in self._engines.items():
            if method == "stamp":
                engine.hold(site, until)

    async def run(self, stop: asyncio.Event, goodbye: Callable[[], Coroutine[Any, Any, None]] = no_goodbye) -> None:
        """Measure until `stop` is set and what is under way is settled, and answer until `goodbye` is said as well."""
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(self._answer(), name="reflector")
            logging_drops = group.create_task(log_drops(self.dropped), name="dropped datagrams")
            starting = group.create_task(self._run_engines(stop), name="latency engines")
            await stop.wait()
            saying = group.create_task(goodbye(), name="goodbye")
            await asyncio.wait([starting], timeout=SETTLE_LIMIT_S)
            await saying
            for task in (starting, logging_drops, answering):
                task.cancel()

    def _on_window(self, at: datetime, rows: list[LatencyRow]) -> None:
        self._emit(at, [self._explained(row) for row in rows])

    def _explained(self, row: LatencyRow) -> LatencyRow:
        """A reflector is silent to who has another key; but its site says which it has."""
        mesh = self._mesh
        if row.failure != "no_reply" or row.method != "stamp" or mesh is None or not mesh.latency.authenticated:
            return row
        ours = [key_id(key) for key in self._keys]
        theirs = self._key_ids.get(row.dst, ours[0])
        if theirs in ours:
            return row
        detail = (
            f"{row.dst} has another key (its id is {theirs}, ours {ours[0]})" if theirs else f"{row.dst} has no key"
        )
        return row.model_copy(update={"failure": "wrong_key", "detail": detail})

    def _sampled(self, sample: ProbeOutcome) -> None:
        if sample.site == self._working.peer:
            self._working.take(sample.site, sample.rtt_s, time.monotonic())

    def _usable(self, name: str) -> str:
        """The method by which to measure where the mesh asks for `name`: another one where this machine cannot."""
        if name in self._methods:
            return name
        try:
            self._begin(load(name))
        except OperatorError as error:
            if instead := _INSTEAD.get(name):
                log.warning("latency by %s cannot be measured, it is by %s instead: %s", name, instead, error)
                return self._usable(instead)
            log.error("latency by %s cannot be measured: %s", name, error)
            self._begin(Method(name, AbsentProber(str(error))))
        return name

    def _begin(self, method: Method, group: int = OF_MESH) -> None:
        """Make an engine of a method. Raises OperatorError where this machine cannot have it."""
        engine = LatencyEngine(
            self._site,
            method,
            LatencyTests(),
            on_window=self._on_window,
            on_sample=self._sampled,
            key=self._keys[0] if self._keys else None,
            bind=self._bind,
        )
        self._methods[method.name] = method
        self._share_keys()
        self._engines[method.name, group] = engine
        self._new.put_nowait((method.name, engine))

    async def _run_engines(self, stop: asyncio.Event) -> None:
        """Run the engines as they come, until `stop`; then let each settle its probes."""
        async with asyncio.TaskGroup() as group:
            coming = group.create_task(self._run_new(group), name="new engines")
            await stop.wait()
            coming.cancel()
            for engine in self._engines.values():
                engine.stop()

    async def _run_new(self, group: asyncio.TaskGroup) -> None:
        while True:
            method, engine = await self._new.get()
            group.create_task(engine.run(), name=f"latency[{method}]")

    async def _answer(self) -> None:
        """Answer probes at the port, and with the key, that the mesh gives this site; at none before it names one."""
        while True:
            self._answering_changed.clear()
            wanted = self._answering()
            async with asyncio.TaskGroup() as group:
                running = wanted and group.create_task(
                    self._reflector(wanted[0], signed=wanted[1]).run(), name=f"reflector[{wanted[0]}]"
                )
                while self._answering() == wanted:
                    await self._answering_changed.wait()
                    self._answering_changed.clear()
                if running:
                    running.cancel()

    def _reflector(self, port: int, *, signed: bool) -> Reflector:
        keys = self._keys if signed else ()
        self._reflecting = reflector = Reflector(
            port,
            bind=self._bind,
            key=keys[0] if keys else None,
            allow=self._allow,
            dropped=self.dropped,
            peers=self._reflectors,
        )
        reflector.set_keys(keys)
        return reflector

    def _reflectors(self) -> Peers:
        """Where the other sites are, as the mesh says and as names resolve, and at which ports their reflectors are."""
        sites = self._mesh.sites.values() if self._mesh else ()
        resolved = {address for engine in self._engines.values() for address in engine.addresses}
        return resolved.union(site.address for site in sites), {site.port for site in sites}

    def _answering(self) -> tuple[int, bool] | None:
        mesh = self._mesh
        if mesh is None or self._site not in mesh.sites:
            return None
        return mesh.sites[self._site].port, mesh.latency.authenticated and bool(self._keys)


def _tests(tests: LatencyTests, method: Method) -> LatencyTests:
    """The mesh's tests, as far as the method can follow them."""
    interval_s, timeout_s = method.prober.needs
    most = {"interval_s": max(interval_s, tests.interval_s), "timeout_s": max(timeout_s, tests.timeout_s)}
    return tests.model_copy(update=most)


class WorkingLatency:
    """The RTTs to the peer under test; probes to others are not looked at."""

    def __init__(self) -> None:
        self.peer: str | None = None
        self._rtts: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)

    def watch(self, peer: str | None) -> None:
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
