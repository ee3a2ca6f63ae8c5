"""What each link is like now: rows go in, in any order; `now` goes in, answers come out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field

from linkweather.answers import GoodputCondition, LinkAnswer, LinkCondition
from linkweather.mesh import Mesh, Positive, Settings
from linkweather.messages import LatencyRow, PathRow, Row, ThroughputRow

Kind = Literal["latency", "throughput", "path"]
AnyRow = TypeVar("AnyRow", bound=Row)
Few = Annotated[int, Field(ge=1, le=100)]

RTT_FIELDS = ("rtt_min_s", "rtt_mean_s", "rtt_p50_s", "rtt_p95_s", "rtt_p99_s", "rtt_max_s", "jitter_rfc3550_s")
GOODPUT_FIELDS = ("goodput_bps", "goodput_low_bps", "goodput_high_bps", "rtt_loaded_s", "limited_by")
LOSS_ROWS_MAX = 100


class StateSettings(Settings):
    """When a link counts as what: `*_reports` in the mesh's report intervals, `*_rounds` in its throughput rounds."""

    stale_after_reports: Positive = 4.0
    expired_after_reports: Positive = 60.0
    goodput_stale_after_rounds: Positive = 2.0
    goodput_expired_after_rounds: Positive = 12.0
    loss_probes: Few = 100
    recover_after_rows: Few = 2


@dataclass(frozen=True, slots=True)
class Sample(Generic[AnyRow]):
    """A row and when its measurement ended, in seconds since the epoch."""

    at: float
    row: AnyRow


@dataclass(slots=True)
class _Record:
    """What is kept of one link. Each part is a function of the set of rows, not of their order."""

    window: list[Sample[LatencyRow]] = field(default_factory=list)
    unloaded: list[Sample[LatencyRow]] = field(default_factory=list)
    idle: Sample[LatencyRow] | None = None
    loaded: Sample[LatencyRow] | None = None
    goodput: Sample[ThroughputRow] | None = None
    path: Sample[PathRow] | None = None
    rerouted: Sample[PathRow] | None = None
    failures: dict[Kind, Sample[Row]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Limits:
    stale_s: float
    expired_s: float
    goodput_stale_s: float
    goodput_expired_s: float


def _limits(mesh: Mesh, settings: StateSettings) -> _Limits:
    report_s = mesh.latency.report_interval_s
    # However small `every_s` is: a site is in one test at a time, and has two with each of its peers.
    round_s = max(mesh.throughput.every_s, mesh.throughput.slot_s * 2 * len(mesh.sites))
    return _Limits(
        stale_s=settings.stale_after_reports * report_s,
        expired_s=settings.expired_after_reports * report_s,
        goodput_stale_s=settings.goodput_stale_after_rounds * round_s,
        goodput_expired_s=settings.goodput_expired_after_rounds * round_s,
    )


class LinkStates:
    """The state of every link of the mesh. Rows about other links are not kept."""

    def __init__(self, mesh: Mesh, settings: StateSettings) -> None:
        self._settings = settings
        self._records: dict[tuple[str, str], _Record] = {}
        self.use(mesh)

    def use(self, mesh: Mesh) -> None:
        """Follow a changed mesh; links that stay keep what is known of them."""
        self._limits = _limits(mesh, self._settings)
        self._records = {pair: self._records.get(pair) or _Record() for pair in mesh.pairs()}

    @property
    def horizon_s(self) -> float:
        """Rows older than this say nothing about now but that a link has expired: a start reads no further back."""
        return max(self._limits.expired_s, self._limits.goodput_expired_s)

    def observe(self, at: float, rows: Iterable[Row]) -> None:
        """Take in the rows of a report whose measurement ended `at`, also when newer ones came before it."""
        for row in rows:
            record = self._records.get((row.src, row.dst))
            if record is not None:
                _observe(record, at, row, self._settings)

    def links(self, now: float) -> list[LinkAnswer]:
        """Every link of the mesh, also those never measured, in the mesh's order."""
        return [self._answer(pair, record, now) for pair, record in self._records.items()]

    def link(self, src: str, dst: str, now: float) -> LinkAnswer | None:
        """One link; None when the mesh has none such."""
        record = self._records.get((src, dst))
        return None if record is None else self._answer((src, dst), record, now)

    def _answer(self, pair: tuple[str, str], record: _Record, now: float) -> LinkAnswer:
        return LinkAnswer(
            src=pair[0],
            dst=pair[1],
            state=_condition(record, now, self._limits, self._settings),
            **_contact(record, now, self._limits),
            **_loss(_judged(record, self._limits)),
            **_outage(record.window, now),
            **_goodput(record, now, self._limits),
            **_path(record, now),
            **_failure(record, now),
        )


def _observe(record: _Record, at: float, row: Row, settings: StateSettings) -> None:
    if isinstance(row, LatencyRow):
        _observe_latency(record, Sample(at, row), settings)
    elif isinstance(row, ThroughputRow):
        if _good(row):
            record.goodput = _newer(record.goodput, Sample(at, row))
    elif isinstance(row, PathRow) and _good(row):
        record.path = _newer(record.path, Sample(at, row))
        if row.changed:
            record.rerouted = _newer(record.rerouted, Sample(at, row))
    if not _good(row):
        kind = _kind(row)
        record.failures[kind] = _newer(record.failures.get(kind), Sample(at, row))


def _observe_latency(record: _Record, sample: Sample[LatencyRow], settings: StateSettings) -> None:
    if _good(sample.row):
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


def _good(row: Row) -> bool:
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


def _age(sample: Sample[AnyRow], now: float) -> float:
    return max(0.0, now - sample.at)  # a site's clock may be a little ahead of ours


def _condition(record: _Record, now: float, limits: _Limits, settings: StateSettings) -> LinkCondition:
    if not record.window:
        return "unknown"
    age_s = _age(record.window[-1], now)
    if age_s > limits.expired_s:
        return "expired"
    if not all(_good(sample.row) for sample in record.window[-settings.recover_after_rows :]):
        return "down"
    return "stale" if age_s > limits.stale_s else "fresh"


def _contact(record: _Record, now: float, limits: _Limits) -> dict[str, Any]:
    if not record.window:
        return {}
    newest = record.window[-1]
    contact: dict[str, Any] = {"age_s": _age(newest, now), "method": newest.row.method}
    shown = _shown(record, limits)
    if shown is None:
        return contact
    row = shown.row
    contact |= {name: getattr(row, name) for name in RTT_FIELDS}
    contact |= {"rtt_age_s": _age(shown, now), "method": row.method, "jitter_s": _jitter(row)}
    contact |= {"owd_p50_s": row.owd_forward_p50_s, "owd_error_s": row.owd_error_s}
    return contact | {"during_throughput": row.during_throughput, "timestamp": row.timestamp}


def _shown(record: _Record, limits: _Limits) -> Sample[LatencyRow] | None:
    """The row whose RTT is shown: one that our own tests did not load, unless it is much older than one they did."""
    idle, loaded = record.idle, record.loaded
    if idle is None or loaded is None:
        return idle or loaded
    return idle if loaded.at - idle.at <= limits.stale_s else loaded


def _judged(record: _Record, limits: _Limits) -> list[Sample[LatencyRow]]:
    """The rows whose loss is shown: a full queue of our own making drops probes; the same rule as for the RTT."""
    if not record.unloaded or record.window[-1].at - record.unloaded[-1].at > limits.stale_s:
        return record.window
    return record.unloaded


def _jitter(row: LatencyRow) -> float | None:
    if row.jitter_p95_p50_s is not None:
        return row.jitter_p95_p50_s
    if row.rtt_p95_s is None or row.rtt_p50_s is None:
        return None
    return max(0.0, row.rtt_p95_s - row.rtt_p50_s)


def _loss(window: list[Sample[LatencyRow]]) -> dict[str, Any]:
    rows = [sample.row for sample in window]
    sent = sum(row.sent for row in rows)
    if sent == 0:
        return {}
    told = [
        (row.sent, row.lost_forward, row.lost_back)
        for row in rows
        if row.lost_forward is not None and row.lost_back is not None
    ]
    tried = sum(sent for sent, _, _ in told)
    forward = sum(forward for _, forward, _ in told)
    return {
        "loss_probes": sent,
        "loss_ratio": (sent - sum(row.received for row in rows)) / sent,
        "loss_forward_ratio": _share(forward, tried),
        "loss_back_ratio": _share(sum(back for _, _, back in told), tried - forward),
    }


def _outage(window: list[Sample[LatencyRow]], now: float) -> dict[str, Any]:
    newest = window[-1].row.outages if window else None
    if not newest or newest[-1].end is not None:
        return {}
    return {"outage_s": max(0.0, now - newest[-1].start.timestamp())}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole > 0 else None


def _goodput(record: _Record, now: float, limits: _Limits) -> dict[str, Any]:
    if record.goodput is None:
        return {}
    values = {name: getattr(record.goodput.row, name) for name in GOODPUT_FIELDS}
    return values | {
        "goodput_state": _goodput_condition(record, record.goodput, now, limits),
        "goodput_age_s": _age(record.goodput, now),
    }


def _goodput_condition(
    record: _Record, goodput: Sample[ThroughputRow], now: float, limits: _Limits
) -> GoodputCondition:
    age_s = _age(goodput, now)
    if age_s > limits.goodput_expired_s:
        return "expired"
    rerouted = record.rerouted is not None and record.rerouted.at > goodput.at
    return "stale" if rerouted or age_s > limits.goodput_stale_s else "fresh"


def _path(record: _Record, now: float) -> dict[str, Any]:
    if record.path is None:
        return {}
    row = record.path.row
    return {
        "path_age_s": _age(record.path, now),
        "path_fingerprint": row.fingerprint,
        "path_mtu_bytes": row.path_mtu_bytes,
        "hops": row.hops[-1].ttl if row.reached and row.hops else None,
    }


def _failure(record: _Record, now: float) -> dict[str, Any]:
    if not record.failures:
        return {}
    kind, newest = max(record.failures.items(), key=lambda item: item[1].at)
    return {
        "failure": newest.row.failure or "no_reply",
        "failure_kind": kind,
        "failure_detail": newest.row.detail,
        "failure_age_s": _age(newest, now),
    }
