"""Noise: the share of RTTs that return to their mean, of the mesh and of each link."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.linkstate.snapshot import Snapshot
from collector.routing.costs import expected_rtts
from collector.routing.route_rule import noise
from collector.routing.router import Router
from collector.settings import RoutingSettings
from tests.collector.routing.deciding import decide_all
from tests.collector.routing.meshes import NAN, mesh

SITES = tuple(f"s{number}" for number in range(11))
LINKS = 110


def reverting(reverts: npt.ArrayLike, *, samples: int = 12, sites: tuple[str, ...] = SITES, **fields: Any) -> Snapshot:
    """Links of 0.1 s, of whose RTTs this share reverts; ten of twelve can."""
    shape = (len(sites), len(sites))
    fields = {"rtt_p50_s": np.full(shape, 0.1), "rtt_reverts": off_diagonal(np.broadcast_to(reverts, shape))} | fields
    return Snapshot.of(sites, rtt_samples=np.full(shape, samples), **fields)


def off_diagonal(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.where(np.eye(len(values), dtype=bool), NAN, values)


@pytest.mark.parametrize(("reverts", "share"), [(0.0, 0.0), (0.149, 0.0), (0.225, 0.5), (0.3, 1.0), (0.6, 1.0)])
def test_the_more_rtts_return_to_their_mean_the_more_noise_there_is(reverts: float, share: float) -> None:
    # beside 1100 RTTs the ten that are assumed hardly count
    assert noise(reverting(reverts))[0] == pytest.approx(share, abs=0.01)


def test_two_measurements_have_nowhere_to_return_to() -> None:
    of_mesh, of_links = noise(reverting(NAN, samples=2))
    assert of_mesh == 1.0
    assert of_links.min() == 1.0


def test_few_rtts_say_little() -> None:
    of_mesh, _ = noise(reverting(0.0, samples=3, sites=("a", "b", "c")))
    assert of_mesh == pytest.approx((10 * 0.3 / 16 - 0.15) / 0.15)  # six that stayed beside ten that are assumed


def test_each_link_has_its_own_noise_and_few_rtts_of_it_are_drawn_to_the_mesh() -> None:
    reverts = np.zeros((11, 11))
    reverts[0, 1] = 0.6
    of_mesh, of_links = noise(reverting(reverts, samples=1002))
    assert of_mesh == 0.0
    assert of_links[0, 1] == 1.0  # 1000 of its own
    assert of_links[1, 0] == 0.0
    _, of_links = noise(reverting(reverts, samples=5))
    assert of_links[0, 1] == 0.0  # three of its own beside ten of the mesh: (3 · 0.6 + 10 · 0.01) / 13 = 0.15


def test_links_out_of_contact_say_nothing() -> None:
    reverts = np.zeros((11, 11))
    reverts[5:] = 0.9
    rtt = np.full((11, 11), 0.1)
    assert noise(reverting(reverts, rtt_p50_s=rtt))[0] == 1.0
    rtt[5:] = NAN
    lost = reverting(np.where(np.isnan(rtt), NAN, reverts), rtt_p50_s=rtt)
    assert noise(lost)[0] == 0.0


def test_the_expected_rtt_is_the_mean_as_far_as_there_is_noise() -> None:
    seen = Snapshot.of(("a", "b"), rtt_p50_s=np.full((2, 2), 0.1), rtt_mean_s=np.full((2, 2), 0.2))
    assert expected_rtts(seen, np.array([[0.0, 0.5], [1.0, 0.0]]))[[0, 1], [1, 0]].tolist() == pytest.approx(
        [0.15, 0.2]
    )


@given(few=st.floats(0, 1), more=st.floats(0, 1))
def test_noise_is_a_share_that_grows_with_every_rtt_that_returns(few: float, more: float) -> None:
    few, more = sorted((few, more))
    assert 0.0 <= noise(reverting(few))[0] <= noise(reverting(more))[0] <= 1.0


@given(share=st.floats(0, 1), hysteresis=st.floats(1, 100), caution=st.floats(0, 10))
def test_settings_against_noise_are_between_none_and_their_own(share: float, hysteresis: float, caution: float) -> None:
    whole = RoutingSettings(latency_hysteresis=hysteresis, latency_caution=caution)
    some = whole.against_noise(share)
    assert 1.0 <= some.latency_hysteresis <= hysteresis
    assert 0.0 <= some.latency_caution <= caution
    assert some.goodput_hysteresis == whole.goodput_hysteresis
    assert whole.against_noise(1.0) == whole


@pytest.mark.parametrize(("reverts", "relay"), [(0.0, "s3"), (0.6, "s2")])
def test_a_slightly_better_relay_is_taken_where_there_is_no_noise_and_only_there(reverts: float, relay: str) -> None:
    router = Router(RoutingSettings(), mesh(SITES))
    rtt = np.full((11, 11), 0.1)
    rtt[0, 2] = rtt[2, 1] = 0.02  # through s2 40 ms
    decide_all(router, reverting(reverts, rtt_p50_s=rtt))
    rtt[0, 3], rtt[3, 1] = 0.0195, 0.0195  # through s3 39 ms: better by less than the hysteresis
    decide_all(router, reverting(reverts, rtt_p50_s=rtt))
    assert SITES[router.relays("latency")[0, 1]] == relay


def test_a_relay_whose_spikes_the_median_hides_is_not_taken() -> None:
    rtt = np.full((11, 11), 0.1)
    rtt[0, 2] = rtt[2, 1] = 0.04
    spiky = np.where(rtt == 0.04, 0.06, rtt)
    router = Router(RoutingSettings(), mesh(SITES))
    decide_all(router, reverting(0.6, rtt_p50_s=rtt, rtt_mean_s=spiky))
    assert router.relays("latency")[0, 1] < 0
    router = Router(RoutingSettings(), mesh(SITES))
    decide_all(router, reverting(0.0, rtt_p50_s=rtt, rtt_mean_s=spiky))
    assert router.relays("latency")[0, 1] == 2
