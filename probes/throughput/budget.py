"""What throughput tests may cost: a budget in bytes a day, for a site and for a link, and the file that keeps it.

An allowance accrues evenly: a bucket holds an eighth of the day's budget and fills at the rate of the other seven
eighths, so that in no 24 hours, wherever they begin, more than the budget goes out. The bucket is one number, the time
at which it is full again (the generic cell rate algorithm): a crash between two writes cannot leave half a state.

Before a test its whole limit is spent, on the disk; afterwards what it did not move is given back. So a crash in the
middle of a test costs the budget too much, never too little, and no restart gives a byte back. Where the disk takes
nothing there is no test; where the file was damaged, a bucket that is not in what is left of it counts as empty then.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from linkweather.errors import OperatorError
from linkweather.mesh import Mesh
from linkweather.mesh.patterns import Pair
from linkweather.wire import ThroughputRow
from probes.site_database import Damage, DamageError, DiskError, Row, Shape, is_damage, open_database, set_aside
from probes.throughput.budget_queue import BudgetQueue

log = logging.getLogger(__name__)

DAY_S: Final = 86_400.0
BURST_SHARE: Final = 1 / 8
# A test that was ended by its limit in bytes has not seen enough: the next one gets more.
LIMITED_GROWTH: Final = 2.0
# What a test of a link may take, of what the last one took: a link that became faster is noticed at its limit.
GROWTH: Final = 1.5
# The first test of a link does not take the allowance of all the others.
FIRST_SHARE: Final = 1 / 4
# Scheduled tests leave this much of the bucket to those that are brought forward.
KEPT_SHARE: Final = 1 / 4
# What one peer's invitations may take of the site's allowance: one that invites without end leaves the others theirs.
PEER_SHARE: Final = 1 / 2
MIN_TEST_BYTES: Final = 2**20  # eight of iperf3's blocks
BLOCK_BYTES: Final = 2**17  # on its way when a test is stopped, and perhaps not in its row
# Failures before a packet of the test could be on its way.
_NOT_BEGUN: Final = frozenset({"missing", "no_answer", "no_mesh", "unknown_site", "throughput_off", "too_long"})


@dataclass(frozen=True, slots=True)
class Allowance:
    """An allowance of `budget_bytes` a day that is full at `full_at_s` (UTC, seconds since 1970)."""

    budget_bytes: int
    full_at_s: float = 0.0

    @property
    def capacity_bytes(self) -> float:
        """The most that can be spent at once."""
        return self.budget_bytes * BURST_SHARE

    def left_bytes(self, now_s: float) -> int:
        """What may be spent now. A clock that was set back finds an empty bucket, not a negative one."""
        return max(0, int(self.capacity_bytes - max(0.0, self.full_at_s - now_s) * self._rate))

    def spent(self, now_s: float, count: int) -> Allowance:
        """The bucket after so many bytes, from what was left of it at `now_s`."""
        # Never later than an empty bucket is full again: else a clock that was set back stopped tests for as long.
        start_s = min(max(now_s, self.full_at_s), now_s + self.capacity_bytes / self._rate)
        return Allowance(self.budget_bytes, start_s + count / self._rate)

    @property
    def _rate(self) -> float:
        return self.budget_bytes * (1 - BURST_SHARE) / DAY_S


@dataclass(frozen=True, slots=True)
class LastTest:
    """What the last test of a link moved, and whether its limit in bytes ended it."""

    moved_bytes: int
    limited: bool


def wanted_bytes(last: LastTest | None, capacity_bytes: float, source_bytes: float = math.inf) -> int:
    """The limit of a link's next test, within what the smallest bucket concerned can ever hold.

    `source_bytes` is the capacity of the source's own bucket, of which our invitations have a share.
    """
    most = min(capacity_bytes, source_bytes * PEER_SHARE) * (1 - KEPT_SHARE)
    if last is None:
        wanted = capacity_bytes * FIRST_SHARE
    else:
        wanted = last.moved_bytes * (LIMITED_GROWTH if last.limited else GROWTH)
    return int(max(MIN_TEST_BYTES, min(wanted, most)))


def charged_bytes(row: ThroughputRow, max_bytes: int | None) -> int:
    """What a test costs; where it does not say what it moved, all that it might have."""
    if row.bytes is None:
        return 0 if row.failure in _NOT_BEGUN else max_bytes or 0
    return row.bytes if max_bytes is None else min(max_bytes, row.bytes + BLOCK_BYTES)


def _is_bucket(row: Row) -> bool:
    return len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], float)


# FULL: what a test may cost is on the disk before its first packet is on the wire.
_SHAPE: Final = Shape(
    "CREATE TABLE IF NOT EXISTS bucket (account TEXT PRIMARY KEY, full_at_s REAL NOT NULL);",
    "PRAGMA synchronous = FULL;",
    {"bucket": _is_bucket},
)
_SITE: Final = "site"  # the account of all tests of this site; the others are named "src dst"
_INVITED: Final = "invited:"  # and the peer: the account of its invitations
_ANY_OTHER: Final = "*"  # accounts that a damaged file may have had


@dataclass(frozen=True, slots=True)
class Reservation:
    """Bytes that a test may move: the buckets before it, and as they are while it runs. None: unlimited."""

    at_s: float
    max_bytes: int | None
    before: Mapping[str, Allowance]
    during: Mapping[str, Allowance]


class BudgetStore:
    """The budgets of one site and of its links, in an SQLite file. Without any in the mesh, everything is allowed.

    Any thread may call; `reserve` and `settle` wait for the disk. A damaged file is set aside. Raises OperatorError
    when the file cannot be used.
    """

    def __init__(self, path: Path, site: str) -> None:
        self._path = path
        self._site = site
        self._mesh: Mesh | None = None
        self._last: dict[tuple[str, str], LastTest] = {}
        self._queue = BudgetQueue()
        self._using = threading.Lock()
        self._failing = False  # the disk takes nothing: said once
        try:
            self._db, damage = open_database(path, _SHAPE)
            self._full_at_s: dict[str, float] = dict(self._db.execute("SELECT account, full_at_s FROM bucket"))
            if damage is not None:
                self._take_over(damage)
        except (OSError, sqlite3.DatabaseError) as error:
            raise OperatorError(f"the budget file {path} cannot be used: {error}") from None

    def apply_mesh(self, mesh: Mesh, round_s: float = 0.0) -> None:
        """Allow what this mesh allows; what was spent stays spent. A link has a turn every `round_s`."""
        with self._using:
            self._mesh = mesh
            self._queue.apply_sites(frozenset(mesh.sites), round_s)

    def ask(self, src: str, dst: str) -> int | None:
        """The limit in bytes for the next test of a link that this site begins; None: neither end has a budget."""
        theirs = self._site_budget(src)
        capacities = [Allowance(budget).capacity_bytes for budget in self._budgets(src, dst).values()]
        source_bytes = math.inf if theirs is None else Allowance(theirs).capacity_bytes
        smallest = min([*capacities, source_bytes])
        return None if smallest == math.inf else wanted_bytes(self._last.get((src, dst)), smallest, source_bytes)

    def reserve(
        self, now_s: float, src: str, dst: str, max_bytes: int | None, *, keep: bool = False
    ) -> Reservation | None:
        """Set aside what a test of the link may move; None when some budget has not so much left, or the disk is full.

        `keep` leaves a part to the tests that are brought forward; a part is left to links that have waited for long.
        """
        link = (src, dst)
        with self._using:
            before = {account: self._bucket(account, budget) for account, budget in self._budgets(src, dst).items()}
            if max_bytes is None:
                return None if before else Reservation(now_s, None, {}, {})
            if not self._has(before, now_s, link, max_bytes, KEPT_SHARE if keep else 0.0):
                return None
            during = {account: bucket.spent(now_s, max_bytes) for account, bucket in before.items()}
            if not self._write(during):
                return None
            if src == self._site:  # of a test that another site asks for no more is heard here
                self._queue.tested(now_s, link)
            return Reservation(now_s, max_bytes, before, during)

    def _has(
        self, buckets: Mapping[str, Allowance], now_s: float, link: Pair, max_bytes: int, kept_share: float
    ) -> bool:
        """Whether all buckets have enough for a test of the link; where the site's has not, the link waits for it."""
        for account, bucket in buckets.items():
            kept_bytes, left_bytes = kept_share * bucket.capacity_bytes, bucket.left_bytes(now_s)
            owed_bytes = self._queue.owed_bytes(now_s, link) if account == _SITE else 0.0
            if left_bytes < max_bytes + max(kept_bytes, owed_bytes):
                if account == _SITE:
                    self._queue.refused(now_s, link, max_bytes + kept_bytes)
                return False
        return True

    def settle(
        self,
        reservation: Reservation,
        src: str,
        dst: str,
        moved_bytes: int,
        *,
        limited: bool = False,
        tested: bool = True,
    ) -> None:
        """Give back what a test did not move; `limited` says that its limit in bytes ended it.

        A link that was not `tested` waits on, if it does.
        """
        if moved_bytes:
            self._last[src, dst] = LastTest(moved_bytes, limited)
        # Where another test has spent since, what was reserved counts: that errs on the side of the budget.
        with self._using:
            (self._queue.tested if tested else self._queue.declined)(reservation.at_s, (src, dst))
            self._write(
                {
                    account: bucket.spent(reservation.at_s, moved_bytes)
                    for account, bucket in reservation.before.items()
                    if self._bucket(account, bucket.budget_bytes) == reservation.during[account]
                }
            )

    def state(self, now_s: float) -> tuple[int, int] | None:
        """The site's budget per day and what it may spend now, in bytes; None without a budget."""
        budget = self._site_budget(self._site)
        return None if budget is None else (budget, self._bucket(_SITE, budget).left_bytes(now_s))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _budgets(self, src: str, dst: str) -> dict[str, int]:
        """The accounts here that a test of the link is charged to, and what each may spend in a day."""
        of_link = self._mesh.tests(src, dst).throughput.link_budget_bytes_per_day if self._mesh else None
        site = self._site_budget(self._site)
        budgets = {_SITE: site, f"{src} {dst}": of_link}
        if src == self._site and site is not None:
            budgets[f"{_INVITED} {dst}"] = int(site * PEER_SHARE)
        return {account: budget for account, budget in budgets.items() if budget is not None}

    def _site_budget(self, site: str) -> int | None:
        return self._mesh.budget_bytes_per_day(site) if self._mesh and site in self._mesh.sites else None

    def _bucket(self, account: str, budget_bytes: int) -> Allowance:
        any_other_s = self._full_at_s.get(_ANY_OTHER, 0.0)
        return Allowance(budget_bytes, self._full_at_s.get(account, any_other_s))

    def _write(self, buckets: Mapping[str, Allowance]) -> bool:
        """Write what has changed; whether the disk took it."""
        changed = {account: bucket.full_at_s for account, bucket in buckets.items()}
        try:
            self._put(changed)
        except DiskError as error:
            if not self._failing:
                log.warning(
                    "the budget file %s cannot be written (%s): no throughput test until it can", self._path, error
                )
            self._failing = True
            return False
        self._failing = False
        self._full_at_s |= changed
        return True

    def _put(self, full_at_s: Mapping[str, float]) -> None:
        try:
            self._insert(full_at_s)
        except DamageError as error:
            if not is_damage(error):
                raise
            self._db.close()
            damage = set_aside(self._path, _SHAPE, str(error))
            self._db, _ = open_database(self._path, _SHAPE)
            log.error("%s was damaged (%s): it is set aside as %s", self._path, error, damage.aside.name)
            self._insert({**self._full_at_s, **full_at_s})  # all that it had is known here

    def _insert(self, full_at_s: Mapping[str, float]) -> None:
        if full_at_s:
            with self._db:
                self._db.execute("BEGIN")
                self._db.executemany("INSERT OR REPLACE INTO bucket VALUES (?, ?)", full_at_s.items())

    def _take_over(self, damage: Damage) -> None:
        """Take the readable buckets of a damaged file; all others are empty now, whatever their budget."""
        found = {_ANY_OTHER: time.time() + DAY_S * BURST_SHARE / (1 - BURST_SHARE)}
        for account, full_at_s in damage.rows["bucket"]:
            found[account] = max(full_at_s, found.get(account, full_at_s))
        self._insert(found)
        self._full_at_s = found
        log.error(
            "the budget file %s is damaged (%s): it is set aside as %s; %d budgets are known, others begin empty",
            *(self._path, damage.reason, damage.aside.name, len(found) - 1),
        )
