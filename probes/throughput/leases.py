"""Leases and claims: why no site, and no group of sites that share a bottleneck, is ever in two tests. Pure.

Two rights protect a throughput test, both for a time that is known beforehand, so that a site that dies in the middle
costs that time and no more. Nothing waits for either: who does not get it at once gives up and comes again later, so
two sites cannot block each other.

**The lease of a site** says with which peer the site is in a test, and until when. Only the site itself keeps it.

    free ──take──▶ held with a peer ──release, after that test──▶ free
                           └───────── its time has passed ───────▶ free

The destination takes its own lease before it invites, the source its own before it accepts, and each gives it back
when the test is over, in whatever way. A lease lasts longer than all steps of a test together (`time_limits`), and a
watchdog ends iperf3 before it does. So a site that sends or receives holds its lease, and declines everybody else.

**The claim on a group** protects what several sites share (`shares` in the mesh). No site owns a group that the
others could ask. But all sites hear all claims through one broker, which passes them on in one order.

    none ──publish──▶ pending ──heard, and first──▶ granted ──test over: given back──▶ none
                         ├────── heard, not first──▶ given back at once, later again
                         └────── not heard in time─▶ given back at once, later again

- The destination of a test claims, in one message, the groups of both ends: no test holds half of what it needs.
- The order of hearing decides: a claim is granted if no other that is standing when it is heard names one of its
  groups. A claim stands from when it is heard until it is given back (`for_s` = 0), or until its own time is over.
- It stands whether or not its site got what it claimed. So sites need not agree on when an older claim ended.
- Both ends judge, each by its own mesh: the source declines an invitation whose claim does not cover the groups that
  its mesh gives to the two ends, or was not the first. So it is enough that one of them has the newest mesh.
- A claim counts where the mesh lets its site test a link at the group, for no longer than a test can take, and after a
  pause of a third of the time that the site's last one stood: who claims without end leaves the others a turn in four.
- A site that has just connected, or whose mesh has other groups than before, has not heard what was claimed until
  then. It claims nothing for as long as any claim can last.

Why that is enough: let two tests need one group. The broker passes one claim on first. The other claimer hears it
before its own, and gives up, unless it was not yet connected; then it keeps quiet until the first claim has ended.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from linkweather.containment import note_overflow
from linkweather.wire import Claim

MOST_CLAIMS: Final = 10_000  # of so many sites; more than any mesh has
PAUSE_SHARE: Final = 1 / 3  # a test of 3 s and its pause fit into a slot of 5 s
MAX_CLAIM_S: Final = 170.0  # the longest test (60 s) over the longest path; longer claims are cut to it


class SiteLease:
    """Which peer this site is in a test with, and until when. The caller brings the time, on one clock."""

    def __init__(self) -> None:
        self._holder: str | None = None
        self._until = 0.0

    def take(self, now: float, until: float, with_site: str) -> bool:
        """Take the lease for a test with a site; false while another test has it."""
        if self.holder(now) is not None:
            return False
        self._holder, self._until = with_site, until
        return True

    def release(self, with_site: str) -> None:
        """End the test with a site; nothing happens when the lease has passed on to another."""
        if self._holder == with_site:
            self._holder = None

    def holder(self, now: float) -> str | None:
        """The site that we are in a test with."""
        return self._holder if now < self._until else None

    def remaining_s(self, now: float) -> float:
        """Seconds until the lease is free for sure."""
        return self._until - now if self.holder(now) is not None else 0.0


@dataclass(frozen=True, slots=True)
class _StandingClaim:
    id: str
    groups: frozenset[str]
    since: float
    until: float

    @property
    def rested(self) -> float:
        """When its site's next claim counts."""
        return self.until + PAUSE_SHARE * (self.until - self.since)


class Claims:
    """The claims as one site hears them; `now` is on one clock of the caller's choice. A site has one at a time."""

    def __init__(self) -> None:
        # In the order of hearing.
        self._standing: dict[str, _StandingClaim] = {}
        self._rested: dict[str, float] = {}

    def hear(self, now: float, by: str, claim: Claim, groups: frozenset[str], longest_s: float = MAX_CLAIM_S) -> None:
        """Take in a claim of the site `by`, or that it gives one back; a repeated one changes nothing.

        `groups` are those that it may claim, for `longest_s` at most.
        """
        self._drop_ended(now)
        standing = self._standing.get(by)
        known = standing is not None and standing.id == claim.id
        if standing is not None and known is (claim.for_s == 0):  # given back, or replaced
            del self._standing[by]
            self._rested[by] = replace(standing, until=min(now, standing.until)).rested
        if claim.for_s == 0 or known or self.pause_s(now, by) > 0:
            return
        if len(self._standing) >= MOST_CLAIMS:
            note_overflow("claims")
            return
        until = now + min(claim.for_s, longest_s, MAX_CLAIM_S)
        self._standing[by] = _StandingClaim(claim.id, frozenset(groups.intersection(claim.groups)), now, until)
        self._rested[by] = self._standing[by].rested

    def pause_s(self, now: float, by: str) -> float:
        """Seconds until the next claim of the site counts, where its last one has ended."""
        stands = by in self._standing and self._standing[by].until > now
        return 0.0 if stands else max(0.0, self._rested.get(by, 0.0) - now)

    def _drop_ended(self, now: float) -> None:
        if len(self._rested) >= MOST_CLAIMS:
            self._standing = {site: each for site, each in self._standing.items() if each.until > now}
            self._rested = {site: rested for site, rested in self._rested.items() if rested > now}

    def first(self, now: float, by: str, claim_id: str, groups: AbstractSet[str]) -> bool:
        """Whether this claim of the site `by` covers the groups, and stands before all others on any of them."""
        for site, standing in self._standing.items():
            if standing.until <= now:
                continue
            if (site, standing.id) == (by, claim_id):
                return groups <= standing.groups
            if groups & standing.groups:
                return False
        return False

    def remaining_s(self, now: float, groups: AbstractSet[str], *, but: str) -> float:
        """Seconds until all claims on these groups, but those of one site, have ended, if none is given back."""
        others = [each for site, each in self._standing.items() if site != but and groups & each.groups]
        return max((each.until - now for each in others if each.until > now), default=0.0)
