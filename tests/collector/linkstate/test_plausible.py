"""A site gains nothing by claiming less than light in fibre, or than its peers measure; many such claims are named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from collector.linkstate.plausible import LightFloors, light_floors_s, plausible, suspects
from collector.linkstate.snapshot import Floats, Snapshot
from linkweather.mesh import Mesh

SITES = ("a", "b", "c", "liar")
NO_FLOORS = np.zeros((4, 4))
HONEST = np.array([[0, 0.03, 0.05, 0.04], [0.031, 0, 0.02, 0.06], [0.05, 0.02, 0, 0.08], [0.04, 0.06, 0.08, 0]])


def mesh(**places: tuple[float, float] | None) -> Mesh:
    sites = {
        name: {"address": f"{name}.test", **({} if at is None else {"latitude": at[0], "longitude": at[1]})}
        for name, at in places.items()
    }
    return Mesh.model_validate({"sites": sites})


def snapshot(rtt_s: Floats) -> Snapshot:
    return Snapshot.of(SITES, rtt_p50_s=rtt_s)


def lying() -> Floats:
    rtt_s = HONEST.copy()
    rtt_s[3] = 0.0001
    return rtt_s


def test_light_needs_a_hundred_milliseconds_halfway_round_the_world() -> None:
    floors_s = light_floors_s(mesh(quito=(0, -78.5), singapore=(0, 101.5), nowhere=None).sites)
    assert floors_s[0, 1] == pytest.approx(0.196, abs=0.001)
    assert floors_s[1, 0] == floors_s[0, 1]
    assert not floors_s[2].any()
    assert not floors_s[:, 2].any()
    assert not floors_s.diagonal().any()


def test_the_floors_follow_the_mesh() -> None:
    floors, one, other = LightFloors(), mesh(a=(0, 0), b=(0, 90)), mesh(a=(0, 0), b=(0, 45))
    first = floors.floors_s(one)
    assert floors.floors_s(one) is first
    assert floors.floors_s(other)[0, 1] == pytest.approx(first[0, 1] / 2)


def test_honest_figures_stay_as_they_are() -> None:
    before = snapshot(HONEST)
    after, less = plausible(before, NO_FLOORS)
    assert after is before
    assert not less.any()
    assert suspects(before, NO_FLOORS) == {}


def test_the_worse_direction_decides_and_the_liar_is_named() -> None:
    after, less = plausible(snapshot(lying()), NO_FLOORS)
    np.testing.assert_array_equal(less[3], [True, True, True, False])
    assert after.rtt_p50_s[3, :3].tolist() == HONEST[:3, 3].tolist()
    assert after.rtt_mean_s[3, 0] == after.rtt_p90_s[3, 0] == HONEST[0, 3]
    assert suspects(snapshot(lying()), NO_FLOORS) == {
        "liar": "it claims 3 RTTs of less than half of what its peers measure"
    }


def test_no_rtt_is_shorter_than_light() -> None:
    floors_s = np.full((4, 4), 0.03) - 0.03 * np.eye(4)
    after, _ = plausible(snapshot(lying()), floors_s)
    assert np.nanmin(after.rtt_p50_s) == 0.03
    both = lying()
    both[:, 3] = 0.0001  # its reflector lies as well: both directions agree
    after, less = plausible(snapshot(both), floors_s)
    assert not less.any()
    assert np.nanmin(after.rtt_p50_s) == 0.03
    assert suspects(snapshot(both), floors_s)["liar"] == (
        "it claims 3 RTTs that are shorter than light in fibre between the coordinates"
    )


def test_its_victims_are_not_suspect() -> None:
    """Each of them has one odd link, with the liar."""
    both, floors_s = lying(), np.full((4, 4), 0.015)
    both[:, 3] = 0.0001
    assert list(suspects(snapshot(both), floors_s)) == ["liar"]


def test_one_odd_link_says_nothing_of_a_site() -> None:
    rtt_s = HONEST.copy()
    rtt_s[0, 1] = 0.0001
    after, less = plausible(snapshot(rtt_s), NO_FLOORS)
    assert after.rtt_p50_s[0, 1] == 0.0001
    assert not less.any()
    assert suspects(snapshot(rtt_s), NO_FLOORS) == {}


def test_what_is_not_measured_says_nothing() -> None:
    rtt_s = HONEST.copy()
    rtt_s[:, 3] = np.nan
    after, less = plausible(snapshot(rtt_s), NO_FLOORS)
    assert not less.any()
    assert np.isnan(after.rtt_p50_s[0, 3])
    assert after.rtt_p50_s[3, 0] == 0.04


def test_the_floors_of_another_mesh_do_not_count() -> None:
    other = np.full((7, 7), 1.0)
    assert plausible(snapshot(HONEST), other)[0].rtt_p50_s[0, 1] == 0.03
    assert suspects(snapshot(HONEST), other) == {}


@given(arrays(float, (4, 4), elements=st.floats(1e-5, 1.0)), arrays(float, (4, 4), elements=st.floats(0, 0.2)))
def test_a_figure_is_never_lowered(rtt_s: Floats, floors_s: Floats) -> None:
    before = snapshot(rtt_s)
    after, less = plausible(before, floors_s)
    known = np.isfinite(before.rtt_p50_s)
    assert (after.rtt_p50_s >= before.rtt_p50_s)[known].all()
    assert (after.rtt_p50_s >= floors_s)[known & (before.rtt_p50_s < floors_s)].all()
    assert not (less & less.T).any()


def goodputs(liar_bps: float, *, back_bps: float = 1e9) -> Snapshot:
    """Four sites whose links carry 1 to 2 Gbit/s, and what is claimed of those to the last."""
    bps = np.array([[0, 1e9, 2e9, 0], [1e9, 0, 1e9, 0], [2e9, 1e9, 0, 0], [back_bps, back_bps, back_bps, 0]])
    bps[:3, 3] = liar_bps
    return Snapshot.of(SITES, goodput_p50_bps=bps)


def test_a_site_that_claims_goodputs_that_its_peers_do_not_have_is_suspect() -> None:
    said = "it claims 3 goodputs of over five times what goes the other way and what the same sites send to others"
    assert suspects(goodputs(1e13), NO_FLOORS) == {"liar": said}
    assert suspects(goodputs(4e9), NO_FLOORS) == {}
    assert suspects(goodputs(1e13, back_bps=1e13), NO_FLOORS) == {}  # a hub near all of them


def test_one_fast_link_and_links_never_tested_say_nothing_of_a_site() -> None:
    bps = goodputs(1e9).goodput_p50_bps.copy()
    bps[0, 3] = 1e13
    assert suspects(Snapshot.of(SITES, goodput_p50_bps=bps), NO_FLOORS) == {}
    assert suspects(Snapshot.of(SITES, goodput_p50_bps=np.full((4, 4), np.nan)), NO_FLOORS) == {}


def test_a_site_may_claim_wrong_rtts_and_goodputs() -> None:
    both = Snapshot.of(SITES, rtt_p50_s=lying(), goodput_p50_bps=goodputs(1e13).goodput_p50_bps)
    said = suspects(both, NO_FLOORS)["liar"]
    assert said.startswith("it claims 3 RTTs of less than half of what its peers measure and 3 goodputs of over")
