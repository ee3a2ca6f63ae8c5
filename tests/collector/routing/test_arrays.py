import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from collector.routing.arrays import NONE, Floats, best_relays, best_relays_of, smallest, two_relays

INF = np.inf
COSTS = st.one_of(st.just(INF), st.integers(1, 50).map(float))
MATRICES = st.integers(3, 9).flatmap(lambda n: arrays.arrays(np.float64, (n, n), elements=COSTS))


def through(costs: Floats, vias: np.ndarray, join: np.ufunc) -> Floats:
    sites = np.arange(len(costs))
    found: Floats = np.where(vias >= 0, join(costs[sites[:, None], vias], costs[vias, sites]), INF)
    return found


def cleared(costs: Floats) -> Floats:
    np.fill_diagonal(costs, INF)
    return costs


def test_best_relay_of_three_sites_is_the_third() -> None:
    costs = np.array([[INF, 10.0, 2.0], [10.0, INF, 3.0], [2.0, 3.0, INF]])
    vias = best_relays(costs, costs, np.add)
    assert vias[0, 1] == vias[1, 0] == 2
    assert vias[0, 2] == 1


def test_relay_without_a_second_leg_is_none() -> None:
    costs = np.array([[INF, 10.0, 2.0], [10.0, INF, 3.0], [2.0, INF, INF]])
    assert best_relays(costs, costs, np.add)[0, 1] == NONE


@given(MATRICES)
def test_best_single_relay_or_direct_is_networkxs_shortest_path_of_at_most_two_links(costs: Floats) -> None:
    costs = cleared(costs)
    ours = np.minimum(costs, through(costs, best_relays(costs, costs, np.add), np.add))
    layered = nx.DiGraph()
    for src, dst in np.argwhere(np.isfinite(costs)).tolist():
        layered.add_edge((src, 0), (dst, 1), weight=costs[src, dst])
        layered.add_edge((src, 1), (dst, 2), weight=costs[src, dst])
    sites = range(len(costs))
    layered.add_nodes_from((site, layer) for site in sites for layer in range(3))
    for site in sites:
        layered.add_edge((site, 1), (site, 2), weight=0.0)
        lengths = nx.single_source_dijkstra_path_length(layered, (site, 0))
        layered.remove_edge((site, 1), (site, 2))
        for dst in sites:
            if dst != site:
                direct_or_two = min(lengths.get((dst, 2), INF), float(costs[site, dst]))
                assert ours[site, dst] == direct_or_two


@given(MATRICES)
def test_best_bottleneck_relay_is_the_best_of_all(costs: Floats) -> None:
    costs = cleared(costs)
    ours = through(costs, best_relays(costs, costs, np.maximum), np.maximum)
    for src in range(len(costs)):
        for dst in range(len(costs)):
            assert ours[src, dst] == min(max(costs[src, k], costs[k, dst]) for k in range(len(costs)))


@given(MATRICES, st.sampled_from([np.add, np.maximum]), st.integers(0, 100))
def test_relays_of_some_pairs_cost_what_those_of_all_pairs_do(costs: Floats, join: np.ufunc, hubs: int) -> None:
    costs, relays = cleared(costs), np.arange(min(hubs, len(costs)))
    pairs = tuple(np.nonzero(np.ones_like(costs, dtype=bool)))
    some = best_relays_of(costs, costs, (pairs[0], pairs[1]), join, relays).reshape(costs.shape)
    everyone = best_relays(costs, costs, join, relays)
    np.testing.assert_array_equal(through(costs, some, join), through(costs, everyone, join))


@pytest.mark.parametrize("hubs", [7, 20])
def test_relays_of_many_pairs_cost_what_those_of_all_pairs_do(hubs: int) -> None:
    costs, relays = cleared(np.random.default_rng(4).random((20, 20))), np.arange(hubs)
    pairs = tuple(np.nonzero(np.ones_like(costs, dtype=bool)))  # of several blocks
    some = best_relays_of(costs, costs, (pairs[0], pairs[1]), np.add, relays).reshape(costs.shape)
    everyone = best_relays(costs, costs, np.add, relays)
    np.testing.assert_array_equal(through(costs, some, np.add), through(costs, everyone, np.add))


def test_blocks_do_not_show() -> None:
    costs = cleared(np.random.default_rng(5).random((300, 300)))
    vias = best_relays(costs, costs, np.add)
    expected = (costs[7][:, None] + costs).argmin(axis=0)
    np.testing.assert_array_equal(np.delete(vias[7], 7), np.delete(expected, 7))


def test_two_relays_are_ordered_by_their_whole_path() -> None:
    # From the source to a 1, to b 5; a → b 1, b → a 1; from a to the destination 9, from b 2.
    first, second = np.array([1.0, 5.0]), np.array([9.0, 2.0])
    between = np.array([[INF, 1.0], [1.0, INF]])
    assert two_relays(first, between, second, np.add, 5) == [(0, 1), (1, 0)]  # 4 and 15
    assert two_relays(first, between, second, np.maximum, 1) == [(0, 1)]


def test_two_relays_that_nobody_reaches_are_none() -> None:
    nobody = np.array([INF, INF])
    assert two_relays(nobody, np.ones((2, 2)), np.ones(2), np.add, 3) == []


@pytest.mark.parametrize(("count", "expected"), [(1, [2]), (2, [2, 0]), (9, [2, 0, 3])])
def test_smallest_are_finite_and_in_order(count: int, expected: list[int]) -> None:
    assert smallest(np.array([3.0, INF, 1.0, 7.0]), count).tolist() == expected


def test_a_single_relay_that_reaches_nothing_is_none() -> None:
    costs = np.full((3, 3), INF)
    assert (best_relays(costs, costs, np.add, np.array([2])) == NONE).all()
