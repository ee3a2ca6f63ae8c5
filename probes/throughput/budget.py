"""What throughput tests may cost: an allowance in bytes that accrues evenly over the day. Pure.

A bucket that holds an eighth of the day's budget and fills at the rate of the other seven eighths: in no 24
hours, wherever they begin, does more than the budget go out. It is kept as one number, the time at which it is
full again (the generic cell rate algorithm's way), so that a crash between two writes cannot leave half a state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from linkweather.wire import ThroughputRow

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
MIN_TEST_BYTES: Final = 2**20  # eight of iperf3's blocks
BLOCK_BYTES: Final = 2**17  # on its way when a test is stopped, and perhaps not in its row
# Failures before a packet of the test could be on its way.
_NOT_BEGUN: Final = frozenset({"missing", "no_answer", "no_mesh", "unknown_site", "throughput_off", "too_long"})


@dataclass(frozen=True, slots=True)
class Bucket:
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

    def spent(self, now_s: float, count: int) -> Bucket:
        """The bucket after so many bytes, from what was left of it at `now_s`."""
        # Never later than an empty bucket is full again: else a clock that was set back stopped tests for as long.
        start_s = min(max(now_s, self.full_at_s), now_s + self.capacity_bytes / self._rate)
        return Bucket(self.budget_bytes, start_s + count / self._rate)

    @property
    def _rate(self) -> float:
        return self.budget_bytes * (1 - BURST_SHARE) / DAY_S


@dataclass(frozen=True, slots=True)
class Last:
    """What the last test of a link moved, and whether its limit in bytes ended it."""

    moved_bytes: int
    limited: bool


def wanted_bytes(last: Last | None, capacity_bytes: float) -> int:
    """The limit of a link's next test, within what the smallest bucket concerned can ever hold."""
    most = capacity_bytes * (1 - KEPT_SHARE)
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
