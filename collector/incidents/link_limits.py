"""The limits of a mesh and its groups, by link: figures that a link must not exceed, whatever is normal for it. Pure.

A room of its own: it reads the mesh, which no other part of the incidents does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from linkweather.mesh import Limits, Mesh

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False, slots=True)
class LinkLimits:
    """Limits as matrices [src, dst] over the sites, or of shape [1, 1] where all links have the same; NaN is none."""

    sites: tuple[str, ...]
    loss_ratio: Floats
    rtt_s: Floats
    jitter_s: Floats
    goodput_bps: Floats

    @classmethod
    def of(cls, mesh: Mesh) -> Self:
        """Those of all links of a mesh."""
        sites = tuple(mesh.sites)
        groups = [mesh.tests_of(number).limits for number in range(len(mesh.groups) + 1)]
        places = _groups(mesh, sites) if any(limits != groups[0] for limits in groups) else np.zeros((1, 1), np.intp)
        return cls(sites, *(_matrix(groups, name)[places] for name in Limits.model_fields))

    @classmethod
    def none(cls, sites: tuple[str, ...]) -> Self:
        """No limits."""
        return cls(sites, *(np.full((1, 1), np.nan) for _ in Limits.model_fields))


def _matrix(groups: list[Limits], name: str) -> Floats:
    found = (getattr(limits, name) for limits in groups)
    return np.array([np.nan if limit is None else limit for limit in found])


def _groups(mesh: Mesh, sites: tuple[str, ...]) -> npt.NDArray[np.intp]:
    """The number of the group that says how each link is measured."""
    position = {site: place for place, site in enumerate(sites)}
    found = np.zeros((len(sites), len(sites)), np.intp)
    for src, dst in mesh.pairs():
        found[position[src], position[dst]] = mesh.group_of(src, dst)
    return found
