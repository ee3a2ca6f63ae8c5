"""What a site may claim: RTTs no shorter than light in fibre or what its peers see, and goodputs like theirs. Pure.

A round trip crosses the same two ways whoever asks. So a site that claims much less than its peers towards many of them
is suspect: for all of its links the worse of both directions decides, and it relays nothing until an operator says
otherwise. Of a single link both directions count as they are: networks differ that much by themselves (on Seattle's
nodes two of three RTTs differ by less than a quarter, and the worse of both decided much worse than the newer).

The goodput of a link is what its destination says that arrived. Who claims far more than what goes the other way, and
than what the same sources bring to most other sites, is suspect, too: of the 93 grids of cloud regions that we know no
site has even a tenth of such links.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from collector.linkstate.snapshot import Snapshot
from linkweather.mesh import Mesh, Site

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]

EARTH_M: Final = 6_371_000.0
FIBRE_M_PER_S: Final = 299_792_458.0 / 1.468  # by the refractive index of single-mode fibre
# Noise and kernels differ this much between two honest ends: less is no disagreement.
_FACTOR, _LEAST_S = 1.25, 0.001
# A claim that is no noise at all.
_LIE_FACTOR, _LIE_LEAST_S = 2.0, 0.005
_BELOW_LIGHT = 0.7  # of the floor: coordinates are those of a town, and paths leave a building elsewhere
_FEW = 2  # one odd link says nothing of a site
_SHARE = 0.75  # of its links: on Seattle's nodes one of 1,700 is so by chance in a moment
_FASTER = 5.0  # times what goes the other way, and what the source brings to half of the others
_RTTS: Final = ("rtt_p10_s", "rtt_p50_s", "rtt_p90_s", "rtt_mean_s")


class LightFloors:
    """The floors of a mesh, worked out when it changes."""

    def __init__(self) -> None:
        self._mesh: Mesh | None = None
        self._floors_s: Floats = np.zeros((0, 0))

    def floors_s(self, mesh: Mesh) -> Floats:
        """As `light_floors_s`."""
        if mesh is not self._mesh:
            self._mesh, self._floors_s = mesh, light_floors_s(mesh.sites)
        return self._floors_s


def light_floors_s(sites: Mapping[str, Site]) -> Floats:
    """The RTT of light in fibre along the great circle [src, dst], in seconds; 0 where coordinates are unknown."""
    known = [(site.latitude, site.longitude) for site in sites.values()]
    north, east = np.radians([[np.nan if one is None else one for one in place] for place in known]).reshape(-1, 2).T
    points = np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=1)
    angles = np.arccos(np.clip(points @ points.T, -1.0, 1.0))
    floors: Floats = np.nan_to_num(2.0 * EARTH_M * angles / FIBRE_M_PER_S)
    np.fill_diagonal(floors, 0.0)
    return floors


def plausible(snapshot: Snapshot, floors_s: Floats, suspect: Bools | None = None) -> tuple[Snapshot, Bools]:
    """The snapshot with no RTT below its floor, and the worse direction's for suspects; and where that one stands.

    `suspect` are the sites that are suspect, where the caller knows them from a snapshot before.
    """
    floors_s = _fitting(floors_s, snapshot)
    if suspect is None:
        suspect = suspect_sites(snapshot, floors_s)
    low = snapshot.rtt_p50_s < floors_s
    less = _less(snapshot, _FACTOR, _LEAST_S) & suspect[:, None] if suspect.any() else np.zeros_like(low)
    if not (low.any() or less.any()):
        return snapshot, less
    matrices: dict[str, Any] = {name: _raised(getattr(snapshot, name), floors_s, less, low) for name in _RTTS}
    return replace(snapshot, **matrices), less


def suspect_sites(snapshot: Snapshot, floors_s: Floats) -> Bools:
    """Which sites are suspect, [site]."""
    return _Odd.of(snapshot, _fitting(floors_s, snapshot)).sites


def suspects(snapshot: Snapshot, floors_s: Floats) -> dict[str, str]:
    """The sites whose claims cannot be, each with a sentence: three quarters of their links, two at least."""
    if floors_s.shape != snapshot.rtt_p50_s.shape:
        return {}
    odd, faster = _Odd.of(snapshot, floors_s), _faster(snapshot.goodput_p50_bps)
    counts = faster.sum(axis=0)
    fast = (counts >= _FEW) & (counts >= _SHARE * np.isfinite(snapshot.goodput_p50_bps).sum(axis=0))
    found = {}
    for place in np.flatnonzero(odd.sites | fast).tolist():
        parts = [
            *(odd.parts(place) if odd.sites[place] else []),
            *([_FAST.format(counts[place])] if fast[place] else []),
        ]
        found[snapshot.sites[place]] = f"it claims {' and '.join(parts)}"
    return found


@dataclass(frozen=True, eq=False, slots=True)
class _Odd:
    """The links whose claims cannot be: below light, or far less than the other direction; and whose they are."""

    below: Bools
    less: Bools
    sites: Bools

    @classmethod
    def of(cls, snapshot: Snapshot, floors_s: Floats) -> Self:
        below = snapshot.rtt_p50_s < _BELOW_LIGHT * floors_s
        less = _less(snapshot, _LIE_FACTOR, _LIE_LEAST_S)
        odd, claims = (below | less).sum(axis=1), np.isfinite(snapshot.rtt_p50_s).sum(axis=1)
        return cls(below, less, (odd >= _FEW) & (odd >= _SHARE * claims))

    def parts(self, place: int) -> list[str]:
        """What a site claims, in words."""
        faster, shorter = int(self.below[place].sum()), int(self.less[place].sum())
        return [
            *([f"{faster} RTTs that are shorter than light in fibre between the coordinates"] if faster else []),
            *([f"{shorter} RTTs of less than half of what its peers measure"] if shorter else []),
        ]


_FAST = "{} goodputs of over five times what goes the other way and what the same sites send to others"


def _faster(goodput_bps: Floats) -> Bools:
    """Where a destination claims so much more than what goes the other way, and what its source brings to others."""
    known = np.isfinite(goodput_bps)
    faster: Bools = known & (goodput_bps > _FASTER * np.nan_to_num(goodput_bps.T))
    sources = np.flatnonzero(faster.any(axis=1))
    ranked, counts = np.sort(goodput_bps[sources], axis=1), known[sources].sum(axis=1)  # NaN comes last
    usual = ranked[np.arange(len(sources)), np.maximum(counts - 1, 0) // 2]
    faster[sources] &= goodput_bps[sources] > _FASTER * usual[:, None]
    return faster


def _fitting(floors_s: Floats, snapshot: Snapshot) -> Floats:
    """The floors, or none of another mesh: those of the next snapshot fit."""
    return floors_s if floors_s.shape == snapshot.rtt_p50_s.shape else np.zeros_like(snapshot.rtt_p50_s)


def _less(snapshot: Snapshot, factor: float, least_s: float) -> Bools:
    """Where a link says so much less than the other direction."""
    rtt_s, other_s = snapshot.rtt_p50_s, snapshot.rtt_p50_s.T
    less: Bools = other_s > np.maximum(rtt_s * factor, rtt_s + least_s)
    return less


def _raised(rtts_s: Floats, floors_s: Floats, less: Bools, low: Bools) -> Floats:
    worse = np.where(less, np.fmax(rtts_s, rtts_s.T), rtts_s)
    return np.where(low, np.fmax(worse, floors_s), worse)
