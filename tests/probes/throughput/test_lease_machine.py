"""Leases and claims under any order of events: no site, and no group, is ever in two tests."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from linkweather.wire import Claim
from probes.throughput.leases import MAX_CLAIM_S, Claims, SiteLease

SITES, GROUPS = st.sampled_from("abc"), st.sampled_from("xy")
SPANS = st.floats(0.1, 2 * MAX_CLAIM_S)


class Leasing(RuleBasedStateMachine):
    """A site's lease against the plainest account of it."""

    def __init__(self) -> None:
        super().__init__()
        self.lease, self.now = SiteLease(), 0.0
        self.holder: tuple[str, float] | None = None

    def held(self) -> tuple[str, float] | None:
        return self.holder if self.holder and self.now < self.holder[1] else None

    @rule(peer=SITES, for_s=SPANS)
    def take(self, peer: str, for_s: float) -> None:
        free = self.held() is None
        assert self.lease.take(self.now, self.now + for_s, peer) is free
        if free:
            self.holder = peer, self.now + for_s

    @rule(peer=SITES)
    def release(self, peer: str) -> None:
        self.lease.release(peer)
        if self.holder and self.holder[0] == peer:
            self.holder = None

    @rule(passed_s=SPANS)
    def wait(self, passed_s: float) -> None:
        self.now += passed_s

    @invariant()
    def one_peer_at_most(self) -> None:
        held = self.held()
        assert self.lease.holder(self.now) == (held and held[0])
        assert self.lease.remaining_s(self.now) == (held[1] - self.now if held else 0.0)


class Claiming(RuleBasedStateMachine):
    """What two sites hear in the broker's order: they agree, and one claim at most has a group, until it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.heard, self.now, self.number = (Claims(), Claims()), 0.0, 0
        self.last: dict[str, Claim] = {}
        self.until: dict[str, float] = {}  # claim → until when it stands at least
        self.granted: dict[str, tuple[str, str]] = {}  # group → site, claim

    @rule(by=SITES, groups=st.frozensets(GROUPS, min_size=1), for_s=SPANS)
    def claim(self, by: str, groups: frozenset[str], for_s: float) -> None:
        self.number += 1
        self.hear(by, Claim(id=str(self.number), groups=tuple(sorted(groups)), for_s=for_s))

    @rule(by=SITES)
    def repeat(self, by: str) -> None:
        if by in self.last:
            self.hear(by, self.last[by])

    @rule(by=SITES)
    def give_back(self, by: str) -> None:
        if by in self.last:
            self.hear(by, self.last[by].model_copy(update={"for_s": 0.0}))
            self.granted = {group: each for group, each in self.granted.items() if each[0] != by}

    @rule(passed_s=SPANS)
    def wait(self, passed_s: float) -> None:
        self.now += passed_s

    def hear(self, by: str, claim: Claim) -> None:
        for claims in self.heard:
            claims.hear(self.now, by, claim, frozenset(claim.groups))
        if claim.for_s:
            self.until.setdefault(claim.id, self.now + min(claim.for_s, MAX_CLAIM_S))
            if by in self.last and self.last[by].id != claim.id:  # a further claim replaces the one before
                self.granted = {group: each for group, each in self.granted.items() if each[0] != by}
            self.last[by] = claim

    def firsts(self, claims: Claims, group: str) -> list[tuple[str, str]]:
        """Whose claim has the group."""
        named = [(by, claim) for by, claim in self.last.items() if group in claim.groups]
        return [(by, claim.id) for by, claim in named if claims.first(self.now, by, claim.id, {group})]

    @invariant()
    def one_claim_has_a_group(self) -> None:
        for group in "xy":
            mine, theirs = (self.firsts(claims, group) for claims in self.heard)
            assert mine == theirs
            assert len(mine) <= 1
            before = self.granted.get(group)
            if before is not None and before not in mine:
                assert self.until[before[1]] <= self.now  # it ended when its time was over, and not before
                del self.granted[group]
            if mine:
                self.granted[group] = mine[0]


TestLeasing = Leasing.TestCase
TestClaiming = Claiming.TestCase
TestLeasing.settings = TestClaiming.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
