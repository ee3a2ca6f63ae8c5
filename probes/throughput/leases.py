"""Who has a group of sites that share a bottleneck: the claims on it, in the order in which they were heard. Pure.

A site's own lease cannot keep its group-mates out of a test, and there is nobody whom all of a group could ask.
But all sites hear each other's claims through one broker, which passes them on to everybody in one order. So who
wants a test claims the groups of both its ends (one message), waits until it hears its own claim, and has them if
no other claim on any of them was standing then. Who was not first gives up at once and comes again later.

- A claim stands until it is given back, or for the time that it names: a site that dies costs its group no more.
- A claim that was heard counts whether or not its site got what it claimed. So no two sites need to agree on when
  an older claim ran out.
- Both ends judge, each by its own mesh: the invited site declines a test whose claim does not cover the groups that
  its mesh gives to the two ends, or was not the first. So it is enough that one end has the newest mesh.
- Who has just connected, or heard of other groups, has not heard what was claimed before, or what is tested under
  the old mesh: it claims nothing for as long as a claim can last.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from linkweather.wire import Claim


class Lease:
    """Who has this site for a test, and until when; an overdue lease is as good as released."""

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


MAX_CLAIM_S = 90.0  # no site keeps a group for longer by one claim; a test of 60 s needs less


@dataclass(frozen=True, slots=True)
class _Standing:
    id: str
    groups: frozenset[str]
    until: float


class Claims:
    """The claims as one site hears them; `now` is on one clock of the caller's choice. A site has one at a time."""

    def __init__(self) -> None:
        # In the order of hearing.
        self._standing: dict[str, _Standing] = {}

    def hear(self, now: float, by: str, claim: Claim) -> None:
        """Take in a claim of the site `by`, or that it gives one back; one that is repeated changes nothing."""
        standing = self._standing.get(by)
        known = standing is not None and standing.id == claim.id
        if claim.for_s == 0:
            if known:
                del self._standing[by]
        elif not known:
            self._standing.pop(by, None)
            until = now + min(claim.for_s, MAX_CLAIM_S)
            self._standing[by] = _Standing(claim.id, frozenset(claim.groups), until)

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
        """Seconds until all claims on these groups, but those of one site, have run out, if none is given back."""
        others = [each for site, each in self._standing.items() if site != but and groups & each.groups]
        return max((each.until - now for each in others if each.until > now), default=0.0)
