"""Arranges a throughput test between two sites: an invitation, its answer, the test itself.

The destination invites the source, which serves one iperf3 test to it. A source behind NAT cannot
be called: it accepts without a port, the destination says at which port it serves instead, and the
source calls and sends. Messages go in by `handle_invite`, `handle_answer` and `handle_claim`, and
out by `publish`. Both ends hold their lease for the whole test and no longer, and the destination
that of the groups which share a bottleneck.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

from linkweather.errors import MeasurementError, OperatorError
from linkweather.mesh import Mesh, ThroughputTests
from linkweather.wire import Answer, Claim, Invite, Served, ThroughputRow
from probes.throughput import invitation
from probes.throughput.group_lease import HEARD_LIMIT_S, GroupLease
from probes.throughput.invitation import Declined
from probes.throughput.iperf3_client import MARGIN_S
from probes.throughput.iperf3_ends import PeerIperf3, ServingSettings, SiteIperf3
from probes.throughput.iperf3_output import Build
from probes.throughput.iperf3_server import ACCEPT_LIMIT_S, START_LIMIT_S
from probes.throughput.leases import Lease
from probes.throughput.limiting import SenderEvidence
from probes.throughput.result import History, Result
from probes.throughput.signalling import ANSWER_LIMIT_S, SERVED_LIMIT_S, PendingTest, Signalling
from probes.throughput.stop_rule import StopRule

log = logging.getLogger(__name__)

# What a test may take beyond its duration at either end: the groups' claim, the answer, the offer of who is called;
# a server's start, the call, iperf3's own limit, its stopping; what the source tells.
LEASE_MARGIN_S = HEARD_LIMIT_S + 2 * ANSWER_LIMIT_S + START_LIMIT_S + ACCEPT_LIMIT_S + MARGIN_S + 1.0 + SERVED_LIMIT_S
_REMEMBERED_INVITES = 256
_WAITING_INVITES = 64


def _nobody(_peer: str) -> None:
    pass


def _unlimited(_peer: str, _max_bytes: int | None) -> bool:
    return True


def _unknown(_peer: str, _last_s: float) -> None:
    pass


class Negotiator:
    """One site's throughput tests, both as the one that invites and as the one that serves.

    The mesh that it follows says who may invite. `build` is the installed iperf3, None where there is none.
    `on_start` and `on_end` are called with the peer around each test;
    `afford` sets aside what an invited test may send to the peer, and is false where a budget forbids it;
    `working_latency` is asked right after it for the RTT to the peer in the last so many seconds.
    """

    def __init__(
        self,
        site: str,
        *,
        publish: Callable[[str, bytes], Awaitable[bool]],
        lease: Lease,
        settings: ServingSettings,
        build: Build | None,
        on_start: Callable[[str], None] = _nobody,
        on_end: Callable[[str], None] = _nobody,
        afford: Callable[[str, int | None], bool] = _unlimited,
        working_latency: Callable[[str, float], float | None] = _unknown,
        token: Callable[[], str] = lambda: secrets.token_urlsafe(24),
    ) -> None:
        self._mesh: Mesh | None = None
        self.ignored_invites = 0
        self._site = site
        self._said = Signalling(site, publish)
        self._lease = lease
        self._groups = GroupLease(site, publish, hold_s=LEASE_MARGIN_S)
        self._engine = SiteIperf3(settings, build, token) if build else None
        self._on_start = on_start
        self._on_end = on_end
        self._afford = afford
        self._working_latency = working_latency
        self._history = History()
        self._token = token
        self._invites: asyncio.Queue[tuple[str, Invite]] = asyncio.Queue(_WAITING_INVITES)
        self._seen: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED_INVITES)

    def follow(self, mesh: Mesh) -> None:
        """Arrange tests as this mesh says."""
        self._mesh = mesh
        self._groups.follow(mesh)

    def connected(self) -> None:
        """Note that the broker is there, again: what was said before was not heard."""
        self._groups.connected()

    def handle_claim(self, by: str, claim: Claim) -> None:
        """Take in what a site claims."""
        self._groups.handle(by, claim)

    def handle_invite(self, from_site: str, invite: Invite) -> None:
        """Take an invitation in; a repeated one, or one too many, is ignored and counted."""
        if (from_site, invite.id) in self._seen or self._invites.full():
            self.ignored_invites += 1
            return
        self._seen.append((from_site, invite.id))
        self._invites.put_nowait((from_site, invite))

    def handle_answer(self, from_site: str, answer: Answer) -> None:
        """Take an answer in; one that we do not wait for, or no longer, is ignored."""
        self._said.handle_answer(from_site, answer)

    async def run(self) -> None:
        """Serve invitations until cancelled. Raises OperatorError when the keys cannot be kept."""
        if self._engine is not None:
            await self._engine.prepare()
        async with asyncio.TaskGroup() as tests:
            while True:
                by, invite = await self._invites.get()
                refused = self._refused(by, invite)
                if refused is not None:
                    await self._said.answer(by, refused)
                else:  # one at a time, for the lease is ours
                    tests.create_task(self._take_part(by, invite), name=f"invited[{by}]")

    def _refused(self, by: str, invite: Invite) -> Answer | None:
        """The answer that declines an invitation; None when our lease is taken for it."""
        reason = invitation.refusal(by, self._site, invite, self._mesh, installed=self._engine is not None)
        if reason is not None:
            return invitation.declined(invite, reason)
        if not self._groups.covers(by, invite.id):
            return invitation.declined(invite, invitation.LEASED, invitation.patience_s(self._groups.remaining_s(by)))
        if not self._take(invite.duration_s, by):
            wait_s = invitation.patience_s(self._lease.remaining_s(_now()))
            return invitation.declined(invite, invitation.LEASED, wait_s)
        if not self._afford(by, invite.max_bytes):
            self._lease.release(by)
            return invitation.declined(invite, invitation.BUDGET)
        return None

    async def measure(
        self, src: str, host: str, tests: ThroughputTests, *, max_bytes: int | None = None
    ) -> ThroughputRow | Declined:
        """Test the link from `src`, whose address is `host`, to us. Failures are rows, postponements `Declined`.

        `max_bytes` limits the payload, in whole blocks of 128 KiB.
        """
        engine = self._engine
        if engine is None:
            return invitation.failed(src, self._site, "missing", f"{self._site} has no iperf3")
        if not self._take(tests.max_duration_s, src):
            return Declined(invitation.LEASED, invitation.patience_s(self._lease.remaining_s(_now())))
        invite = Invite(
            id=self._token(),
            duration_s=tests.max_duration_s,
            iperf3=str(engine.build),
            authentication=engine.build.authentication,
            max_bytes=max_bytes,
        )
        rule = StopRule(tests.max_duration_s, until_converged=tests.until_converged, max_bytes=max_bytes)
        with self._held(src), self._said.asking(src, invite.id) as asked:
            async with self._groups.held(src, invite.id, tests.max_duration_s) as declined:
                return declined or await self._invite(asked, invite, host, rule, engine)

    def _take(self, duration_s: float, peer: str) -> bool:
        now = _now()
        return self._lease.take(now, now + duration_s + LEASE_MARGIN_S, peer)

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
        self, asked: PendingTest, invite: Invite, host: str, rule: StopRule, engine: SiteIperf3
    ) -> ThroughputRow | Declined:
        answer = await self._ask(asked, invite)
        if not isinstance(answer, Answer):
            return answer
        if not answer.accepted:
            return invitation.not_tested(asked.peer, self._site, answer)
        try:
            result = await self._receive(asked, host, rule, answer, engine)
        except OperatorError as error:  # it was there when the daemon started
            return invitation.failed(asked.peer, self._site, "missing", str(error))
        except MeasurementError as error:
            return invitation.not_served(asked.peer, self._site, error)
        return await self._row(asked, result)

    async def _ask(self, asked: PendingTest, invite: Invite) -> Answer | ThroughputRow | Declined:
        try:
            answer = await self._said.invite(asked, invite)
        except TimeoutError:
            return invitation.failed(asked.peer, self._site, "no_answer", f"{asked.peer} did not answer the invitation")
        return answer or Declined("no_broker", invitation.RETRY_AFTER_S)

    async def _receive(
        self, asked: PendingTest, host: str, rule: StopRule, answer: Answer, engine: SiteIperf3
    ) -> Result:
        if answer.port is not None:
            return await engine.fetch(host, answer, rule)
        peer = PeerIperf3(asked.peer, answer.iperf3, answer.authentication is True)
        async with engine.serve(asked.id, peer, rule.max_duration_s) as (server, offer):
            if not await self._said.answer(asked.peer, offer):
                raise MeasurementError("no_broker", "the broker went away before the peer could be told where to call")
            return await server.received(rule)

    async def _row(self, asked: PendingTest, result: Result) -> ThroughputRow:
        if result.failure is not None:
            return invitation.row(asked.peer, self._site, result)
        loaded_s = self._working_latency(asked.peer, result.steady_s or 0.0)
        return invitation.row(
            asked.peer,
            self._site,
            self._history.widened(asked.peer, result),
            served=await asked.served(),
            rtt_loaded_s=loaded_s,
        )

    async def _take_part(self, by: str, invite: Invite) -> None:
        """Be the source of a test, for which our lease is taken."""
        with self._held(by):
            try:
                sent = await self._send(by, invite)
            except (MeasurementError, OperatorError) as error:
                log.warning("cannot take part in a throughput test with %s: %s", by, error)
                reason = error.reason if isinstance(error, MeasurementError) else "cannot_serve"
                await self._said.answer(by, invitation.declined(invite, reason))
                return
            if sent is not None:
                await self._said.answer(by, Answer(id=invite.id, accepted=True, served=_served(sent)))

    async def _send(self, by: str, invite: Invite) -> SenderEvidence | None:
        """Send as the one who can be called, or as the one who calls; None when the peer was not there for it."""
        mesh, engine = self._mesh, self._engine
        if mesh is None or engine is None:  # not after an invitation was taken
            return None
        if invitation.caller(mesh, self._site, by) == self._site:
            return await self._call(by, mesh.sites[by].address, invite, engine)
        peer = PeerIperf3(by, invite.iperf3, invite.authentication)
        async with engine.serve(invite.id, peer, invite.duration_s) as (server, offer):
            if not await self._said.answer(by, offer):
                return None
            said = await server.finished()
            if said:
                log.info("the throughput test for %s: %s", by, said)
            return server.sent

    async def _call(self, by: str, host: str, invite: Invite, engine: SiteIperf3) -> SenderEvidence | None:
        build = engine.build
        accepted = Answer(id=invite.id, accepted=True, iperf3=str(build), authentication=build.authentication)
        with self._said.asking(by, invite.id) as asked:
            offer = await self._said.accept(asked, accepted)
        if offer is None or offer.port is None:
            log.info("the throughput test for %s: it did not say where to call", by)
            return None
        result = await engine.deliver(host, offer, invite.duration_s, invite.max_bytes)
        return result.sent


def _served(sent: SenderEvidence) -> Served:
    return Served(retransmits=sent.retransmits, congestion=sent.congestion, limited_by=sent.limited_by)


def _now() -> float:
    return asyncio.get_running_loop().time()
