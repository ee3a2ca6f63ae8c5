"""SmokePing's averages as rows: counts of a step, and numbers that stay as a file grows."""

from __future__ import annotations

import pytest

from collector.migration.measurement import NotCarriedOverError, entries_of
from collector.migration.smokeping_data import Averages, archives, smokeping_source

INFO = """filename = "x.rrd"
step = 300
last_update = 1700000950
ds[loss].index = 1
rra[0].cf = "AVERAGE"
rra[0].rows = 4
rra[0].pdp_per_row = 1
rra[1].cf = "MIN"
rra[1].rows = 10
rra[1].pdp_per_row = 12
rra[2].cf = "AVERAGE"
rra[2].rows = 5
rra[2].pdp_per_row = 2
"""
FINE = Averages(300, 1, 1699999500, 1700000700)
HEAD = "  uptime  loss  median  ping1  ping2\n\n"
FETCHED = HEAD + (
    "1699999500: -nan 0 0.5 0.5 0.5\n"
    "1699999800: -nan -nan -nan -nan -nan\n"
    "1700000100: -nan 0.0 2.0e-02 1.0e-02 3.0e-02\n"
    "1700000400: -nan -nan -nan -nan -nan\n"
    "1700000700: -nan 2.0 -nan -nan -nan\n"
    "1700001000: -nan 0 0.5 0.5 0.5\n"
)


def test_each_coarser_archive_is_read_for_the_time_before_the_finer_one() -> None:
    assert archives(INFO) == [FINE, Averages(600, 2, 1699997400, 1699999200)]
    same = INFO.replace("rra[2].rows = 5", "rra[2].rows = 1")
    assert archives(same) == [FINE]


def test_a_file_without_averages_is_said() -> None:
    with pytest.raises(NotCarriedOverError, match="has no averages"):
        archives("step = 300\n")


def test_a_file_that_knows_nothing_is_said() -> None:
    source = smokeping_source("b.rrd", "a", "b", FINE, HEAD + "1700000100: -nan -nan -nan -nan -nan\n")
    assert (source.measurements, source.left_out) == ((), ("has no data in steps of 300 s",))


def test_steps_are_rows_numbered_by_their_time_and_unknown_ones_have_none() -> None:
    source = smokeping_source("b.rrd", "a", "b", FINE, FETCHED)
    entries, left_out = entries_of(source, {"a": "a", "b": "b"})
    first = 1700000100 // 300
    assert (left_out, [entry.report.seq for entry in entries]) == ([], [first, first + 1, first + 2])
    assert [len(entry.report.rows) for entry in entries] == [1, 0, 1]
    rows = [row.model_dump(exclude_defaults=True) for entry in entries for row in entry.report.rows]
    link = {"src": "a", "dst": "b", "method": "smokeping", "sent": 2, "window_s": 300.0}
    assert rows == [
        {**link, "received": 2, "rtt_p50_s": 0.02, "rtt_min_s": 0.01, "rtt_max_s": 0.03},
        link,
    ]


def test_a_file_that_grew_has_the_numbers_that_it_had() -> None:
    before = smokeping_source("b.rrd", "a", "b", FINE, FETCHED)
    later = smokeping_source("b.rrd", "a", "b", Averages(300, 1, 1700000100, 1700001000), FETCHED)
    assert later.boot == before.boot
    assert (before.first, later.first) == (1700000100 // 300, 1700000700 // 300)


def test_a_coarser_step_has_the_pings_of_all_its_steps() -> None:
    fetched = HEAD + "1699999200: nan 0.5 4.0e-02 1.0e-02 3.0e-02\n"
    ((entry,), _) = entries_of(
        smokeping_source("b.rrd", "a", "b", Averages(600, 2, 1699997400, 1699999200), fetched), {"a": "a", "b": "b"}
    )
    (row,) = entry.report.rows
    # The median of the averages lies outside of them: it is given alone.
    assert row.model_dump(include={"sent", "received", "rtt_p50_s", "rtt_min_s"}) == {
        "sent": 4,
        "received": 3,
        "rtt_p50_s": 0.04,
        "rtt_min_s": None,
    }


def test_a_file_of_another_program_and_one_of_nothing_known() -> None:
    with pytest.raises(NotCarriedOverError, match="has no loss, median and ping1"):
        smokeping_source("x.rrd", "a", "b", FINE, "  ds0\n\n")
    assert smokeping_source("x.rrd", "a", "b", FINE, HEAD).measurements == ()
