from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.linkstate.snapshot import Snapshot
from collector.routing.route_rule import noise
from collector.routing.router import Router
from collector.settings import RoutingSettings
from tests.collector.routing.meshes import NAN, mesh

SITES = tuple(f"s{number}" for number in range(11))  # 110 links: with those assumed, 120
LINKS = 110


def following(links: int, *, samples: int = 3, sites: tuple[str, ...] = SITES, **fields: Any) -> Snapshot:
    """Links of 0.1 s, of which so many follow their newest measurement."""
    follows = np.zeros(len(sites) ** 2, bool)
    off_diagonal = np.flatnonzero(~np.eye(len(sites), dtype=bool))
    follows[off_diagonal[:links]] = True
    shape = (len(sites), len(sites))
    fields = {"rtt_p50_s": np.full(shape, 0.1), "rtt_follows": follows.reshape(shape)} | fields
    return Snapshot.of(sites, rtt_samples=np.full(shape, samples), **fields)


@pytest.mark.parametrize(
    ("links", "share"),
    [
        (0, 1.0),
        (60, 1.0),  # 60 of 120
        (78, 0.5),  # 0.65 is halfway from 0.5 to 0.8
        (96, 0.0),
        (LINKS, 0.0),
    ],
)
def test_the_more_links_follow_their_newest_measurement_the_less_noise_there_is(links: int, share: float) -> None:
    assert noise(following(links)) == pytest.approx(share)


def test_two_measurements_choose_no_forecast() -> None:
    assert noise(following(LINKS, samples=2)) == 1.0


def test_few_links_tell_little() -> None:
    assert noise(following(6, sites=("a", "b", "c"))) == 1.0  # 6 of 16


def test_links_out_of_contact_tell_nothing() -> None:
    rtt = np.full((11, 11), 0.1)
    rtt[5:] = NAN  # 50 links remain: 50 of 60 follow, however many of the others did
    assert noise(following(LINKS, rtt_p50_s=rtt)) == 0.0
    assert noise(following(30, rtt_p50_s=rtt)) == 1.0


@given(links=st.integers(0, LINKS - 1))
def test_noise_is_a_share_that_falls_with_every_link_that_follows(links: int) -> None:
    assert 1.0 >= noise(following(links)) >= noise(following(links + 1)) >= 0.0


@given(share=st.floats(0, 1), hysteresis=st.floats(1, 100), caution=st.floats(0, 10))
def test_settings_against_noise_are_between_none_and_their_own(share: float, hysteresis: float, caution: float) -> None:
    whole = RoutingSettings(latency_hysteresis=hysteresis, latency_caution=caution)
    some = whole.against_noise(share)
    assert 1.0 <= some.latency_hysteresis <= hysteresis
    assert 0.0 <= some.latency_caution <= caution
    assert some.goodput_hysteresis == whole.goodput_hysteresis
    assert whole.against_noise(1.0) == whole


@pytest.mark.parametrize(("links", "relay"), [(LINKS, "s3"), (0, "s2")])
def test_a_slightly_better_relay_is_taken_where_there_is_no_noise_and_only_there(links: int, relay: str) -> None:
    router = Router(RoutingSettings(), mesh(SITES))
    rtt = np.full((11, 11), 0.1)
    rtt[0, 2] = rtt[2, 1] = 0.02  # through s2 40 ms
    router.decide(following(links, rtt_p50_s=rtt))
    rtt[0, 3], rtt[3, 1] = 0.0195, 0.0195  # through s3 39 ms: better by less than the hysteresis
    router.decide(following(links, rtt_p50_s=rtt))
    assert SITES[router.relays("latency")[0, 1]] == relay
