"""Rebuilds the states of links and sites from the journal at a start: as if its rows had just arrived."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import numpy as np

from collector.linkstate.link_rows import KINDS, Columns, RowKind
from collector.linkstate.link_states import LinkStates
from collector.linkstate.report_moments import Moments, ReportMoment, boot_number
from collector.linkstate.site_devices import Capacities
from collector.linkstate.site_states import SiteStates
from collector.store.columns import LINK_TABLES, Recorded
from collector.store.database import Database
from collector.store.recorded_columns import RecordedColumns
from collector.store.recorded_rows import RecordedRows
from linkweather.containment import contained

# What forecasts are made of.
_FIGURES: Final[Mapping[RowKind, tuple[str, ...]]] = {
    "latency": ("rtt_p50_s", "during_throughput"),
    "throughput": ("goodput_bps", "failure"),
}


def rebuild(database: Database, links: LinkStates, sites: SiteStates, capacities: Capacities, now: datetime) -> None:
    """Observe what the journal has. Blocks; a kind of rows that cannot be read costs itself."""
    with RecordedColumns(database, links.index.pairs) as recorded:
        for kind, age_s in links.horizons_s.items():
            with contained("rebuild"):
                _rebuild_links(recorded, kind, now, age_s, links)
            with contained("rebuild"):
                for site, at in recorded.reported(kind, now - timedelta(seconds=age_s)):
                    sites.reported(site, at)
    for devices in RecordedRows(database).capacities():
        with contained("rebuild"):
            moment = _moment(devices)
            capacities.observe(devices.site, moment, [devices.row])
            sites.reported(devices.site, moment.at)


def _rebuild_links(recorded: RecordedColumns, kind: RowKind, now: datetime, age_s: float, links: LinkStates) -> None:
    since = now - timedelta(seconds=age_s)
    changed_since = now - timedelta(seconds=links.goodput_lasts_s) if kind == "path" else None
    if kind in _FIGURES:
        for piece in recorded.figures(kind, _FIGURES[kind], since):
            links.observe_figures(kind, piece["link"], piece["at"], _with_defaults(kind, piece))
    for piece in recorded.newest(
        kind, KINDS[kind].names, since, changed_since=changed_since, **links.window_rows(kind)
    ):
        boots = np.fromiter(map(_boot_number, piece["boot"]), np.float64, len(piece["boot"]))
        moments = Moments(piece["at"], boots, piece["seq"])
        links.observe_states(kind, piece["link"], moments, _nested_read(kind, _with_defaults(kind, piece)))


def _with_defaults(kind: RowKind, piece: Columns) -> Columns:
    """What a row did not set is as its message has it."""
    fields = KINDS[kind].message.model_fields
    found = dict(piece)
    for name in piece.keys() & KINDS[kind].numbers:
        default = fields[name].default
        if default is not None:
            found[name] = np.nan_to_num(piece[name], nan=float(default))
    return found


def _nested_read(kind: RowKind, piece: Columns) -> Columns:
    """Nested fields are JSON in the journal; one that cannot be read costs itself."""
    nested = LINK_TABLES[kind].nested
    found = dict(piece)
    for name in (nested.keys() & KINDS[kind].objects & piece.keys()) - {"hops"}:
        values: list[Any] = [None] * len(piece[name])
        for place in np.flatnonzero(piece[name] != np.array(None)).tolist():
            with contained("journal row"):
                values[place] = nested[name](piece[name][place])
        found[name] = np.fromiter(values, dtype=object)
    return found


@lru_cache(maxsize=10_000)
def _boot_number(boot: str) -> int:
    return boot_number(boot)


def _moment(one: Recorded[Any]) -> ReportMoment:
    return ReportMoment.of(one.at, one.received_at, one.boot, one.seq)
