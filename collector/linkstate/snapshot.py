"""What the decisions stand on: every link of a mesh at one moment, as matrices [src, dst] over its sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False, kw_only=True)
class Snapshot:
    """Forecasts and conditions of all links at `at`, in seconds since the epoch; shape [sites, sites], [src, dst].

    `usable` is being in contact: neither unknown, nor down, nor expired; `goodput_usable` is having a
    goodput that is neither unknown nor expired, whether or not there is contact. `fresh` and `goodput_fresh`
    are usable and not stale. RTT, jitter, one-way delay and loss are NaN where a link is not usable, goodput
    where it is not goodput_usable, and each also where it was never measured; so is the diagonal. p10 to p90
    is where the next measurement is expected in four cases of five; a forecast widens with its age. Samples
    are the measurements behind the forecast, 0 where there is none. `rtt_follows` is where the forecast is the
    newest measurement itself. Nobody writes into the matrices.
    """

    sites: tuple[str, ...]
    at: float
    usable: Bools
    fresh: Bools
    rtt_p10_s: Floats
    rtt_p50_s: Floats
    rtt_p90_s: Floats
    rtt_age_s: Floats
    rtt_samples: Counts
    rtt_follows: Bools
    jitter_s: Floats
    owd_p50_s: Floats
    loss_ratio: Floats
    goodput_usable: Bools
    goodput_fresh: Bools
    goodput_p10_bps: Floats
    goodput_p50_bps: Floats
    goodput_p90_bps: Floats
    goodput_age_s: Floats
    goodput_samples: Counts

    @classmethod
    def of(
        cls,
        sites: Sequence[str],
        *,
        at: float = 0.0,
        rtt_p50_s: npt.ArrayLike | None = None,
        goodput_p50_bps: npt.ArrayLike | None = None,
        **others: npt.ArrayLike,
    ) -> Self:
        """What these figures alone say: usable and fresh where a figure is finite, exact, just measured, of one sample.

        `others` are any further fields; what is in none of them is NaN. Without an RTT, a link is usable where its
        goodput is.
        """
        shape = (len(sites), len(sites))
        goodput = _matrix(goodput_p50_bps, shape)
        rtt = _matrix(rtt_p50_s, shape)
        goodput_known = np.isfinite(goodput)
        fields = {
            "usable": goodput_known if rtt_p50_s is None else np.isfinite(rtt),
            **_exact("rtt", "s", rtt),
            "rtt_follows": np.zeros(shape, bool),
            **_exact("goodput", "bps", goodput),
            "goodput_usable": goodput_known,
            **{name: _matrix(None, shape) for name in ("jitter_s", "owd_p50_s", "loss_ratio")},
            **{name: np.asarray(value) for name, value in others.items()},
        }
        fields.setdefault("fresh", fields["usable"])
        fields.setdefault("goodput_fresh", fields["goodput_usable"])
        return cls(sites=tuple(sites), at=at, **fields)

    @cached_property
    def position(self) -> dict[str, int]:
        """Site → its row and column."""
        return {site: index for index, site in enumerate(self.sites)}


def _matrix(values: npt.ArrayLike | None, shape: tuple[int, int]) -> Floats:
    matrix = np.full(shape, np.nan) if values is None else np.array(values, dtype=float).reshape(shape)
    np.fill_diagonal(matrix, np.nan)
    return matrix


def _exact(metric: str, unit: str, values: Floats) -> dict[str, npt.NDArray[np.generic]]:
    known = np.isfinite(values)
    return {f"{metric}_{quantile}_{unit}": values for quantile in ("p10", "p50", "p90")} | {
        f"{metric}_age_s": np.where(known, 0.0, np.nan),
        f"{metric}_samples": known.astype(np.int64),
    }
