"""Tests the throughput of a site's incoming links: each when its turn comes, or earlier when something changed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

from linkweather.containment import note
from linkweather.mesh import Mesh
from linkweather.mesh.tournament import block_slots
from linkweather.wire import MAX_NEXT_TESTS, LatencyRow, LinkWeights, NextTest, PathRow, ThroughputRow
from probes.throughput import invitation
from probes.throughput.agenda import Agenda, Planned
from probes.throughput.attention import Attention
from probes.throughput.budget import BudgetStore, charged_bytes
from probes.throughput.invitation import Declined
from probes.throughput.negotiation import Negotiator
from probes.throughput.past_tests import LinkHistory

log = logging.getLogger(__name__)

# A test that is due later is none that a status needs to name.
_HORIZON_S: Final = 366 * 86_400.0


def _forget(_src: str, _: LinkHistory) -> None:
    pass


class ThroughputScheduler:
    """Runs the tests of the links to `site`; every row, also a failed test's, goes to `on_row`.

    `keep` keeps what the tests of a link have found, after each.
    """

    def __init__(
        self,
        site: str,
        negotiator: Negotiator,
        on_row: Callable[[datetime, ThroughputRow], None],
        *,
        budgets: BudgetStore,
        attention: Attention,
        keep: Callable[[str, LinkHistory], None] = _forget,
    ) -> None:
        self._site = site
        self._negotiator = negotiator
        self._on_row = on_row
        self._budgets = budgets
        self._attention = attention
        self._keep = keep
        self._agenda: Agenda | None = None
        self._changed = asyncio.Event()
        # How many slots the tests of a link take, where it is more than one: each number is logged once.
        self._long: dict[str, int] = {}
        # Tests by the reason why each ran.
        self.ran: Counter[str] = Counter()

    def apply_mesh(self, mesh: Mesh) -> None:
        """Test as this mesh says."""
        self._agenda = Agenda(mesh, self._site)
        self._agenda.apply_to(self._attention)
        self._budgets.apply_mesh(mesh, self._agenda.round_s)
        self._negotiator.apply_mesh(mesh)
        self._changed.set()

    def apply_weights(self, weights: LinkWeights) -> None:
        """Test each link as often as decisions gain from it."""
        self._attention.apply_weights(dict(zip(weights.src, weights.rounds, strict=True)))
        self._changed.set()

    def notice_latency(self, row: LatencyRow) -> None:
        """Bring a test forward where a window that has just ended shows a change; the RTT sets the time limits."""
        rtt_s = row.rtt_p95_s if row.rtt_p95_s is not None else row.rtt_p50_s
        if rtt_s is not None and not row.during_throughput:
            self._negotiator.note_rtt(row.dst, rtt_s)
        if self._attention.latency(time.time(), row):
            self._changed.set()

    def notice_path(self, row: PathRow) -> None:
        """Bring a test forward where a trace shows another route."""
        if self._attention.path(time.time(), row):
            self._changed.set()

    async def run(self) -> None:
        """Test until cancelled, and serve the peers that invite us."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._negotiator.run(), name="negotiator")
            group.create_task(self._take_turns(), name="turns")

    async def _take_turns(self) -> None:
        while True:
            self._changed.clear()
            agenda = self._agenda
            planned = agenda.upcoming(time.time(), self._attention) if agenda else None
            wait_s = max(0.0, planned.start_s - time.time()) if planned else None
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                if agenda and planned:
                    await self._contained_test(agenda.mesh, planned)

    async def _contained_test(self, mesh: Mesh, planned: Planned) -> None:
        try:
            await self._test(mesh, planned)
        except Exception as error:  # noqa: BLE001 - one test costs itself, and is a failure of its link
            note("throughput test", error)
            await self._conclude(planned, invitation.failed(planned.src, self._site, "fault", type(error).__name__))

    def next_tests(self) -> tuple[NextTest, ...]:
        """When the next test of each link is due, as far as is known now, and why it waits; the soonest come first."""
        if self._agenda is None:
            return ()
        now_s = time.time()
        planned = self._agenda.planned(now_s, self._attention)
        return tuple(
            NextTest(
                src=each.src,
                at=datetime.fromtimestamp(round(each.start_s), UTC),
                reason=each.reason,
                waits_for=self._attention.waits_for(each.src),
                rounds=self._attention.rounds(each.src),
            )
            for each in planned[:MAX_NEXT_TESTS]
            if each.start_s < now_s + _HORIZON_S
        )

    async def _test(self, mesh: Mesh, planned: Planned) -> None:
        if invitation.caller(mesh, planned.src, self._site) is None:
            await self._conclude(planned, invitation.unreachable(planned.src, self._site))
            return
        began = time.monotonic()
        found = await self._afforded(mesh, planned)
        if isinstance(found, Declined):
            self._postpone(planned.src, found)
            return
        self.ran[planned.reason] += 1
        block = block_slots(time.monotonic() - began, mesh.throughput.slot_s)
        self._note_block(planned.src, block, mesh.throughput.slot_s)
        await self._conclude(planned, found, block)

    async def _conclude(self, planned: Planned, row: ThroughputRow, block: int = 1) -> None:
        stated = self._attention.tested(time.time(), row, block)
        self._on_row(datetime.now(UTC), stated.model_copy(update={"reason": planned.reason}))
        await asyncio.to_thread(self._keep, planned.src, self._attention.history(planned.src))

    def _postpone(self, src: str, declined: Declined) -> None:
        if self._attention.postponed(src, time.time() + declined.retry_after_s, declined.reason):
            log.info("the throughput test of %s → %s is postponed: %s", src, self._site, declined.reason)

    async def _afforded(self, mesh: Mesh, planned: Planned) -> ThroughputRow | Declined:
        """The test, within the budgets."""
        src = planned.src
        max_bytes = self._budgets.ask(src, self._site)
        keep = planned.reason in {"first", "expired", "scheduled"}
        # The budget is on the disk before the test, and a slow disk holds up no other measurement.
        reserve = partial(self._budgets.reserve, time.time(), src, self._site, max_bytes, keep=keep)
        reservation = await asyncio.to_thread(reserve)
        if reservation is None:
            return Declined(invitation.BUDGET, invitation.RETRY_AFTER_S)
        found = await self._negotiator.measure(src, mesh.sites[src].address, mesh.throughput, max_bytes=max_bytes)
        if isinstance(found, Declined):
            settle = partial(self._budgets.settle, reservation, src, self._site, 0, tested=False)
        else:
            moved_bytes, limited = charged_bytes(found, max_bytes), found.stopped_by == "bytes"
            settle = partial(self._budgets.settle, reservation, src, self._site, moved_bytes, limited=limited)
        await asyncio.to_thread(settle)
        return found

    def _note_block(self, src: str, block: int, slot_s: float) -> None:
        """Log once that a link's tests take several slots: they are tested in fewer rounds, and the others between."""
        if block <= self._long.get(src, 1):
            return
        self._long[src] = block
        text = "a throughput test of %s → %s takes longer than its slot of %g s: from now on it gets %d slots"
        log.warning(text, src, self._site, slot_s, block)
