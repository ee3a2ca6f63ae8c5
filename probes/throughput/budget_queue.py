"""Which link's test a site's budget saves up for, so that none is overtaken without end. Pure.

A test that asks for little finds enough in a bucket sooner than one that asks for much: links that were tested once,
which ask for hardly more than they moved, would take all that comes in, and the first test of another would never be
paid for. So a link that the site's bucket refuses waits until it is tested. Once it has waited for a round, a link that
was tested since leaves in the bucket what the one that has waited longest needs. One that was not tested since owes it
nothing, also where its test is brought forward: so each overtakes it once at most.

A room of its own, because the store of the budget does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from linkweather.mesh.patterns import Pair

# A link tries at its turn in each round; one that has not for so many, as its other end is gone, is not waited for.
_FORGOTTEN_ROUNDS: Final = 8


@dataclass(frozen=True, slots=True)
class _Wait:
    needed_bytes: float
    since_s: float
    tried_s: float


class BudgetQueue:
    """The links that wait for one site's bucket. Times are UTC, in seconds since 1970."""

    def __init__(self) -> None:
        self._round_s = 0.0
        self._waits: dict[Pair, _Wait] = {}
        self._tested_s: dict[Pair, float] = {}

    def apply_sites(self, sites: frozenset[str], round_s: float) -> None:
        """Keep what is known of the links between these sites, which have a turn every `round_s`."""
        self._round_s = round_s
        self._waits = {link: wait for link, wait in self._waits.items() if sites.issuperset(link)}
        self._tested_s = {link: at_s for link, at_s in self._tested_s.items() if sites.issuperset(link)}

    def owed_bytes(self, now_s: float, link: Pair) -> float:
        """What a test of the link leaves in the bucket for the one that has waited longest."""
        forgotten_s = now_s - _FORGOTTEN_ROUNDS * self._round_s
        waits = (wait for wait in self._waits.values() if forgotten_s <= wait.tried_s <= now_s)
        longest = min(waits, key=lambda wait: wait.since_s, default=None)
        if longest is None or now_s - longest.since_s < self._round_s or longest is self._waits.get(link):
            return 0.0
        return longest.needed_bytes if self._tested_s.get(link, longest.since_s) > longest.since_s else 0.0

    def refused(self, now_s: float, link: Pair, needed_bytes: float) -> None:
        """Note that the bucket had less than the link's test needs."""
        wait = self._waits.get(link) or _Wait(needed_bytes, now_s, now_s)
        self._waits[link] = replace(wait, needed_bytes=needed_bytes, since_s=min(wait.since_s, now_s), tried_s=now_s)

    def declined(self, now_s: float, link: Pair) -> None:
        """Note that the bucket had enough, but there was no test: the link waits on, if it does."""
        if link in self._waits:
            self._waits[link] = replace(self._waits[link], tried_s=now_s)

    def tested(self, now_s: float, link: Pair) -> None:
        """Note a test of the link, which waits no longer."""
        self._waits.pop(link, None)
        self._tested_s[link] = now_s
