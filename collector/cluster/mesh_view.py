"""The mesh as all collectors know it together: state rows go in, columns of links and snapshots come out. Pure.

Equal rows give equal snapshots at the same moment, wherever they were made: a row is what its collector knew, before
it aged. Of two rows the newer measurement of each link counts: so a collector that takes a site over, and reads its
record from the beginning, falls behind nothing that its predecessor said.

What a row does not have (the last RTT row's further quantiles, hops, failures) only the site's own collector answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from collector.linkstate.expectations import Expectations, Forecast
from collector.linkstate.link_answers import forecast_columns
from collector.linkstate.link_columns import (
    GOODPUT_FACTS,
    LATENCY_FACTS,
    GoodputColumns,
    LatencyColumns,
    Places,
)
from collector.linkstate.link_states import pace
from collector.linkstate.snapshot import LinkMatrices, Snapshot
from collector.settings import StateSettings
from linkweather.mesh import Mesh
from linkweather.wire.state_rows import COLUMNS, StateRow

Matrix = npt.NDArray[Any]

_EXPECTED = ("p10", "p50", "p90", "mean", "step", "samples", "newest_at", "reverts")
_TYPES: Mapping[str, str] = {"d": "<f8", "f": "<f4", "H": "<u2", "?": "?"}
_UNKNOWN: Mapping[str, float] = {"samples": 0, "newest_at": -np.inf}
_FACTS: Mapping[str, Sequence[str]] = {"latency": LATENCY_FACTS, "goodput": GOODPUT_FACTS}
_BANKS: Mapping[str, str] = {"latency": "rtt", "goodput": "goodput"}
_NEWEST: Mapping[str, str] = {"latency": "contact_at", "goodput": "goodput_at"}
Columns = Mapping[tuple[str, str], Matrix]


def mesh_digest(mesh: Mesh) -> str:
    """Names the links of a mesh and their order: rows of another mesh have other columns."""
    digest = hashlib.sha256()
    for src, dst in mesh.pairs():
        digest.update(f"{src} {dst}\n".encode())
    return digest.hexdigest()[:16]


class MeshView:
    """What is known of all links of the mesh."""

    def __init__(self, mesh: Mesh, settings: StateSettings) -> None:
        self._settings = settings
        self._sites: tuple[str, ...] = ()
        self._expected: dict[tuple[str, str], Matrix] = {}
        self._matrices = LinkMatrices(())
        self.apply_mesh(mesh)

    def apply_mesh(self, mesh: Mesh) -> None:
        """Adopt a changed mesh; links between sites that stay keep what is known of them."""
        before, self._sites = self._sites, tuple(mesh.sites)
        self.digest = mesh_digest(mesh)
        self._limits, rows_pace = pace(mesh, self._settings)
        self._kinds = rows_pace.kinds()
        self._places = _places(mesh)
        stay = [site for site in self._sites if site in set(before)]
        old, new = _square(_positions(before, stay)), _square(_positions(self._sites, stay))
        matrices = LinkMatrices(self._sites)
        for facts in _FACTS.values():
            matrices.put_facts(self._matrices.facts(facts, old), new)
        self._matrices = matrices
        expected = {(part, name): self._empty(part, name) for part in _FACTS for name in _EXPECTED}
        for key, matrix in expected.items():
            if before:
                matrix[new] = self._expected[key][old]
        self._expected = expected

    def places(self, part: str, site: str) -> Places:
        """The links of a site that the part of its row is about: `latency` from it, `goodput` to it."""
        return self._places[part, site]

    def put(self, site: str, columns: Columns, now: float) -> None:
        """Take over what a row says of its links, wherever that is not older than what is known."""
        for part, facts in _FACTS.items():
            places = self.places(part, site)
            # A time that lies ahead is a wrong clock's: it would stay the newest for as long.
            newest = np.minimum(columns[part, _NEWEST[part]], now)
            newer = newest >= self._matrices.facts([_NEWEST[part]], places)[_NEWEST[part]]
            chosen = places[0][newer], places[1][newer]
            self._matrices.put_facts({name: columns[part, name][newer] for name in facts}, chosen)
            self._matrices.put_facts({_NEWEST[part]: newest[newer]}, chosen)
            for name in _EXPECTED:
                self._expected[part, name][chosen] = columns[part, name][newer]

    def columns(self, site: str) -> dict[tuple[str, str], Matrix]:
        """What is known of a site's links, as its row has it."""
        return {
            (part, name): (
                self._matrices.facts([name], self.places(part, site))[name]
                if name in _FACTS[part]
                else self._expected[part, name][self.places(part, site)]
            )
            for part, names in COLUMNS.items()
            for name in names
        }

    def snapshot(self, now: float) -> Snapshot:
        """The snapshot at `now`: what decisions are made from."""
        rtt, goodput = (self._forecast(part, slice(None), now) for part in _FACTS)
        return self._matrices.snapshot(now, self._limits, rtt, goodput)

    def answers(self, places: Places, now: float) -> dict[str, dict[str, Matrix]]:
        """What is known of the links at `places`: by part, the columns of answers about them."""
        facts, limits = self._matrices.facts((*LATENCY_FACTS, *GOODPUT_FACTS), places), self._limits
        age_s, goodput_age_s = (_age(facts[name], now) for name in ("contact_at", "goodput_at"))
        states = [np.isnan(age_s), age_s > limits.expired_s, ~facts["up"], age_s > limits.stale_s]
        stale = (facts["rerouted_at"] > facts["goodput_at"]) | (goodput_age_s > limits.goodput_stale_s)
        goodput_states = [np.isnan(goodput_age_s), goodput_age_s > limits.goodput_expired_s, stale]
        rtt, goodput = (self._forecast(part, places, now) for part in _FACTS)
        return {
            "latency": {
                "state": _named(states, "unknown", "expired", "down", "stale"),
                "age_s": age_s,
                **{name: facts[name] for name in ("loss_ratio", "jitter_s", "owd_p50_s")},
                **forecast_columns("rtt", "s", rtt, limits.expired_s),
            },
            "goodput": {
                "goodput_state": _named(goodput_states, "unknown", "expired", "stale"),
                "goodput_age_s": goodput_age_s,
                **forecast_columns("goodput", "bps", goodput, limits.goodput_expired_s),
            },
        }

    def _forecast(self, part: str, places: Places | slice, now: float) -> Forecast:
        columns = (self._expected[part, name][places].ravel() for name in _EXPECTED)
        return Expectations(*columns).forecast(now, self._kinds[_BANKS[part]])

    def _empty(self, part: str, name: str) -> Matrix:
        shape = (len(self._sites), len(self._sites))
        return np.full(shape, _UNKNOWN.get(name, np.nan), _TYPES[COLUMNS[part][name][0]])


def columns_of(latency: LatencyColumns, goodput: GoodputColumns) -> dict[tuple[str, str], Matrix]:
    """What link states know of a site's links, as its row has it."""
    found: dict[tuple[str, str], Matrix] = {}
    for part, columns, expected in (("latency", latency, latency.rtt), ("goodput", goodput, goodput.goodput)):
        found |= {(part, name): getattr(columns, name) for name in _FACTS[part]}
        found |= {(part, name): getattr(expected, name) for name in _EXPECTED}
    return found


def packed(columns: Columns) -> dict[tuple[str, str], bytes]:
    """The columns as a state row carries them."""
    return {(part, name): columns[part, name].astype(_type(part, name)).tobytes() for part, name in columns}


def unpacked(row: StateRow) -> dict[tuple[str, str], Matrix]:
    """The columns of a row. What no collector writes is unknown: times that are no numbers, values below zero."""
    return {
        (part, name): _sound(part, name, np.frombuffer(content, _type(part, name)))
        for (part, name), content in row.columns.items()
    }


def _sound(part: str, name: str, column: Matrix) -> Matrix:
    if column.dtype == bool:
        return np.not_equal(column.view(np.uint8), 0)
    if name.endswith("_at"):
        return np.where(np.isnan(column), -np.inf, column)
    # A goodput's quantiles are logarithms, and a clock error may make a one-way delay negative.
    if column.dtype.kind == "f" and name != "owd_p50_s" and (part == "latency" or name == "step"):
        return np.where((column >= 0) & np.isfinite(column), column, np.nan)
    return column


def _type(part: str, name: str) -> str:
    return _TYPES[COLUMNS[part][name][0]]


def _positions(sites: Sequence[str], chosen: Sequence[str]) -> npt.NDArray[np.intp]:
    position = {site: place for place, site in enumerate(sites)}
    return np.array([position[site] for site in chosen], dtype=np.intp)


def _square(positions: npt.NDArray[np.intp]) -> Places:
    """All links among the sites at these positions."""
    return np.repeat(positions, len(positions)), np.tile(positions, len(positions))


def _places(mesh: Mesh) -> dict[tuple[str, str], Places]:
    """For each part and site, the positions of its links in the mesh's order."""
    position = {site: place for place, site in enumerate(mesh.sites)}
    ends = np.array([(position[src], position[dst]) for src, dst in mesh.pairs()], dtype=np.intp).reshape(-1, 2)
    found: dict[tuple[str, str], Places] = {}
    for part, end in (("latency", 0), ("goodput", 1)):
        order = np.argsort(ends[:, end], kind="stable")
        starts = np.searchsorted(ends[order, end], np.arange(len(position) + 1))
        for site, place in position.items():
            links = ends[order[starts[place] : starts[place + 1]]]
            found[part, site] = links[:, 0], links[:, 1]
    return found


def _age(at: Matrix, now: float) -> Matrix:
    return np.where(np.isfinite(at), np.maximum(0.0, now - at), np.nan)


def _named(cases: Sequence[Matrix], *names: str) -> Matrix:
    """The name of the first case that holds for each link, or `fresh`."""
    codes = np.select(cases, range(len(names)), len(names))
    named: Matrix = np.array([*names, "fresh"], object)[codes]
    return named
