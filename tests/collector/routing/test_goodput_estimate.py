"""What is expected of links: shrunk where measurements are few, their own where they are many."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from collector.linkstate.snapshot import Snapshot
from collector.routing.arrays import DIRECT
from collector.routing.goodput_estimate import (
    BELIEF_BELOW,
    CAUTION,
    DOUBT,
    DRIFT,
    Blocks,
    Observed,
    estimated,
    observed,
    predicted,
    shrunk,
)
from collector.routing.router import Router
from collector.settings import RoutingSettings
from linkweather.mesh import Mesh
from tests.bench.relays import pooled

Floats = npt.NDArray[np.floating]
NAN = np.nan


def once(log: Floats) -> Observed:
    """One measurement of each link."""
    return Observed(log=log, samples=np.isfinite(log).astype(float), spread=np.full_like(log, NAN))


def off_diagonal(values: Floats) -> Floats:
    return np.where(np.eye(len(values), dtype=bool), NAN, values)


def noisy_grid(sites: int, seed: int, noise: float = 0.3) -> Floats:
    """Logarithms of goodput that falls with distance on a plane, disturbed; one link in ten is missing."""
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(sites, 2))
    far = np.hypot(*(places[:, None] - places).transpose(2, 0, 1))
    log = 21.0 - np.log(0.3 + far) + noise * rng.normal(size=far.shape)
    return off_diagonal(np.where(rng.random(far.shape) < 0.1, NAN, log))


OPERATORS = ["aws"] * 6 + ["gcp"] * 5 + [None]


def test_a_lone_link_is_expected_as_it_was_measured() -> None:
    snapshot = Snapshot.of(["a", "b"], goodput_p50_bps=[[NAN, 1e9], [NAN, NAN]])
    goodputs = shrunk(snapshot, [None, None])
    assert goodputs.expected_bps[0, 1] == pytest.approx(1e9)
    assert goodputs.cautious_bps[0, 1] == pytest.approx(1e9 * np.exp(-CAUTION * DRIFT))
    assert np.isnan(goodputs.expected_bps[1, 0])
    assert np.isnan(goodputs.cautious_bps[1, 0])


def test_one_low_measurement_among_equals_is_believed_in_part() -> None:
    log = off_diagonal(np.zeros((12, 12)))
    log[0, 1] = -2.0
    estimate = estimated(once(log), [None] * 12)
    guess = predicted(log, Blocks.of([None] * 12, log))[0, 1]
    assert guess > -0.5
    assert estimate.log[0, 1] == pytest.approx(guess + BELIEF_BELOW * (-2.0 - guess))


def test_many_consistent_measurements_are_believed_for_themselves() -> None:
    log = off_diagonal(np.zeros((12, 12)))
    log[0, 1] = -2.0
    few = estimated(once(log), [None] * 12)
    samples = np.where(np.isnan(log), 0.0, 1000.0)
    many = estimated(Observed(log=log, samples=samples, spread=np.full_like(log, 0.1)), [None] * 12)
    # odds 1000 · 0.3/0.7 = 429 to 1 against a prediction that is at most 2 away
    assert many.log[0, 1] == pytest.approx(-2.0, abs=2 / 400)
    # 1000 measurements: the spread is the link's own, beside the drift, and hardly that of the residuals
    assert many.spread[0, 1] == pytest.approx(np.hypot(0.1, DRIFT), rel=0.02)
    assert few.spread[0, 1] > 1.2 * many.spread[0, 1]


def test_measurements_that_cannot_tell_their_spread_still_have_the_drift() -> None:
    log = off_diagonal(np.zeros((4, 4)))
    estimate = estimated(Observed(log=log, samples=np.full_like(log, 9.0), spread=np.full_like(log, NAN)), [None] * 4)
    assert estimate.spread[0, 1] == pytest.approx(DRIFT)


@pytest.mark.parametrize("seed", range(3))
def test_permuted_sites_have_permuted_goodputs(seed: int) -> None:
    log, order = noisy_grid(12, seed), np.random.default_rng(seed).permutation(12)
    before = estimated(once(log), OPERATORS).goodputs()
    after = estimated(once(log[np.ix_(order, order)]), [OPERATORS[index] for index in order]).goodputs()
    np.testing.assert_allclose(after.expected_bps, before.expected_bps[np.ix_(order, order)], rtol=1e-6)
    np.testing.assert_allclose(after.cautious_bps, before.cautious_bps[np.ix_(order, order)], rtol=1e-6)


@pytest.mark.parametrize("factor", [1e-6, 8.0, 1e6])
def test_the_unit_of_goodput_does_not_matter(factor: float) -> None:
    log = noisy_grid(12, 0)
    before, after = (estimated(once(log + shift), OPERATORS).goodputs() for shift in (0.0, np.log(factor)))
    np.testing.assert_allclose(after.expected_bps, factor * before.expected_bps, rtol=1e-6)
    np.testing.assert_allclose(after.cautious_bps, factor * before.cautious_bps, rtol=1e-6)


def test_an_unsteady_source_is_doubted_and_a_steady_one_hardly() -> None:
    rng = np.random.default_rng(0)
    log = off_diagonal(20.0 + 0.01 * rng.normal(size=(16, 16)))
    log[8:] += rng.normal(scale=0.5, size=(8, 16))
    estimate = estimated(once(log), [None] * 16)
    assert estimate.doubt.shape == (16, 1)
    assert estimate.doubt[8:].min() > estimate.doubt[:8].max()
    assert estimate.doubt[8:].mean() > 3 * estimate.doubt[:8].mean()
    goodputs = estimate.goodputs()
    np.testing.assert_allclose(goodputs.bar_bps, np.exp(DOUBT * estimate.doubt) * goodputs.expected_bps)
    np.testing.assert_array_equal(goodputs.weighed_bps, goodputs.expected_bps)


def test_the_doubt_of_a_source_is_the_median_drawn_to_that_of_all() -> None:
    log = np.full((3, 3), NAN)
    log[0, 1:] = log[1, 0] = 20.0
    seen = Observed(log=log, samples=np.full_like(log, 1e9), spread=np.array([[NAN, 0.1, 0.3], [0.6] * 3, [NAN] * 3]))
    # In medians of normal deviations, 0.6745 of the spread: own 0.2 and 0.6, of all three links 0.3, worth two links.
    medians = [(2 * 0.2 + 2 * 0.3) / 4, (0.6 + 2 * 0.3) / 3, 0.3]
    estimate = estimated(seen, [None] * 3)
    np.testing.assert_allclose(estimate.doubt[:, 0], 0.6745 * np.array(medians), rtol=1e-6)


def test_a_relay_that_gains_nothing_is_not_taken_however_sure_it_is() -> None:
    names = ["gba", "bj", "nx"]
    mesh = Mesh.model_validate(
        {"mesh": {"name": "hubs"}, "sites": {name: {"address": f"{name}.example"} for name in names}}
    )
    for through_bj, relayed in ((119.4e6, False), (122.0e6, False), (124.0e6, True)):
        goodput = np.full((3, 3), through_bj)
        goodput[0, 2] = 119.0e6
        snapshot = Snapshot.of(names, goodput_p50_bps=goodput, goodput_samples=np.full((3, 3), 10_000))
        router = Router(RoutingSettings(), mesh)
        router.decide(snapshot, goodputs=shrunk(snapshot, [None] * 3))
        # 119.0 × 1.03 = 122.6
        assert router.relays("goodput")[0, 2] == (1 if relayed else DIRECT)


def test_missing_links_stay_missing_and_are_no_zeros() -> None:
    log = noisy_grid(12, 1)
    estimate = estimated(once(log), OPERATORS)
    np.testing.assert_array_equal(np.isnan(estimate.log), np.isnan(log))
    np.testing.assert_array_equal(np.isnan(estimate.spread), np.isnan(log))
    assert np.nanmin(estimate.log) > np.nanmin(log) - 1.0  # a zero among logarithms of 20 would draw far below


def test_a_site_that_nobody_measured_changes_nothing() -> None:
    log = noisy_grid(12, 2)
    wider = np.full((13, 13), NAN)
    wider[:12, :12] = log
    estimate = estimated(once(wider), [*OPERATORS, None])
    np.testing.assert_allclose(estimate.log[:12, :12], estimated(once(log), OPERATORS).log, rtol=0.005)


def test_no_links_at_all_are_no_estimates() -> None:
    estimate = estimated(once(np.full((3, 3), NAN)), [None] * 3)
    assert np.isnan(estimate.log).all()
    assert estimate.doubt.tolist() == [[0.0]] * 3


def test_a_goodput_of_zero_says_nothing() -> None:
    seen = observed(Snapshot.of(["a", "b"], goodput_p50_bps=[[NAN, 0.0], [5.0, NAN]]))
    assert np.isnan(seen.log[0, 1])
    assert seen.samples[0, 1] == 0
    assert seen.log[1, 0] == pytest.approx(np.log(5.0))


def test_the_forecast_tells_the_spread_where_it_has_measurements_to_tell_from() -> None:
    p50 = [[NAN, 100.0], [100.0, NAN]]
    p10 = np.array([[NAN, 100.0], [100.0, NAN]]) * np.exp(-1.2816 * 0.5)
    snapshot = Snapshot.of(["a", "b"], goodput_p50_bps=p50, goodput_p10_bps=p10, goodput_samples=[[0, 7], [1, 0]])
    seen = observed(snapshot)
    assert seen.spread[0, 1] == pytest.approx(0.5)
    assert np.isnan(seen.spread[1, 0])
    assert np.isnan(seen.spread[0, 0])
    assert seen.samples.tolist() == [[0, 7], [1, 0]]


def test_a_forecast_that_may_be_nothing_is_not_counted_on() -> None:
    zero_p10 = [[NAN, 0.0], [NAN, NAN]]
    samples = [[0, 50], [0, 0]]
    snapshot = Snapshot.of(["a", "b"], goodput_p50_bps=[[NAN, 1e9], [NAN, NAN]], goodput_p10_bps=zero_p10)
    snapshot = dataclasses.replace(snapshot, goodput_samples=np.array(samples))
    goodputs = shrunk(snapshot, [None, None])
    assert goodputs.expected_bps[0, 1] == pytest.approx(1e9)
    assert goodputs.cautious_bps[0, 1] < 1e6


def test_grids_are_pooled_with_the_later_counting_more() -> None:
    first, second = (np.exp([[NAN, value], [NAN, NAN]]) for value in (1.0, 2.0))
    seen = pooled([first, second], [None, None])
    assert seen.log[0, 1] == pytest.approx((0.75 * 1 + 2) / 1.75)  # 1.5714
    assert seen.samples[0, 1] == 2
    # 0.5714² + 0.4286² = 0.5102 with one degree of freedom
    assert seen.spread[0, 1] == pytest.approx(0.7143, abs=1e-4)
    assert np.isnan(seen.log[1, 0])


def test_one_grid_cannot_tell_the_spread() -> None:
    seen = pooled([np.array([[NAN, 5.0], [NAN, NAN]])], [None, None])
    assert np.isnan(seen.spread).all()


def test_small_operators_are_taken_together() -> None:
    blocks = Blocks.of(["aws"] * 5 + ["gcp", "ovh", None], np.full((8, 8), NAN))
    assert blocks.count == 4
    assert len(np.unique(blocks.of_link[:5, :5])) == 1
    assert len(np.unique(blocks.of_link[5:, 5:])) == 1
    assert blocks.of_link[0, 5] != blocks.of_link[5, 0]


def test_sites_without_an_operator_are_told_apart_by_their_limits() -> None:
    log = np.full((12, 12), 1.0)
    log[:6, 0] = [2.0, 2.1, 2.2, 2.3, 2.4, 2.5]  # each within 0.15 of the next: one limit
    log[6:, 0] = [3.0, 3.0, 3.0, 3.0, 3.0, 9.0]  # five of another, and one alone
    of_site = np.diag(Blocks.of([None] * 12, log).of_link).tolist()
    assert [len(set(of_site[part])) for part in (slice(0, 6), slice(6, 11))] == [1, 1]
    assert len(set(of_site)) == 3


def test_a_small_block_is_drawn_to_the_mean_square_of_all() -> None:
    values = np.full((10, 10), NAN)
    values[0, 1:5] = 2.0  # within the first operator: 4 links of square 4
    values[5, 6:10] = 0.0  # within the second: 4 of square 0
    squares = Blocks.of(["a"] * 5 + ["b"] * 5, values).mean_squares(values)
    # all: 16/8 = 2, worth 5 links: (16 + 10)/9, (0 + 10)/9, and 10/5 where there is none
    assert squares[0, 0] == pytest.approx(26 / 9)
    assert squares[9, 9] == pytest.approx(10 / 9)
    assert squares[0, 9] == pytest.approx(2.0)


@pytest.mark.parametrize("seed", range(3))
def test_predictions_are_nearer_the_truth_than_noisy_measurements(seed: int) -> None:
    truth, measured = noisy_grid(30, seed, noise=0.0), noisy_grid(30, seed, noise=0.5)
    known = np.isfinite(truth) & np.isfinite(measured)
    estimate = estimated(once(measured), [None] * 30)
    error, noise = (np.sqrt(np.mean((log - truth)[known] ** 2)) for log in (estimate.log, measured))
    assert error < 0.9 * noise


def test_a_link_is_predicted_from_its_reverse() -> None:
    rng = np.random.default_rng(0)
    far = rng.normal(size=(20, 20))  # no two sites are alike
    both_ways = off_diagonal(far + far.T)
    missed = (both_ways - predicted(both_ways, Blocks.of([None] * 20, both_ways)))[~np.eye(20, dtype=bool)]
    assert missed.std() < 0.3 * np.nanstd(both_ways)
