"""The state of each link now: rows go in, in any order; `now` goes in, answers come out. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from collector.linkstate.link_columns import GOODPUT_FACTS, LATENCY_FACTS, GoodputColumns, LatencyColumns, Places
from collector.linkstate.link_forecasts import LinkForecasts, Pace, quantile_fields
from collector.linkstate.link_window import AnyRow, LinkWindow, ReportMoment, TimedRow, good, observe
from collector.linkstate.snapshot import AgeLimits, LinkFacts, LinkMatrices, Snapshot
from collector.settings import StateSettings
from linkweather.containment import contained, note
from linkweather.mesh import Mesh
from linkweather.models.state import GoodputCondition, LinkAnswer, LinkCondition
from linkweather.wire import LatencyRow, Row, ThroughputRow

RTT_FIELDS = ("rtt_min_s", "rtt_mean_s", "rtt_p50_s", "rtt_p95_s", "rtt_p99_s", "rtt_max_s", "jitter_rfc3550_s")
GOODPUT_FIELDS = ("goodput_bps", "goodput_low_bps", "goodput_high_bps", "rtt_loaded_s", "limited_by")

Pair = tuple[str, str]
NextTestOf = Callable[[str, str, float], Mapping[str, Any]]


def _unknown(_src: str, _dst: str, _now: float) -> Mapping[str, Any]:
    return {}


def pace(mesh: Mesh, settings: StateSettings) -> tuple[AgeLimits, Pace]:
    """The ages at which links are stale and expired, and how often rows come, by the mesh and the settings."""
    report_s = mesh.latency.report_interval_s
    # However small `every_s` is, a round takes a slot for each test: a site is in one at a time, and has two per peer.
    round_s = max(mesh.throughput.every_s, mesh.throughput.slot_s * 2 * len(mesh.sites))
    limits = AgeLimits(
        stale_s=settings.stale_after_reports * report_s,
        expired_s=settings.expired_after_reports * report_s,
        goodput_stale_s=settings.goodput_stale_after_rounds * round_s,
        goodput_expired_s=settings.goodput_expired_after_rounds * round_s,
    )
    return limits, Pace(report_s, limits.expired_s, round_s, limits.goodput_expired_s, limits.stale_s)


class LinkStates:
    """The state of every link of the mesh. Rows about other links are dropped.

    `next_test` says of a link (src, dst), now, when its throughput is tested next, as fields of its answer.
    """

    def __init__(self, mesh: Mesh, settings: StateSettings, next_test: NextTestOf = _unknown) -> None:
        self._settings = settings
        self._next_test = next_test
        self._windows: dict[Pair, LinkWindow] = {}
        self._forecasts = LinkForecasts((), pace(mesh, settings)[1])
        self.apply_mesh(mesh)

    def apply_mesh(self, mesh: Mesh) -> None:
        """Adopt a changed mesh; links that stay keep their rows."""
        self._limits, rows_pace = pace(mesh, self._settings)
        self._windows = {pair: self._windows.get(pair) or LinkWindow() for pair in mesh.pairs()}
        self._forecasts.apply_mesh(tuple(mesh.sites), rows_pace)
        self._matrices = LinkMatrices(tuple(mesh.sites))
        self._touched = set(self._windows)

    @property
    def horizons_s(self) -> dict[str, float]:
        """For each kind of row, the age beyond which a row says nothing about now: a start reads no further back."""
        limits = {"latency": self._limits.expired_s, "throughput": self._limits.goodput_expired_s}
        forecast = self._forecasts.horizons_s
        horizons = {kind: max(limit_s, forecast[kind]) for kind, limit_s in limits.items()}
        return horizons | {"path": max(limits.values())}

    def observe(self, moment: ReportMoment, rows: Iterable[Row]) -> None:
        """Add the rows of a report; reports may come in any order."""
        known = [row for row in rows if (row.src, row.dst) in self._windows]
        for row in known:
            pair = (row.src, row.dst)
            try:
                observe(self._windows[pair], moment, row, self._settings)
            except Exception as error:  # noqa: BLE001 - one row costs itself
                note("link state", error)
            self._touched.add(pair)
        with contained("forecasts"):
            self._forecasts.observe(moment.at, known)

    def links(self, now: float) -> list[LinkAnswer]:
        """Every link of the mesh in the mesh's order, also links never measured."""
        rtt, goodput = self._forecasts.rtt(now), self._forecasts.goodput(now)
        series = [self._forecasts.series(*pair) for pair in self._windows]
        expected = zip(
            quantile_fields("rtt", "s", rtt, series, self._limits.expired_s),
            quantile_fields("goodput", "bps", goodput, series, self._limits.goodput_expired_s),
            strict=True,
        )
        return [
            self._answer(pair, window, now, one | other)
            for (pair, window), (one, other) in zip(self._windows.items(), expected, strict=True)
        ]

    def link(self, src: str, dst: str, now: float) -> LinkAnswer | None:
        """One link; None where the mesh has no such link."""
        window = self._windows.get((src, dst))
        if window is None:
            return None
        rtt, goodput = self._forecasts.rtt_of(src, dst, now), self._forecasts.goodput_of(src, dst, now)
        (rtt_quantiles,) = quantile_fields("rtt", "s", rtt, [0], self._limits.expired_s)
        (goodput_quantiles,) = quantile_fields("goodput", "bps", goodput, [0], self._limits.goodput_expired_s)
        return self._answer((src, dst), window, now, rtt_quantiles | goodput_quantiles)

    def latency_columns(self, places: Places, now: float) -> LatencyColumns:
        """What is known of these links' contact and RTT."""
        self._refresh()
        return LatencyColumns(
            **self._matrices.facts(LATENCY_FACTS, places), rtt=self._forecasts.rtt_expectations(places, now)
        )

    def goodput_columns(self, places: Places, now: float) -> GoodputColumns:
        """What is known of these links' goodput."""
        self._refresh()
        return GoodputColumns(
            **self._matrices.facts(GOODPUT_FACTS, places), goodput=self._forecasts.goodput_expectations(places, now)
        )

    def snapshot(self, now: float) -> Snapshot:
        """The snapshot at `now`: what decisions are made from."""
        self._refresh()
        return self._matrices.snapshot(now, self._limits, self._forecasts.rtt(now), self._forecasts.goodput(now))

    def _refresh(self) -> None:
        for pair in self._touched:
            with contained("snapshot"):
                self._matrices.put(*pair, _facts(self._windows[pair], self._limits, self._settings))
        self._touched = set()

    def _answer(self, pair: Pair, window: LinkWindow, now: float, expected: dict[str, Any]) -> LinkAnswer:
        """The answer of one link; where it cannot be made, a link of which nothing is known."""
        try:
            return self._made(pair, window, now, expected)
        except Exception as error:  # noqa: BLE001 - one link costs itself
            note("link answer", error)
            return LinkAnswer(src=pair[0], dst=pair[1])

    def _made(self, pair: Pair, window: LinkWindow, now: float, expected: dict[str, Any]) -> LinkAnswer:
        return LinkAnswer(
            src=pair[0],
            dst=pair[1],
            state=_condition(window, now, self._limits, self._settings),
            **_contact(window, now, self._limits),
            **_loss(_loss_rows(window, self._limits)),
            **_outage(window.latency, now),
            **_goodput(window, now, self._limits),
            **_path(window, now),
            **_failure(window, now),
            **self._next_test(*pair, now),
            **expected,
        )


def _facts(window: LinkWindow, limits: AgeLimits, settings: StateSettings) -> LinkFacts:
    shown = _shown(window, limits)
    return LinkFacts(
        contact_at=window.latency[-1].at if window.latency else -math.inf,
        up=bool(window.latency) and _up(window, settings),
        loss_ratio=_known(_loss(_loss_rows(window, limits)).get("loss_ratio")),
        jitter_s=_known(_jitter(shown.row) if shown else None),
        owd_p50_s=_known(shown.row.owd_forward_p50_s if shown else None),
        goodput_at=_time(window.goodput),
        rerouted_at=_time(window.rerouted),
    )


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _time(sample: TimedRow[AnyRow] | None) -> float:
    return -math.inf if sample is None else sample.at


def _up(window: LinkWindow, settings: StateSettings) -> bool:
    return all(good(sample.row) for sample in window.latency[-settings.recover_after_rows :])


def _age(sample: TimedRow[AnyRow], now: float) -> float:
    return max(0.0, now - sample.at)  # our clock may have been set back since


def _condition(window: LinkWindow, now: float, limits: AgeLimits, settings: StateSettings) -> LinkCondition:
    if not window.latency:
        return "unknown"
    age_s = _age(window.latency[-1], now)
    if age_s > limits.expired_s:
        return "expired"
    if not _up(window, settings):
        return "down"
    return "stale" if age_s > limits.stale_s else "fresh"


def _contact(window: LinkWindow, now: float, limits: AgeLimits) -> dict[str, Any]:
    if not window.latency:
        return {}
    newest = window.latency[-1]
    contact: dict[str, Any] = {"age_s": _age(newest, now), "method": newest.row.method}
    contact |= {"figures": newest.row.figures, "address": newest.row.address}
    shown = _shown(window, limits)
    if shown is None:
        return contact
    row = shown.row
    contact |= {name: getattr(row, name) for name in RTT_FIELDS}
    contact |= {"rtt_age_s": _age(shown, now), "method": row.method, "jitter_s": _jitter(row)}
    contact |= {"owd_p50_s": row.owd_forward_p50_s, "owd_error_s": row.owd_error_s}
    return contact | {"during_throughput": row.during_throughput, "timestamp": row.timestamp}


def _shown(window: LinkWindow, limits: AgeLimits) -> TimedRow[LatencyRow] | None:
    """The row whose RTT is shown: the newest unloaded one, unless it is much older than the newest loaded one."""
    idle, loaded = window.idle, window.loaded
    if idle is None or loaded is None:
        return idle or loaded
    return idle if loaded.at - idle.at <= limits.stale_s else loaded


def _loss_rows(window: LinkWindow, limits: AgeLimits) -> list[TimedRow[LatencyRow]]:
    """The rows whose loss is shown, by the same rule as the RTT: our own tests fill queues, which drop probes."""
    if not window.unloaded or window.latency[-1].at - window.unloaded[-1].at > limits.stale_s:
        return window.latency
    return window.unloaded


def _jitter(row: LatencyRow) -> float | None:
    if row.jitter_p95_p50_s is not None:
        return row.jitter_p95_p50_s
    if row.rtt_p95_s is None or row.rtt_p50_s is None:
        return None
    return max(0.0, row.rtt_p95_s - row.rtt_p50_s)


def _loss(samples: list[TimedRow[LatencyRow]]) -> dict[str, Any]:
    rows = [sample.row for sample in samples]
    sent = sum(row.sent for row in rows)
    if sent == 0:
        return {}
    directed = [
        (row.sent, row.lost_forward, row.lost_back)
        for row in rows
        if row.lost_forward is not None and row.lost_back is not None
    ]
    one_way_sent = sum(sent for sent, _, _ in directed)
    forward = sum(forward for _, forward, _ in directed)
    return {
        "loss_probes": sent,
        "loss_ratio": (sent - sum(row.received for row in rows)) / sent,
        "loss_forward_ratio": _share(forward, one_way_sent),
        "loss_back_ratio": _share(sum(back for _, _, back in directed), one_way_sent - forward),
    }


def _outage(samples: list[TimedRow[LatencyRow]], now: float) -> dict[str, Any]:
    newest = samples[-1].row.outages if samples else None
    if not newest or newest[-1].end is not None:
        return {}
    return {"outage_s": max(0.0, now - newest[-1].start.timestamp())}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole > 0 else None


def _goodput(window: LinkWindow, now: float, limits: AgeLimits) -> dict[str, Any]:
    if window.goodput is None:
        return {}
    values = {name: getattr(window.goodput.row, name) for name in GOODPUT_FIELDS}
    return values | {
        "goodput_state": _goodput_condition(window, window.goodput, now, limits),
        "goodput_age_s": _age(window.goodput, now),
    }


def _goodput_condition(
    window: LinkWindow, goodput: TimedRow[ThroughputRow], now: float, limits: AgeLimits
) -> GoodputCondition:
    age_s = _age(goodput, now)
    if age_s > limits.goodput_expired_s:
        return "expired"
    rerouted = window.rerouted is not None and window.rerouted.at > goodput.at
    return "stale" if rerouted or age_s > limits.goodput_stale_s else "fresh"


def _path(window: LinkWindow, now: float) -> dict[str, Any]:
    if window.path is None:
        return {}
    row = window.path.row
    return {
        "path_age_s": _age(window.path, now),
        "path_fingerprint": row.fingerprint,
        "path_mtu_bytes": row.path_mtu_bytes,
        "hops": row.hops[-1].ttl if row.reached and row.hops else None,
    }


def _failure(window: LinkWindow, now: float) -> dict[str, Any]:
    if not window.failures:
        return {}
    kind, newest = max(window.failures.items(), key=lambda item: item[1].at)
    return {
        "failure": newest.row.failure or "no_reply",
        "failure_kind": kind,
        "failure_detail": newest.row.detail,
        "failure_age_s": _age(newest, now),
    }
