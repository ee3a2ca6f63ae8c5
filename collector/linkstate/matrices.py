"""What the records of the links say, as matrices [src, dst], and the snapshot that these and the forecasts make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from collector.linkstate.forecast_bank import Forecast
from collector.linkstate.snapshot import Snapshot

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AgeLimits:
    """When contact and goodput are stale, and when expired, by age."""

    stale_s: float
    expired_s: float
    goodput_stale_s: float
    goodput_expired_s: float


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """What the record of one link says. Times are seconds since the epoch, -inf for never; NaN is not known."""

    contact_at: float = -np.inf
    up: bool = False
    loss_ratio: float = np.nan
    jitter_s: float = np.nan
    owd_p50_s: float = np.nan
    goodput_at: float = -np.inf
    rerouted_at: float = -np.inf


class LinkMatrices:
    """The facts of all links between `sites`."""

    def __init__(self, sites: Sequence[str]) -> None:
        self._sites = tuple(sites)
        self._position = {site: place for place, site in enumerate(sites)}
        shape = (len(sites), len(sites))
        self._contact_at, self._goodput_at, self._rerouted_at = (np.full(shape, -np.inf) for _ in range(3))
        self._loss_ratio, self._jitter_s, self._owd_p50_s = (np.full(shape, np.nan) for _ in range(3))
        self._up = np.zeros(shape, bool)

    def put(self, src: str, dst: str, facts: LinkFacts) -> None:
        """Replace what is known of a link."""
        place = self._position[src], self._position[dst]
        self._contact_at[place], self._up[place] = facts.contact_at, facts.up
        self._loss_ratio[place], self._jitter_s[place] = facts.loss_ratio, facts.jitter_s
        self._owd_p50_s[place] = facts.owd_p50_s
        self._goodput_at[place], self._rerouted_at[place] = facts.goodput_at, facts.rerouted_at

    def snapshot(self, now: float, limits: AgeLimits, rtt: Forecast, goodput: Forecast) -> Snapshot:
        """All links at `now`; the forecasts are of the pairs of sites, row by row."""
        age_s, goodput_age_s = now - self._contact_at, now - self._goodput_at
        usable = self._up & (age_s <= limits.expired_s)
        goodput_usable = goodput_age_s <= limits.goodput_expired_s
        rerouted = self._rerouted_at > self._goodput_at
        return Snapshot(
            sites=self._sites,
            at=now,
            usable=usable,
            fresh=usable & (age_s <= limits.stale_s),
            rtt_p10_s=_where(usable, rtt.p10),
            rtt_p50_s=_where(usable, rtt.p50),
            rtt_p90_s=_where(usable, rtt.p90),
            rtt_age_s=_where(usable, rtt.age_s),
            rtt_samples=np.where(usable, rtt.samples.reshape(usable.shape), 0),
            rtt_follows=usable & rtt.follows.reshape(usable.shape),
            jitter_s=_where(usable, self._jitter_s),
            owd_p50_s=_where(usable, self._owd_p50_s),
            loss_ratio=_where(usable, self._loss_ratio),
            goodput_usable=goodput_usable,
            goodput_fresh=goodput_usable & (goodput_age_s <= limits.goodput_stale_s) & ~rerouted,
            goodput_p10_bps=_where(goodput_usable, goodput.p10),
            goodput_p50_bps=_where(goodput_usable, goodput.p50),
            goodput_p90_bps=_where(goodput_usable, goodput.p90),
            goodput_age_s=_where(goodput_usable, goodput.age_s),
            goodput_samples=np.where(goodput_usable, goodput.samples.reshape(usable.shape), 0),
        )


def _where(usable: npt.NDArray[np.bool_], values: npt.NDArray[np.floating]) -> Matrix:
    return np.where(usable, values.reshape(usable.shape), np.nan)
