"""What the sites have for jobs: the newest word of each type counts, until it is too old."""

from __future__ import annotations

from typing import Any

import pytest

from collector.linkstate.site_devices import Capacities
from collector.settings import CapacitySettings
from linkweather.mesh import Mesh
from linkweather.wire import DeviceRow
from tests.collector.report_samples import moment


def mesh(*names: str) -> Mesh:
    sites = {name: {"address": f"192.0.2.{n}", "compute_id": f"CN-{name}"} for n, name in enumerate(names, 1)}
    return Mesh.model_validate({"sites": sites})


def row(**fields: Any) -> DeviceRow:
    return DeviceRow(**{"type": "a100", "total": 8, **fields})


@pytest.fixture
def capacities() -> Capacities:
    return Capacities(mesh("a", "b"), CapacitySettings(expires_after_s=60))


def test_nothing_is_known_before_a_site_has_said_something(capacities: Capacities) -> None:
    assert capacities.capacities(0.0) == []


def test_a_word_is_answered_with_its_age_and_the_site_s_compute_id(capacities: Capacities) -> None:
    capacities.observe("b", moment(100.0), [row(free=3, queue_s=5.0)])
    (answer,) = capacities.capacities(130.0)
    assert (answer.site, answer.compute_id, answer.type, answer.total, answer.free) == ("b", "CN-b", "a100", 8, 3)
    assert (answer.queue_s, answer.usd_per_device_hour, answer.age_s, answer.state) == (5.0, None, 30.0, "fresh")
    assert answer.at.timestamp() == 100.0


@pytest.mark.parametrize(("now", "state"), [(160.0, "fresh"), (160.1, "expired")])
def test_a_word_expires_after_its_time_and_stays_visible(capacities: Capacities, now: float, state: str) -> None:
    capacities.observe("a", moment(100.0), [row()])
    assert [answer.state for answer in capacities.capacities(now)] == [state]


def test_an_older_word_that_comes_later_changes_nothing(capacities: Capacities) -> None:
    for at, free in ((100.0, 4), (90.0, 7), (100.0, 5)):
        capacities.observe("a", moment(at), [row(free=free)])
    assert [answer.free for answer in capacities.capacities(100.0)] == [5]


def test_a_type_that_a_later_report_does_not_name_stays(capacities: Capacities) -> None:
    capacities.observe("a", moment(100.0), [row(type="h100")])
    capacities.observe("a", moment(110.0), [row(type="a100")])
    assert [(answer.type, answer.age_s) for answer in capacities.capacities(110.0)] == [("a100", 0), ("h100", 10)]


def test_a_clock_that_is_ahead_makes_no_negative_age(capacities: Capacities) -> None:
    capacities.observe("a", moment(105.0), [row()])
    assert [answer.age_s for answer in capacities.capacities(100.0)] == [0]


def test_only_sites_of_the_mesh_are_kept(capacities: Capacities) -> None:
    capacities.observe("x", moment(100.0), [row()])
    capacities.observe("a", moment(100.0), [row()])
    capacities.apply_mesh(mesh("b"))
    capacities.apply_mesh(mesh("a", "b", "x"))
    assert capacities.capacities(100.0) == []


def test_a_clock_that_is_corrected_does_not_hold_back_what_is_reported_since(capacities: Capacities) -> None:
    capacities.observe("a", moment(3100.0, seq=1), [row(free=7)])
    capacities.observe("a", moment(105.0, seq=2), [row(free=1)])
    assert [answer.free for answer in capacities.capacities(110.0)] == [1]
    capacities.observe("a", moment(110.0, "boot-2", 0), [row(free=2)])
    assert [answer.free for answer in capacities.capacities(110.0)] == [2]


def test_the_newest_of_a_site_is_when_it_last_said_something_and_all_that_it_has(capacities: Capacities) -> None:
    assert capacities.newest("a") == (None, ())
    capacities.observe("a", moment(10.0), [row()])
    capacities.observe("a", moment(20.0), [row(type="h100")])
    assert capacities.newest("a") == (20.0, (row(), row(type="h100")))


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ((8, 1008), 1008),
        ((8, 1009), 8),
        ((200, 2000), 2000),
        ((200, 2001), 200),
        ((8, 10**9, 10**9), 8),
        ((8, 90, 9), 9),
    ],
)
def test_of_far_more_devices_than_before_those_before_count(
    capacities: Capacities, said: tuple[int, ...], counts: int
) -> None:
    for at, total in enumerate(said):
        capacities.observe("a", moment(at), [row(total=total, free=total)])
    (answer,) = capacities.capacities(1.0)
    assert (answer.total, answer.free) == (counts, counts)
    assert capacities.claimed() == (
        {}
        if counts == said[-1]
        else {
            "a": f"it claims {said[-1]} a100 where {counts} count (`max_devices` of the mesh says how many it may have)"
        }
    )


def test_the_mesh_says_how_many_devices_a_site_may_have(capacities: Capacities) -> None:
    capacities.observe("a", moment(1.0), [row(total=8, free=5), row(type="h100", total=2)])
    capacities.observe("a", moment(2.0), [row(total=5000)])
    allowed = mesh("a", "b")
    sites = {**allowed.sites, "a": allowed.sites["a"].model_copy(update={"max_devices": 6000})}
    capacities.apply_mesh(allowed.model_copy(update={"sites": sites}))
    assert [one.total for one in capacities.capacities(2.0)] == [5000, 2]
    assert capacities.claimed() == {}
    sites["a"] = sites["a"].model_copy(update={"max_devices": 4})
    capacities.apply_mesh(allowed.model_copy(update={"sites": sites}))
    assert [(one.total, one.free) for one in capacities.capacities(2.0)] == [(4, None), (2, None)]
    assert "5000 a100 where 4 count" in capacities.claimed()["a"]
