"""Links as people read them."""

from __future__ import annotations

import io

from rich.console import Console

from linkweather.cli.tables import links_table
from linkweather.models.state import LinkAnswer

NEVER = LinkAnswer(src="b", dst="a")
GOOD = LinkAnswer(
    src="a",
    dst="b",
    state="fresh",
    age_s=3.2,
    rtt_p50_s=0.0204,
    rtt_p95_s=0.0251,
    jitter_s=0.0047,
    loss_ratio=0.02,
    goodput_bps=302_400_000.0,
    next_test_in_s=75.0,
    next_test_reason="scheduled",
)
WIDEST = LinkAnswer(
    src="s" * 32,
    dst="d" * 32,
    state="expired",
    age_s=7199.0,
    rtt_p50_s=12.345,
    rtt_p95_s=12.345,
    jitter_s=12.345,
    loss_ratio=1.0,
    goodput_bps=123_456_000_000.0,
    next_test_in_s=7199.0,
)


def printed(*links: LinkAnswer, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(links_table(links, width))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


def test_a_link_is_one_line_with_readable_units_and_never_measured_is_a_dash() -> None:
    head, _, good, never = printed(NEVER, GOOD)
    assert head.split() == ["link", "state", "RTT", "ms", "p95", "jitter", "loss", "%", "Mbit/s", "age", "test"]
    assert good.split() == ["a", "→", "b", "fresh", "20.4", "25.1", "4.70", "2.0", "302", "3", "s", "75", "s"]
    assert never.split() == ["b", "→", "a", "unknown", *["–"] * 7]


def test_the_widest_link_fits_eighty_columns_with_every_figure_whole() -> None:
    lines = printed(WIDEST)
    assert max(map(len, lines)) <= 80
    assert lines[2].split() == [
        *["sss…", "→", "ddd…"],
        *["expired", "12345", "12345", "12345", "100.0", "123456", "120", "min", "120", "min"],
    ]


def test_a_link_that_is_down_says_since_when_and_its_neighbours_make_room() -> None:
    down = WIDEST.model_copy(update={"state": "down", "outage_s": 7000.0})
    lines = printed(down, WIDEST.model_copy(update={"dst": "e"}))
    assert max(map(len, lines)) <= 80
    assert lines[2].split()[:5] == ["s…", "→", "d…", "down", "117min"]
    assert lines[2].split()[5:] == lines[3].split()[4:]
    assert printed(GOOD.model_copy(update={"outage_s": 7.0})) == printed(GOOD)


def test_figures_leave_the_room_that_they_do_not_take_to_the_names() -> None:
    link = GOOD.model_copy(update={"src": "frankfurt", "dst": "sao-paulo"})
    (line,) = printed(link)[2:]
    assert line.split()[:4] == ["frankfurt", "→", "sao-paulo", "fresh"]
    assert len(line) <= 80


def test_a_wide_terminal_says_why_the_next_test_takes_place_and_what_it_waits_for() -> None:
    waiting = GOOD.model_copy(update={"next_test_reason": "first", "next_test_waits_for": "budget"})
    off = NEVER.model_copy(update={"next_test_waits_for": "disabled"})
    worth = GOOD.model_copy(update={"next_test_reason": "scheduled", "next_test_rounds": 0.254})
    assert printed(worth, width=100)[2].split()[-3:] == ["every", "0.25", "rounds"]
    head, _, first, second = printed(waiting, off, width=100)
    assert head.split()[-2:] == ["test", "why"]
    assert first.split()[-4:] == ["75", "s", "first,", "budget"]
    assert second.split()[-2:] == ["off", "disabled"]
    assert printed(off)[2].split()[-1] == "off"
    assert printed(waiting)[2].split()[-1] == "budget"


def test_a_wide_terminal_says_how_old_the_goodput_is() -> None:
    link = GOOD.model_copy(update={"goodput_age_s": 180.0})
    assert "302, 3 min ago" in printed(link, width=100)[2]
    assert "ago" not in printed(link)[2]
    assert "ago" not in printed(GOOD, width=100)[2]


def test_a_wide_terminal_shows_long_site_ids_whole() -> None:
    assert f"{'s' * 32} → {'d' * 32}" in printed(WIDEST, width=140)[2]


def test_links_are_sorted_by_source_and_destination() -> None:
    pairs = [("b", "a"), ("a", "c"), ("a", "b")]
    lines = printed(*(LinkAnswer(src=src, dst=dst) for src, dst in pairs))
    assert [line.split()[0] + line.split()[2] for line in lines[2:]] == ["ab", "ac", "ba"]
