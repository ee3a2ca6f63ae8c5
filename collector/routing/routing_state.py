"""What every answer rests on: the last decision's links, costs and active routes, and what a path is expected to do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from collector.linkstate.snapshot import Snapshot
from collector.routing.active_routes import Contact
from collector.routing.arrays import Bools, Floats, Selection
from collector.routing.costs import GoodputEstimate
from collector.routing.routing_table import RoutingTable
from collector.routing.transfer_time import RelayMode as Relaying
from collector.routing.transfer_time import TransferLeg, transfer_time
from collector.settings import RoutingSettings
from linkweather.models.routes import LinkContact, LinkInput, Objective, PathExpectation, RelayMode

# How a transfer goes through relays of each mode.
TRANSFERS: Mapping[RelayMode, Relaying] = {"split": "pipelined", "forward": "forwarded"}


@dataclass(frozen=True, eq=False, kw_only=True)
class RoutingState:
    """The router's state after a decision. A path is given by its sites' positions.

    `rtts_s` are the links' expected RTTs, `mirrored` the links for whose contact and RTT the other direction stands,
    `held` the links that are held down, `online` the sites that may relay; prices are each site's for egress.
    """

    settings: RoutingSettings
    snapshot: Snapshot
    rtts_s: Floats
    mirrored: Bools
    goodputs: GoodputEstimate
    prices_usd_per_gb: Mapping[str, float | None]
    tables: Mapping[Objective, RoutingTable]
    contact: Contact
    held: Bools
    online: Bools

    @cached_property
    def egress_usd_per_gb(self) -> Floats:
        """The sites' prices in order, NaN where unknown."""
        return np.array([self.prices_usd_per_gb.get(site) for site in self.snapshot.sites], dtype=float)

    @property
    def at(self) -> datetime:
        """The moment of the decision."""
        return datetime.fromtimestamp(self.snapshot.at, UTC)

    def name(self, *path: int) -> str:
        """A link or a path as people read it: `a → b`."""
        return " → ".join(self.snapshot.sites[site] for site in path)

    def expectation(
        self,
        path: Sequence[int],
        size_bytes: float | None = None,
        mode: RelayMode = "split",
        *,
        finished_s: tuple[float | None, float | None] | None = None,
    ) -> PathExpectation:
        """What a path is expected to do, over relays of this mode; all of its links can be used.

        `finished_s` are p50 and p90 of the transfer's time, where they are known already.
        """
        snapshot, legs = self.snapshot, list(pairwise(path))
        rtts_s, rtts_p90_s, means_s, losses = (
            [matrix.item(*leg) for leg in legs]
            for matrix in (snapshot.rtt_p50_s, snapshot.rtt_p90_s, self.rtts_s, snapshot.loss_ratio)
        )
        forward_s = self.settings.forward_s * (len(path) - 2)
        rtt_s = sum(rtts_s) + forward_s
        # One leg's bad moment is not the other's: independent deviations add up by their squares.
        spread_s = math.sqrt(sum((p90_s - p50_s) ** 2 for p50_s, p90_s in zip(rtts_s, rtts_p90_s, strict=True)))
        if finished_s is None:
            finished_s = (None, None) if size_bytes is None else self._transfer_s(legs, size_bytes, mode)
        shares = self.window_shares(legs, mode)
        return PathExpectation(
            sites=tuple(snapshot.sites[site] for site in path),
            rtt_p50_s=known(rtt_s),
            rtt_p90_s=known(rtt_s + spread_s),
            rtt_mean_s=known(sum(means_s) + forward_s),
            goodput_p50_bps=_least(shares * [self.goodputs.expected_bps[leg] for leg in legs]),
            goodput_p90_bps=_least(shares * [self.goodputs.p10_bps[leg] for leg in legs]),
            completion_p50_s=finished_s[0],
            completion_p90_s=finished_s[1],
            loss_ratio=known(1.0 - math.prod(1.0 - loss for loss in losses)),
            price_usd_per_gb=self.price(path),
        )

    def price(self, path: Sequence[int]) -> float | None:
        """The egress prices of all sites that send, summed; None where one is unknown."""
        prices = [self.prices_usd_per_gb.get(self.snapshot.sites[site]) for site in path[:-1]]
        return None if None in prices else math.fsum(price for price in prices if price is not None)

    def link_input(self, src: int, dst: int) -> LinkInput:
        """What is known of one link."""
        snapshot, link = self.snapshot, (src, dst)
        return LinkInput(
            src=snapshot.sites[src],
            dst=snapshot.sites[dst],
            state=self._contact(src, dst),
            rtt_p50_s=known(snapshot.rtt_p50_s.item(link)),
            rtt_age_s=known(snapshot.rtt_age_s.item(link)),
            rtt_samples=int(snapshot.rtt_samples.item(link)),
            rtt_of_reverse=bool(self.mirrored[link]),
            goodput_p50_bps=known(snapshot.goodput_p50_bps.item(link)),
            goodput_age_s=known(snapshot.goodput_age_s.item(link)),
            goodput_samples=int(snapshot.goodput_samples.item(link)),
            loss_ratio=known(snapshot.loss_ratio.item(link)),
        )

    def _contact(self, src: int, dst: int) -> LinkContact:
        if not self.snapshot.usable[src, dst]:
            return "unusable"
        return "fresh" if self.snapshot.fresh[src, dst] else "stale"

    def transfer_leg(self, rows: npt.ArrayLike, columns: npt.ArrayLike) -> TransferLeg[Floats]:
        """Links as the arithmetic of transfer times takes them; NaN where one cannot be used."""
        chosen: Selection = (rows, columns)
        snapshot, goodputs = self.snapshot, self.goodputs
        usable, rtt_p50, expected = snapshot.usable[chosen], snapshot.rtt_p50_s[chosen], goodputs.expected_bps[chosen]
        expected = np.where(usable & (expected > 0), expected, np.nan)
        low = np.minimum(goodputs.p10_bps[chosen], expected)
        rtt_p50 = np.where(usable & (rtt_p50 > 0), rtt_p50, np.nan)
        return TransferLeg(
            rtt_p50_s=rtt_p50,
            rtt_p90_s=np.maximum(snapshot.rtt_p90_s[chosen], rtt_p50),
            goodput_p50_bps=expected,
            goodput_p10_bps=np.where(low > 0, low, np.nan),
        )

    def window_shares(self, legs: Sequence[Selection], mode: RelayMode) -> Floats:
        """By how much each leg's goodput counts as part of the path: all of it, or [leg, …] as far as its window goes.

        One connection over all legs has the window of the worst, and the round trip of them all: see `transfer_time`.
        """
        if mode == "split" or len(legs) == 1:
            return np.ones(1)
        rtts = np.stack(np.broadcast_arrays(*[self.snapshot.rtt_p50_s[leg] for leg in legs]))
        shares: Floats = rtts / rtts.sum(axis=0)
        return shares

    def _transfer_s(
        self, legs: Iterable[tuple[int, int]], size_bytes: float, mode: RelayMode
    ) -> tuple[float | None, float | None]:
        figures = [self.transfer_leg([src], [dst]) for src, dst in legs]
        found = transfer_time(figures, size_bytes, relay=TRANSFERS[mode])
        return known(found.p50_s[0]), known(found.p90_s[0])


def known(value: float | np.floating) -> float | None:
    """The number, or None for what is no number."""
    return float(value) if math.isfinite(value) else None


def _least(values: Iterable[float]) -> float | None:
    """The smallest; None where one of them is unknown."""
    found = [known(value) for value in values]
    return None if None in found else min(value for value in found if value is not None)
