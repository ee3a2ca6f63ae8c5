"""What is expected of links: shrunk where measurements are few, their own where they are many."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from collector.linkstate.snapshot import Snapshot
from collector.routing.arrays import DIRECT
from collector.routing.goodput_estimate import (
    CAUTION,
    Blocks,
    Observed,
    caution,
    estimated,
    observed,
    predicted,
    shrunk,
)
from collector.routing.router import Router
from collector.settings import RoutingSettings
from linkweather.mesh import Mesh
from tests.bench.relays import pooled
from tests.collector.routing.deciding import decide_all

Floats = npt.NDArray[np.floating]
NAN = np.nan


def once(log: Floats) -> Observed:
    """One measurement of each link."""
    return repeated(log, 1.0)


def repeated(log: Floats, samples: float, spread: float = NAN, age_days: float = 0.0) -> Observed:
    """So many measurements of each link."""
    known = np.isfinite(log)
    return Observed(
        log=log,
        samples=np.where(known, samples, 0.0),
        spread=np.full_like(log, spread),
        age_days=np.full_like(log, age_days),
    )


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
    assert goodputs.cautious_bps[0, 1] == pytest.approx(1e9)  # its prediction is itself, and misses nothing
    assert np.isnan(goodputs.expected_bps[1, 0])
    assert np.isnan(goodputs.cautious_bps[1, 0])


def one_low() -> tuple[Floats, float]:
    """Links of 0 and one of −2, and what is predicted of that one."""
    log = off_diagonal(np.zeros((12, 12)))
    log[0, 1] = -2.0
    return log, predicted(log, Blocks.of([None] * 12, log))[0, 1]


@pytest.mark.parametrize(
    ("samples", "age_days", "weight"),
    [
        (1.0, 0.0, 0.6),  # odds of 1.5 to 1
        (2.0, 0.0, 0.75),  # 3 to 1
        (1.0, 200.0, 3 / 7),  # 0.75 to 1
    ],
)
def test_a_link_is_believed_as_far_as_its_tests_outweigh_the_prediction(
    samples: float, age_days: float, weight: float
) -> None:
    log, guess = one_low()
    assert guess > -0.5
    estimate = estimated(repeated(log, samples, age_days=age_days), [None] * 12)
    assert estimate.log[0, 1] == pytest.approx(guess + weight * (-2.0 - guess))


def test_many_consistent_measurements_are_believed_for_themselves() -> None:
    log, _ = one_low()
    many = estimated(repeated(log, 1000.0, spread=0.1), [None] * 12)
    # odds of 1500 to 1 against a prediction that is at most 2 away
    assert many.log[0, 1] == pytest.approx(-2.0, abs=2 / 1500)
    # 1000 measurements: the next one is off by the link's own spread, and hardly by that of the residuals …
    assert many.spread[0, 1] == pytest.approx(0.1, rel=0.02)
    # … and their mean by much less: the noise is that of 500, beside a share of the residuals.
    assert many.noise[0, 1] < 0.1 * many.spread[0, 1]


def test_noise_is_what_predictions_miss_as_long_as_tests_cannot_say_how_well_they_repeat_themselves() -> None:
    log, _ = one_low()
    blocks = Blocks.of([None] * 12, log)
    missed = blocks.mean_sizes(log - predicted(log, blocks))[0, 1] / 0.798
    assert estimated(once(log), [None] * 12).noise[0, 1] == pytest.approx(missed)
    assert estimated(repeated(log, 1.0, age_days=300.0), [None] * 12).noise[0, 1] == pytest.approx(missed * 2**0.5)
    # Two tests: a weight of 0.75 that they are right, and each as noisy as the other.
    twice = estimated(repeated(log, 2.0, spread=0.2), [None] * 12).noise[0, 1]
    assert twice == pytest.approx((0.25 * missed**2 + 0.75 * 0.2**2) ** 0.5)


def test_age_counts_once() -> None:
    log, _ = one_low()
    for spread in (0.1, 0.4):  # a spread has the age in it already: only what is missed grows
        new, old = (estimated(repeated(log, 1e9, spread, age_days=days), [None] * 12) for days in (0.0, 300.0))
        np.testing.assert_allclose(old.spread[1, 2], new.spread[1, 2], rtol=1e-3)


def test_caution_grows_with_the_relays_to_choose_from_up_to_that_of_many() -> None:
    assert caution(3) == 0.0  # a single relay is not chosen for its luck
    # The best of 5 normal deviations is expected 1.163 above their mean, that of 62 ones 2.33 (Blom: 1.18 and 2.32).
    assert caution(7) == pytest.approx(CAUTION * 1.163 / 2.33, rel=0.02)
    assert caution(7) < caution(8) < caution(30) < caution(64) == caution(1000) == CAUTION


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


def test_links_of_an_unsteady_operator_are_noisier() -> None:
    rng = np.random.default_rng(0)
    log = off_diagonal(20.0 + 0.01 * rng.normal(size=(16, 16)))
    log[8:, 8:] += rng.normal(scale=0.5, size=(8, 8))
    estimate = estimated(once(log), ["a"] * 8 + ["b"] * 8)
    assert estimate.noise[8, 9] > 3 * estimate.noise[0, 1]
    goodputs = estimate.goodputs()
    lower, higher = (np.exp(-estimate.caution * estimate.noise), np.exp(estimate.caution * estimate.noise))
    np.testing.assert_allclose(goodputs.weighed_bps, lower * goodputs.expected_bps)
    np.testing.assert_allclose(goodputs.bar_bps, higher * goodputs.expected_bps)
    np.testing.assert_allclose(goodputs.cautious_bps, np.exp(-estimate.noise) * goodputs.expected_bps)
    np.testing.assert_allclose(goodputs.p10_bps, np.exp(-1.2816 * estimate.spread) * goodputs.expected_bps)


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
        decide_all(router, snapshot, goodputs=shrunk(snapshot, [None] * 3))
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
    assert np.isnan(estimate.noise).all()


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


def test_the_age_is_that_of_the_newest_test_in_days() -> None:
    age_s = [[NAN, 86400.0], [NAN, NAN]]
    seen = observed(Snapshot.of(["a", "b"], goodput_p50_bps=[[NAN, 1e9], [NAN, NAN]], goodput_age_s=np.array(age_s)))
    assert seen.age_days.tolist() == [[0.0, 1.0], [0.0, 0.0]]


def test_a_forecast_that_may_be_nothing_is_not_counted_on() -> None:
    zero_p10 = [[NAN, 0.0], [NAN, NAN]]
    samples = [[0, 50], [0, 0]]
    snapshot = Snapshot.of(["a", "b"], goodput_p50_bps=[[NAN, 1e9], [NAN, NAN]], goodput_p10_bps=zero_p10)
    snapshot = dataclasses.replace(snapshot, goodput_samples=np.array(samples))
    goodputs = shrunk(snapshot, [None, None])
    assert goodputs.expected_bps[0, 1] == pytest.approx(1e9)
    assert goodputs.p10_bps[0, 1] < 1e6
    assert goodputs.cautious_bps[0, 1] < 0.2e9


def test_grids_are_pooled_as_tests_of_equal_weight() -> None:
    # Two links of one block: between the grids the first gains 1.2, the second 0.8; what they share is 1.
    first, second = (np.exp([[NAN, one, two], [NAN] * 3, [NAN] * 3]) for one, two in ((1.0, 2.0), (2.2, 2.8)))
    seen = pooled([first, second], [None] * 3, age_days=300.0)
    assert seen.log[0, 1:].tolist() == pytest.approx([1.6, 2.4])
    assert seen.samples[0, 1] == 2
    # 0.1 off each, with one degree of freedom of two: 0.1 · √2, as a standard deviation; and its age makes it √2 times
    assert seen.spread[0, 1] == pytest.approx(0.1 * 2**0.5 / 0.798 * 2**0.5)
    assert seen.age_days[0, 1] == 300.0
    assert np.isnan(seen.log[1, 0])
    assert np.isnan(seen.spread[1, 0])


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


def test_a_small_block_is_drawn_to_the_mean_size_of_all() -> None:
    values = np.full((10, 10), NAN)
    values[0, 1:5] = -4.0  # within the first operator: 4 links of size 4
    values[5, 6:10] = 0.0  # within the second: 4 of size 0
    sizes = Blocks.of(["a"] * 5 + ["b"] * 5, values).mean_sizes(values)
    # all: 16/8 = 2, worth 5 links: (16 + 10)/9, (0 + 10)/9, and 10/5 where there is none
    assert sizes[0, 0] == pytest.approx(26 / 9)
    assert sizes[9, 9] == pytest.approx(10 / 9)
    assert sizes[0, 9] == pytest.approx(2.0)


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
