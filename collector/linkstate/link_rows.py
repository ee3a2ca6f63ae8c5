"""The rows of reports as columns, of what the link states keep of them. Pure.

Numbers are doubles, NaN where a row has none; texts are strings, or None. The journal's own columns have the same form,
so that a start observes them without making messages of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from collector.linkstate.report_moments import Bools
from linkweather.wire import LatencyRow, PathRow, Row, ThroughputRow
from linkweather.wire.latency import NOT_PROBED, Outage

RowKind = Literal["latency", "throughput", "path"]
Columns = dict[str, npt.NDArray[Any]]

_COUNTS: Final = ("sent", "received", "lost_forward", "lost_back")
_RTTS: Final = ("rtt_min_s", "rtt_mean_s", "rtt_p50_s", "rtt_p95_s", "rtt_p99_s", "rtt_max_s", "jitter_rfc3550_s")
RTT_FIGURES: Final = (*_RTTS, "jitter_s", "owd_p50_s", "owd_error_s")
RTT_TEXTS: Final = ("method", "timestamp")
GOODPUT_FIGURES: Final = ("goodput_bps", "goodput_low_bps", "goodput_high_bps", "rtt_loaded_s")
PATH_FIGURES: Final = ("path_mtu_bytes", "hops")


@dataclass(frozen=True)
class KindColumns:
    """The fields of one kind of row that are read: numbers, texts, and objects of which most rows have none."""

    message: type[Row]
    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    objects: tuple[str, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return self.numbers + self.texts + self.objects

    @cached_property
    def read(self) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
        """The values of all of them, of a message's dictionary."""
        return itemgetter(*self.names)


KINDS: Mapping[RowKind, KindColumns] = {
    "latency": KindColumns(
        LatencyRow,
        (*_COUNTS, "during_throughput", *_RTTS, "jitter_p95_p50_s", "owd_forward_p50_s", "owd_error_s"),
        ("method", "timestamp", "failure"),
        ("detail", "address", "figures", "outages"),
    ),
    "throughput": KindColumns(ThroughputRow, GOODPUT_FIGURES, ("limited_by", "failure"), ("detail",)),
    "path": KindColumns(
        PathRow, ("path_mtu_bytes", "changed"), ("fingerprint", "failure"), ("detail", "hops", "reached")
    ),
}


KIND_OF: Final[Mapping[type[Row], RowKind]] = {columns.message: kind for kind, columns in KINDS.items()}


def columns_of(kind: RowKind, rows: Sequence[Row]) -> Columns:
    """The columns of rows of one kind. Raises TypeError or ValueError for a value of another type than its field's."""
    fields = KINDS[kind]
    # A model's own dictionary is read in half the time that attributes take.
    values = dict(zip(fields.names, zip(*map(fields.read, map(vars, rows)), strict=True), strict=True))
    found = {name: _numbers(values[name]) for name in fields.numbers}
    found |= {name: _objects(values[name], shared=True) for name in fields.texts}
    found |= {name: _objects(values[name]) for name in fields.objects}
    if kind == "path":
        found["hops"] = _numbers(tuple(map(_last_ttl, values["hops"], values["reached"])))
    return found


def derived(kind: RowKind, columns: Columns) -> Columns:
    """The columns, and those that follow from them: `good` rows are results and not failed measurements."""
    failed = present(columns["failure"])
    found = columns | {"good": ~failed}
    if kind == "latency":
        # A latency row that counts no probe and has no failure has an RTT: admission refuses others.
        found["good"] = ~failed & ((columns["received"] > 0) | (columns["sent"] == 0))
        found["probed"] = ~np.isin(columns["failure"], list(NOT_PROBED)) if failed.any() else ~failed
        spread = np.maximum(0.0, columns["rtt_p95_s"] - columns["rtt_p50_s"])
        found["jitter_s"] = np.where(np.isnan(columns["jitter_p95_p50_s"]), spread, columns["jitter_p95_p50_s"])
        found["owd_p50_s"] = columns["owd_forward_p50_s"]
        for name in ("lost_forward", "lost_back"):
            found[name] = np.where(np.isnan(columns[name]), -1.0, columns[name])
    return found


def present(values: npt.NDArray[Any]) -> Bools:
    """Which of some objects are not None."""
    found: Bools = np.not_equal(values, np.array(None))
    return found


def lasting_outage(outages: Sequence[Outage] | None) -> float | None:
    """When the outage began that has not ended, in seconds since the epoch."""
    return outages[-1].start.timestamp() if outages and outages[-1].end is None else None


@lru_cache(maxsize=1000)
def _shared(text: str | None) -> str | None:
    """The one object of all equal texts: a method of a quarter of a million links is kept once."""
    return text


def _last_ttl(hops: Sequence[Any], reached: object) -> float | None:
    return hops[-1].ttl if reached and hops else None


def _numbers(values: Sequence[Any]) -> npt.NDArray[Any]:
    # Nearly always all rows of a report have the same in most fields, or nothing.
    if values.count(values[0]) == len(values):
        return np.full(len(values), np.nan if values[0] is None else values[0], np.float64)
    return np.array(values, np.float64)


def _objects(values: Sequence[Any], *, shared: bool = False) -> npt.NDArray[Any]:
    if values.count(values[0]) == len(values):
        found = np.empty(len(values), object)
        found.fill(_shared(values[0]) if shared else values[0])
        return found
    return np.fromiter(map(_shared, values) if shared else values, dtype=object)
