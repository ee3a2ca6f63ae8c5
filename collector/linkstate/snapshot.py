"""The snapshot: what is known of all links of a mesh at one moment, as matrices [src, dst] over its sites. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final, Self, get_args

import numpy as np
import numpy.typing as npt

from collector.linkstate.expectations import Forecast
from collector.linkstate.link_columns import Places
from collector.linkstate.report_moments import Ages
from linkweather.models.state import LinkCondition

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.integer]
Selection = Any  # whatever indexes an array

LINK_STATES: Final[tuple[LinkCondition, ...]] = get_args(LinkCondition)
_FRESH, _STALE, _EXPIRED, _DOWN, _UNKNOWN = (
    LINK_STATES.index(name) for name in ("fresh", "stale", "expired", "down", "unknown")
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Snapshot:
    """Forecasts and conditions of all links at `at`, in seconds since the epoch; shape [sites, sites], [src, dst].

    `usable` is being in contact: neither unknown, nor down, nor expired; `goodput_usable` is having a
    goodput that is neither unknown nor expired, whether or not there is contact. `fresh` and `goodput_fresh`
    are usable and not stale. RTT, jitter, one-way delay and loss are NaN where a link is not usable, goodput
    where it is not goodput_usable, and each also where it was never measured; so is the diagonal. p10 to p90
    is where the next measurement is expected in four cases of five; a forecast widens with its age. Samples
    are the measurements behind the forecast, 0 where there is none. The means are smoothed over some twelve of them;
    `rtt_reverts` is the share of RTTs that return to it, NaN before the third. `contact` is the place of
    each link's state in LINK_STATES. The matrices are read only.
    """

    sites: tuple[str, ...]
    at: float
    contact: Counts
    usable: Bools
    fresh: Bools
    rtt_p10_s: Floats
    rtt_p50_s: Floats
    rtt_p90_s: Floats
    rtt_mean_s: Floats
    rtt_age_s: Floats
    rtt_samples: Counts
    rtt_reverts: Floats
    jitter_s: Floats
    owd_p50_s: Floats
    loss_ratio: Floats
    goodput_usable: Bools
    goodput_fresh: Bools
    goodput_p10_bps: Floats
    goodput_p50_bps: Floats
    goodput_p90_bps: Floats
    goodput_mean_bps: Floats
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
        """A snapshot of these figures alone: usable and fresh where finite, exact, just measured, of one sample.

        `others` are any further fields; figures not given are NaN. Without an RTT, a link is usable where its goodput
        is.
        """
        shape = (len(sites), len(sites))
        goodput = _matrix(goodput_p50_bps, shape)
        rtt = _matrix(rtt_p50_s, shape)
        goodput_known = np.isfinite(goodput)
        fields = {
            "usable": goodput_known if rtt_p50_s is None else np.isfinite(rtt),
            **_exact("rtt", "s", rtt),
            "rtt_reverts": _matrix(None, shape),
            **_exact("goodput", "bps", goodput),
            "goodput_usable": goodput_known,
            **{name: _matrix(None, shape) for name in ("jitter_s", "owd_p50_s", "loss_ratio")},
            **{name: np.asarray(value) for name, value in others.items()},
        }
        fields.setdefault("fresh", fields["usable"])
        fields.setdefault("goodput_fresh", fields["goodput_usable"])
        fields.setdefault("contact", _contact(~fields["usable"], fields["fresh"]))
        return cls(sites=tuple(sites), at=at, **fields)

    @cached_property
    def position(self) -> dict[str, int]:
        """Site → its row and column."""
        return {site: index for index, site in enumerate(self.sites)}


def _matrix(values: npt.ArrayLike | None, shape: tuple[int, int]) -> Floats:
    matrix = np.full(shape, np.nan) if values is None else np.array(values, dtype=float).reshape(shape)
    np.fill_diagonal(matrix, np.nan)
    return matrix


def _contact(unknown: Bools, fresh: Bools) -> Counts:
    return np.where(unknown, _UNKNOWN, np.where(fresh, _FRESH, _STALE)).astype(np.uint8)


def _exact(metric: str, unit: str, values: Floats) -> dict[str, npt.NDArray[np.generic]]:
    known = np.isfinite(values)
    return {f"{metric}_{quantile}_{unit}": values for quantile in ("p10", "p50", "p90", "mean")} | {
        f"{metric}_age_s": np.where(known, 0.0, np.nan),
        f"{metric}_samples": known.astype(np.int64),
    }


Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AgeLimits:
    """The ages in seconds from which contact and goodput are stale, and expired: of all links, or an array of each."""

    stale_s: Ages
    expired_s: Ages
    goodput_stale_s: Ages
    goodput_expired_s: Ages

    def of(self, links: Selection) -> AgeLimits:
        """Those of some links."""
        return AgeLimits(*(value if isinstance(value, float) else value[links] for value in self._each()))

    def in_matrix(self, cells: npt.NDArray[np.integer], shape: tuple[int, int]) -> AgeLimits:
        """The same as matrices; `cells` are the links' places in one, row by row."""
        return AgeLimits(*(_placed(value, cells, shape) for value in self._each()))

    def _each(self) -> tuple[Ages, Ages, Ages, Ages]:
        return self.stale_s, self.expired_s, self.goodput_stale_s, self.goodput_expired_s


def _placed(value: Ages, cells: npt.NDArray[np.integer], shape: tuple[int, int]) -> Ages:
    if isinstance(value, float):
        return value
    matrix = np.zeros(shape)
    matrix.ravel()[cells] = value
    return matrix


class LinkMatrices:
    """The facts of all links between `sites`, as matrices; `snapshot` combines them with the forecasts."""

    def __init__(self, sites: Sequence[str]) -> None:
        self._sites = tuple(sites)
        self._position = {site: place for place, site in enumerate(sites)}
        shape = (len(sites), len(sites))
        self._contact_at, self._goodput_at, self._rerouted_at = (np.full(shape, -np.inf) for _ in range(3))
        self._loss_ratio, self._jitter_s, self._owd_p50_s = (np.full(shape, np.nan) for _ in range(3))
        self._up = np.zeros(shape, bool)

    def facts(self, names: Iterable[str], places: Places) -> dict[str, Any]:
        """Some of the facts of the links at `places`, a column each."""
        return {name: getattr(self, f"_{name}")[places] for name in names}

    def put_facts(self, facts: Mapping[str, Any], places: Places) -> None:
        """Replace some of the facts of the links at `places`."""
        for name, column in facts.items():
            getattr(self, f"_{name}")[places] = column

    def snapshot(self, now: float, limits: AgeLimits, rtt: Forecast, goodput: Forecast) -> Snapshot:
        """All links at `now`; the forecasts are of the pairs of sites, row by row."""
        age_s, goodput_age_s = now - self._contact_at, now - self._goodput_at
        usable = self._up & (age_s <= limits.expired_s)
        goodput_usable = goodput_age_s <= limits.goodput_expired_s
        rerouted = self._rerouted_at > self._goodput_at
        fresh = usable & (age_s <= limits.stale_s)
        lost = [np.isinf(age_s), age_s > limits.expired_s, ~self._up, ~fresh]
        contact = np.select(lost, [_UNKNOWN, _EXPIRED, _DOWN, _STALE], _FRESH).astype(np.uint8)
        return Snapshot(
            sites=self._sites,
            at=now,
            contact=contact,
            usable=usable,
            fresh=fresh,
            rtt_p10_s=_where(usable, rtt.p10),
            rtt_p50_s=_where(usable, rtt.p50),
            rtt_p90_s=_where(usable, rtt.p90),
            rtt_mean_s=_where(usable, rtt.mean),
            rtt_age_s=_where(usable, rtt.age_s),
            rtt_samples=np.where(usable, rtt.samples.reshape(usable.shape), 0),
            rtt_reverts=_where(usable, rtt.reverts),
            jitter_s=_where(usable, self._jitter_s),
            owd_p50_s=_where(usable, self._owd_p50_s),
            loss_ratio=_where(usable, self._loss_ratio),
            goodput_usable=goodput_usable,
            goodput_fresh=goodput_usable & (goodput_age_s <= limits.goodput_stale_s) & ~rerouted,
            goodput_p10_bps=_where(goodput_usable, goodput.p10),
            goodput_p50_bps=_where(goodput_usable, goodput.p50),
            goodput_p90_bps=_where(goodput_usable, goodput.p90),
            goodput_mean_bps=_where(goodput_usable, goodput.mean),
            goodput_age_s=_where(goodput_usable, goodput.age_s),
            goodput_samples=np.where(goodput_usable, goodput.samples.reshape(usable.shape), 0),
        )


def _where(usable: npt.NDArray[np.bool_], values: npt.NDArray[np.floating]) -> Matrix:
    return np.where(usable, values.reshape(usable.shape), np.nan)


Pair = tuple[str, str]


def in_cells(forecast: Forecast, cells: npt.NDArray[np.integer], count: int) -> Forecast:
    """The forecasts of links as those of `count` pairs of sites, row by row; `cells` are the links' places there."""

    def placed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        found = np.full(count, np.nan if values.dtype.kind == "f" else 0, values.dtype)
        found[cells] = values
        return found

    return Forecast(*(placed(getattr(forecast, field.name)) for field in fields(Forecast)))


@dataclass(frozen=True, eq=False, slots=True)
class ChangedLinks:
    """Links as (src, dst), made one by one as they are read; `places` are positions in `sites`, [link, 2]."""

    sites: tuple[str, ...]
    places: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Pair]:
        return ((self.sites[src], self.sites[dst]) for src, dst in self.places)


class ConditionChanges:
    """Finds the links whose condition changed from one snapshot to the next."""

    def __init__(self) -> None:
        self._sites: tuple[str, ...] = ()
        self._codes: npt.NDArray[np.uint8] = np.zeros((0, 0), np.uint8)

    def changed(self, snapshot: Snapshot) -> ChangedLinks:
        """The links whose contact or goodput became fresh, stale or unusable since the last call.

        The first call and a call with other sites than the last return none: there is nothing to compare with.
        """
        codes = _codes(snapshot)
        before, sites = self._codes, self._sites
        self._codes, self._sites = codes, snapshot.sites
        same = sites == snapshot.sites
        return ChangedLinks(sites, np.argwhere(codes != before) if same else np.zeros((0, 2), np.intp))


def _codes(snapshot: Snapshot) -> npt.NDArray[np.uint8]:
    """The four conditions of each link as the bits of one number."""
    parts = (snapshot.usable, snapshot.fresh, snapshot.goodput_usable, snapshot.goodput_fresh)
    codes: npt.NDArray[np.uint8] = np.packbits(np.stack(parts), axis=0)[0]
    return codes
