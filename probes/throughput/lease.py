"""A site is in one throughput test at a time. Pure: the caller brings the time, on one clock of its choice."""

from __future__ import annotations


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
