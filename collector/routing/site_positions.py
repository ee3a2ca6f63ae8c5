"""Matrices over the sites follow a mesh whose sites come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.intp]
Scalar = TypeVar("Scalar", bound=np.generic)


def positions(before: Sequence[str], after: Sequence[str]) -> Positions:
    """For each site of `after`, where it stood `before`; −1 where it is new."""
    place = {site: index for index, site in enumerate(before)}
    return np.array([place.get(site, -1) for site in after], dtype=np.intp)


def rearranged(matrix: npt.NDArray[Scalar], came_from: Positions, empty: object) -> npt.NDArray[Scalar]:
    """The matrix for the sites that stood at `came_from`; `empty` wherever a site is new."""
    moved = np.full((len(came_from), len(came_from)), empty, dtype=matrix.dtype)
    stayed = came_from >= 0
    moved[np.ix_(stayed, stayed)] = matrix[np.ix_(came_from[stayed], came_from[stayed])]
    return moved
