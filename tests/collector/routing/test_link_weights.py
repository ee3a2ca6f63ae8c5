"""What a test of a link is worth: in the change of decisions that it can bring, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from collector.routing.arrays import DIRECT, Bools, Floats, Vias
from collector.routing.costs import GoodputEstimate
from collector.routing.link_weights import LEAST_ROUNDS, rounds_between_tests, worths

A, B, C, D = range(4)
MOST = 6.0


def goodputs(logs: Floats, spread: float = 0.5) -> GoodputEstimate:
    bps = np.exp(logs)
    return GoodputEstimate(
        expected_bps=bps, p10_bps=bps * math.exp(-1.2816 * spread), cautious_bps=bps, weighed_bps=bps, bar_bps=bps
    )


def routes(sites: int = 3, **relays: int) -> Vias:
    """The relays of active routes by the names of both ends, direct of the rest."""
    found = np.full((sites, sites), DIRECT, np.int32)
    for name, relay in relays.items():
        found[tuple("abcd".index(site) for site in name)] = relay
    return found


def links(sites: int = 3, *, others: float = 20.0, **logs: float) -> Floats:
    """Logarithms of goodput by the names of both ends, `others` of the rest."""
    found = np.full((sites, sites), others)
    for name, log in logs.items():
        found[tuple("abcd".index(site) for site in name)] = log
    np.fill_diagonal(found, np.nan)
    return found


def worth(goodputs: GoodputEstimate, active: Vias, relays: Bools) -> Floats:
    *_, found = worths(goodputs, active, relays)
    return found


def rounds(goodputs: GoodputEstimate, active: Vias) -> Floats:
    """By all sites that may relay."""
    return rounds_between_tests(goodputs, worth(goodputs, active, np.ones(len(active), bool)), MOST)


ONLY_C = np.array([False, False, True])


def test_a_route_hangs_on_its_links_as_far_as_they_could_be_worse_than_the_next_path() -> None:
    # a → b goes over c with 20, and direct has 19: a leg that is worse by 0.5 changes nothing, one by 1.5 does by 0.5.
    slow, over_c = links(ab=19.0), routes(ab=C)
    assert worth(goodputs(slow), over_c, ONLY_C)[A].tolist() == [0.0, 0.0, 0.0]
    found = worth(goodputs(slow, spread=1.5), over_c, ONLY_C)
    # Direct, too, could be better than the relay by 0.5. Of b → a direct has a relay as good: it could lose 1.5.
    np.testing.assert_allclose(found, [[0.0, 0.5, 0.5], [1.5, 0.0, 0.0], [0.0, 0.5, 0.0]], atol=1e-9)


def test_another_path_hangs_on_the_leg_that_could_be_better() -> None:
    # a → c is slower than direct by 0.2, and could be faster by 0.5: the relay then gains 0.3.
    found = worth(goodputs(links(ab=20.0, ac=19.8, others=25.0)), routes(), ONLY_C)
    assert found[A, C] == pytest.approx(0.3)
    assert found[C, B] == 0.0  # it is fast enough, and the other leg decides
    assert found[A, B] == pytest.approx(0.3)  # worse by 0.5 it loses to the relay


def test_a_path_that_is_better_but_not_active_is_worth_what_it_could_gain_beside() -> None:
    # The relay of a → b has 20.1, direct 20 and is active: c → b decides nothing, a → c what it gains beyond 0.1.
    found = worth(goodputs(links(ab=20.0, ac=20.1, others=25.0)), routes(), ONLY_C)
    assert found[A, C] == pytest.approx(0.5)
    assert found[A, B] == pytest.approx(0.5)  # what it falls to below itself: the relay is better already


def test_a_pair_whose_direct_link_is_not_measured_hangs_on_its_relays() -> None:
    found = worth(goodputs(links(ab=np.nan, ba=np.nan, cb=25.0)), routes(), ONLY_C)
    assert found[A, C] == pytest.approx(0.5)
    assert found[A, B] == found[C, B] == 0.0


def test_a_pair_without_another_path_hangs_on_nothing() -> None:
    assert not worth(goodputs(links()), routes(), np.zeros(3, bool)).any()
    unknown = links(ab=np.nan, ac=np.nan)
    assert not worth(goodputs(unknown), routes(), np.ones(3, bool))[A].any()


def test_links_are_tested_by_worth_and_bytes_and_all_tests_move_as_much_as_before() -> None:
    logs = links(4, others=18.0, ad=20.0, db=20.0, ab=19.8)
    found = rounds(goodputs(logs), routes(4))
    known = np.isfinite(logs)
    assert np.isnan(found[~known]).all()
    assert (found[known] >= LEAST_ROUNDS).all()
    assert (found[known] <= MOST).all()
    moved = np.exp(logs[known])
    assert (moved / found[known]).sum() == pytest.approx(moved.sum(), rel=1e-6)


def test_a_mesh_whose_decisions_hang_on_nothing_is_tested_by_bytes_alone() -> None:
    logs = links(2, ab=20.0, ba=20.0 + math.log(4))
    found = rounds(goodputs(logs), routes(2))
    assert found[B, A] == pytest.approx(2 * found[A, B], rel=1e-6)
    assert 1 / found[A, B] + 4 / found[B, A] == pytest.approx(5.0, rel=1e-6)


def test_a_link_that_carried_nothing_has_no_weight() -> None:
    nothing = goodputs(np.array([[np.nan, -np.inf], [20.0, np.nan]]))
    found = rounds(nothing, routes(2))
    assert np.isnan(found[A, B])
    assert found[B, A] == pytest.approx(1.0, rel=1e-6)
