"""All that is kept of the rows of all links: what their states, snapshots and answers are made from. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from collector.linkstate.kept_rows import NewestRows, RecentRows
from collector.linkstate.link_rows import (
    GOODPUT_FIGURES,
    KINDS,
    PATH_FIGURES,
    RTT_FIGURES,
    RTT_TEXTS,
    Columns,
    RowKind,
    derived,
    lasting_outage,
    present,
)
from collector.linkstate.report_moments import Ages, Bools, Floats, Links, Moments, in_turn, span
from collector.settings import StateSettings


class Seldom:
    """Values that few links have."""

    def __init__(self) -> None:
        self.values: dict[int, Any] = {}

    def put(self, links: Links, values: npt.NDArray[Any]) -> None:
        """Replace the links' values; None is none."""
        if self.values or present(values).any():
            for link, value in zip(links.tolist(), values.tolist(), strict=True):
                self.values.pop(link, None)
                if value is not None:
                    self.values[link] = value

    def of(self, links: Links) -> npt.NDArray[Any]:
        """The links' values, None where they have none."""
        if not self.values:
            return np.full(len(links), None, object)
        return np.fromiter(map(self.values.get, links.tolist()), dtype=object)

    def adopt(self, other: Seldom, before: Links, after: Links) -> None:
        """Take over the values that another has at `before`, for the links at `after`."""
        self.put(after, other.of(before))


class LinkMemory:
    """The rows kept of `count` links.

    `latency` are the recent latency rows, `unloaded` those of them that no throughput test of ours loaded; `idle` and
    `loaded` the newest good row without and with such a load; `rerouted` the newest path row that shows a changed path.
    """

    def __init__(self, count: int, settings: StateSettings) -> None:
        self.latency, self.unloaded = RecentRows(count, settings), RecentRows(count, settings)
        self.method = np.full(count, None, object)  # of the newest latency row, as the next three
        self.address, self.figures, self.outage_at = Seldom(), Seldom(), Seldom()
        self.idle, self.loaded = (NewestRows(count, RTT_FIGURES, RTT_TEXTS) for _ in range(2))
        self.goodput = NewestRows(count, GOODPUT_FIGURES, ["limited_by"])
        self.path, self.rerouted = NewestRows(count, PATH_FIGURES, ["fingerprint"]), NewestRows(count)
        self.failures = {kind: NewestRows(count, texts=["failure", "detail"]) for kind in KINDS}

    def observe(self, kind: RowKind, links: Links, moments: Moments, columns: Columns) -> None:
        """Take in rows of one kind, in any order: `columns` as `columns_of` gives them."""
        rows = derived(kind, columns)
        for places in in_turn(links):
            turn = rows if isinstance(places, slice) else {name: column[places] for name, column in rows.items()}
            self._observe(kind, links[places], moments.of(places), turn)

    def adopt(self, other: LinkMemory, before: Links, after: Links) -> None:
        """Take over what another keeps of the links at `before`, for those at `after`."""
        self.method[after] = other.method[before]
        for name, part in vars(self).items():
            if isinstance(part, NewestRows | RecentRows | Seldom):
                part.adopt(getattr(other, name), before, after)
        for kind, newest in self.failures.items():
            newest.adopt(other.failures[kind], before, after)

    def successes(self, kind: RowKind) -> Sequence[NewestRows]:
        """The newest rows of a kind that did not fail; the newest of them all is the newest one."""
        by_kind: Mapping[RowKind, Sequence[NewestRows]] = {
            "latency": (self.idle, self.loaded),
            "throughput": (self.goodput,),
            "path": (self.path,),
        }
        return by_kind[kind]

    def facts(self, links: Links | slice, stale_s: Ages) -> dict[str, npt.NDArray[Any]]:
        """What the rows of these links show; an unloaded row counts for `stale_s` longer than a loaded one.

        Times are seconds since the epoch, -inf for never; NaN is unknown.
        """
        loaded = self.shows_loaded(stale_s, links)
        sent, received = self.loss_sums(stale_s, links)[:2]
        return {
            "contact_at": self.latency.at[links],
            "up": self.latency.up[links] & (self.latency.sizes[links] > 0),
            "loss_ratio": share(sent - received, sent),
            "jitter_s": self.shown("jitter_s", loaded, links),
            "owd_p50_s": self.shown("owd_p50_s", loaded, links),
            "goodput_at": self.goodput.at[links],
            "rerouted_at": self.rerouted.at[links],
        }

    def shows_loaded(self, stale_s: Ages, links: Links | slice) -> Bools:
        """Whose newest loaded row is shown: an unloaded one is, unless it is much older than the newest loaded one."""
        idle, loaded = self.idle.at[links], self.loaded.at[links]
        known = np.isfinite(loaded)
        return known & (np.where(known, loaded, 0.0) - idle > stale_s)

    def shown(self, name: str, loaded: Bools, links: Links | slice) -> npt.NDArray[Any]:
        """A column of the rows whose RTT is shown."""
        return np.where(loaded, self.loaded.columns[name][links], self.idle.columns[name][links])

    def loss_sums(self, stale_s: Ages, links: Links | slice) -> Floats:
        """The sums of the rows whose loss is shown, by the same rule: our own tests fill queues, which drop probes."""
        at, unloaded_at = self.latency.at[links], self.unloaded.at[links]
        known = np.isfinite(unloaded_at)
        every = ~known | (at - np.where(known, unloaded_at, 0.0) > stale_s)
        return np.where(every, self.latency.sums[:, links], self.unloaded.sums[:, links])

    def _observe(self, kind: RowKind, links: Links, moments: Moments, rows: Columns) -> None:
        good, bad = np.flatnonzero(rows["good"]), np.flatnonzero(~rows["good"])
        if len(bad):
            self.failures[kind].observe(links[bad], moments.of(bad), _at(rows, bad))
        if kind == "latency":
            self._observe_latency(links, moments, rows)
        elif len(good):
            newest = self.goodput if kind == "throughput" else self.path
            newest.observe(links[good], moments.of(good), _at(rows, good))
        if kind == "path" and (changed := good[rows["changed"][good] > 0]).size:
            self.rerouted.observe(links[changed], moments.of(changed), {})

    def _observe_latency(self, links: Links, moments: Moments, rows: Columns) -> None:
        if not rows["probed"].all():
            probed = np.flatnonzero(rows["probed"])
            links, moments, rows = links[probed], moments.of(probed), _at(rows, probed)
        loaded = rows["during_throughput"] > 0
        for newest, load in ((self.idle, ~loaded), (self.loaded, loaded)):
            places = np.flatnonzero(rows["good"] & load)
            if len(places):
                newest.observe(links[places], moments.of(places), _at(rows, places))
        now = np.flatnonzero(self.latency.observe(links, moments, rows))
        if len(now):
            self._put_newest(links[now], _at(rows, now))
        unloaded = np.flatnonzero(~loaded)
        if len(unloaded):
            self.unloaded.observe(links[unloaded], moments.of(unloaded), _at(rows, unloaded))

    def _put_newest(self, links: Links, rows: Columns) -> None:
        self.method[span(links)] = rows["method"]
        self.address.put(links, rows["address"])
        self.figures.put(links, rows["figures"])
        outages = rows["outages"]
        began = np.fromiter(map(lasting_outage, outages), dtype=object) if present(outages).any() else outages
        self.outage_at.put(links, began)


def share(part: Floats, whole: Floats) -> Floats:
    """The quotient; NaN of nothing."""
    found: Floats = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return found


def _at(rows: Columns, places: Links) -> Columns:
    if places.size == len(rows["good"]):
        return rows
    return {name: column[places] for name, column in rows.items()}
