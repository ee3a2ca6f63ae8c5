"""Plots out of characters, against what they must look like."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from probes.adhoc.plots import Bin, distribution, histogram, over_time, sparkline


def test_bins_have_round_edges_and_an_edge_belongs_to_the_bin_above() -> None:
    bins = histogram([0.010, 0.011, 0.0149, 0.015, 0.020], rows=2)
    assert bins == [Bin(0.01, 0.015, 3), Bin(0.015, 0.02, 1), Bin(0.02, 0.025, 1)]


def test_a_straggler_does_not_squeeze_the_others_into_one_bin() -> None:
    # p95 is the 19th of 20, 0.018; the body reaches to 2 · 0.018 − 0.000 = 0.036; 2 s is far beyond.
    bins = histogram([n / 1000 for n in range(19)] + [2.0], rows=4)
    assert [each.count for each in bins] == [10, 9, 0, 0, 1]
    assert bins[-1] == Bin(0.04, None, 1)


def test_equal_values_make_one_bin() -> None:
    assert [each.count for each in histogram([5e-5] * 3)] == [3]
    assert [each.count for each in histogram([0.0] * 3)] == [3]


def test_without_values_there_is_nothing_to_plot() -> None:
    assert (histogram([]), distribution([]), over_time([], 0.1), sparkline([])) == ([], [], [], "")


@given(st.lists(st.floats(1e-7, 100), min_size=1, max_size=200))
def test_every_value_is_in_exactly_one_of_a_few_bins(values: list[float]) -> None:
    bins = histogram(values)
    assert sum(each.count for each in bins) == len(values)
    assert len(bins) <= 13
    assert all(len(line) <= 60 for line in distribution(values, width=60))


def test_a_distribution_labels_its_edges_and_counts() -> None:
    # 34 columns: 12 of labels, 3 of frame, 1 of counts leave 18; a quarter of them is four blocks and a half.
    assert distribution([0.0102, 0.0104, 0.0106, 0.0117, 0.1], width=34, rows=2) == [
        "   0 – 50 ms │██████████████████ 4",
        " 50 – 100 ms │",
        "100 – 150 ms │████▌ 1",
    ]


def test_a_small_count_beside_a_large_one_is_still_seen() -> None:
    lines = distribution([0.001] * 999 + [0.002], width=40, rows=1)
    assert lines[-1].endswith("│▏ 1")


def test_rates_over_time_stand_on_zero_and_fill_two_columns_where_there_is_room() -> None:
    assert over_time([0, 2.5e6, 5e6, 10e6], 0.1, width=30) == [
        "10.0 Mbit/s ┤      ██",
        "            ┤      ██",
        "       5.00 ┤    ████",
        "            ┤  ██████",
        "          0 └────────",
        "             0  0.4 s",
    ]


def test_more_rates_than_columns_are_averaged() -> None:
    # 17 columns for 40 values: means of three, 5/3 and 7/3 in turn, the last of one alone.
    lines = over_time([1e6, 3e6] * 20, 0.1, width=30)
    assert lines[0] == "3.00 Mbit/s ┤ ▁ ▁ ▁ ▁ ▁ ▁ █"
    assert lines[-1] == "             0          4 s"


def test_a_test_without_a_single_byte_is_plotted_flat() -> None:
    assert over_time([0.0, 0.0], 0.1, width=30)[0] == "1.00 bit/s ┤"


def test_a_sparkline_marks_losses_and_scales_to_what_it_shows() -> None:
    # 23.5 ms lies 35 % up between 20 and 30: 1 + 7 · 0.35 rounds to the third block.
    assert sparkline([0.020, 0.030, None, 0.0235]) == "▁█×▃"
    assert sparkline([None]) == "×"


def test_a_sparkline_of_a_steady_path_is_flat() -> None:
    assert sparkline([0.0200, 0.0201]) == "▁▁"
