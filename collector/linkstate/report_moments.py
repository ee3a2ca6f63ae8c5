"""Which report is the newer one: the moment of a report, and arrays of them. Pure.

Theory. Which row is the newest is not for the site's clock to say: it may be wrong, and be corrected, and a row from a
clock that was ahead would stay the newest until real time has passed it. So rows are ordered by their reports:

- An outbox numbers its reports one by one. Of two rows from one boot the one with the higher `seq` is newer.
- Boots have no order of their own, and an old boot's backlog may arrive beside the present boot's rows. So between two
  boots the times decide, each no later than its row's arrival. The present boot prevails from its first row on, unless
  its clock is behind: then from the moment at which it passes the old boot's last row, which ages meanwhile as any row.

A row's age counts from its `at`, also where it waited in an outbox: a backlog must not look fresh. An `at` later than
the row's arrival, by our clock, counts as the arrival.

All of this follows from what the journal keeps of each row: boot, seq, at and arrival. A start observes the rows in the
order of commit, and so finds the state that the last run had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Links = npt.NDArray[np.intp]
Ages = float | Floats  # in seconds: of all links, or an array of each

_BOOT_BITS = 52  # exact in a double


class ReportMoment(NamedTuple):
    """When a report's measurement ended, in seconds since the epoch, and the report's place among its site's."""

    at: float
    boot: str
    seq: int

    @classmethod
    def of(cls, at: datetime, received_at: datetime, boot: str, seq: int) -> Self:
        """The moment of a report: its `at`, or its arrival where that is earlier."""
        return cls(min(at, received_at).timestamp(), boot, seq)

    def follows(self, other: ReportMoment) -> bool:
        """Whether this report is the newer one; of two equals both are."""
        return self.seq >= other.seq if self.boot == other.boot else self.at >= other.at


def boot_number(boot: str) -> int:
    """The number that stands for a boot within this process: equal for equal boots."""
    return hash(boot) & ((1 << _BOOT_BITS) - 1)


class Moments(NamedTuple):
    """The moments of many rows, as arrays of one shape; `boot` is a `boot_number`. All are exact in doubles."""

    at: Floats
    boot: Floats
    seq: Floats

    @classmethod
    def repeated(cls, moments: Sequence[ReportMoment], counts: Sequence[int]) -> Self:
        """The moments of reports, each for so many rows."""
        parts = [(moment.at, boot_number(moment.boot), moment.seq) for moment in moments]
        return cls(*np.repeat(np.array(parts, np.float64).T, counts, axis=1))

    @classmethod
    def never(cls, count: int) -> Self:
        """What every moment follows."""
        return cls(np.full(count, -np.inf), np.zeros(count), np.full(count, -1.0))

    def of(self, places: Any) -> Moments:
        """Those at `places`."""
        return Moments(*(part[places] for part in self))

    def put(self, places: Any, others: Moments) -> None:
        """Replace those at `places`."""
        for part, other in zip(self, others, strict=True):
            part[places] = other

    def follows(self, other: Moments) -> Bools:
        """Which of these reports are the newer ones, as `ReportMoment.follows`."""
        return np.where(self.boot == other.boot, self.seq >= other.seq, self.at >= other.at)


def span(links: Links) -> Links | slice:
    """The same places as a slice where they follow each other, as those of a report do: far cheaper to read."""
    if len(links) and int(links[-1]) - int(links[0]) == len(links) - 1 and bool((links[1:] > links[:-1]).all()):
        return slice(int(links[0]), int(links[-1]) + 1)
    return links


def in_turn(links: Links) -> Iterator[Links | slice]:
    """The places of rows, such that no link is twice in one turn and each link's rows keep their order."""
    if len(links) < 2 or bool((links[1:] > links[:-1]).all()):  # as a report has them
        yield slice(None)
        return
    order = np.argsort(links, kind="stable")
    ordered = links[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    place = np.arange(len(links))
    turn = place - np.maximum.accumulate(np.where(first, place, 0))
    by_turn = np.argsort(turn, kind="stable")
    ends = np.cumsum(np.bincount(turn))
    for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        yield order[by_turn[start:end]]
