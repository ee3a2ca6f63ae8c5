"""What is expected of one path, from what is expected of its legs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from collector.linkstate.snapshot import Snapshot
from collector.routing.candidates import Floats
from collector.routing.costs import GoodputEstimate, Selection
from collector.routing.transfer_time import TransferLeg, completion
from linkweather.models.routes import LinkInput, PathExpectation

LegState = Literal["fresh", "stale", "unusable"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """What answers rest on: forecasts at one moment, egress prices by site, and what a relay adds to the RTT."""

    snapshot: Snapshot
    goodputs: GoodputEstimate
    prices_usd_per_gb: Mapping[str, float | None]
    forward_s: float

    def expectation(self, path: Sequence[int], size: float | None) -> PathExpectation:
        """The path over the sites at these positions, all of whose links can be used; `size` is in bytes."""
        legs = tuple(zip(*pairwise(path), strict=True))
        snapshot, goodputs = self.snapshot, self.goodputs
        rtt_s = float(snapshot.rtt_p50_s[legs].sum()) + self.forward_s * (len(path) - 2)
        # One leg's bad moment is not the other's: independent deviations add up by their squares.
        spread_s = math.sqrt(float(((snapshot.rtt_p90_s[legs] - snapshot.rtt_p50_s[legs]) ** 2).sum()))
        finished = self._completion(legs, size)
        return PathExpectation(
            sites=tuple(snapshot.sites[site] for site in path),
            rtt_p50_s=known(rtt_s),
            rtt_p90_s=known(rtt_s + spread_s),
            goodput_p50_bps=known(float(goodputs.expected_bps[legs].min())),
            goodput_p90_bps=known(float(goodputs.cautious_bps[legs].min())),
            completion_p50_s=finished[0],
            completion_p90_s=finished[1],
            loss_ratio=known(1.0 - float(np.prod(1.0 - snapshot.loss_ratio[legs]))),
            price_usd_per_gb=self.price(path),
        )

    def price(self, path: Sequence[int]) -> float | None:
        """The egress prices of all that send, summed; None where one is not known."""
        prices = [self.prices_usd_per_gb.get(self.snapshot.sites[site]) for site in path[:-1]]
        return None if None in prices else math.fsum(price for price in prices if price is not None)

    def input(self, src: int, dst: int) -> LinkInput:
        """What is known of one link."""
        snapshot, link = self.snapshot, (src, dst)
        return LinkInput(
            src=snapshot.sites[src],
            dst=snapshot.sites[dst],
            state=self.state(src, dst),
            rtt_p50_s=known(snapshot.rtt_p50_s[link]),
            rtt_age_s=known(snapshot.rtt_age_s[link]),
            rtt_samples=int(snapshot.rtt_samples[link]),
            goodput_p50_bps=known(snapshot.goodput_p50_bps[link]),
            goodput_age_s=known(snapshot.goodput_age_s[link]),
            goodput_samples=int(snapshot.goodput_samples[link]),
            loss_ratio=known(snapshot.loss_ratio[link]),
        )

    def state(self, src: int, dst: int) -> LegState:
        """How the contact is."""
        if not self.snapshot.usable[src, dst]:
            return "unusable"
        return "fresh" if self.snapshot.fresh[src, dst] else "stale"

    def leg(self, rows: npt.ArrayLike, columns: npt.ArrayLike) -> TransferLeg[Floats]:
        """Links as the arithmetic of completion takes them; NaN where one cannot be used."""
        chosen: Selection = (rows, columns)
        usable = self.snapshot.usable[chosen]
        expected = np.where(
            usable & (self.goodputs.expected_bps[chosen] > 0), self.goodputs.expected_bps[chosen], np.nan
        )
        cautious = np.minimum(self.goodputs.cautious_bps[chosen], expected)
        rtt_p50 = np.where(usable & (self.snapshot.rtt_p50_s[chosen] > 0), self.snapshot.rtt_p50_s[chosen], np.nan)
        return TransferLeg(
            rtt_p50_s=rtt_p50,
            rtt_p90_s=np.maximum(self.snapshot.rtt_p90_s[chosen], rtt_p50),
            goodput_p50_bps=expected,
            goodput_p10_bps=np.where(cautious > 0, cautious, np.nan),
        )

    def _completion(self, legs: tuple[tuple[int, ...], ...], size: float | None) -> tuple[float | None, float | None]:
        if size is None:
            return None, None
        estimate = completion([self.leg([src], [dst]) for src, dst in zip(*legs, strict=True)], size)
        return known(estimate.p50_s[0]), known(estimate.p90_s[0])


def known(value: float | np.floating) -> float | None:
    """The number, or None for what is no number."""
    return float(value) if np.isfinite(value) else None
