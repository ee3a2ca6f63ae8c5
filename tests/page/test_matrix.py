"""The grid: its order, its groups, its cells, and what changed in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from page.matrix import (
    NUMBERS_UP_TO,
    Matrix,
    MatrixCell,
    MatrixQuestion,
    changed_cells,
    for_browser,
    is_worse_this_way,
    matrix,
)
from page.mesh_picture import MeshPicture
from tests.page.pictures import ENGLISH, link, picture, site


def keys(grid: Matrix) -> list[str]:
    return [line.key for line in grid.rows]


def test_an_address_says_what_is_shown_and_what_is_unknown_in_it_is_the_default() -> None:
    asked = MatrixQuestion.of({"metric": "loss", "sort": "upside down", "collapse": "region", "src": "north"})
    assert asked == MatrixQuestion(metric="loss", collapse="region", src="north")
    assert asked.parameters() == {"metric": "loss", "collapse": "region", "src": "north"}
    assert asked.parameters(metric="state", dst="south") == {"collapse": "region", "src": "north", "dst": "south"}


def test_a_large_mesh_is_collapsed_unless_asked_otherwise() -> None:
    asked = MatrixQuestion()
    assert [asked.collapse_of(sites) for sites in (100, 101)] == ["none", "region"]
    assert MatrixQuestion(collapse="none").collapse_of(1000) == "none"


def test_a_cell_has_the_state_the_level_and_the_number() -> None:
    grid = matrix(picture(), MatrixQuestion(metric="rtt"))
    assert keys(grid) == ["a", "b", "c"]
    assert grid.cells[0] == (None, MatrixCell("fresh", 0, "1.00", 1), MatrixCell("unknown", None, "", 1))
    # log(10)/log(100) of eleven steps is 5.5, which is rounded to the even one.
    assert grid.cells[1][2] == MatrixCell("stale", 6, "10.0", 1)
    assert grid.cells[2] == (MatrixCell("down", 11, "100", 1), None, None)
    assert (grid.span, grid.numbers, grid.collapsed) == ((0.001, 0.1), True, False)


def test_sorting_by_a_group_marks_where_the_next_begins() -> None:
    grid = matrix(picture(), MatrixQuestion(sort="operator"))
    assert [(line.key, line.begins) for line in grid.rows] == [("a", False), ("b", True), ("c", True)]
    by_region = matrix(picture(), MatrixQuestion(sort="region"))
    assert [line.begins for line in by_region.rows] == [False, False, True]


def test_the_worst_come_first() -> None:
    # The link that is down counts for a and c; a has the unknown one as well, and b → c is stale.
    assert keys(matrix(picture(), MatrixQuestion(sort="worst"))) == ["c", "a", "b"]


def test_collapsed_a_cell_has_the_worst_state_and_the_median() -> None:
    grid = matrix(picture(), MatrixQuestion(metric="rtt", collapse="region"))
    assert [(line.key, line.sites) for line in grid.rows] == [("north", ("a", "b")), ("south", ("c",))]
    assert grid.cells[0][0] == MatrixCell("fresh", 0, "1.50", 2)
    assert grid.cells[0][1] == MatrixCell("unknown", 5, "10.0", 2)
    assert grid.cells[1][1] is None
    assert grid.collapsed


def test_a_group_can_be_looked_at_alone() -> None:
    grid = matrix(picture(), MatrixQuestion(collapse="none", src="south", dst="north"))
    assert (keys(grid), [line.key for line in grid.columns]) == (["c"], ["a", "b"])
    by_operator = matrix(picture(), MatrixQuestion(collapse="operator", src="one"))
    assert keys(by_operator) == ["one"]


def test_above_twelve_columns_there_is_no_room_for_numbers() -> None:
    sites = [site(f"s{number}") for number in range(13)]
    grid = matrix(picture().with_sites(sites, 1.0).with_links([], 1.0), MatrixQuestion())
    assert not grid.numbers
    assert grid.rows[0].key == "s0"


def test_only_what_changed_is_sent() -> None:
    before = picture()
    newer = {**before.links, ("a", "b"): link("a", "b", "down")}
    old, new = (matrix(view, MatrixQuestion()) for view in (before, replace(before, links=newer)))
    assert changed_cells(old, new) == [
        [0, 1, ["down", -1, "", 1]],
        [1, 0, ["fresh", 0, "2.00", 1]],  # no longer worse than a → b
    ]
    assert changed_cells(old, old) == []


def test_a_link_that_is_gone_leaves_its_cell_empty() -> None:
    before = picture()
    fewer = {pair: one for pair, one in before.links.items() if pair != ("a", "b")}
    assert changed_cells(*(matrix(one, MatrixQuestion()) for one in (before, replace(before, links=fewer)))) == [
        [0, 1, None],
        [1, 0, ["fresh", 0, "2.00", 1]],
    ]


@pytest.mark.parametrize("other", [MatrixQuestion(metric="loss"), MatrixQuestion(sort="worst")])
def test_another_grid_is_sent_whole(other: MatrixQuestion) -> None:
    assert changed_cells(matrix(picture(), MatrixQuestion()), matrix(picture(), other)) is None


def test_the_browser_gets_keys_words_and_packed_cells() -> None:
    sent = for_browser(matrix(picture(), MatrixQuestion(metric="loss")), ENGLISH)
    assert (sent["metric"], sent["unit"], sent["numbers"], sent["collapsed"]) == ("loss", "%", True, False)
    assert sent["rows"] == sent["columns"] == [["a", False], ["b", False], ["c", False]]
    assert sent["one_way"] == "worse this way than back"
    # b → a carries a tenth of what a → b does.
    assert sent["cells"][1] == [["fresh", 4, "3.0", 1, 1], None, ["stale", 7, "20.0", 1]]
    assert sent["states"]["down"] == "down"


@pytest.mark.parametrize(
    ("there", "back", "worse"),
    [(0.12, 0.0, True), (0.02, 0.01, True), (0.019, 0.01, False), (0.009, 0.0, False), (0.0, 0.12, False),
     (None, 0.0, False), (0.5, None, False)],
)  # fmt: skip
def test_a_link_is_worse_this_way_by_its_loss(there: float | None, back: float | None, *, worse: bool) -> None:
    assert is_worse_this_way(link("a", "b", loss_forward_ratio=there, loss_back_ratio=back), None) is worse


@pytest.mark.parametrize(
    ("there_bps", "back_bps", "worse"),
    [(4e7, 8e7, True), (5e7, 8e7, False), (8e7, 4e7, False), (None, 8e7, False), (4e7, None, False)],
)
def test_a_link_is_worse_this_way_by_its_goodput(
    there_bps: float | None, back_bps: float | None, *, worse: bool
) -> None:
    assert is_worse_this_way(link("a", "b", goodput_bps=there_bps), link("b", "a", goodput_bps=back_bps)) is worse


def test_a_group_s_cell_is_marked_where_most_of_its_links_are_worse_this_way() -> None:
    lossy = [link(src, "c", loss_forward_ratio=0.12, loss_back_ratio=0.0) for src in "ab"]
    view = picture().with_links([*lossy, link("c", "a"), link("c", "b")], 1.0)
    grid = matrix(view, MatrixQuestion(collapse="region"))
    assert [[cell and cell.one_way for cell in line] for line in grid.cells] == [[None, True], [False, None]]


def test_a_cell_of_several_links_says_how_many_are_not_well() -> None:
    grid = matrix(picture(), MatrixQuestion(collapse="region"))
    cells = {
        (row.key, column.key): cell
        for row, line in zip(grid.rows, grid.cells, strict=True)
        for column, cell in zip(grid.columns, line, strict=True)
    }
    north_south, north = cells["north", "south"], cells["north", "north"]
    assert north_south is not None
    assert (north_south.links, north_south.state, north_south.text) == (2, "unknown", "1/2")
    assert north is not None
    assert north.text == "1.50"  # the median RTT of what is all well


def test_a_figure_that_is_not_shown_and_leaves_its_colour_is_no_change() -> None:
    names = [f"s{number:02d}" for number in range(NUMBERS_UP_TO + 1)]
    many = MeshPicture().with_sites([site(name) for name in names], 1.0)
    figures = {("s00", "s01"): 0.010, ("s01", "s00"): 0.100, ("s02", "s00"): 0.001}

    def drawn(changed_s: float) -> Matrix:
        rtts_s = {**figures, ("s00", "s01"): changed_s}
        view = many.with_links([link(*pair, rtt_p50_s=rtt_s) for pair, rtt_s in rtts_s.items()], 1.0)
        return matrix(view, MatrixQuestion(metric="rtt"))

    assert changed_cells(drawn(0.0100), drawn(0.0101)) == []
    assert changed_cells(drawn(0.0100), drawn(0.0500)) == [[0, 1, ["fresh", 9, "50.0", 1]]]
