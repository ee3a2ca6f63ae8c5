"""The link window: the recent rows kept of one link, which say how it is now. Pure.

Theory. Which row is the newest is not for the site's clock to say: it may be wrong, and be corrected, and a row from a
clock that was ahead would stay the newest until real time has passed it. So rows are ordered by their reports:

- An outbox numbers its reports one by one. Of two rows from one boot the one with the higher `seq` is newer.
- Boots have no order of their own, and an old boot's backlog may arrive beside the present boot's rows. So between two
  boots the times decide, each no later than its row's arrival. The present boot prevails from its first row on, unless
  its clock is behind: then from the moment at which it passes the old boot's last row, which ages meanwhile as any row.

A row's age counts from its `at`, also where it waited in an outbox: a backlog must not look fresh. An `at` later than
the row's arrival, by our clock, counts as the arrival.

All of this follows from what the journal keeps of each row: boot, seq, at and arrival. A start replays the rows in the
order of commit, and so finds the state that the last run had.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, NamedTuple, Self, TypeVar

from collector.settings import StateSettings
from linkweather.wire import LatencyRow, PathRow, Row, ThroughputRow
from linkweather.wire.latency import NOT_PROBED

RowKind = Literal["latency", "throughput", "path"]
AnyRow = TypeVar("AnyRow", bound=Row)

LOSS_ROWS_MAX = 100


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


@dataclass(frozen=True, slots=True)
class TimedRow(Generic[AnyRow]):
    """A row and the moment of its report."""

    moment: ReportMoment
    row: AnyRow

    @property
    def at(self) -> float:
        """When its measurement ended, in seconds since the epoch."""
        return self.moment.at


@dataclass(slots=True)
class LinkWindow:
    """The recent rows of one link: latency rows, oldest first, and the newest of each other kind.

    Rows of one boot may come in any order: each part is a function of their set. `unloaded` are the latency rows that
    no throughput test of ours loaded; `idle` and `loaded` the newest good row without and with such a load; `rerouted`
    the newest path row that shows a changed path.
    """

    latency: list[TimedRow[LatencyRow]] = field(default_factory=list)
    unloaded: list[TimedRow[LatencyRow]] = field(default_factory=list)
    idle: TimedRow[LatencyRow] | None = None
    loaded: TimedRow[LatencyRow] | None = None
    goodput: TimedRow[ThroughputRow] | None = None
    path: TimedRow[PathRow] | None = None
    rerouted: TimedRow[PathRow] | None = None
    failures: dict[RowKind, TimedRow[Row]] = field(default_factory=dict)


def observe(window: LinkWindow, moment: ReportMoment, row: Row, settings: StateSettings) -> None:
    """Add a row."""
    if isinstance(row, LatencyRow):
        _observe_latency(window, TimedRow(moment, row), settings)
    elif isinstance(row, ThroughputRow):
        if good(row):
            window.goodput = _newer(window.goodput, TimedRow(moment, row))
    elif isinstance(row, PathRow) and good(row):
        window.path = _newer(window.path, TimedRow(moment, row))
        if row.changed:
            window.rerouted = _newer(window.rerouted, TimedRow(moment, row))
    if not good(row):
        kind = _kind(row)
        window.failures[kind] = _newer(window.failures.get(kind), TimedRow(moment, row))


def _observe_latency(window: LinkWindow, sample: TimedRow[LatencyRow], settings: StateSettings) -> None:
    if sample.row.failure in NOT_PROBED:
        return
    if good(sample.row):
        if sample.row.during_throughput:
            window.loaded = _newer(window.loaded, sample)
        else:
            window.idle = _newer(window.idle, sample)
    _keep(window.latency, sample, settings)
    if not sample.row.during_throughput:
        _keep(window.unloaded, sample, settings)


def _keep(window: list[TimedRow[LatencyRow]], sample: TimedRow[LatencyRow], settings: StateSettings) -> None:
    place = len(window)  # nearly always the newest
    while place and not sample.moment.follows(window[place - 1].moment):
        place -= 1
    window.insert(place, sample)
    del window[: -_needed(window, settings)]


def _kind(row: Row) -> RowKind:
    return "latency" if isinstance(row, LatencyRow) else "throughput" if isinstance(row, ThroughputRow) else "path"


def good(row: Row) -> bool:
    """Whether the row is a result and not a failed measurement."""
    # A latency row that counts no probe and has no failure has an RTT: admission refuses others.
    answered = not isinstance(row, LatencyRow) or row.received > 0 or row.sent == 0
    return row.failure is None and answered


def _newer(newest: TimedRow[AnyRow] | None, sample: TimedRow[AnyRow]) -> TimedRow[AnyRow]:
    # After an outage old rows come late; they do not replace newer ones.
    return sample if newest is None or sample.moment.follows(newest.moment) else newest


def _needed(window: list[TimedRow[LatencyRow]], settings: StateSettings) -> int:
    """How many of the newest rows decide loss and contact."""
    probes = 0
    for count, sample in enumerate(reversed(window), start=1):
        probes += sample.row.sent
        if count >= LOSS_ROWS_MAX or (probes >= settings.loss_probes and count >= settings.recover_after_rows):
            return count
    return len(window)
