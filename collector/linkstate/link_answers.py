"""The answers about links, made from what is kept of them: a column per field of LinkAnswer. Pure.

Making the columns is arithmetic on copies, a few milliseconds for 40,000 links; their values as Python objects and as
JSON cost a hundred times that, and need the live state no more: another thread may do it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt

from collector.linkstate.expectations import Forecast
from collector.linkstate.link_memory import LinkMemory, share
from collector.linkstate.link_rows import GOODPUT_FIGURES, KINDS, RTT_FIGURES, RowKind, present
from collector.linkstate.report_moments import Ages, Bools, Floats, Links
from collector.linkstate.snapshot import LINK_STATES, AgeLimits
from linkweather.containment import note
from linkweather.models.state import GoodputCondition, LinkAnswer, LinkCondition

GOODPUT_STATES: Final[tuple[str, ...]] = get_args(GoodputCondition)
FIELDS: Final = tuple(LinkAnswer.model_fields)
COUNTS: Final = frozenset(("loss_probes", "rtt_forecast_samples", "goodput_forecast_samples", "path_mtu_bytes", "hops"))
_FORECASTS: Final = frozenset(name for name in FIELDS if "_forecast_p" in name)
TRUTHS: Final = frozenset({"during_throughput"})
SLICE_LINKS: Final = 250  # whose answers are made in one go: others have their turn in between
# A bank computes in single precision: more digits would be noise.
_DIGITS: Final = 6
_POWERS: Final = np.array([float(f"1e{power}") for power in range(40)])


NextTestOf = Callable[[str, str, float], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class LinkTable:
    """The answers about some links at `at`, as columns: numbers with NaN for null, or objects.

    `src` and `dst` are places in `sites`; a field that no link has may be missing.
    """

    at: float
    sites: tuple[str, ...]
    src: npt.NDArray[np.integer]
    dst: npt.NDArray[np.integer]
    columns: Mapping[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        return len(self.src)

    @classmethod
    def joined(cls, parts: Sequence[LinkTable]) -> LinkTable:
        """Tables of the same moment and fields as one; those of other sites than the last is of are left out."""
        parts = [one for one in parts if one.sites == parts[-1].sites]
        columns = {name: np.concatenate([one.columns[name] for one in parts]) for name in parts[0].columns}
        src, dst = (np.concatenate([getattr(one, end) for one in parts]) for end in ("src", "dst"))
        return replace(parts[0], src=src, dst=dst, columns=columns)

    def with_next_tests(self, next_test: NextTestOf, some: Bools | slice = slice(None)) -> LinkTable:
        """The same with when each link's throughput is tested next; of `some` links alone, where others say nothing."""
        found: dict[str, npt.NDArray[Any]] = {}
        for place in np.arange(len(self))[some].tolist():
            src, dst = self.sites[self.src[place]], self.sites[self.dst[place]]
            try:
                fields = next_test(src, dst, self.at)
            except Exception as error:  # noqa: BLE001 - one link costs itself
                note("link answer", error)
                continue
            for name, value in fields.items():
                found.setdefault(name, np.full(len(self), None, object))[place] = value
        return self.with_columns(found)

    def with_reasons(self, sites: Mapping[str, str], other: str | None) -> LinkTable:
        """The same with the reason of the source, if it has one, else of the destination, else the `other`."""
        if not sites and other is None:
            return self
        of_site = np.array([sites.get(site) for site in self.sites], object)
        src, dst = of_site[self.src], of_site[self.dst]
        found = np.where(present(src), src, np.where(present(dst), dst, other))
        own = self.columns.get("reason")
        return self.with_columns({"reason": found if own is None else np.where(present(found), found, own)})

    def with_columns(self, columns: Mapping[str, npt.NDArray[Any]]) -> LinkTable:
        """The same with these columns, in place of its own."""
        return replace(self, columns={**self.columns, **columns})

    def has(self, name: str, links: slice = slice(None)) -> bool:
        """Whether any of these links has a value of this field."""
        if name in {"src", "dst"}:
            return True
        if name not in self.columns:
            return False
        column = self.columns[name][links]
        return bool((present(column) if column.dtype == object else np.isfinite(column)).any())

    def column(self, name: str, links: Links | slice = slice(None)) -> npt.NDArray[Any]:
        """A field's column as its answers have it."""
        if name in {"src", "dst"}:
            ends = self.src if name == "src" else self.dst
            names: npt.NDArray[Any] = np.array(self.sites, object)[ends[links]]
            return names
        if name not in self.columns:
            return np.full(len(self.src[links]), None, object)
        column: npt.NDArray[Any] = self.columns[name][links]
        return _rounded(column) if name in _FORECASTS else column

    def values(self, name: str, links: Links | slice = slice(None)) -> list[Any]:
        """The same as Python objects, None for null."""
        return _values(name, self.column(name, links))

    def answers(self) -> Iterator[list[dict[str, Any]]]:
        """The answers, the fields of LinkAnswer in order, some links at a time."""
        for start in range(0, len(self), SLICE_LINKS):
            links = slice(start, start + SLICE_LINKS)
            rows = zip(*(self.values(name, links) for name in FIELDS), strict=True)
            yield [dict(zip(FIELDS, values, strict=True)) for values in rows]


def _values(name: str, column: npt.NDArray[Any]) -> list[Any]:
    found: list[Any]
    if column.dtype == object:
        found = column.tolist()
        return found
    known = np.isfinite(column)
    if name in COUNTS or name in TRUTHS:
        column = np.where(known, column, 0.0).astype(np.int64 if name in COUNTS else np.bool_)
    objects = column.astype(object)
    objects[~known] = None
    found = objects.tolist()
    return found


def link_columns(
    memory: LinkMemory, links: Links | slice, now: float, limits: AgeLimits, *, rtt: Forecast, goodput: Forecast
) -> dict[str, npt.NDArray[Any]]:
    """The columns of the answers about `links`; the forecasts are theirs."""
    return {
        **_contact(memory, links, now, limits),
        **_loss(memory, links, limits),
        **_goodput(memory, links, now, limits),
        **_path(memory, links, now),
        **_failure(memory, links, now),
        **forecast_columns("rtt", "s", rtt, limits.expired_s),
        **forecast_columns("goodput", "bps", goodput, limits.goodput_expired_s),
    }


def contact_states(memory: LinkMemory, links: Links | slice, now: float, limits: AgeLimits) -> npt.NDArray[np.intp]:
    """The place of each link's state in LINK_STATES."""
    age_s = _age(memory.latency.at[links], now)
    cases: list[tuple[LinkCondition, Bools]] = [
        ("unknown", np.isnan(age_s)),
        ("expired", age_s > limits.expired_s),
        ("down", ~memory.latency.up[links]),
        ("stale", age_s > limits.stale_s),
    ]
    codes = [LINK_STATES.index(name) for name, _ in cases]
    return np.select([one for _, one in cases], codes, LINK_STATES.index("fresh"))


def forecast_columns(metric: str, unit: str, forecast: Forecast, expired_s: Ages) -> dict[str, Floats]:
    """The forecast fields; none of a link whose newest row has expired."""
    known = forecast.age_s <= expired_s  # NaN is not
    quantiles = {"p10": forecast.p10, "p50": forecast.p50, "p90": forecast.p90}
    found = {f"{metric}_forecast_{name}_{unit}": np.where(known, values, np.nan) for name, values in quantiles.items()}
    return found | {f"{metric}_forecast_samples": np.where(known, forecast.samples, np.nan)}


def _contact(memory: LinkMemory, links: Links | slice, now: float, limits: AgeLimits) -> dict[str, npt.NDArray[Any]]:
    numbers = np.arange(len(memory.method))[links]
    loaded = memory.shows_loaded(limits.stale_s, links)
    shown_at = np.where(loaded, memory.loaded.at[links], memory.idle.at[links])
    has_rtt = np.isfinite(shown_at)
    method = np.where(has_rtt, memory.shown("method", loaded, links), memory.method[links])
    outage_at = memory.outage_at.of(numbers).astype(np.float64)  # None becomes NaN
    return {
        "state": np.array(LINK_STATES, object)[contact_states(memory, links, now, limits)],
        "age_s": _age(memory.latency.at[links], now),
        "method": method,
        "address": memory.address.of(numbers),
        "rtt_age_s": _age(shown_at, now),
        **{name: memory.shown(name, loaded, links) for name in RTT_FIGURES},
        "during_throughput": np.where(has_rtt, loaded, np.nan),
        "timestamp": memory.shown("timestamp", loaded, links),
        "figures": memory.figures.of(numbers),
        "outage_s": np.maximum(0.0, now - outage_at),
    }


def _loss(memory: LinkMemory, links: Links | slice, limits: AgeLimits) -> dict[str, npt.NDArray[Any]]:
    sent, received, directed, forward, back = memory.loss_sums(limits.stale_s, links)
    return {
        "loss_ratio": share(sent - received, sent),
        "loss_forward_ratio": share(forward, directed),
        "loss_back_ratio": share(back, directed - forward),
        "loss_probes": np.where(sent > 0, sent, np.nan),
    }


def _goodput(memory: LinkMemory, links: Links | slice, now: float, limits: AgeLimits) -> dict[str, npt.NDArray[Any]]:
    newest, at = memory.goodput, memory.goodput.at[links]
    age_s = _age(at, now)
    stale = (memory.rerouted.at[links] > at) | (age_s > limits.goodput_stale_s)
    codes = np.select(
        [np.isnan(age_s), age_s > limits.goodput_expired_s, stale],
        [GOODPUT_STATES.index(name) for name in ("unknown", "expired", "stale")],
        GOODPUT_STATES.index("fresh"),
    )
    return {
        "goodput_state": np.array(GOODPUT_STATES, object)[codes],
        "goodput_age_s": age_s,
        **{name: newest.columns[name][links].copy() for name in (*GOODPUT_FIGURES, "limited_by")},
    }


def _path(memory: LinkMemory, links: Links | slice, now: float) -> dict[str, npt.NDArray[Any]]:
    newest = memory.path
    fields = {"path_fingerprint": "fingerprint", "path_mtu_bytes": "path_mtu_bytes", "hops": "hops"}
    return {"path_age_s": _age(newest.at[links], now)} | {
        name: newest.columns[column][links].copy() for name, column in fields.items()
    }


def _failure(memory: LinkMemory, links: Links | slice, now: float) -> dict[str, npt.NDArray[Any]]:
    """The newest failure of any kind, and the throughput tests' own, as far as none of the kind succeeded since."""
    at = np.stack([_failed_at(memory, kind, links) for kind in KINDS])
    newest, newest_at = at.argmax(axis=0), at.max(axis=0)
    texts = {name: np.full(len(newest), None, object) for name in ("failure", "kind", "detail")}
    for place, kind in enumerate(KINDS):  # few links fail: of others there is nothing to copy
        known = np.flatnonzero(np.isfinite(newest_at) & (newest == place))
        if len(known):
            columns = memory.failures[kind].columns
            failure = columns["failure"][links][known]
            texts["failure"][known] = np.where(present(failure), failure, np.array("no_reply", object))
            texts["kind"][known], texts["detail"][known] = kind, columns["detail"][links][known]
    return {
        "failure": texts["failure"],
        "failure_kind": texts["kind"],
        "failure_detail": texts["detail"],
        "failure_age_s": _age(newest_at, now),
        **_goodput_failure(memory, links, now),
    }


def _failed_at(memory: LinkMemory, kind: RowKind, links: Links | slice) -> Floats:
    """When the newest row of a kind failed, in seconds since the epoch; -inf where one succeeded later."""
    failed = memory.failures[kind].moments.of(links)
    if not np.isfinite(failed.at).any():
        return failed.at
    lasts = [failed.follows(success.moments.of(links)) for success in memory.successes(kind)]
    return np.where(np.logical_and.reduce(lasts), failed.at, -np.inf)


def _goodput_failure(memory: LinkMemory, links: Links | slice, now: float) -> dict[str, npt.NDArray[Any]]:
    at, texts = _failed_at(memory, "throughput", links), memory.failures["throughput"].columns
    known = np.isfinite(at)
    return {
        "goodput_failure": _only(known, texts["failure"][links]),
        "goodput_failure_detail": _only(known, texts["detail"][links]),
        "goodput_failure_age_s": _age(at, now),
    }


def _only(known: Bools, texts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The texts that are known, None for the others."""
    found = texts.copy()
    found[~known] = None
    return found


def _age(at: Floats, now: float) -> Floats:
    """The age of what was at `at`, NaN for never; our clock may have been set back since."""
    return np.where(np.isfinite(at), np.maximum(0.0, now - at), np.nan)


def _rounded(values: npt.NDArray[np.floating]) -> Floats:
    found = np.asarray(values, np.float64)
    known = np.isfinite(found) & (found != 0)
    magnitude = np.floor(np.log10(np.abs(np.where(known, found, 1.0)))).astype(np.intp)
    power = np.clip(_DIGITS - 1 - magnitude, -39, 39)
    scale = _POWERS[np.abs(power)]
    # A quotient, or a product, of exact numbers is the double nearest to what its digits say.
    fraction = power >= 0
    digits = np.round(np.where(fraction, found * scale, found / scale))
    return np.where(known, np.where(fraction, digits / scale, digits * scale), found)


def whole_answers(table: LinkTable) -> Iterator[LinkAnswer]:
    """The answers as messages. The columns were validated on arrival, or made here: they are not checked again."""
    for some in table.answers():
        yield from (LinkAnswer.model_construct(**answer) for answer in some)
