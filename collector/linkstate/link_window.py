"""What is kept of one link: the rows that say how it is now, in whatever order they came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from collector.settings import StateSettings
from linkweather.wire import LatencyRow, PathRow, Row, ThroughputRow

Kind = Literal["latency", "throughput", "path"]
AnyRow = TypeVar("AnyRow", bound=Row)

LOSS_ROWS_MAX = 100
BEHIND_NAT = "behind_nat"  # the failure of a row about a site that cannot be probed


@dataclass(frozen=True, slots=True)
class Sample(Generic[AnyRow]):
    """A row and when its measurement ended, in seconds since the epoch."""

    at: float
    row: AnyRow


@dataclass(slots=True)
class Record:
    """What is kept of one link. Each part is a function of the set of rows, not of their order."""

    window: list[Sample[LatencyRow]] = field(default_factory=list)
    unloaded: list[Sample[LatencyRow]] = field(default_factory=list)
    idle: Sample[LatencyRow] | None = None
    loaded: Sample[LatencyRow] | None = None
    goodput: Sample[ThroughputRow] | None = None
    path: Sample[PathRow] | None = None
    rerouted: Sample[PathRow] | None = None
    failures: dict[Kind, Sample[Row]] = field(default_factory=dict)


def observe(record: Record, at: float, row: Row, settings: StateSettings) -> None:
    """Take in a row whose measurement ended `at`."""
    if isinstance(row, LatencyRow):
        _observe_latency(record, Sample(at, row), settings)
    elif isinstance(row, ThroughputRow):
        if good(row):
            record.goodput = _newer(record.goodput, Sample(at, row))
    elif isinstance(row, PathRow) and good(row):
        record.path = _newer(record.path, Sample(at, row))
        if row.changed:
            record.rerouted = _newer(record.rerouted, Sample(at, row))
    if not good(row):
        kind = _kind(row)
        record.failures[kind] = _newer(record.failures.get(kind), Sample(at, row))


def _observe_latency(record: Record, sample: Sample[LatencyRow], settings: StateSettings) -> None:
    if sample.row.failure == BEHIND_NAT:
        return  # nobody probed: that says nothing of contact, neither good nor bad
    if good(sample.row):
        if sample.row.during_throughput:
            record.loaded = _newer(record.loaded, sample)
        else:
            record.idle = _newer(record.idle, sample)
    _keep(record.window, sample, settings)
    if not sample.row.during_throughput:
        _keep(record.unloaded, sample, settings)


def _keep(window: list[Sample[LatencyRow]], sample: Sample[LatencyRow], settings: StateSettings) -> None:
    window.append(sample)
    window.sort(key=lambda kept: kept.at)  # stable, and nearly always sorted already
    del window[: -_needed(window, settings)]


def _kind(row: Row) -> Kind:
    return "latency" if isinstance(row, LatencyRow) else "throughput" if isinstance(row, ThroughputRow) else "path"


def good(row: Row) -> bool:
    """Whether the row is a result, and not a failed measurement."""
    # A latency row without a failure that counts no probe has an RTT: else it would not have been accepted.
    answered = not isinstance(row, LatencyRow) or row.received > 0 or row.sent == 0
    return row.failure is None and answered


def _newer(kept: Sample[AnyRow] | None, sample: Sample[AnyRow]) -> Sample[AnyRow]:
    # After an outage rows come late: an old one does not move time backwards.
    return sample if kept is None or sample.at >= kept.at else kept


def _needed(window: list[Sample[LatencyRow]], settings: StateSettings) -> int:
    """How many of the newest rows decide about loss and contact."""
    probes = 0
    for count, sample in enumerate(reversed(window), start=1):
        probes += sample.row.sent
        if count >= LOSS_ROWS_MAX or (probes >= settings.loss_probes and count >= settings.recover_after_rows):
            return count
    return len(window)
