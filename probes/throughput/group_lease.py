"""Publishes this site's claims on the groups that share a bottleneck, and hears those of all sites (see `leases`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from collections.abc import Set as AbstractSet

from linkweather.containment import note_overflow
from linkweather.mesh import Mesh
from linkweather.mesh.site_mesh import site_mesh
from linkweather.wire import Claim, encode, topics
from probes.throughput import invitation
from probes.throughput.invitation import Declined
from probes.throughput.leases import MAX_CLAIM_S, Claims
from probes.throughput.time_limits import limit_s

log = logging.getLogger(__name__)


class GroupLease:
    """The groups of `site` and its peers.

    `hold_s` says how long beyond its duration a test with a peer may take, None for the peer that takes longest.
    """

    def __init__(
        self, site: str, publish: Callable[[str, bytes], Awaitable[bool]], *, hold_s: Callable[[str | None], float]
    ) -> None:
        self._site = site
        self._publish = publish
        self._hold_s = hold_s
        self._claims = Claims()
        self._waiting: dict[str, asyncio.Event] = {}
        self._group_of: Mapping[str, str] = {}
        self._sites: AbstractSet[str] = frozenset()
        # By group, the sites that test a link at it; None: all do.
        self._claimants: Mapping[str, Collection[str]] | None = None
        self._duration_s = 0.0
        # What was claimed before `_deaf_until` may not have been heard; tests took up to `_longest_s` then.
        self._deaf_until: float | None = None
        self._longest_s = 0.0

    def apply_mesh(self, mesh: Mesh) -> None:
        """Take the groups of this mesh. Where they differ from those before, none is claimed for a while."""
        group_of = {name: site.shares for name, site in mesh.sites.items() if site.shares}
        part = site_mesh(mesh, self._site)
        self._sites = part.sites.keys()
        named = part.claimants
        self._claimants = None if named is None else {group: frozenset(sites) for group, sites in named.items()}
        before_s, self._duration_s = self._duration_s, mesh.throughput.max_duration_s
        if group_of != self._group_of:
            self._group_of = group_of
            self._be_quiet(max(before_s, self._duration_s))

    def on_connect(self) -> None:
        """Note a new connection to the broker: what was claimed before was not heard."""
        self._be_quiet(self._duration_s)

    def handle(self, by: str, claim: Claim) -> None:
        """Take in what a site claims, ourselves too; of groups at which it tests no link, it has nothing."""
        allowed = frozenset(group for group in claim.groups if self._may_claim(by, group))
        if allowed or not claim.groups:
            self._claims.hear(_now(), by, claim, allowed, self._duration_s + self._hold_s(None))
        else:
            note_overflow("claims_refused")
        if by == self._site and claim.id in self._waiting:
            self._waiting[claim.id].set()

    def covers(self, by: str, claim_id: str) -> bool:
        """Whether the site `by` has, for a test with us, all groups that either of us belongs to."""
        groups = self._groups(by)
        return not groups or self._claims.first(_now(), by, claim_id, groups)

    def remaining_s(self, peer: str) -> float:
        """Seconds until others' claims on our groups and the peer's have ended for sure."""
        return self._claims.remaining_s(_now(), self._groups(peer), but=self._site)

    @contextlib.asynccontextmanager
    async def held(self, peer: str, claim_id: str, duration_s: float) -> AsyncIterator[Declined | None]:
        """Hold our groups and the peer's while the block runs; yields why that is not possible now, else None."""
        groups = self._groups(peer)
        if not groups:
            yield None
            return
        quiet_s = self._quiet_s()
        if quiet_s > 0:
            yield Declined(invitation.LEASED, quiet_s)
            return
        pause_s = self._claims.pause_s(_now(), self._site)
        if pause_s > 0:
            yield Declined(invitation.LEASED, pause_s + limit_s("heard", 0.0))  # others have heard us later
            return
        for_s = min(duration_s + self._hold_s(peer), MAX_CLAIM_S)
        try:
            yield await self._claim(peer, Claim(id=claim_id, groups=tuple(groups), for_s=for_s))
        finally:
            await self._release(claim_id)

    async def _claim(self, peer: str, claim: Claim) -> Declined | None:
        heard = self._waiting[claim.id] = asyncio.Event()
        try:
            async with asyncio.timeout(limit_s("heard", None)):
                if not await self._publish(topics.claim(self._site), encode(claim)):
                    return Declined("no_broker", invitation.RETRY_AFTER_S)
                await heard.wait()
        except TimeoutError:
            log.warning("our claim did not come back from the broker: allow every site to read %s", topics.ALL_CLAIMS)
            return Declined("no_broker", invitation.RETRY_AFTER_S)
        finally:
            del self._waiting[claim.id]
        if self._claims.first(_now(), self._site, claim.id, frozenset(claim.groups)):
            return None
        return Declined(invitation.LEASED, invitation.patience_s(self.remaining_s(peer)))

    async def _release(self, claim_id: str) -> None:
        # One that gets lost costs the group the rest of the claim's time.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s("heard", None)):
                await self._publish(topics.claim(self._site), encode(Claim(id=claim_id, for_s=0.0)))

    def _may_claim(self, by: str, group: str) -> bool:
        return by in self._sites if self._claimants is None else by in self._claimants.get(group, ())

    def _groups(self, peer: str) -> frozenset[str]:
        return frozenset(self._group_of[name] for name in (self._site, peer) if name in self._group_of)

    def _be_quiet(self, duration_s: float) -> None:
        if self._quiet_s() > 0:
            duration_s = max(duration_s, self._longest_s)
        self._deaf_until, self._longest_s = _now(), duration_s

    def _quiet_s(self) -> float:
        """How much longer a claim that we have not heard may last, by the RTTs that are known now."""
        if self._deaf_until is None:
            return 0.0
        return self._deaf_until + min(self._longest_s + self._hold_s(None), MAX_CLAIM_S) - _now()


def _now() -> float:
    return asyncio.get_running_loop().time()
