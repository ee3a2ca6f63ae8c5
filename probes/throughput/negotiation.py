"""Arranges a throughput test between two sites: an invitation, its answer, the test itself.

    destination                         source
        │ takes its lease, claims groups   │
        │────────── invite ───────────────▶│ takes its lease, or declines
        │◀───────── answer: port, secret ──│ serves                          (the usual way)
        │══════════ iperf3 calls, receives ═│
        │◀───────── answer: served ────────│ what the sender's kernel saw
        │ releases                         │ releases

The source may accept without a port. Then the destination answers with the port at which it serves, and the source
calls and sends. That is the way where the source is behind NAT, or where the destination's iperf3 cannot show its
secret to the source's (`iperf3_program`).

Messages come in by `handle_invite`, `handle_answer` and `handle_claim`, and go out by `publish`. Both ends hold their
lease for the whole test and no longer, and the destination holds the groups that share a bottleneck (`leases`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

from linkweather.containment import contained, note, note_overflow
from linkweather.errors import MeasurementError, OperatorError
from linkweather.mesh import Mesh, ThroughputTests
from linkweather.mesh.site_mesh import site_mesh
from linkweather.wire import Answer, Claim, Invite, ThroughputRow
from probes.throughput import invitation
from probes.throughput.group_lease import GroupLease
from probes.throughput.invitation import Declined
from probes.throughput.iperf3_ends import PeerIperf3, SiteIperf3
from probes.throughput.leases import SiteLease
from probes.throughput.limiting import SenderEvidence
from probes.throughput.peer_filter import admitted_addresses, local_addresses
from probes.throughput.result import Result, spanned
from probes.throughput.signalling import PendingTest, Signalling
from probes.throughput.stop_rule import StopRule
from probes.throughput.time_limits import duration_s, lease_margin_s, limit_s

log = logging.getLogger(__name__)

_REMEMBERED_INVITES = 256
_WAITING_INVITES = 64


class Negotiator:
    """One site's throughput tests, both as the one that invites and as the one that serves.

    The mesh says who may invite. `iperf3` is the installed one, None where there is none.
    `on_start` and `on_end` are called with the peer around each test.
    `afford` sets aside what an invited test may send to the peer; false where a budget forbids it.
    `working_latency` returns the RTT to the peer in the last so many seconds, right after a test.
    """

    def __init__(
        self,
        site: str,
        *,
        publish: Callable[[str, bytes], Awaitable[bool]],
        lease: SiteLease,
        iperf3: SiteIperf3 | None,
        on_start: Callable[[str], None],
        on_end: Callable[[str], None],
        afford: Callable[[str, int | None], Awaitable[bool]],
        working_latency: Callable[[str, float], float | None],
        token: Callable[[], str],
    ) -> None:
        self._mesh: Mesh | None = None
        self._site = site
        self._signalling = Signalling(site, publish)
        self._lease = lease
        self._groups = GroupLease(site, publish, hold_s=self._longest_hold_s)
        self._iperf3 = iperf3
        self._on_start = on_start
        self._on_end = on_end
        self._afford = afford
        self._working_latency = working_latency
        self._token = token
        self._rtts_s: dict[str, float] = {}
        # From when on a peer is served again.
        self._again_s: dict[str, float] = {}
        self._invites: asyncio.Queue[tuple[str, Invite]] = asyncio.Queue(_WAITING_INVITES)
        self._seen: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED_INVITES)

    def apply_mesh(self, mesh: Mesh) -> None:
        """Arrange tests as this mesh says."""
        self._mesh = mesh
        self._rtts_s = {peer: rtt_s for peer, rtt_s in self._rtts_s.items() if peer in mesh.sites}
        self._again_s = {peer: again_s for peer, again_s in self._again_s.items() if peer in mesh.sites}
        self._groups.apply_mesh(mesh)

    def on_connect(self) -> None:
        """Note a new connection to the broker: earlier claims were not heard."""
        self._groups.on_connect()

    def note_rtt(self, peer: str, rtt_s: float) -> None:
        """Note the RTT to a peer as it was measured last: the time limits of tests with it grow with it."""
        self._rtts_s[peer] = rtt_s

    def handle_claim(self, by: str, claim: Claim) -> None:
        """Take in what a site claims."""
        self._groups.handle(by, claim)

    def handle_invite(self, from_site: str, invite: Invite) -> None:
        """Take an invitation in; a repeated one is ignored, and one too many as well and counted."""
        if (from_site, invite.id) in self._seen:
            return
        if self._invites.full():
            note_overflow("invitations")
            return
        self._seen.append((from_site, invite.id))
        self._invites.put_nowait((from_site, invite))

    def handle_answer(self, from_site: str, answer: Answer) -> None:
        """Take an answer in; one that no test awaits, or no longer, is ignored."""
        self._signalling.handle_answer(from_site, answer)

    async def run(self) -> None:
        """Serve invitations until cancelled. Raises OperatorError, in a group, when the keys cannot be kept."""
        async with asyncio.TaskGroup() as tests:
            if self._iperf3 is not None:
                tests.create_task(self._iperf3.prepare(), name="iperf3's keys")
            while True:
                by, invite = await self._invites.get()
                with contained("invitation"):
                    refused = await self._refused(by, invite)
                    if refused is not None:
                        await self._signalling.answer(by, refused)
                    else:  # one at a time, for the lease is ours
                        tests.create_task(self._take_part(by, invite), name=f"invited[{by}]")

    async def _refused(self, by: str, invite: Invite) -> Answer | None:
        """The answer that declines an invitation; None when our lease is taken for it."""
        ready, rtt_s = self._iperf3.ready if self._iperf3 else None, self._rtts_s.get(by)
        reason = invitation.refusal(by, self._site, invite, self._mesh, ready=ready, rtt_s=rtt_s)
        if reason is not None:
            return invitation.declined(invite, reason)
        wait_s = self._again_s.get(by, 0.0) - _now()
        if wait_s > 0:
            return invitation.declined(invite, invitation.TOO_SOON, wait_s)
        if not self._groups.covers(by, invite.id):
            return invitation.declined(invite, invitation.LEASED, invitation.patience_s(self._groups.remaining_s(by)))
        if not self._take(invite.duration_s, by):
            wait_s = invitation.patience_s(self._lease.remaining_s(_now()))
            return invitation.declined(invite, invitation.LEASED, wait_s)
        if not await self._afford(by, invite.max_bytes):
            self._lease.release(by)
            return invitation.declined(invite, invitation.BUDGET)
        return None

    async def measure(
        self, src: str, host: str, tests: ThroughputTests, *, max_bytes: int | None = None
    ) -> ThroughputRow | Declined:
        """Test the link from `src`, whose address is `host`, to us. Failures are rows, postponements `Declined`.

        `max_bytes` limits the payload, in whole blocks of 128 KiB.
        """
        iperf3 = self._iperf3
        if iperf3 is None:
            return invitation.failed(src, self._site, "missing", f"{self._site} has no iperf3 that can be used")
        rtt_s = self._rtts_s.get(src)
        longest_s = duration_s(tests.max_duration_s, rtt_s)
        if not self._take(longest_s, src):
            return Declined(invitation.LEASED, invitation.patience_s(self._lease.remaining_s(_now())))
        addresses = await local_addresses(host, iperf3.place.bind)
        invite = invitation.proposed(self._token(), longest_s, iperf3.build, max_bytes, addresses)
        rule = StopRule(longest_s, until_converged=tests.until_converged, max_bytes=max_bytes, rtt_s=rtt_s)
        with self._held(src), self._signalling.pending(src, invite.id, rtt_s) as test:
            async with self._groups.held(src, invite.id, tests.max_duration_s) as declined:
                return declined or await self._invite(test, invite, host, rule, iperf3)

    def _take(self, duration_s: float, peer: str) -> bool:
        now = _now()
        return self._lease.take(now, now + duration_s + lease_margin_s(self._rtts_s.get(peer)), peer)

    def _longest_hold_s(self, peer: str | None) -> float:
        # Of two other sites we know no RTT; it is hardly more than the sum of both to us.
        rtt_s = self._rtts_s.get(peer) if peer else 2 * max(self._rtts_s.values()) if self._rtts_s else None
        # A claim stands at others before it is heard back here.
        return duration_s(0.0, rtt_s) + lease_margin_s(rtt_s) + limit_s("heard", rtt_s)

    @contextlib.contextmanager
    def _held(self, peer: str) -> Iterator[None]:
        """The lease that was taken: given back at the end, whatever happens."""
        self._on_start(peer)
        try:
            yield
        finally:
            self._lease.release(peer)
            self._on_end(peer)

    async def _invite(
        self, test: PendingTest, invite: Invite, host: str, rule: StopRule, iperf3: SiteIperf3
    ) -> ThroughputRow | Declined:
        try:
            answer = await self._signalling.invite(test, invite)
        except TimeoutError:
            return invitation.failed(test.peer, self._site, "no_answer", f"{test.peer} did not answer the invitation")
        if answer is None:
            return Declined("no_broker", invitation.RETRY_AFTER_S)
        if not answer.accepted:
            return invitation.not_tested(test.peer, self._site, answer)
        try:
            result = await self._receive(test, host, rule, answer, iperf3)
        except OperatorError as error:  # it was there when the daemon started
            return invitation.failed(test.peer, self._site, "missing", str(error))
        except MeasurementError as error:
            return invitation.not_served(test.peer, self._site, error)
        return await self._row(test, result)

    async def _receive(
        self, test: PendingTest, host: str, rule: StopRule, answer: Answer, iperf3: SiteIperf3
    ) -> Result:
        if answer.port is not None:
            return await iperf3.fetch(host, answer, rule)
        peer = PeerIperf3(test.peer, answer.iperf3, answer.authentication is True, test.rtt_s)
        async with iperf3.serve(test.id, peer, rule.max_duration_s) as (server, offer):
            if not await self._signalling.answer(test.peer, offer):
                raise MeasurementError("no_broker", "the broker went away before the peer learned where to call")
            return await server.received(rule)

    async def _row(self, test: PendingTest, result: Result) -> ThroughputRow:
        if result.failure in invitation.SPOILED and (result.failure == "busy" or await test.disturbed()):
            detail = f"another connection got hold of the server of this test at {test.peer}"
            return invitation.failed(test.peer, self._site, invitation.DISTURBED, detail)
        if result.failure is not None:
            return invitation.row(test.peer, self._site, result)
        loaded_s = self._working_latency(test.peer, result.steady_s or 0.0)
        served = await test.served()
        return invitation.row(test.peer, self._site, spanned(result), served=served, rtt_loaded_s=loaded_s)

    async def _take_part(self, by: str, invite: Invite) -> None:
        """Be the source of a test, for which our lease is taken."""
        with self._held(by):
            try:
                sent = await self._send(by, invite)
            except (MeasurementError, OperatorError) as error:
                log.warning("cannot take part in a throughput test with %s: %s", by, error)
                reason = error.reason if isinstance(error, MeasurementError) else "cannot_serve"
                if reason == invitation.DISTURBED:  # which the peer may have done itself, to keep us busy
                    self._rest(by, None)
                await self._signalling.answer(by, invitation.declined(invite, reason))
                return
            except Exception as error:  # noqa: BLE001 - one test costs itself
                note("throughput test", error)
                await self._signalling.answer(by, invitation.declined(invite, "fault"))
                return
            self._rest(by, sent)
            if sent is not None:
                await self._signalling.answer(by, invitation.evidence(invite, sent))

    def _rest(self, peer: str, sent: SenderEvidence | None) -> None:
        if self._mesh is not None and peer in self._mesh.sites:
            part, moved = site_mesh(self._mesh, self._site), sent is not None and bool(sent.connections)
            self._again_s[peer] = _now() + invitation.distance_s(part, peer, sent=moved)

    async def _send(self, by: str, invite: Invite) -> SenderEvidence | None:
        """Send, called or calling; None when the peer did not come to the test."""
        mesh, iperf3 = self._mesh, self._iperf3
        if mesh is None or iperf3 is None:  # not after an invitation was taken
            return None
        if self._is_caller(by, invite, mesh, iperf3):
            return await self._call(by, mesh.sites[by].address, invite, iperf3)
        admitted = await admitted_addresses(mesh.sites.get(by), invite.addresses)
        peer = PeerIperf3(by, invite.iperf3, invite.authentication, self._rtts_s.get(by), admitted)
        async with iperf3.serve(invite.id, peer, invite.duration_s) as (server, offer):
            if not await self._signalling.answer(by, offer):
                return None
            said = await server.finished()
            if said and "authorization failed" in said:
                # The peer itself would know it by its own error.
                raise MeasurementError(invitation.DISTURBED, f"a client without the secret: {said}")
            if said:
                log.info("the throughput test for %s: %s", by, said)
            return server.sent

    def _is_caller(self, by: str, invite: Invite, mesh: Mesh, iperf3: SiteIperf3) -> bool:
        """Whether we call, who send: because the peer cannot call us, or cannot show its secret to our iperf3."""
        if invitation.caller(mesh, self._site, by) == self._site:
            return True
        foreign = invite.authentication and not iperf3.can_serve(invite.iperf3)
        return foreign and iperf3.can_call(invite.iperf3) and not mesh.sites[by].nat

    async def _call(self, by: str, host: str, invite: Invite, iperf3: SiteIperf3) -> SenderEvidence | None:
        rtt_s = self._rtts_s.get(by)
        with self._signalling.pending(by, invite.id, rtt_s) as test:
            offer = await self._signalling.accept(test, invitation.accepted(invite, iperf3.build))
        if offer is None or offer.port is None:
            log.info("the throughput test for %s: it did not say where to call", by)
            return None
        rule = StopRule(invite.duration_s, max_bytes=invite.max_bytes, rtt_s=rtt_s)
        return (await iperf3.deliver(host, offer, rule)).sent


def _now() -> float:
    return asyncio.get_running_loop().time()
