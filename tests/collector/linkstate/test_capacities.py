"""What the sites have for jobs: the newest word of each type counts, until it is too old."""

from __future__ import annotations

from typing import Any

import pytest

from collector.linkstate.site_states import Capacities
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
