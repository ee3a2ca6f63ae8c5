"""The state of each link now: rows go in, in any order; `now` goes in, answers come out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from collector.linkstate.link_answers import (
    LinkTable,
    NextTestOf,
    contact_states,
    link_columns,
    whole_answers,
)
from collector.linkstate.link_columns import GOODPUT_FACTS, LATENCY_FACTS, GoodputColumns, LatencyColumns, Places
from collector.linkstate.link_forecasts import LinkForecasts, Pace
from collector.linkstate.link_index import LinkIndex, Pair
from collector.linkstate.link_memory import LinkMemory
from collector.linkstate.link_rows import KIND_OF, Columns, RowKind, columns_of
from collector.linkstate.report_moments import Ages, Floats, Links, Moments, ReportMoment
from collector.linkstate.snapshot import LINK_STATES, AgeLimits, LinkMatrices, Snapshot, in_cells
from collector.settings import StateSettings
from linkweather.containment import contained
from linkweather.mesh import Mesh
from linkweather.models.state import LinkAnswer, LinkCondition
from linkweather.wire import Row

ReportRows = tuple[ReportMoment, Sequence[Row]]
_WINDOW_ROWS = 12  # hold the probes of a window, unless rows have very few


def _unknown(_src: str, _dst: str, _now: float) -> Mapping[str, Any]:
    return {}


def pace(mesh: Mesh, settings: StateSettings) -> tuple[AgeLimits, Pace]:
    """The ages at which links are stale and expired, by link, and how often rows come, by the mesh and the settings.

    The forecasters work in the steps of the mesh's own interval, also for links whose group has another one. A link may
    wait `quiet_factor` rounds for its test: it is stale no sooner for that.
    """
    groups = [mesh.tests_of(number) for number in range(len(mesh.groups) + 1)]
    report_s = np.array([tests.latency.report_interval_s for tests in groups])
    # However small `every_s` is, a round takes a slot for each test: a site is in one at a time, and has two per peer.
    least_s = mesh.throughput.slot_s * 2 * (mesh.degree + 1)
    round_s = np.maximum([tests.throughput.every_s for tests in groups], least_s)
    of_link = np.array([mesh.group_of(*pair) for pair in mesh.pairs()] if mesh.groups else [], np.intp)

    def by_link(values: Floats) -> Ages:
        return values[of_link] if mesh.groups else float(values[0])

    waits = np.array([tests.throughput.longest_wait - 1 for tests in groups])
    stale_s = (settings.goodput_stale_after_rounds + waits) * round_s
    expired_s = np.maximum(settings.goodput_expired_after_rounds * round_s, stale_s)
    limits = AgeLimits(
        stale_s=by_link(settings.stale_after_reports * report_s),
        expired_s=by_link(settings.expired_after_reports * report_s),
        goodput_stale_s=by_link(np.maximum(stale_s, settings.goodput_stale_after_s)),
        goodput_expired_s=by_link(np.maximum(expired_s, settings.goodput_expired_after_s)),
    )
    longest = float(np.max(limits.expired_s, initial=0.0)), float(np.max(by_link(expired_s), initial=0.0))
    lasts_s = float(np.max(limits.goodput_expired_s, initial=0.0))
    return limits, Pace(float(report_s[0]), longest[0], float(round_s[0]), longest[1], lasts_s, limits.stale_s)


class LinkStates:
    """The state of every link of the mesh. Rows about other links are dropped.

    `next_test` says of a link (src, dst), now, when its throughput is tested next, as fields of its answer.
    """

    def __init__(self, mesh: Mesh, settings: StateSettings, next_test: NextTestOf = _unknown) -> None:
        self._settings = settings
        self.next_test = next_test
        self.index = LinkIndex()
        self._memory = LinkMemory(0, settings)
        self._forecasts = LinkForecasts(0, pace(mesh, settings)[1])
        self.apply_mesh(mesh)

    def apply_mesh(self, mesh: Mesh) -> None:
        """Adopt a changed mesh; links that stay keep their rows."""
        self._limits, self._pace = pace(mesh, self._settings)
        known, self.index = self.index, LinkIndex(mesh)
        before, after = known.moved(self.index)
        self._forecasts = self._forecasts.moved(before, after, len(self.index), self._pace)
        if not self.index.same(known):
            memory = LinkMemory(len(self.index), self._settings)
            memory.adopt(self._memory, before, after)
            self._memory = memory

    @property
    def horizons_s(self) -> dict[RowKind, float]:
        """For each kind of row, the age beyond which a row says nothing about now: a start reads no further back."""
        limits: dict[RowKind, float] = {
            "latency": float(np.max(self._limits.expired_s, initial=0.0)),
            "throughput": self.goodput_lasts_s,
        }
        return self._forecasts.horizons_s(limits) | {"path": max(limits["latency"], self._pace.goodput_rounds_s)}

    @property
    def goodput_lasts_s(self) -> float:
        """The age beyond which no goodput counts, nor a changed path that makes one stale."""
        return float(np.max(self._limits.goodput_expired_s, initial=0.0))

    def observe(self, moment: ReportMoment, rows: Sequence[Row]) -> None:
        """Add the rows of a report; reports may come in any order."""
        self.observe_all([(moment, rows)])

    def observe_all(self, reports: Iterable[ReportRows]) -> None:
        """Add the rows of many reports, in any order: together they cost far less than one by one."""
        by_kind: dict[RowKind, list[ReportRows]] = {}
        for moment, rows in reports:
            for message in set(map(type, rows)):  # nearly always one
                kind = KIND_OF.get(message)
                if kind is not None:
                    by_kind.setdefault(kind, []).append((moment, [row for row in rows if type(row) is message]))
        for kind, parts in by_kind.items():
            with contained("link state"):
                self._observe_rows(kind, parts)

    def window_rows(self, kind: RowKind) -> dict[str, int]:
        """How many rows of a link, boot and outcome decide its state: `depth`, where these have so many `probes`."""
        if kind != "latency":
            return {"depth": 1}
        settings = self._settings
        return {"depth": max(_WINDOW_ROWS, settings.recover_after_rows), "probes": settings.loss_probes}

    def observe_states(self, kind: RowKind, links: Links, moments: Moments, columns: Columns) -> None:
        """Add rows of many reports to the states, in the order of their commit, as `columns_of` gives them."""
        self._memory.observe(kind, links, moments, columns)

    def observe_figures(self, kind: RowKind, links: Links, at: Floats, columns: Columns) -> None:
        """Add rows of many reports to the forecasts: of their columns the figures are enough."""
        self._forecasts.observe(kind, links, at, columns)

    def refresh_some(self, now: float) -> bool:
        """Bring some of the forecasts up to date, for some milliseconds; whether there is more to do."""
        return self._forecasts.refresh_some(now)

    def table(self, now: float, links: Links | slice = slice(None)) -> LinkTable:
        """The answers about every link of the mesh in the mesh's order, or some, by number, also links never measured.

        Next tests are not among them.
        """
        rtt, goodput = self._forecasts.rtt(now, links), self._forecasts.goodput(now, links)
        columns = link_columns(self._memory, links, now, self._limits.of(links), rtt=rtt, goodput=goodput)
        return LinkTable(now, self.index.sites, self.index.src[links], self.index.dst[links], columns)

    def link(self, src: str, dst: str, now: float) -> LinkAnswer | None:
        """One link; None where the mesh has no such link."""
        number = self.index.number(src, dst)
        if number is None:
            return None
        one = self.table(now, slice(number, number + 1))
        return next(whole_answers(one.with_next_tests(self.next_test)))

    def page(self, limit: int, after: Pair | None) -> tuple[Links, Pair | None]:
        """The numbers of the links on a page, in the order of names, as `NameOrder.page` has it."""
        return self.index.by_name.page(limit, after)

    def counts(self, now: float) -> dict[LinkCondition, int]:
        """How many links are in each state."""
        states = contact_states(self._memory, slice(None), now, self._limits)
        return dict(zip(LINK_STATES, np.bincount(states, minlength=len(LINK_STATES)).tolist(), strict=True))

    def latency_columns(self, places: Places, now: float) -> LatencyColumns:
        """What is known of these links' contact and RTT."""
        links = self._at(places)
        return LatencyColumns(**self._facts(LATENCY_FACTS, links), rtt=self._forecasts.rtt_expectations(links, now))

    def goodput_columns(self, places: Places, now: float) -> GoodputColumns:
        """What is known of these links' goodput."""
        links = self._at(places)
        goodput = self._forecasts.goodput_expectations(links, now)
        return GoodputColumns(**self._facts(GOODPUT_FACTS, links), goodput=goodput)

    def snapshot(self, now: float) -> Snapshot:
        """The snapshot at `now`: what decisions are made from."""
        matrices = LinkMatrices(self.index.sites)
        facts = self._facts((*LATENCY_FACTS, *GOODPUT_FACTS), slice(None))
        matrices.put_facts(facts, (self.index.src.astype(np.intp), self.index.dst.astype(np.intp)))
        cells, count = self.index.cells, len(self.index.sites) ** 2
        rtt, goodput = self._forecasts.rtt(now), self._forecasts.goodput(now)
        limits = self._limits.in_matrix(cells, (len(self.index.sites),) * 2)
        return matrices.snapshot(now, limits, in_cells(rtt, cells, count), in_cells(goodput, cells, count))

    def _observe_rows(self, kind: RowKind, reports: Sequence[ReportRows]) -> None:
        rows = [row for _, some in reports for row in some]
        links = self.index.of_rows(rows)
        moments = Moments.repeated([moment for moment, _ in reports], [len(some) for _, some in reports])
        known = np.flatnonzero(links >= 0)
        if not len(known):
            return
        if len(known) < len(rows):
            links, moments, rows = links[known], moments.of(known), [rows[place] for place in known.tolist()]
        try:
            columns = columns_of(kind, rows)
        except (TypeError, ValueError):
            if len(rows) == 1:
                raise
            for part in halves(reports):  # one row costs itself
                with contained("link state"):
                    self._observe_rows(kind, part)
            return
        self.observe_states(kind, links, moments, columns)
        self.observe_figures(kind, links, moments.at, columns)

    def _at(self, places: Places) -> Links:
        return self.index.at_cells(places[0] * len(self.index.sites) + places[1])

    def _facts(self, names: Iterable[str], links: Links | slice) -> dict[str, Any]:
        facts = self._memory.facts(links, self._limits.of(links).stale_s)
        return {name: facts[name] for name in names}


def halves(reports: Sequence[ReportRows]) -> Iterator[Sequence[ReportRows]]:
    """The same in two parts: of one report, the halves of its rows."""
    if len(reports) > 1:
        yield from (reports[: len(reports) // 2], reports[len(reports) // 2 :])
    else:
        ((moment, rows),) = reports
        yield from ([(moment, rows[: len(rows) // 2])], [(moment, rows[len(rows) // 2 :])])
