"""Every link as any collector of a cluster answers for it: its own sites' in full, all others by their rows. Pure.

A link's latency is its source's collector's to know, its goodput its destination's. A room of its own: the one place
that joins what a collector measured itself to what it was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from collector.cluster.mesh_view import MeshView
from collector.linkstate.link_answers import FIELDS, LinkTable
from collector.linkstate.link_index import Pair
from collector.linkstate.link_states import LinkStates
from collector.linkstate.report_moments import Links
from collector.linkstate.snapshot import LINK_STATES, Snapshot
from linkweather.models.state import LinkAnswer, LinkCondition

_GOODPUT = tuple(name for name in FIELDS if name.startswith("goodput") or name in {"rtt_loaded_s", "limited_by"})
# When the next test comes, the site's status says, which all collectors hear.
_LATENCY = tuple(name for name in FIELDS if name not in {"src", "dst", *_GOODPUT} and not name.startswith("next_test"))


Column = npt.NDArray[Any]


class ClusterLinks:
    """The links of all sites; `owns` says whether this collector takes a site's reports.

    `refresh` brings the view up to date with what the collector itself knows, before a snapshot.
    """

    def __init__(
        self,
        own: LinkStates,
        view: MeshView,
        owns: Callable[[str], bool],
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        self._refresh = refresh
        self._own = own
        self._view = view
        self._owns = owns

    def snapshot(self, now: float) -> Snapshot:
        """The snapshot at `now`, by the rows of all sites."""
        self._refresh()
        return self._view.snapshot(now)

    def refresh_some(self, now: float) -> bool:
        """Bring some of the own links' forecasts up to date, for some milliseconds; whether there is more to do."""
        return self._own.refresh_some(now)

    def table(self, now: float, links: Links | slice = slice(None)) -> LinkTable:
        """The answers about every link of the mesh, or some, as `LinkStates.table` has them."""
        return self._joined(self._own.table(now, links))

    def page(self, limit: int, after: Pair | None) -> tuple[Links, Pair | None]:
        """The numbers of the links on a page."""
        return self._own.page(limit, after)

    def link(self, src: str, dst: str, now: float) -> LinkAnswer | None:
        """One link; None where the mesh has no such link."""
        found = self._own.link(src, dst, now)
        if found is None:
            return None
        sites = self._own.index.sites
        one, other = (np.array([sites.index(site)]) for site in (src, dst))
        known = self._view.answers((one, other), now)
        fields: dict[str, Any] = {}
        for part, names, site in (("latency", _LATENCY, src), ("goodput", _GOODPUT, dst)):
            if not self._owns(site):
                ((answer,),) = LinkTable(now, sites, one, other, known[part]).answers()
                fields |= {name: answer[name] for name in names}
        return found.model_copy(update=fields)

    def counts(self, now: float) -> dict[LinkCondition, int]:
        """How many links are in each state."""
        states = self.table(now).columns["state"].tolist()
        return {name: states.count(name) for name in LINK_STATES}

    def _joined(self, table: LinkTable) -> LinkTable:
        own = np.array([self._owns(site) for site in table.sites])
        known = self._view.answers((table.src.astype(np.intp), table.dst.astype(np.intp)), table.at)
        columns = dict(table.columns)
        for part, names, ends in (("latency", _LATENCY, table.src), ("goodput", _GOODPUT, table.dst)):
            for name in names:
                # What this collector measured while the site was its own is another collector's to continue.
                mine, theirs = columns.get(name), known[part].get(name)
                if mine is not None or theirs is not None:
                    columns[name] = np.where(own[ends], *_alike(mine, theirs))
        return replace(table, columns=columns)


def _alike(mine: Column | None, theirs: Column | None) -> tuple[Any, Any]:
    """Both columns, null where there is none."""
    null = None if any(one is not None and one.dtype == object for one in (mine, theirs)) else np.nan
    return null if mine is None else mine, null if theirs is None else theirs
