"""The labs that travel with the package."""

from __future__ import annotations

import itertools
from math import asin, cos, radians, sin, sqrt

import pytest

from linkweather import settings
from linkweather.lab.labfile import Behaviour, LabFile, shipped
from linkweather.mesh import Place

EARTH_KM = 6371.0088
FIBRE_S_PER_KM = 4.9e-6


@pytest.fixture(scope="module")
def hubs() -> LabFile:
    return settings.load(shipped("labs/hubs.toml"), LabFile)


@pytest.fixture(scope="module")
def links(hubs: LabFile) -> dict[tuple[str, str], Behaviour]:
    return dict(hubs.behaviours())


def great_circle_km(a: Place, b: Place) -> float:
    assert a.latitude is not None
    assert a.longitude is not None
    assert b.latitude is not None
    assert b.longitude is not None
    p, q = radians(a.latitude), radians(b.latitude)
    half_longitude = radians(b.longitude - a.longitude) / 2
    return 2 * EARTH_KM * asin(sqrt(sin((q - p) / 2) ** 2 + cos(p) * cos(q) * sin(half_longitude) ** 2))


def test_great_circle_from_pole_to_equator_is_a_quarter_of_the_earth() -> None:
    distance = great_circle_km(Place(latitude=90, longitude=0), Place(latitude=0, longitude=77))
    assert distance == pytest.approx(10_007.56, abs=0.01)


def test_eight_hubs_are_joined_in_all_directions(hubs: LabFile, links: dict[tuple[str, str], Behaviour]) -> None:
    assert set(links) == set(itertools.permutations(hubs.sites, 2))
    assert len(links) == 56
    assert all(site.compute_id and site.operator and site.region for site in hubs.sites.values())
    assert len({site.compute_id for site in hubs.sites.values()}) == 8


def test_delays_are_those_of_fibre_with_a_detour(hubs: LabFile, links: dict[tuple[str, str], Behaviour]) -> None:
    detours = {
        (src, dst): link.delay_s / (great_circle_km(hubs.sites[src], hubs.sites[dst]) * FIBRE_S_PER_KM)
        for (src, dst), link in links.items()
    }
    assert min(detours.values()) >= 1.0
    assert max(detours.values()) <= 3.0
    assert sum(1.15 <= detour <= 1.65 for detour in detours.values()) == 54  # all but gz – gs


def test_rates_leave_the_relay_room_for_four_tests_at_once(links: dict[tuple[str, str], Behaviour]) -> None:
    rates = {pair: link.rate_bps for pair, link in links.items()}
    assert min(rates.values()) >= 50e6
    assert max(rates.values()) <= 500e6
    sites = sorted({src for src, _ in rates})
    assert heaviest_matching(sites, rates) <= 900e6


def heaviest_matching(sites: list[str], rates: dict[tuple[str, str], float]) -> float:
    if not sites:
        return 0.0
    first, *rest = sites
    return max(
        max(rates[first, peer], rates[peer, first]) + heaviest_matching([site for site in rest if site != peer], rates)
        for peer in rest
    )


def test_only_one_directed_link_loses_packets(links: dict[tuple[str, str], Behaviour]) -> None:
    assert [pair for pair, link in links.items() if link.loss_ratio] == [("gba", "nm")]


def test_a_relay_is_much_quicker_for_one_pair(links: dict[tuple[str, str], Behaviour]) -> None:
    for src, dst in (("gz", "gs"), ("gs", "gz")):
        assert links[src, dst].delay_s >= 1.5 * (links[src, "cc"].delay_s + links["cc", dst].delay_s)


def test_a_relay_has_much_more_rate_for_one_pair(links: dict[tuple[str, str], Behaviour]) -> None:
    for src, dst in (("yd", "nx"), ("nx", "yd")):
        assert links[src, dst].rate_bps == 50e6
        assert links[src, "bj"].rate_bps >= 3 * 50e6
        assert links["bj", dst].rate_bps >= 3 * 50e6


def test_triangle_has_round_numbers() -> None:
    triangle = settings.load(shipped("labs/triangle.toml"), LabFile)
    assert {pair: (link.delay_s, link.rate_bps) for pair, link in triangle.behaviours()} == {
        ("a", "b"): (0.010, 100e6),
        ("b", "a"): (0.010, 100e6),
        ("b", "c"): (0.020, 200e6),
        ("c", "b"): (0.020, 200e6),
        ("a", "c"): (0.040, 50e6),
        ("c", "a"): (0.040, 50e6),
    }
