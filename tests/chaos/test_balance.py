"""The balance names every way in which the three records can differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.chaos.balance import (
    ArchiveRecord,
    Checksum,
    Column,
    JournalRecord,
    Key,
    OutboxRecord,
    Point,
    WrittenReport,
    balance,
)

KEYS: list[Key] = [("a", "boot", seq) for seq in range(3)]
POINTS: list[Point] = [("latency", "a", "b", "stamp", 1_000_000 + seq) for seq in range(3)]
SENT: Column = ("latency", "a", "b", "stamp", "sent")
SUMS: Mapping[Column, Checksum] = {SENT: (3, 30.0)}
OUTBOX = OutboxRecord(
    "a", {key: WrittenReport(point[-1], 1) for key, point in zip(KEYS, POINTS, strict=True)}, 0, 0, 0, limited=False
)
JOURNAL = JournalRecord(Counter(KEYS), list(zip(POINTS, KEYS, strict=True)), Counter(), SUMS)
ARCHIVE = ArchiveRecord(Counter(POINTS), SUMS)
# The last report is in neither the journal nor InfluxDB.
WITHOUT_LAST = (
    replace(JOURNAL, received=Counter(KEYS[:2]), rows=JOURNAL.rows[:2]),
    replace(ARCHIVE, points=Counter(POINTS[:2])),
)


def test_equal_records_balance() -> None:
    found = balance([OUTBOX], JOURNAL, ARCHIVE)
    assert found.differences == []
    (line,) = found.lines
    assert (line.written, line.committed, line.rows, line.in_influx) == (3, 3, 3, 3)


def test_the_table_has_a_line_an_outbox() -> None:
    names, line = balance([OUTBOX], JOURNAL, ARCHIVE).table()
    assert names.split()[:4] == ["site", "boot", "written", "committed"]
    assert line.split() == ["a", "boot", "3", "3", "0", "0", "0", "3", "3", "0", "0", "0", "0"]


def test_a_report_that_is_nowhere_is_missing() -> None:
    journal, archive = WITHOUT_LAST
    found = balance([OUTBOX], journal, archive)
    assert found.differences == ["1 reports of a missing in the journal: ('a', 'boot', 2)"]
    assert found.lines[0].missing == 1


@pytest.mark.parametrize(("limited", "dropped", "missing"), [(True, 1, 0), (True, 0, 1), (False, 1, 1)])
def test_only_an_operator_s_limit_excuses_what_is_missing(limited: bool, dropped: int, missing: int) -> None:  # noqa: FBT001
    journal, archive = WITHOUT_LAST
    found = balance([replace(OUTBOX, limited=limited, dropped=dropped)], journal, archive)
    assert found.lines[0].missing == len(found.differences) == missing


def test_a_key_received_twice_is_named() -> None:
    found = balance([OUTBOX], replace(JOURNAL, received=Counter([*KEYS, KEYS[0]])), ARCHIVE)
    assert found.differences == ["1 reports of a twice in the journal: ('a', 'boot', 0)"]


def test_rows_that_are_there_twice_are_named() -> None:
    rows = [*JOURNAL.rows, (POINTS[1], KEYS[1])]
    found = balance([OUTBOX], replace(JOURNAL, rows=rows), replace(ARCHIVE, points=Counter([*POINTS, POINTS[1]])))
    assert found.differences == ["1 reports of a twice in the journal: ('a', 'boot', 1)"]


def test_a_report_with_another_time_or_fewer_rows_is_altered() -> None:
    written = {**OUTBOX.written, KEYS[0]: WrittenReport(999, 1), KEYS[1]: WrittenReport(POINTS[1][-1], 2)}
    found = balance([replace(OUTBOX, written=written)], JOURNAL, ARCHIVE)
    assert found.differences == ["2 reports of a not as they were written: ('a', 'boot', 0), ('a', 'boot', 1)"]


def test_a_report_that_no_outbox_was_given_is_named() -> None:
    written = {key: report for key, report in OUTBOX.written.items() if key != KEYS[2]}
    found = balance([replace(OUTBOX, written=written)], JOURNAL, ARCHIVE)
    assert found.differences == ["1 reports in the journal that no outbox was given: ('a', 'boot', 2)"]


def test_rows_without_a_received_key_are_named() -> None:
    found = balance([OUTBOX], replace(JOURNAL, received=Counter(KEYS[:2])), ARCHIVE)
    assert "1 reports with rows that are not in `received`: ('a', 'boot', 2)" in found.differences


def test_what_waits_or_is_refused_does_not_balance() -> None:
    found = balance([replace(OUTBOX, waiting=2, refused=1)], JOURNAL, ARCHIVE)
    assert found.differences == ["2 reports of a wait still", "1 reports of a are refused"]


def test_a_point_that_influxdb_merged_or_never_got_is_named() -> None:
    found = balance([OUTBOX], JOURNAL, replace(ARCHIVE, points=Counter(POINTS[:2])))
    assert found.differences == ["1 points not in InfluxDB: ('latency', 'a', 'b', 'stamp', 1000002)"]


def test_a_point_that_only_influxdb_has_is_named() -> None:
    found = balance([OUTBOX], JOURNAL, replace(ARCHIVE, points=Counter([*POINTS, ("latency", "x", "y", "stamp", 1)])))
    assert found.differences == ["1 points in InfluxDB only: ('latency', 'x', 'y', 'stamp', 1)"]


def test_a_point_set_aside_is_not_expected_in_influxdb() -> None:
    journal = replace(JOURNAL, set_aside=Counter(POINTS[2:]))
    found = balance([OUTBOX], journal, replace(ARCHIVE, points=Counter(POINTS[:2]), checksums={SENT: (2, 20.0)}))
    assert found.differences == []
    assert found.lines[0].set_aside == 1


def test_a_value_that_differs_in_influxdb_is_named() -> None:
    found = balance([OUTBOX], JOURNAL, replace(ARCHIVE, checksums={SENT: (3, 31.0)}))
    assert found.differences == ["1 checksums of a field that differ: ('latency', 'a', 'b', 'stamp', 'sent')"]


def test_no_more_than_the_first_differing_keys_are_named() -> None:
    journal = replace(JOURNAL, received=Counter[Key](), rows=[])
    written = {("a", "boot", seq): WrittenReport(seq, 1) for seq in range(7)}
    found = balance([replace(OUTBOX, written=written)], replace(journal, checksums={}), ArchiveRecord(Counter(), {}))
    (difference,) = found.differences
    assert difference.startswith("7 reports of a missing")
    assert difference.endswith("('a', 'boot', 4) and 2 more")
