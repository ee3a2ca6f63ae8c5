"""The link window: the recent rows kept of one link, which say how it is now. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from collector.settings import StateSettings
from linkweather.wire import LatencyRow, PathRow, Row, ThroughputRow
from linkweather.wire.latency import NOT_PROBED

RowKind = Literal["latency", "throughput", "path"]
AnyRow = TypeVar("AnyRow", bound=Row)

LOSS_ROWS_MAX = 100


@dataclass(frozen=True, slots=True)
class TimedRow(Generic[AnyRow]):
    """A row and when its measurement ended, in seconds since the epoch."""

    at: float
    row: AnyRow


@dataclass(slots=True)
class LinkWindow:
    """The recent rows of one link: latency rows, oldest first, and the newest of each other kind.

    Each part is a function of the set of rows, not of their order. `unloaded` are the latency rows that no throughput
    test of ours loaded; `idle` and `loaded` the newest good row without and with such a load; `rerouted` the newest
    path row that shows a changed path.
    """

    latency: list[TimedRow[LatencyRow]] = field(default_factory=list)
    unloaded: list[TimedRow[LatencyRow]] = field(default_factory=list)
    idle: TimedRow[LatencyRow] | None = None
    loaded: TimedRow[LatencyRow] | None = None
    goodput: TimedRow[ThroughputRow] | None = None
    path: TimedRow[PathRow] | None = None
    rerouted: TimedRow[PathRow] | None = None
    failures: dict[RowKind, TimedRow[Row]] = field(default_factory=dict)


def observe(window: LinkWindow, at: float, row: Row, settings: StateSettings) -> None:
    """Add a row whose measurement ended `at`."""
    if isinstance(row, LatencyRow):
        _observe_latency(window, TimedRow(at, row), settings)
    elif isinstance(row, ThroughputRow):
        if good(row):
            window.goodput = _newer(window.goodput, TimedRow(at, row))
    elif isinstance(row, PathRow) and good(row):
        window.path = _newer(window.path, TimedRow(at, row))
        if row.changed:
            window.rerouted = _newer(window.rerouted, TimedRow(at, row))
    if not good(row):
        kind = _kind(row)
        window.failures[kind] = _newer(window.failures.get(kind), TimedRow(at, row))


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
    window.append(sample)
    window.sort(key=lambda row: row.at)  # stable, and nearly always sorted already
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
    return sample if newest is None or sample.at >= newest.at else newest


def _needed(window: list[TimedRow[LatencyRow]], settings: StateSettings) -> int:
    """How many of the newest rows decide loss and contact."""
    probes = 0
    for count, sample in enumerate(reversed(window), start=1):
        probes += sample.row.sent
        if count >= LOSS_ROWS_MAX or (probes >= settings.loss_probes and count >= settings.recover_after_rows):
            return count
    return len(window)
