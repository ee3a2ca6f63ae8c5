"""The daemon's tracing of its outgoing links: one at a time, and what was found and what changed as rows."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from linkweather.containment import contained
from linkweather.errors import MeasurementError
from linkweather.mesh import Mesh, PathTests, Site
from linkweather.wire import PathRow
from linkweather.wire.fields import printable
from probes.path.replies import first_key
from probes.path.route_store import RouteStore
from probes.path.traced_route import KnownRoute, cut_off, hops, not_within, reached, recognise, route, steps
from probes.path.tracer_lines import TraceRequest
from probes.path.tracer_process import Traced, run

Trace = Callable[[TraceRequest], Awaitable[Traced]]


class Tracing:
    """Traces the outgoing links of `site`, one at a time; `rng` spreads the starts of sites that begin together.

    Each trace is compared with the known routes of its link in `memory`. Rows are reported as `complete` says.
    """

    def __init__(
        self,
        site: str,
        report: Callable[[Sequence[PathRow]], None],
        *,
        memory: RouteStore,
        bind: Sequence[str],
        rng: Random,
        trace: Trace = run,
    ) -> None:
        self._site = site
        self._report = report
        self._memory = memory
        self._bind = tuple(bind)
        self._trace = trace
        self._share = rng.random()
        self._mesh: Mesh | None = None
        self._changed = asyncio.Event()
        self._traced: dict[str, float] = {}

    def apply_mesh(self, mesh: Mesh) -> None:
        """Trace as this mesh says, from the next turn on."""
        peers = set(mesh.peers(self._site))
        self._traced = {name: at for name, at in self._traced.items() if name in peers}
        self._mesh = mesh
        self._changed.set()

    async def run(self) -> None:
        """Take turns until cancelled."""
        held: list[PathRow] = []
        try:
            await self._trace_on(held)
        finally:
            if held:
                self._report(held)

    async def _trace_on(self, held: list[PathRow]) -> None:
        began = time.monotonic()
        while True:
            self._changed.clear()
            mesh = self._mesh
            every_s = _every_s(mesh, self._site) if mesh else {}
            turn = next_turn(every_s, self._traced, began=began, share=self._share)
            if complete(held, len(every_s), turn.peer if turn else None):
                rows, held[:] = tuple(held), ()
                with contained("path test"):
                    self._report(rows)
            wait_s = max(0.0, turn.at - time.monotonic()) if turn else None
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                if mesh and turn:
                    self._traced[turn.peer] = time.monotonic()
                    with contained("path test"):
                        held.append(await self._row(turn.peer, mesh.sites[turn.peer], mesh.path))

    async def _row(self, peer: str, site: Site, tests: PathTests) -> PathRow:
        port = site.tcp_port if tests.method == "tcp" else tests.udp_port
        request = TraceRequest(
            host=site.address,
            method=tests.method,
            port=port,
            flows=tests.flows,
            max_hops=tests.max_hops,
            bind=self._bind,
            first_key=first_key(self._site, peer),
        )
        try:
            traced = await self._trace(request)
        except MeasurementError as error:
            return PathRow(
                src=self._site, dst=peer, method=tests.method, failure=error.reason, detail=printable(error.detail)
            )
        known = await asyncio.to_thread(self._memory.recall, peer, site.address, tests.method)
        row, after = conclude(self._site, peer, tests.method, traced, known)
        if cut_off(traced.samples, tests.max_hops):
            row = row.model_copy(update={"detail": not_within(tests.max_hops)})
        await asyncio.to_thread(self._memory.keep, peer, site.address, tests.method, after)
        return row


def _every_s(mesh: Mesh, site: str) -> dict[str, float]:
    """How often the path to each peer is traced, of those to which it is."""
    tests = {peer: mesh.tests(site, peer).path for peer in mesh.peers(site)}
    return {peer: each.every_s for peer, each in tests.items() if each.enabled}


def conclude(
    src: str, dst: str, method: str, traced: Traced, known: tuple[KnownRoute, ...]
) -> tuple[PathRow, tuple[KnownRoute, ...]]:
    """The row of a trace, and the known routes of the link after it."""
    found = hops(steps(traced.samples))
    if not found:
        detail = f"neither {traced.address} nor any router on the way answers"
        return PathRow(src=src, dst=dst, method=method, failure="no_reply", detail=detail), known
    after = recognise(known, route(traced.samples), found)
    changed = bool(known) and known[0].fingerprint != after[0].fingerprint
    row = PathRow(
        src=src,
        dst=dst,
        method=method,
        hops=found,
        reached=reached(traced.samples),
        fingerprint=after[0].fingerprint,
        changed=changed,
        before=known[0].hops if changed else None,
        path_mtu_bytes=traced.path_mtu_bytes,
    )
    return row, after


# Of so many peers one's row waits for further ones: the sites of a large mesh would send thousands of reports a second.
PEERS_A_ROW = 30


def complete(held: Sequence[PathRow], peers: int, following: str | None) -> bool:
    """Whether to report the rows `held` now: a changed path does not wait, and no row more than a 30th of a round.

    Nor does a report have a link twice, whose rows would be one point of the archive: `following` is traced next.
    """
    if not held:
        return False
    return held[-1].changed or len(held) * PEERS_A_ROW >= peers or any(row.dst == following for row in held)


# A new link does not wait for its place in the period, and not all new ones are traced at once.
FIRST_GAP_S = 30.0


@dataclass(frozen=True, slots=True)
class TraceTurn:
    """Trace the path to `peer` at `at` (seconds of the clock that `traced` has)."""

    at: float
    peer: str


def next_turn(
    every_s: Mapping[str, float], traced: Mapping[str, float], *, began: float, share: float
) -> TraceTurn | None:
    """The next trace, where each peer is traced once in its `every_s`; `traced` is when each was traced last.

    The first one comes within a gap after `began`, at this `share` of it, so that sites that begin together do not
    trace together.
    """
    peer = min(every_s, key=lambda peer: (traced.get(peer, -math.inf) + every_s[peer], peer), default=None)
    if peer is None:
        return None
    slot_s = 1 / sum(1 / each_s for each_s in every_s.values())
    gap_s = slot_s if peer in traced else min(slot_s, FIRST_GAP_S)
    last = max(traced.values(), default=None)
    return TraceTurn(began + share * gap_s if last is None else last + gap_s, peer)
