"""The map: sites by their coordinates, links by state and goodput."""

from __future__ import annotations

from typing import Any

import pytest

from page import map_chart
from page.chart_parts import LIGHT
from page.link_metrics import LINK_FORMS
from page.mesh_picture import MeshPicture
from tests.page.pictures import ENGLISH, link, picture, routes, site


def drawn(view: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    options = map_chart.map_chart(view, LIGHT, ENGLISH)
    assert options is not None
    lines, _, sites = options["series"]
    return lines["data"], sites["data"]


def test_without_coordinates_there_is_no_map() -> None:
    view = picture().with_sites([site("a"), site("b", latitude=1.0), site("c", longitude=1.0)], 1.0)
    assert map_chart.map_chart(view, LIGHT, ENGLISH) is None


def test_links_between_placed_sites_are_drawn_and_no_others() -> None:
    lines, sites = drawn(picture())
    assert [one["name"] for one in lines] == ["a → b", "b → a"]
    assert lines[0]["coords"] == [(0.0, 0.0), (1.0, 0.0)]
    assert lines[0]["tooltip"]["formatter"] == "a → b: fresh<br>1.00 ms, 0.0 %, 1.00 Gbit/s"
    assert [(one["name"], one["value"], one["symbol"]) for one in sites] == [
        ("a", (0.0, 0.0), "circle"), ("b", (1.0, 0.0), "circle"),
    ]  # fmt: skip
    assert sites[0]["tooltip"]["formatter"] == "a: north, one, down"


def _legs(view: MeshPicture) -> list[dict[str, Any]]:
    options = map_chart.map_chart(view, LIGHT, ENGLISH)
    assert options is not None
    legs: list[dict[str, Any]] = options["series"][1]["data"]
    return legs


def test_the_legs_of_a_path_through_a_relay_are_drawn_with_whose_traffic_takes_them() -> None:
    view = picture().with_sites([site(name, latitude=0.0, longitude=1.0) for name in "abc"], 1.0)
    by_goodput = view.with_routes(routes("c", objective="goodput", goodput_p50_bps=1e8))
    none, legs = (_legs(one) for one in (by_goodput, by_goodput.with_routes(routes("c"))))
    assert none == []
    assert [(one["name"], one["tooltip"]["formatter"]) for one in legs] == [
        ("a → c", "traffic a → b goes through c"), ("c → b", "traffic a → b goes through c"),
    ]  # fmt: skip


def test_a_leg_to_a_site_without_coordinates_and_a_direct_path_have_none() -> None:
    assert [_legs(picture().with_routes(found)) for found in (routes("c"), routes())] == [[], []]


def test_a_site_that_is_offline_has_another_form() -> None:
    sites = drawn(picture().with_sites([site("a", state="offline", latitude=0.0, longitude=0.0)], 1.0))[1]
    assert sites[0]["symbol"] == "emptyRect"


@pytest.mark.parametrize(
    ("goodput_bps", "width"), [(None, 1.0), (0.0, 1.0), (1e6, 1.0), (1e7, 1.0), (1e10, 6.0), (1e11, 6.0)]
)
def test_a_line_is_wider_by_the_logarithm_of_the_goodput(goodput_bps: float | None, width: float) -> None:
    lines, _ = drawn(picture().with_links([link("a", "b", goodput_bps=goodput_bps)], 1.0))
    assert lines[0]["lineStyle"]["width"] == width


def test_each_state_has_a_line_of_its_own() -> None:
    assert set(map_chart.LINES) == set(LINK_FORMS)
    assert len({str(line) for line in map_chart.LINES.values()}) == len(LINK_FORMS)


def test_of_a_large_mesh_only_what_is_not_fresh_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_chart, "MOST_LINES", 1)
    lines, _ = drawn(picture().with_links([link("a", "b"), link("b", "a", "degraded")], 1.0))
    assert [one["name"] for one in lines] == ["b → a"]
