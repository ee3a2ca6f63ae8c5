"""The answers about links with how healthy they are: state, since when, why, and how the traffic goes. Pure.

Only links that are not fresh cost more than arithmetic. Made in the thread that completes the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from collector.incidents.conditions import Evidence
from collector.incidents.incident_words import clause
from collector.incidents.link_health import DEGRADED, FRESH, LinkHealth, StateChanges
from collector.linkstate.link_answers import LinkTable
from collector.linkstate.snapshot import LINK_STATES
from linkweather.models.state import Degradation, LinkCondition
from linkweather.units import age

Column = npt.NDArray[Any]
Places = npt.NDArray[np.intp]


def with_states(table: LinkTable, health: LinkHealth) -> LinkTable:
    """The answers with the states that the last look found, since when, and by what links are degraded."""
    states = table.columns["state"].copy()
    rows, cells = _cells(table, health.sites)
    tracked, since = health.states[cells], health.since[cells]
    degraded = np.flatnonzero((tracked == DEGRADED) & (states[rows] == LINK_STATES[FRESH]))
    states[rows[degraded]] = LINK_STATES[DEGRADED]
    by, moments = (np.full(len(table), None, object) for _ in range(2))
    for row, *cell in zip(*(one[degraded].tolist() for one in (rows, *cells)), strict=True):
        by[row] = tuple(_degradations(health, (cell[0], cell[1])))
    # A state that the last look did not find began after it.
    same = np.array(LINK_STATES, object)[tracked] == states[rows]
    moments[rows] = _moments(np.where(same, since, table.at))
    return table.with_columns({"state": states, "since": moments, "degraded_by": by})


def with_health(table: LinkTable, health: LinkHealth) -> LinkTable:
    """The same with why links are not fresh."""
    found = with_states(table, health)
    return found.with_columns({"reason": _reasons(found)})


def _cells(table: LinkTable, sites: tuple[str, ...]) -> tuple[Places, tuple[Places, Places]]:
    """The rows whose links have both ends among `sites`, and their places in matrices over these."""
    position = {site: place for place, site in enumerate(sites)}
    places = np.array([position.get(site, -1) for site in table.sites], np.intp)
    src, dst = places[table.src], places[table.dst]
    rows = np.flatnonzero((src >= 0) & (dst >= 0))
    return rows, (src[rows], dst[rows])


def _degradations(health: LinkHealth, cell: tuple[int, int]) -> Iterator[Degradation]:
    """What is wrong with the link at a place of the matrices."""
    for kind, found in health.kinds.items():
        if found.open[cell]:
            value, normal, limit = (_known(one[cell]) for one in (found.value, found.normal, found.limit))
            yield Degradation(kind=kind, since=_moment(found.since[cell]), value=value, normal=normal, limit=limit)


def state_words(health: LinkHealth, changes: StateChanges) -> Iterator[str]:
    """A line for each link whose state changed: what it is, what it was, and by what it is degraded."""
    places = zip(changes.src.tolist(), changes.dst.tolist(), strict=True)
    for (src, dst), cell, before, after in zip(
        changes.names(health.sites), places, changes.before.tolist(), changes.after.tolist(), strict=True
    ):
        by = "; ".join(words(one) for one in _degradations(health, cell)) if after == DEGRADED else ""
        yield f"link {src} → {dst} is {LINK_STATES[after]}, was {LINK_STATES[before]}{by and ': '}{by}"


def _reasons(table: LinkTable) -> Column:
    """Why each link is not fresh."""
    found = np.full(len(table), None, object)
    states = table.columns["state"]
    rows = np.flatnonzero(states != LINK_STATES[FRESH]).tolist()
    columns = {name: table.values(name) for name in _READ} if rows else {}
    for row in rows:
        found[row] = _reason(states[row], {name: values[row] for name, values in columns.items()})
    return found


_READ = ("degraded_by", "age_s", "failure", "failure_kind", "failure_detail")


def _reason(state: LinkCondition, link: Mapping[str, Any]) -> str:
    if state == "degraded":
        return "; ".join(words(one) for one in link["degraded_by"])
    if state == "unknown":
        return "not measured yet"
    if state == "down":
        return _no_contact(link)
    return f"the last report is {age(link['age_s'])} old"


def _no_contact(link: Mapping[str, Any]) -> str:
    if link["failure_kind"] != "latency":
        return "answers again, and must do so a while longer"
    if link["failure_detail"]:
        return str(link["failure_detail"])
    return "no reply" if link["failure"] == "no_reply" else str(link["failure"])


def words(one: Degradation) -> str:
    """What is wrong with a link, after its name."""
    return clause(one.kind, Evidence(one.value, one.normal, limit=one.limit))


def _moments(at: npt.NDArray[np.floating]) -> Column:
    """As datetimes, each once; None for NaN."""
    distinct, places = np.unique(at, return_inverse=True)
    named = np.array([*(None if np.isnan(one) else _moment(one) for one in distinct), None], object)
    return named[places]


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(float(at), UTC)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
