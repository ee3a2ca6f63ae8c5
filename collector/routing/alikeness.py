"""Predicting each link from the others: links of sites that are alike, and its own reverse.

No prediction of a link looks at that link itself (but for its share in saying who is alike), so that what the
predictions miss is honest. Matrices are [src, dst], NaN where unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.intp]

# A kind of fewer sites than this is no kind of its own: its blocks would be too small to learn from.
_SITES_OF_AN_OPERATOR = 5
# Logarithms of two limits that differ by less are the same limit.
_LIMITS_APART = 0.15
# Sites count by this power of the inverse variance between what they see, and never infinitely much.
_POWER = 1.75
_SOFT = 2e-5
# Two sites that share so few destinations cannot be told to be alike.
_SHARED = 3
# How strongly the coefficients of all links are held to zero, and those of a block to the ones of all links.
_HOLD_ALL = 1.0
_HOLD_BLOCK = 1.0
# A constant is held less than the coefficients of what varies.
_HOLD_CONSTANT = 0.1
# The mean square of a block is that of all links until it has some links of its own.
_LINKS_OF_ITS_OWN = 5.0


@dataclass(frozen=True, eq=False)
class Blocks:
    """Links by the kinds of site at their two ends: `of_link` [src, dst] are block numbers below `count`."""

    of_link: Indices
    count: int

    @classmethod
    def of(cls, operators: Sequence[str | None], log: Floats) -> Self:
        """Blocks of the operators that have sites enough; the other sites are told apart by what they can send."""
        names = [f"of {name}" if name is not None else None for name in operators]
        limits = [f"limit {limit}" for limit in _limits(log)]
        kinds = [known or limit for known, limit in zip(_enough(names), limits, strict=True)]
        unique, of_site = np.unique([kind or "few" for kind in _enough(kinds)], return_inverse=True)
        return cls(of_link=of_site[:, None] * len(unique) + of_site, count=len(unique) ** 2)

    def totals(self, values: Floats) -> Floats:
        """The sum of every block, [block]; NaN counts as nothing."""
        weights = np.nan_to_num(values).ravel()
        sums: Floats = np.bincount(self.of_link.ravel(), weights=weights, minlength=self.count).astype(float)
        return sums

    def sums(self, values: Floats) -> Floats:
        """The same, [src, dst]: each link has the sum of its block."""
        return self.totals(values)[self.of_link]

    def mean_squares(self, values: Floats) -> Floats:
        """The mean square of each link's block, drawn to that of all links where the block has few."""
        squares, known = self.totals(values**2), self.totals(np.isfinite(values).astype(float))
        overall = squares.sum() / max(known.sum(), 1.0)
        means: Floats = (squares + _LINKS_OF_ITS_OWN * overall) / (known + _LINKS_OF_ITS_OWN)
        return means[self.of_link]


def _enough(names: Sequence[str | None]) -> list[str | None]:
    sizes = Counter(names)
    return [name if sizes[name] >= _SITES_OF_AN_OPERATOR else None for name in names]


def _limits(log: Floats) -> Indices:
    """Which sites send at most about the same: an operator's machines have one limit. Numbers from 0, [site]."""
    most = np.max(log, axis=1, initial=-np.inf, where=np.isfinite(log))
    order = np.argsort(most)
    limits = np.zeros(len(log), np.intp)
    ranked = most[order]
    # Two sites that have sent nothing at all lie no step apart.
    steps = np.subtract(ranked[1:], ranked[:-1], out=np.zeros(len(order) - 1), where=np.isfinite(ranked[1:]))
    limits[order[1:]] = np.cumsum(steps > _LIMITS_APART)
    return limits


def predicted(log: Floats, blocks: Blocks) -> Floats:
    """Each link as the others predict it; NaN where it is not known itself, as nothing is then made of it."""
    known = np.isfinite(log)
    if not known.any():
        return np.full_like(log, np.nan)
    plain = _site_effects(log)
    by_src, by_dst = _by_alike_sources(log, plain), _by_alike_sources(log.T, plain.T).T
    alike = (by_src + by_dst) / 2
    signs = np.stack(
        [
            by_src - by_dst,
            np.nan_to_num((log - alike).T),  # the reverse missed its prediction by this …
            np.nan_to_num(log.T - alike),  # … and lies so far from ours
            plain - alike,
            np.ones_like(log),
        ],
        axis=-1,
    )
    guess = alike + _corrections(signs, np.where(known, log - alike, 0.0), known, blocks)
    return np.where(known, guess, np.nan)


def _site_effects(log: Floats, rounds: int = 20) -> Floats:
    """Mean, plus what each source and each destination adds; drawn to the mean by one link's worth."""
    known = np.isfinite(log)
    mean = log[known].mean()
    src, dst = np.zeros((len(log), 1)), np.zeros((1, len(log)))
    for _ in range(rounds):
        src = np.nansum(log - mean - dst, axis=1, keepdims=True) / (known.sum(axis=1, keepdims=True) + 1)
        dst = np.nansum(log - mean - src, axis=0, keepdims=True) / (known.sum(axis=0, keepdims=True) + 1)
    effects: Floats = mean + src + dst
    return effects


def _by_alike_sources(log: Floats, otherwise: Floats) -> Floats:
    """What the other sources see of a destination, by how alike they are, moved by what they see less or more."""
    known, values = np.isfinite(log).astype(float), np.nan_to_num(log)
    weights, offsets = _alike(known, values)
    total = weights @ known
    seen = weights @ values + (weights * offsets) @ known
    expected: Floats = np.divide(seen, total, out=otherwise.copy(), where=total > 0)
    return expected


def _alike(known: Floats, values: Floats) -> tuple[Floats, Floats]:
    """For each pair of sources a weight, and by how much the first sees more than the second."""
    shared = known @ known.T
    sums, squares = values @ known.T, (values * values) @ known.T
    some = np.maximum(shared, 1.0)
    offsets = (sums - sums.T) / some
    variances = np.maximum((squares + squares.T - 2 * values @ values.T) / some - offsets**2, 0.0)
    # Two links' worth of the mean variance: few shared destinations are weak evidence.
    variances = (variances * shared + 2 * variances.mean()) / (shared + 2)
    weights = np.where(shared >= _SHARED, 1.0 / (variances**_POWER + _SOFT), 0.0)
    np.fill_diagonal(weights, 0.0)
    return weights, offsets


def _corrections(signs: Floats, missed: Floats, known: npt.NDArray[np.bool_], blocks: Blocks) -> Floats:
    """What ridge regression makes of the `signs` [src, dst, sign]: for all links, then for each block, held to that."""
    hold = np.ones(signs.shape[-1])
    hold[-1] = _HOLD_CONSTANT
    squares, products = _normal_equations(np.where(known[..., None], signs, 0.0), missed, blocks)
    overall = np.linalg.solve(squares.sum(axis=0) + np.diag(_HOLD_ALL * hold), products.sum(axis=0))
    held = np.diag(_HOLD_BLOCK * hold)
    coefficients = np.linalg.solve(squares + held, (products + held @ overall)[..., None])[..., 0]
    corrections: Floats = np.einsum("sdk,sdk->sd", signs, coefficients[blocks.of_link])
    return corrections


def _normal_equations(signs: Floats, missed: Floats, blocks: Blocks) -> tuple[Floats, Floats]:
    """X'X [block, sign, sign] and X'y [block, sign]."""
    count = signs.shape[-1]
    squares = [[blocks.totals(signs[..., one] * signs[..., two]) for two in range(count)] for one in range(count)]
    products = [blocks.totals(signs[..., one] * missed) for one in range(count)]
    return np.moveaxis(np.array(squares), -1, 0), np.moveaxis(np.array(products), -1, 0)
