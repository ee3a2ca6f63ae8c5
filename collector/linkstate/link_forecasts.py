"""The RTT and goodput forecasts of a mesh's links: a bank each, with a series for every pair of sites. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from collector.linkstate.forecast_bank import Expectations, Forecast, ForecastBank, SeriesKind
from collector.linkstate.link_columns import Places
from linkweather.wire import LatencyRow, Row, ThroughputRow

# While a link has only rows that our own tests loaded, the last few of them say more than old unloaded ones.
_LOADED_WINDOW = 4
# Goodput is measured rarely, on quiet links more rarely still: the memory, in multiples of its expiry.
_GOODPUT_MEMORIES = 5

AnyColumns = TypeVar("AnyColumns", Forecast, Expectations)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often rows come, and when they expire, in seconds."""

    report_s: float
    expired_s: float
    round_s: float
    goodput_expired_s: float
    stale_s: float

    def kinds(self) -> dict[str, SeriesKind]:
        """What each bank forecasts."""
        rtt = SeriesKind(step_s=self.report_s, memory_s=self.expired_s)
        loaded = SeriesKind(step_s=self.report_s, memory_s=self.expired_s, window=_LOADED_WINDOW)
        memory_s = _GOODPUT_MEMORIES * self.goodput_expired_s
        goodput = SeriesKind(step_s=self.round_s, memory_s=memory_s, window=16, log=True, usual_error=0.2)
        return {"rtt": rtt, "loaded": loaded, "goodput": goodput}


class LinkForecasts:
    """RTT and goodput forecasts of the pairs of `sites`; series src · sites + dst."""

    def __init__(self, sites: Sequence[str], pace: Pace) -> None:
        self._place(sites, pace)
        self._banks = {name: ForecastBank(len(sites) ** 2, kind) for name, kind in pace.kinds().items()}

    def apply_mesh(self, sites: Sequence[str], pace: Pace) -> None:
        """Adopt a changed mesh; pairs of sites that stay keep their rows."""
        known = self._position
        self._place(sites, pace)
        stay = [site for site in sites if site in known]
        before, after = (
            np.add.outer(len(position) * places, places).ravel()
            for position in (known, self._position)
            for places in [np.array([position[site] for site in stay], dtype=np.intp)]
        )
        count = len(sites) ** 2
        self._banks = {name: self._banks[name].moved(before, after, count, kind) for name, kind in pace.kinds().items()}

    @property
    def horizons_s(self) -> Mapping[str, float]:
        """For each kind of row, the age beyond which a row changes no forecast that has not expired."""
        return {"latency": self._banks["rtt"].horizon_s, "throughput": self._banks["goodput"].horizon_s}

    def series(self, src: str, dst: str) -> int:
        """The series of a pair of sites."""
        return self._position[src] * len(self._position) + self._position[dst]

    def observe(self, at: float, rows: Sequence[Row]) -> None:
        """Take in rows of links of the mesh; rows without a figure, such as failures, are skipped."""
        found: dict[str, list[tuple[int, float]]] = {}
        for row in rows:
            name, value = _figure(row)
            if value is not None:
                found.setdefault(name, []).append((self.series(row.src, row.dst), value))
        for name, figures in found.items():
            series, values = zip(*figures, strict=True)
            self._banks[name].observe(np.array(series, dtype=np.intp), at, values)

    def rtt(self, now: float) -> Forecast:
        """Every pair's RTT, from rows that our own tests did not load where there are recent ones."""
        idle, loaded = self._banks["rtt"].newest(), self._banks["loaded"].newest()
        use_loaded = loaded > idle + self._pace.stale_s
        return _either(use_loaded, self._banks["loaded"].forecast(now), self._banks["rtt"].forecast(now))

    def rtt_of(self, src: str, dst: str, now: float) -> Forecast:
        """One pair's RTT, as arrays of one element."""
        series = self.series(src, dst)
        idle, loaded = self._banks["rtt"].newest_of(series), self._banks["loaded"].newest_of(series)
        return self._banks["loaded" if loaded > idle + self._pace.stale_s else "rtt"].forecast_one(series, now)

    def rtt_expectations(self, places: Places, now: float) -> Expectations:
        """What the links at `places` are expected to show, as `rtt` ages it."""
        series = self._series(places)
        idle, loaded = (self._banks[name].expectations(series, now) for name in ("rtt", "loaded"))
        newest = [np.where(one.samples > 0, one.newest_at, -np.inf) for one in (idle, loaded)]
        return _either(newest[1] > newest[0] + self._pace.stale_s, loaded, idle)

    def goodput_expectations(self, places: Places, now: float) -> Expectations:
        """Likewise, as `goodput` ages it."""
        return self._banks["goodput"].expectations(self._series(places), now)

    def goodput(self, now: float) -> Forecast:
        """Every pair's goodput."""
        return self._banks["goodput"].forecast(now)

    def goodput_of(self, src: str, dst: str, now: float) -> Forecast:
        """One pair's goodput, as arrays of one element."""
        return self._banks["goodput"].forecast_one(self.series(src, dst), now)

    def _series(self, places: Places) -> npt.NDArray[np.intp]:
        return places[0] * len(self._position) + places[1]

    def _place(self, sites: Sequence[str], pace: Pace) -> None:
        self._position = {site: place for place, site in enumerate(sites)}
        self._pace = pace


def quantile_fields(
    metric: str, unit: str, forecast: Forecast, series: Sequence[int], expired_s: float
) -> Iterator[dict[str, Any]]:
    """The forecast fields of each series; no fields for one whose newest row has expired."""
    names = [f"{metric}_forecast_{name}_{unit}" for name in ("p10", "p50", "p90")]
    columns = (forecast.p10, forecast.p50, forecast.p90, forecast.samples, forecast.age_s)
    for *values, samples, age_s in zip(*(column[series].tolist() for column in columns), strict=True):
        if age_s <= expired_s:
            # A bank computes in single precision: more digits would be noise.
            rounded = {name: float(f"{value:.6g}") for name, value in zip(names, values, strict=True)}
            yield rounded | {f"{metric}_forecast_samples": samples}
        else:
            yield {}


def _figure(row: Row) -> tuple[str, float | None]:
    if isinstance(row, LatencyRow):
        return "loaded" if row.during_throughput else "rtt", row.rtt_p50_s
    return "goodput", row.goodput_bps if isinstance(row, ThroughputRow) and row.failure is None else None


def _either(first: np.ndarray, one: AnyColumns, other: AnyColumns) -> AnyColumns:
    if not first.any():
        return other
    names = [field.name for field in fields(one)]
    return type(one)(*(np.where(first, getattr(one, name), getattr(other, name)) for name in names))
