"""Which links a terminal shows, in which order, and what is wrong in words."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from linkweather.cli.link_views import ORDERS, grid, notes, wrong_first
from linkweather.errors import OperatorError
from linkweather.models.state import LinkAnswer

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def _link(pair: str, state: Any = "fresh", **fields: Any) -> LinkAnswer:
    return LinkAnswer(src=pair[0], dst=pair[1], state=state, **fields)


def _names(links: Any) -> list[str]:
    return [f"{link.src}{link.dst}" for link in links]


FRESH = [_link(src + dst) for src in "cab" for dst in "abc" if src != dst]


def test_links_that_fit_are_one_page_the_worst_first() -> None:
    shown, which = wrong_first([*FRESH[:-1], _link("bc", "stale")], rows=6, turn=3)
    assert (_names(shown), which) == (["bc", "ab", "ac", "ba", "ca", "cb"], "")


def test_links_that_do_not_fit_turn_their_pages() -> None:
    turns = [wrong_first(FRESH, rows=4, turn=turn) for turn in range(3)]
    assert _names(turns[1][0]) == ["ca", "cb"]
    assert turns[1][1] == "links 5–6 of 6; a longer terminal shows more at once"
    assert turns[2] == turns[0]


def test_what_is_wrong_stays_while_the_rest_turns() -> None:
    links = [_link("xa", "down"), _link("xb", "degraded"), *FRESH]
    turns = [wrong_first(links, rows=5, turn=turn) for turn in range(3)]
    assert _names(turns[0][0]) == ["xa", "xb", "ab", "ac", "ba"]
    assert _names(turns[1][0]) == ["xa", "xb", "bc", "ca", "cb"]
    assert turns[1][1].startswith("links 6–8 of 8;")
    assert turns[2] == turns[0]


def test_more_that_is_wrong_than_fits_turns_alone() -> None:
    links = [*FRESH, *(_link(f"x{name}", "down") for name in "abc")]
    turns = [wrong_first(links, rows=2, turn=turn) for turn in range(2)]
    assert [_names(shown) for shown, _ in turns] == [["xa", "xb"], ["xc"]]
    assert turns[1][1].startswith("links not fresh 3–3 of 3;")


def test_links_are_sorted_by_a_figure_the_worst_first_and_those_without_last() -> None:
    links = [_link("ab"), _link("ac", loss_ratio=0.1, goodput_bps=5.0), _link("ad", loss_ratio=0.2, goodput_bps=9.0)]
    assert _names(sorted(links, key=ORDERS["loss"])) == ["ad", "ac", "ab"]
    assert _names(sorted(links, key=ORDERS["goodput"])) == ["ac", "ad", "ab"]
    assert _names(sorted(links, key=ORDERS["name"])) == ["ab", "ac", "ad"]


def test_a_note_says_what_is_wrong_for_how_long_and_where_the_traffic_goes() -> None:
    since = datetime(2026, 1, 31, 11, 56, tzinfo=UTC)
    links = [
        _link("ab", "degraded", reason="loses 12.0 %", since=since, traffic="relayed", traffic_relays=("c",)),
        _link("ac", "down", reason="no reply", traffic="none"),
        _link("ad", "degraded", reason="takes 300 ms", traffic="direct"),
        _link("ae"),
    ]
    assert notes(links, 10, NOON) == [
        "a → c: no reply; no path is usable",
        "a → b: loses 12.0 %, for 4 min; traffic goes through c",
        "a → d: takes 300 ms",
    ]


def test_what_explains_several_links_is_said_once() -> None:
    links = [_link(f"x{name}", "stale", reason="x is offline: it was stopped") for name in "abc"]
    assert notes(links, 10) == ["x is offline: it was stopped (3 links)"]


def test_notes_have_a_bound() -> None:
    links = [_link(f"x{name}", "down", reason=f"reason {name}") for name in "abcde"]
    assert notes(links, 3) == [
        "x → a: reason a",
        "x → b: reason b",
        "… and 3 further reasons: --state or --from shows some, --json all",
    ]


def _lines(links: list[LinkAnswer], width: int) -> list[str]:
    return grid(links, width).plain.splitlines()


def test_a_grid_of_few_sites_has_rtts_with_the_sign_of_the_state() -> None:
    links = [_link("ab", rtt_p50_s=0.0267), _link("ba", "degraded", rtt_p50_s=0.3), _link("ca", "down", rtt_p50_s=0.1)]
    assert [line.split() for line in _lines(links, 80)[:4]] == [
        ["a", "b", "c"],
        ["1", "a", "26.7"],
        ["2", "b", "▒300"],
        ["3", "c", "X"],
    ]


def test_a_grid_of_twenty_sites_fits_eighty_columns() -> None:
    sites = [f"frankfurt-{number}" for number in range(20)]
    states = itertools.cycle(["fresh", "degraded", "stale", "expired", "down", "unknown"])
    links = [
        LinkAnswer(src=src, dst=dst, state=next(states), rtt_p50_s=0.1)  # type: ignore[arg-type]
        for src, dst in itertools.permutations(sites, 2)
    ]
    *rows, how, legend = _lines(links, 80)
    assert how == "rows send, columns receive"
    assert len(rows) == 21
    assert max(map(len, rows)) <= 80
    assert rows[0].split() == [str(number) for number in range(1, 21)]
    assert rows[1].split()[:3] == ["1", "frankfurt", "·"]
    assert set("·▒~-X?") <= set("".join(rows))
    assert all(f"{sign} {name}" in legend for sign, name in (("▒", "degraded"), ("X", "down"), ("?", "unknown")))


def test_a_grid_of_sixty_sites_has_a_column_each_and_more_than_fit_are_refused() -> None:
    links = [LinkAnswer(src=f"s{one}", dst=f"s{one + 1}", state="fresh") for one in range(59)]
    assert max(map(len, _lines(links, 80)[:-2])) <= 80
    with pytest.raises(OperatorError, match="a grid of 60 sites needs 68 columns, and there are 67"):
        grid(links, 67)


def test_the_signs_of_the_grid_are_coloured() -> None:
    styles = {str(span.style) for span in grid([_link("ab", "down"), _link("ba")], 80).spans}
    assert {"bold red", "green"} <= styles
