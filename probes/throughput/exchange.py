"""Arranges a throughput test between two sites: an invitation, its answer, the test itself.

The destination invites the source, which serves one iperf3 test to it. Messages go in by
`handle_invite` and `handle_answer` and out by `publish`; both ends hold their lease for the whole
test and no longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from linkweather import topics
from linkweather.errors import MeasurementError, OperatorError
from linkweather.mesh import Mesh, ThroughputTests
from linkweather.messages import Answer, Invite, Served, ThroughputRow, encode
from probes.throughput import invitation
from probes.throughput.convergence import Rule
from probes.throughput.credentials import Credential, Guard, KeyPair, key_pair, padding
from probes.throughput.history import History
from probes.throughput.invitation import Declined
from probes.throughput.lease import Lease
from probes.throughput.limits import Sent
from probes.throughput.output import Build, parse_version
from probes.throughput.runner import DEFAULT_PORTS, MARGIN_S, run_client, serve_once

log = logging.getLogger(__name__)

ANSWER_LIMIT_S = 1.5
SERVED_LIMIT_S = 1.0  # a peer that does not tell what it saw keeps nobody waiting
# What a test may take beyond its duration at either end: the answer's way, iperf3's own limit, its stopping.
LEASE_MARGIN_S = ANSWER_LIMIT_S + MARGIN_S + SERVED_LIMIT_S + 1.0
_REMEMBERED_INVITES = 256
_WAITING_INVITES = 64


@dataclass(frozen=True, slots=True)
class Serving:
    """How this site serves: its own address, the ports to pick from, where its keys are kept."""

    keys_folder: Path
    bind: str | None = None
    ports: Sequence[int] = DEFAULT_PORTS


@dataclass(frozen=True, slots=True)
class _Asked:
    """An invitation that is under way: whom we asked, its answer, and what it tells after the test."""

    src: str
    answer: asyncio.Future[Answer]
    told: asyncio.Future[Answer]


def _nobody(_peer: str) -> None:
    pass


def _unlimited(_peer: str, _max_bytes: int | None) -> bool:
    return True


def _unknown(_peer: str, _last_s: float) -> None:
    pass


class Exchange:
    """One site's throughput tests, both as the one that invites and as the one that serves.

    `mesh` says who may invite, and is set anew when it changes. `build` is the installed iperf3,
    None where there is none. `on_start` and `on_end` are called with the peer around each test;
    `afford` sets aside what an invited test may send to the peer, and is false where a budget forbids it;
    `working_latency` is asked right after it for the RTT to the peer in the last so many seconds.
    """

    def __init__(
        self,
        site: str,
        *,
        publish: Callable[[str, bytes], Awaitable[bool]],
        lease: Lease,
        settings: Serving,
        build: Build | None,
        on_start: Callable[[str], None] = _nobody,
        on_end: Callable[[str], None] = _nobody,
        afford: Callable[[str, int | None], bool] = _unlimited,
        working_latency: Callable[[str, float], float | None] = _unknown,
        token: Callable[[], str] = lambda: secrets.token_urlsafe(24),
    ) -> None:
        self.mesh: Mesh | None = None
        self.ignored_invites = 0
        self._site = site
        self._publish = publish
        self._lease = lease
        self._settings = settings
        self._build = build
        self._on_start = on_start
        self._on_end = on_end
        self._afford = afford
        self._working_latency = working_latency
        self._history = History()
        self._token = token
        self._keys: KeyPair | None = None
        self._invites: asyncio.Queue[tuple[str, Invite]] = asyncio.Queue(_WAITING_INVITES)
        self._seen: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED_INVITES)
        self._asked: dict[str, _Asked] = {}

    def handle_invite(self, from_site: str, invite: Invite) -> None:
        """Take an invitation in; a repeated one, or one too many, is ignored and counted."""
        if (from_site, invite.id) in self._seen or self._invites.full():
            self.ignored_invites += 1
            return
        self._seen.append((from_site, invite.id))
        self._invites.put_nowait((from_site, invite))

    def handle_answer(self, from_site: str, answer: Answer) -> None:
        """Take an answer in; one that we do not wait for, or no longer, is ignored."""
        asked = self._asked.get(answer.id)
        if asked is None or asked.src != from_site:
            return
        waiting = asked.answer if answer.served is None else asked.told
        if not waiting.done():
            waiting.set_result(answer)

    async def run(self) -> None:
        """Serve invitations until cancelled. Raises OperatorError when the keys cannot be kept."""
        if self._build is not None and self._build.authentication:
            self._keys = await key_pair(self._settings.keys_folder)  # before the first peer waits for it
        async with asyncio.TaskGroup() as tests:
            while True:
                by, invite = await self._invites.get()
                reason = invitation.refusal(by, self._site, invite, self.mesh, self._build)
                if reason is not None:
                    await self._answer(by, invitation.declined(invite, reason))
                elif not self._take(invite.duration_s, by):
                    wait_s = self._lease.remaining_s(_now())
                    await self._answer(by, invitation.declined(invite, invitation.LEASED, wait_s))
                elif not self._afford(by, invite.max_bytes):
                    self._lease.release(by)
                    await self._answer(by, invitation.declined(invite, invitation.BUDGET))
                else:  # one at a time, for the lease is ours
                    tests.create_task(self._serve(by, invite), name=f"serve[{by}]")

    async def measure(
        self, src: str, host: str, tests: ThroughputTests, *, max_bytes: int | None = None
    ) -> ThroughputRow | Declined:
        """Test the link from `src`, whose address is `host`, to us. Failures are rows, postponements `Declined`.

        `max_bytes` limits the payload, in whole blocks of 128 KiB.
        """
        if not self._take(tests.max_duration_s, src):
            return Declined(invitation.LEASED, self._lease.remaining_s(_now()))
        with self._held(src):
            if self._build is None:
                return invitation.failed(src, self._site, "missing", f"{self._site} has no iperf3")
            build = self._build
            invite = Invite(
                id=self._token(),
                duration_s=tests.max_duration_s,
                iperf3=str(build),
                authentication=build.authentication,
                max_bytes=max_bytes,
            )
            with self._asking(src, invite) as asked:
                answer = await self._ask(asked, invite)
                if not isinstance(answer, Answer):
                    return answer
                if not answer.accepted:
                    return invitation.not_tested(src, self._site, answer)
                rule = Rule(tests.max_duration_s, until_converged=tests.until_converged, max_bytes=max_bytes)
                return await self._test(asked, host, rule, answer, build)

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

    @contextlib.contextmanager
    def _asking(self, src: str, invite: Invite) -> Iterator[_Asked]:
        loop = asyncio.get_running_loop()
        self._asked[invite.id] = _Asked(src, loop.create_future(), loop.create_future())
        try:
            yield self._asked[invite.id]
        finally:
            del self._asked[invite.id]

    async def _ask(self, asked: _Asked, invite: Invite) -> Answer | ThroughputRow | Declined:
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                if not await self._publish(topics.invite(asked.src, self._site), encode(invite)):
                    return Declined("no_broker", invitation.RETRY_AFTER_S)
                return await asked.answer
        except TimeoutError:
            detail = f"{asked.src} did not answer the invitation within {ANSWER_LIMIT_S:g} s"
            return invitation.failed(asked.src, self._site, "no_answer", detail)

    async def _test(self, asked: _Asked, host: str, rule: Rule, answer: Answer, build: Build) -> ThroughputRow:
        src = asked.src
        if answer.port is None:
            return invitation.failed(src, self._site, "protocol", f"{src} accepted without naming a port")
        credential = None
        if answer.secret and answer.public_key_pem:
            options = padding(build.version, parse_version(answer.iperf3 or ""))
            credential = Credential(answer.secret, answer.public_key_pem, options)
        try:
            result = await run_client(
                host,
                answer.port,
                duration_s=rule.max_duration_s,
                until_converged=rule.until_converged,
                max_bytes=rule.max_bytes,
                bind=self._settings.bind,
                credential=credential,
            )
        except OperatorError as error:  # it was there when the daemon started
            return invitation.failed(src, self._site, "missing", str(error))
        if result.failure is not None:
            return invitation.row(src, self._site, result)
        loaded_s = self._working_latency(src, result.steady_s or 0.0)
        return invitation.row(
            src,
            self._site,
            self._history.widened(src, result),
            served=await self._told(asked),
            rtt_loaded_s=loaded_s,
        )

    async def _told(self, asked: _Asked) -> Served | None:
        """What the source tells of the test; None when it does not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SERVED_LIMIT_S):
                return (await asked.told).served
        return None

    async def _serve(self, by: str, invite: Invite) -> None:
        with self._held(by):
            try:
                await self._serve_once(by, invite)
            except (MeasurementError, OperatorError) as error:
                log.warning("cannot serve a throughput test to %s: %s", by, error)
                reason = error.reason if isinstance(error, MeasurementError) else "cannot_serve"
                await self._answer(by, invitation.declined(invite, reason))

    async def _serve_once(self, by: str, invite: Invite) -> None:
        seconds = invite.duration_s + ANSWER_LIMIT_S + MARGIN_S
        guard = self._guard(by, invite)
        serving = self._settings
        async with serve_once(serving.bind, serving.ports, guard=guard, seconds=seconds) as server:
            answer = Answer(
                id=invite.id,
                accepted=True,
                port=server.port,
                secret=guard.secret if guard else None,
                public_key_pem=guard.keys.public_pem if guard else None,
                iperf3=str(self._build),
                until=datetime.now(UTC) + timedelta(seconds=seconds),
            )
            if await self._answer(by, answer):
                said = await server.finished()
                if said:
                    log.info("the throughput test for %s: %s", by, said)
                await self._answer(by, Answer(id=invite.id, accepted=True, served=_served(server.sent)))

    def _guard(self, by: str, invite: Invite) -> Guard | None:
        if self._build is None or self._keys is None or not invite.authentication:
            log.warning("serving a throughput test to %s without a secret: an iperf3 lacks authentication", by)
            return None
        return Guard(self._keys, self._token(), padding(self._build.version, parse_version(invite.iperf3)))

    async def _answer(self, by: str, answer: Answer) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_LIMIT_S):
                return await self._publish(topics.answer(by, self._site), encode(answer))
        return False


def _served(sent: Sent) -> Served:
    return Served(retransmits=sent.retransmits, congestion=sent.congestion, limited_by=sent.limited_by)


def _now() -> float:
    return asyncio.get_running_loop().time()
