"""How often each link is worth a throughput test: by what decisions gain from it, and by what it moves. Pure.

What a test can change is a pair's active route. A link that is better than expected, by as much as its next test may
lie off, makes another path better than the active one; a link of the active one that is as much worse makes it worse
than another. How far the pair's goodput changes by that, as a logarithm, summed over all pairs, is the link's *worth*.
It is 0 for a link that no decision would use, whatever it shows: far worse than the relays of its own pair, and than
the other leg of every path that it is part of.

Tests pay best where age × √worth ÷ √bytes is greatest, so a link is tested once in √(bytes / worth) rounds, times what
makes all tests together move as much as with one a round. A test's bytes are taken to grow with the goodput.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from collector.routing.arrays import Bools, Floats, Positions, Vias
from collector.routing.costs import GoodputEstimate

# No link is tested more often than so many rounds say.
LEAST_ROUNDS: Final = 0.25
# Whatever others gain, a link is worth as much as a change of its own pair by so much.
_LEAST_WORTH: Final = 0.01
# A p10 lies so many standard deviations below what is expected.
_P10: Final = 1.2816
_NOTHING: Final = -1e3  # the logarithm of the goodput of no link
_HALVINGS: Final = 60


def rounds_between_tests(goodputs: GoodputEstimate, worth: Floats, most_rounds: float) -> Floats:
    """In how many rounds each link is worth a test [src, dst], from LEAST_ROUNDS to `most_rounds`; NaN where unknown.

    `worth` is the last of `worths`.
    """
    bps = np.where(goodputs.expected_bps > 0, goodputs.expected_bps, np.nan)
    moved = np.nan_to_num(bps)
    raw = np.sqrt(moved / (worth + _LEAST_WORTH))
    low, high = -30.0, 30.0  # the factor's logarithm: worth is below the number of pairs, goodput below 10^14
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        rounds = np.clip(raw * math.exp(middle), LEAST_ROUNDS, most_rounds)
        low, high = (middle, high) if (moved / rounds).sum() > moved.sum() else (low, middle)
    return np.where(np.isfinite(bps), rounds, np.nan)


def worths(goodputs: GoodputEstimate, active: Vias, relays: Bools) -> Iterator[Floats]:
    """By how much decisions would change, in logarithms of goodput, were each link off by its spread. O(sites³).

    `active` are the relays of the active routes, `relays` the sites that may relay. After each source what the pairs
    from it and those before it add up to: a caller may rest in between.
    """
    expected = _logarithms(goodputs.expected_bps)
    spread = np.where(expected > _NOTHING, (expected - _logarithms(goodputs.p10_bps)) / _P10, 0.0)
    found = np.zeros_like(expected)
    for src in range(len(expected)):
        over = np.where(active[src] >= 0, active[src], src)
        found += _gained(src, over, (expected, expected + spread), relays)
        found += _lost(src, over, (expected, expected - spread), relays)
        np.fill_diagonal(found, 0.0)
        yield found


def _gained(src: int, over: Positions, links: tuple[Floats, Floats], relays: Bools) -> Floats:
    """What the pairs from `src` gain by each link that is better; their routes go over sites, `src` itself for direct.

    `links` are as expected, and better.
    """
    (expected, better), sites = links, np.arange(len(over))
    paths = _paths(expected[src], expected, relays, src)
    now = paths[over, sites]
    beaten = np.maximum(now, paths)  # of a direct link that nobody measured every path counts: one will be the route
    beaten[over, sites] = np.inf  # the active route stays so
    first = np.maximum(_paths(better[src], expected, relays, src) - beaten, 0.0)
    gained = np.maximum(_paths(expected[src], better, relays, src) - beaten, 0.0)
    direct = first[src].copy()
    first[src] = 0.0
    gained[src] = direct + first.sum(axis=1)
    return gained


def _lost(src: int, over: Positions, links: tuple[Floats, Floats], relays: Bools) -> Floats:
    """What the pairs from `src` would lose by each link of their routes that is worse, if they kept to them.

    `links` are as expected, and worse.
    """
    (expected, worse), sites = links, np.arange(len(over))
    paths = _paths(expected[src], expected, relays, src)
    now = paths[over, sites]
    paths[over, sites] = _NOTHING
    other, direct = np.minimum(paths.max(axis=0), now), over == src
    leg = np.where(direct, sites, over)
    near = np.where(now > _NOTHING, np.maximum(other - worse[src, leg], 0.0), 0.0)
    lost = np.zeros_like(expected)
    lost[over, sites] = np.where((now > _NOTHING) & ~direct, np.maximum(other - worse[over, sites], 0.0), 0.0)
    lost[src] += np.bincount(leg, weights=near, minlength=len(sites))
    return lost


def _paths(first: Floats, second: Floats, relays: Bools, src: int) -> Floats:
    """The goodput over each site [relay, dst], in logarithms; direct is the row of the source."""
    paths = np.where(relays[:, None], np.minimum(first[:, None], second), _NOTHING)
    np.fill_diagonal(paths, _NOTHING)  # a destination is no relay
    paths[src] = first
    paths[:, src] = _NOTHING
    return paths


def _logarithms(bps: Floats) -> Floats:
    known = np.isfinite(bps) & (bps > 0)
    logs: Floats = np.where(known, np.log(np.where(known, bps, 1.0)), _NOTHING)
    np.fill_diagonal(logs, _NOTHING)
    return logs
