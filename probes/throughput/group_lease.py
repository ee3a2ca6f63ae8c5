"""A site's lease of the groups that share a bottleneck: publishes its claims, hears everybody's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from linkweather.mesh import Mesh
from linkweather.wire import Claim, encode, topics
from probes.throughput import invitation
from probes.throughput.invitation import Declined
from probes.throughput.leases import Claims

log = logging.getLogger(__name__)

HEARD_LIMIT_S = 1.5
RELEASE_LIMIT_S = 1.5


class GroupLease:
    """The groups of `site` and its peers. A test may take `hold_s` beyond its duration."""

    def __init__(self, site: str, publish: Callable[[str, bytes], Awaitable[bool]], *, hold_s: float) -> None:
        self._site = site
        self._publish = publish
        # A claim stands at others before it is heard back here.
        self._hold_s = hold_s + HEARD_LIMIT_S
        self._claims = Claims()
        self._waiting: dict[str, asyncio.Event] = {}
        self._group_of: Mapping[str, str] = {}
        self._longest_s = 0.0
        self._quiet_until = 0.0

    def follow(self, mesh: Mesh) -> None:
        """Take the groups of this mesh; other ones than before are not claimed yet."""
        group_of = {name: site.shares for name, site in mesh.sites.items() if site.shares}
        claim_s = mesh.throughput.max_duration_s + self._hold_s
        longest_s, self._longest_s = max(self._longest_s, claim_s), claim_s
        if group_of != self._group_of:
            self._group_of = group_of
            self._be_quiet(longest_s)

    def connected(self) -> None:
        """Note that what was said before was not heard."""
        self._be_quiet(self._longest_s)

    def handle(self, by: str, claim: Claim) -> None:
        """Take in what a site claims, ourselves too."""
        self._claims.hear(_now(), by, claim)
        if by == self._site and claim.id in self._waiting:
            self._waiting[claim.id].set()

    def covers(self, by: str, claim_id: str) -> bool:
        """Whether the site `by` has, for a test with us, all groups that either of us belongs to."""
        groups = self._groups(by)
        return not groups or self._claims.first(_now(), by, claim_id, groups)

    def remaining_s(self, peer: str) -> float:
        """Seconds until others' claims on our groups and the peer's have run out for sure."""
        return self._claims.remaining_s(_now(), self._groups(peer), but=self._site)

    @contextlib.asynccontextmanager
    async def held(self, peer: str, claim_id: str, duration_s: float) -> AsyncIterator[Declined | None]:
        """Hold our groups and the peer's while the block runs; it is told when that is not possible now."""
        groups = self._groups(peer)
        if not groups:
            yield None
            return
        quiet_s = self._quiet_until - _now()
        if quiet_s > 0:
            yield Declined(invitation.LEASED, quiet_s)
            return
        try:
            yield await self._claim(peer, Claim(id=claim_id, groups=tuple(groups), for_s=duration_s + self._hold_s))
        finally:
            await self._release(claim_id)

    async def _claim(self, peer: str, claim: Claim) -> Declined | None:
        heard = self._waiting[claim.id] = asyncio.Event()
        try:
            async with asyncio.timeout(HEARD_LIMIT_S):
                if not await self._publish(topics.claim(self._site), encode(claim)):
                    return Declined("no_broker", invitation.RETRY_AFTER_S)
                await heard.wait()
        except TimeoutError:
            log.warning("a claim was not heard back: may every site read %s at the broker?", topics.ALL_CLAIMS)
            return Declined("no_broker", invitation.RETRY_AFTER_S)
        finally:
            del self._waiting[claim.id]
        if self._claims.first(_now(), self._site, claim.id, frozenset(claim.groups)):
            return None
        return Declined(invitation.LEASED, invitation.patience_s(self.remaining_s(peer)))

    async def _release(self, claim_id: str) -> None:
        # One that gets lost costs the group the rest of the claim's time.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_LIMIT_S):
                await self._publish(topics.claim(self._site), encode(Claim(id=claim_id, for_s=0.0)))

    def _groups(self, peer: str) -> frozenset[str]:
        return frozenset(self._group_of[name] for name in (self._site, peer) if name in self._group_of)

    def _be_quiet(self, seconds: float) -> None:
        self._quiet_until = max(self._quiet_until, _now() + seconds)


def _now() -> float:
    return asyncio.get_running_loop().time()
