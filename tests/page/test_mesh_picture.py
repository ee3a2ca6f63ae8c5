"""What the page knows: one copy, changed by answers and events; and the small curve of the newest RTTs."""

from __future__ import annotations

from linkweather.models.events import Gap, IncidentEvent, LinkEvent
from page.link_lines import sparkline
from page.mesh_picture import MeshPicture
from tests.page.pictures import NOON, incident, link, picture, routes


def test_an_event_changes_its_link_alone() -> None:
    event = LinkEvent(at=NOON, link=link("a", "b", "down"))
    view = picture().with_event(event)
    assert (view.links["a", "b"].state, view.links["b", "a"].state) == ("down", "fresh")


def test_other_events_change_nothing() -> None:
    before = picture()
    for event in (Gap(), IncidentEvent(at=NOON, incident=incident())):
        assert before.with_event(event) is before


def test_a_problem_stays_until_the_next_answer() -> None:
    view = picture().with_problem("away")
    assert view.problem == "away"
    assert view.with_links([], 6.0).problem is None
    assert view.with_sites([], 6.0).problem is None


def test_the_newest_rtts_are_kept_up_to_a_bound() -> None:
    view = MeshPicture()
    for number in range(70):
        view = view.with_links([link("a", "b", rtt_p50_s=float(number))], 1.0)
    assert view.rtts["a", "b"] == tuple(float(number) for number in range(10, 70))


def test_a_pair_s_route_is_found_under_its_objective() -> None:
    view = picture().with_routes(routes("c"))
    found = view.route("latency", "a", "b")
    assert found is not None
    assert found.relays == ("c",)
    assert view.route("latency", "b", "a") is None
    assert view.route("goodput", "a", "b") is None


def test_a_curve_needs_two_values_and_is_interrupted_where_one_is_missing() -> None:
    assert sparkline([None, 1.0]) == ""
    assert 'd="M3.0 33.0L120.0 3.0"' in sparkline([1.0, 2.0, None])
    assert 'd="M3.0 33.0M237.0 33.0"' in sparkline([1.0, None, 1.0])
