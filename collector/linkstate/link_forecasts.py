"""The RTT and goodput forecasts of a mesh's links: a bank each, with a series for every link. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from collector.linkstate.expectations import Expectations, Forecast, SeriesKind
from collector.linkstate.forecast_bank import ForecastBank
from collector.linkstate.link_rows import Columns, RowKind, present
from collector.linkstate.report_moments import Ages, Floats, Links

# While a link has only rows that our own tests loaded, the last few of them say more than old unloaded ones.
_LOADED_WINDOW = 4
# Goodput is measured rarely, on quiet links more rarely still: the memory, in multiples of the rounds that it lasts.
_GOODPUT_MEMORIES = 5

AnyColumns = TypeVar("AnyColumns", Forecast, Expectations)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often rows come, and when they expire, in seconds; `stale_s` of all links, or an array of each.

    A goodput lasts `goodput_rounds_s`, or `goodput_lasts_s` where budgets pay for fewer rounds.
    """

    report_s: float
    expired_s: float
    round_s: float
    goodput_rounds_s: float
    goodput_lasts_s: float
    stale_s: Ages

    def kinds(self) -> dict[str, SeriesKind]:
        """What each bank forecasts."""
        rtt = SeriesKind(step_s=self.report_s, memory_s=self.expired_s)
        loaded = SeriesKind(step_s=self.report_s, memory_s=self.expired_s, window=_LOADED_WINDOW)
        memory_s = max(_GOODPUT_MEMORIES * self.goodput_rounds_s, self.goodput_lasts_s)
        goodput = SeriesKind(step_s=self.round_s, memory_s=memory_s, window=16, log=True, usual_error=0.2)
        return {"rtt": rtt, "loaded": loaded, "goodput": goodput}


class LinkForecasts:
    """RTT and goodput forecasts of `count` links, by their numbers."""

    def __init__(self, count: int, pace: Pace) -> None:
        self._stale_s = np.broadcast_to(pace.stale_s if count else 0.0, count)
        self._banks = {name: ForecastBank(count, kind) for name, kind in pace.kinds().items()}

    def moved(self, before: Links, after: Links, count: int, pace: Pace) -> LinkForecasts:
        """The forecasts of `count` links, of which those at `after` keep the rows that those at `before` have here."""
        found = LinkForecasts(0, pace)
        found._stale_s = np.broadcast_to(pace.stale_s, count)
        kinds = pace.kinds()
        found._banks = {name: bank.moved(before, after, count, kinds[name]) for name, bank in self._banks.items()}
        return found

    def horizons_s(self, expired_s: Mapping[RowKind, float]) -> dict[RowKind, float]:
        """For each kind of row, the age beyond which a row changes no forecast that has not expired."""
        banks: dict[RowKind, str] = {"latency": "rtt", "throughput": "goodput"}
        return {kind: self._banks[name].horizon_s(expired_s[kind]) for kind, name in banks.items()}

    def observe(self, kind: RowKind, links: Links, at: Floats, columns: Columns) -> None:
        """Take in rows of one kind, measured `at`; rows without a figure, such as failures, are skipped."""
        if kind == "latency":
            loaded = columns["during_throughput"] > 0
            for name, places in (("rtt", ~loaded), ("loaded", loaded)):
                if places.any():
                    self._banks[name].observe(links[places], at[places], columns["rtt_p50_s"][places])
        elif kind == "throughput":
            good = ~present(columns["failure"])
            self._banks["goodput"].observe(links[good], at[good], columns["goodput_bps"][good])

    def refresh_some(self, now: float) -> bool:
        """Bring some of the forecasts up to date, for some milliseconds; whether there is more to do."""
        return any(bank.refresh_some(now) for bank in self._banks.values())

    def rtt(self, now: float, links: Links | slice = slice(None)) -> Forecast:
        """The RTT of every link, or of some, from rows that our own tests did not load where there are recent ones."""
        idle, loaded = self._banks["rtt"].newest(links), self._banks["loaded"].newest(links)
        use_loaded = loaded > idle + self._stale_s[links]
        found = self._banks["rtt"].forecast(now, links)
        return _either(use_loaded, self._banks["loaded"].forecast(now, links), found) if use_loaded.any() else found

    def rtt_expectations(self, links: Links, now: float) -> Expectations:
        """What these links are expected to show, as `rtt` ages it."""
        idle, loaded = (self._banks[name].expectations(links, now) for name in ("rtt", "loaded"))
        newest = [np.where(one.samples > 0, one.newest_at, -np.inf) for one in (idle, loaded)]
        return _either(newest[1] > newest[0] + self._stale_s[links], loaded, idle)

    def goodput_expectations(self, links: Links, now: float) -> Expectations:
        """Likewise, as `goodput` ages it."""
        return self._banks["goodput"].expectations(links, now)

    def goodput(self, now: float, links: Links | slice = slice(None)) -> Forecast:
        """The goodput of every link, or of some."""
        return self._banks["goodput"].forecast(now, links)


def _either(first: np.ndarray, one: AnyColumns, other: AnyColumns) -> AnyColumns:
    if not first.any():
        return other
    names = [field.name for field in fields(one)]
    return type(one)(*(np.where(first, getattr(one, name), getattr(other, name)) for name in names))
