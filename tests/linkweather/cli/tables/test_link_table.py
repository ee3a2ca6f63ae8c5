"""Links as people read them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from linkweather.cli.tables.figures import age, megabits, milliseconds, percent
from linkweather.cli.tables.link_table import links_table
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
)


def printed(*links: LinkAnswer, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(links_table(links, width))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


def test_a_link_is_one_line_with_readable_units_and_never_measured_is_a_dash() -> None:
    head, _, good, never = printed(NEVER, GOOD)
    assert head.split() == ["link", "state", "RTT", "ms", "p95", "jitter", "loss", "%", "Mbit/s", "age"]
    assert good.split() == ["a", "→", "b", "fresh", "20.4", "25.1", "4.70", "2.0", "302", "3", "s"]
    assert never.split() == ["b", "→", "a", "unknown", *["–"] * 6]


def test_the_widest_link_fits_eighty_columns_with_every_figure_whole() -> None:
    lines = printed(WIDEST)
    assert max(map(len, lines)) <= 80
    assert lines[2].split() == [
        *["sssssss…", "→", "ddddddd…"],
        *["expired", "12345", "12345", "12345", "100.0", "123456", "120", "min"],
    ]


def test_a_link_that_is_down_says_since_when_and_its_neighbours_make_room() -> None:
    down = WIDEST.model_copy(update={"state": "down", "outage_s": 7000.0})
    lines = printed(down, WIDEST.model_copy(update={"dst": "e"}))
    assert max(map(len, lines)) <= 80
    assert lines[2].split()[:5] == ["sssss…", "→", "ddddd…", "down", "117min"]
    assert lines[2].split()[5:] == lines[3].split()[4:]
    assert printed(GOOD.model_copy(update={"outage_s": 7.0})) == printed(GOOD)


def test_a_wide_terminal_shows_long_site_ids_whole() -> None:
    assert f"{'s' * 32} → {'d' * 32}" in printed(WIDEST, width=140)[2]


def test_links_are_sorted_by_source_and_destination() -> None:
    pairs = [("b", "a"), ("a", "c"), ("a", "b")]
    lines = printed(*(LinkAnswer(src=src, dst=dst) for src, dst in pairs))
    assert [line.split()[0] + line.split()[2] for line in lines[2:]] == ["ab", "ac", "ba"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (0.0, "0.000"), (0.000_087, "0.087"), (0.0094, "9.40"), (0.25, "250")]
)
def test_times_have_three_digits_of_a_millisecond(seconds: float | None, text: str) -> None:
    assert milliseconds(seconds) == text


@pytest.mark.parametrize(("bps", "text"), [(None, "–"), (5e5, "0.500"), (9.38e6, "9.38"), (9.5e8, "950")])
def test_rates_are_megabits_per_second(bps: float | None, text: str) -> None:
    assert megabits(bps) == text


@pytest.mark.parametrize(
    ("ratio", "text"), [(None, "–"), (0.0, "0.0"), (0.0001, "<0.1"), (0.015, "1.5"), (1.0, "100.0")]
)
def test_a_loss_is_never_rounded_to_none(ratio: float | None, text: str) -> None:
    assert percent(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.4, "0 s"), (119.0, "119 s"), (600.0, "10 min"), (7200.0, "2 h"), (172800.0, "2 d")],
)
def test_ages_are_in_the_largest_unit_that_says_enough(seconds: float | None, text: str) -> None:
    assert age(seconds) == text
