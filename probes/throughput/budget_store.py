"""What a site's throughput tests have cost, in an SQLite file: no restart and no crash gives a byte back."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from linkweather.errors import OperatorError
from linkweather.mesh import Mesh
from probes.throughput.budget import KEPT_SHARE, Bucket, Last, wanted_bytes

_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS bucket (account TEXT PRIMARY KEY, full_at_s REAL NOT NULL)"
_SITE: Final = "site"  # the account of all tests of this site; the others are named "src dst"


@dataclass(frozen=True, slots=True)
class Reservation:
    """Bytes that a test may move: the buckets before it, and as they are while it runs. None: unlimited."""

    at_s: float
    max_bytes: int | None
    before: Mapping[str, Bucket]
    during: Mapping[str, Bucket]


class Ledger:
    """The budgets of one site and of its links. Without any in the mesh, everything is allowed.

    Raises OperatorError when the file cannot be used.
    """

    def __init__(self, path: Path, site: str) -> None:
        self._site = site
        self._mesh: Mesh | None = None
        self._last: dict[tuple[str, str], Last] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=1, isolation_level=None)
            # FULL: what a test may cost is on the disk before its first packet is on the wire.
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(_SCHEMA)
        except (OSError, sqlite3.DatabaseError) as error:
            raise OperatorError(f"the ledger of throughput tests {path} cannot be used: {error}") from None

    def follow(self, mesh: Mesh) -> None:
        """Allow what this mesh allows; what was spent stays spent."""
        self._mesh = mesh

    def ask(self, src: str, dst: str) -> int | None:
        """The limit in bytes for the next test of a link that this site begins; None: neither end has a budget."""
        peer = dst if src == self._site else src
        budgets = [*self._budgets(src, dst).values()]
        theirs = self._site_budget(peer)
        if theirs is not None:
            budgets.append(theirs)
        return wanted_bytes(self._last.get((src, dst)), Bucket(min(budgets)).capacity_bytes) if budgets else None

    def reserve(
        self, now_s: float, src: str, dst: str, max_bytes: int | None, *, keep: bool = False
    ) -> Reservation | None:
        """Set aside what a test of the link may move; None when some budget has not so much left.

        `keep` leaves a part to the tests that are brought forward.
        """
        before = {account: self._bucket(account, budget) for account, budget in self._budgets(src, dst).items()}
        if max_bytes is None:
            return None if before else Reservation(now_s, None, {}, {})
        kept_share = KEPT_SHARE if keep else 0.0
        if any(each.left_bytes(now_s) < max_bytes + kept_share * each.capacity_bytes for each in before.values()):
            return None
        during = {account: bucket.spent(now_s, max_bytes) for account, bucket in before.items()}
        self._write(during)
        return Reservation(now_s, max_bytes, before, during)

    def settle(self, reservation: Reservation, src: str, dst: str, moved_bytes: int, *, limited: bool = False) -> None:
        """Give back what a test did not move; `limited` says that its limit in bytes ended it."""
        if moved_bytes:
            self._last[src, dst] = Last(moved_bytes, limited)
        # Where another test has spent since, what was reserved counts: that errs on the side of the budget.
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
        of_link = self._mesh.throughput.link_budget_bytes_per_day if self._mesh else None
        budgets = {_SITE: self._site_budget(self._site), f"{src} {dst}": of_link}
        return {account: budget for account, budget in budgets.items() if budget is not None}

    def _site_budget(self, site: str) -> int | None:
        return self._mesh.budget_bytes_per_day(site) if self._mesh and site in self._mesh.sites else None

    def _bucket(self, account: str, budget_bytes: int) -> Bucket:
        row = self._db.execute("SELECT full_at_s FROM bucket WHERE account = ?", (account,)).fetchone()
        return Bucket(budget_bytes, row[0] if row else 0.0)

    def _write(self, buckets: Mapping[str, Bucket]) -> None:
        if not buckets:
            return
        self._db.execute("BEGIN")
        rows = [(account, bucket.full_at_s) for account, bucket in buckets.items()]
        self._db.executemany("INSERT OR REPLACE INTO bucket VALUES (?, ?)", rows)
        self._db.execute("COMMIT")
