"""The balance names every way in which the records can differ, and in which the product's ledger can be wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from linkweather.models.ledger import LedgerAnswer, OutboxLine, ReportCounts, SinkLine
from tests.chaos.balance import Balance, JournalRecord, Key, OutboxRecord, Point, WrittenReport, balance

KEYS: list[Key] = [("a", "boot", seq) for seq in range(3)]
POINTS: list[Point] = [("latency", "a", "b", "stamp", 77, 1_000_000 + seq) for seq in range(3)]
OUTBOX = OutboxRecord(
    "a",
    {key: WrittenReport(point[-1], 1) for key, point in zip(KEYS, POINTS, strict=True)},
    frozenset(),
    0,
    0,
    may_drop=False,
)
JOURNAL = JournalRecord(Counter(KEYS), list(zip(POINTS, KEYS, strict=True)), Counter())
ARCHIVE = Counter(POINTS)
# The last report is in neither the journal nor InfluxDB.
WITHOUT_LAST = replace(JOURNAL, received=Counter(KEYS[:2]), rows=JOURNAL.rows[:2]), Counter(POINTS[:2])


def ledger(
    rows: int = 3, *, sink: Mapping[str, int] | None = None, balanced: bool = True, **counts: int
) -> LedgerAnswer:
    """What the product says: one outbox, whose reports are committed but for `counts`, and one sink."""
    total = ReportCounts(**{"written": 3, "committed": 3 - sum(counts.values()), **counts})
    line = SinkLine(
        sink="influx",
        committed_rows=rows,
        exported_rows=rows,
        waiting_rows=0,
        set_aside_rows=0,
        dropped_rows=0,
        missed_rows=0,
        unexplained_rows=0,
    )
    return LedgerAnswer(
        at=datetime.now(UTC),
        total=total,
        outboxes=(OutboxLine.model_validate({**dict(total), "site": "a", "boot": "boot", "rows": rows}),),
        sinks=(line.model_copy(update=dict(sink or {})),),
        balanced=balanced,
        why="what the product says",
    )


def compared(
    outbox: OutboxRecord = OUTBOX,
    journal: JournalRecord = JOURNAL,
    archive: Collection[Point] = POINTS,
    said: LedgerAnswer | None = None,
) -> Balance:
    return balance([outbox], journal, Counter(archive), said or ledger())


def test_equal_records_balance() -> None:
    found = compared()
    assert found.differences == []
    (line,) = found.lines
    assert (line.written, line.committed, line.rows, line.in_influx) == (3, 3, 3, 3)


def test_the_table_has_a_line_an_outbox_and_ends_with_the_ledger() -> None:
    names, line, last = compared().table()
    assert names.split()[:4] == ["site", "boot", "written", "committed"]
    assert line.split() == ["a", "boot", "3", "3", "0", "0", "0", "3", "3", *["0"] * 7]
    assert last == "ledger: what the product says"


def test_a_report_that_is_nowhere_is_missing_also_where_the_ledger_calls_it_dropped() -> None:
    journal, archive = WITHOUT_LAST
    found = compared(journal=journal, archive=archive, said=ledger(2, dropped=1))
    assert found.differences == ["1 reports of a missing in the journal: ('a', 'boot', 2)"]
    assert found.lines[0].missing == 1


@pytest.mark.parametrize(("may_drop", "dropped", "missing"), [(True, 1, 0), (True, 0, 1), (False, 1, 1)])
def test_only_an_operator_s_limit_excuses_what_is_missing(may_drop: bool, dropped: int, missing: int) -> None:  # noqa: FBT001
    journal, archive = WITHOUT_LAST
    outbox = replace(OUTBOX, may_drop=may_drop, dropped=dropped)
    found = compared(outbox, journal, archive, ledger(2, dropped=1))
    assert found.lines[0].missing == len(found.differences) == missing


def test_what_the_run_itself_destroyed_is_not_missing() -> None:
    journal, archive = WITHOUT_LAST
    outbox = replace(OUTBOX, destroyed=frozenset(KEYS[2:]))
    for said in (ledger(2, gaps=1, balanced=False), ledger(2, dropped=0).model_copy()):
        line = said.outboxes[0].model_copy(update={"committed": 2})
        found = compared(outbox, journal, archive, said.model_copy(update={"outboxes": (line,)}))
        assert found.differences == []
        assert (found.lines[0].destroyed, found.lines[0].missing) == (1, 0)


@pytest.mark.parametrize(("gaps", "missing"), [(1, 0), (0, 1)])
def test_of_a_damaged_journal_the_ledger_counts_what_is_missing(gaps: int, missing: int) -> None:
    journal, _ = WITHOUT_LAST
    said = ledger(2, gaps=gaps, balanced=not gaps)
    found = compared(journal=replace(journal, damaged=True), said=said)
    assert (found.lines[0].named, found.lines[0].missing) == (gaps, missing)
    assert bool(found.differences) == bool(missing)


def test_a_key_received_twice_is_named() -> None:
    found = compared(journal=replace(JOURNAL, received=Counter([*KEYS, KEYS[0]])))
    assert found.differences == ["1 reports of a twice in the journal: ('a', 'boot', 0)"]


def test_rows_that_are_there_twice_are_named() -> None:
    rows = [*JOURNAL.rows, (POINTS[1], KEYS[1])]
    found = compared(journal=replace(JOURNAL, rows=rows), archive=[*POINTS, POINTS[1]], said=ledger(4))
    assert found.differences == ["1 reports of a twice in the journal: ('a', 'boot', 1)"]


def test_a_report_with_another_time_or_fewer_rows_is_altered() -> None:
    written = {**OUTBOX.written, KEYS[0]: WrittenReport(999, 1), KEYS[1]: WrittenReport(POINTS[1][-1], 2)}
    found = compared(replace(OUTBOX, written=written))
    assert found.differences == ["2 reports of a not as they were written: ('a', 'boot', 0), ('a', 'boot', 1)"]


def test_a_report_that_no_outbox_was_given_is_named() -> None:
    written = {key: report for key, report in OUTBOX.written.items() if key != KEYS[2]}
    found = compared(replace(OUTBOX, written=written))
    assert "1 reports in the journal that no outbox was given: ('a', 'boot', 2)" in found.differences


def test_rows_without_a_received_key_are_named() -> None:
    found = compared(journal=replace(JOURNAL, received=Counter(KEYS[:2])))
    assert "1 reports with rows that are not in `received`: ('a', 'boot', 2)" in found.differences


def test_what_waits_or_is_refused_does_not_balance() -> None:
    found = compared(replace(OUTBOX, waiting=frozenset(KEYS[:2]), refused=1))
    assert found.differences == [
        "2 reports of a wait still: ('a', 'boot', 0), ('a', 'boot', 1)",
        "1 reports of a are refused",
    ]


def test_a_point_that_influxdb_merged_or_never_got_is_named() -> None:
    found = compared(archive=POINTS[:2])
    assert found.differences == [
        "1 points not in InfluxDB as they are in the journal: ('latency', 'a', 'b', 'stamp', 77, 1000002)"
    ]


def test_a_point_that_only_influxdb_has_is_named() -> None:
    found = compared(archive=[*POINTS, ("latency", "x", "y", "stamp", 7, 1)])
    assert found.differences == ["1 points in InfluxDB only: ('latency', 'x', 'y', 'stamp', 7, 1)"]


def test_a_point_whose_content_differs_in_influxdb_is_named() -> None:
    found = compared(archive=[*POINTS[:2], (*POINTS[2][:4], 78, POINTS[2][5])])
    assert [text.partition(":")[0] for text in found.differences] == [
        "1 points not in InfluxDB as they are in the journal",
        "1 points in InfluxDB only",
    ]


def test_a_point_set_aside_is_not_expected_in_influxdb_and_counted_by_the_ledger() -> None:
    journal = replace(JOURNAL, set_aside=Counter(POINTS[2:]))
    said = ledger(sink={"set_aside_rows": 1, "exported_rows": 2})
    found = compared(journal=journal, archive=POINTS[:2], said=said)
    assert found.differences == []
    assert found.lines[0].set_aside == 1


@pytest.mark.parametrize(
    ("said", "difference"),
    [
        (ledger(waiting=1), "the ledger has 1 reports waiting and 0 missing"),
        (ledger(gaps=1, balanced=False), "the ledger has 0 reports waiting and 1 missing"),
        (ledger(gaps=1), "the ledger is not balanced: what the product says"),
        (ledger(balanced=False), "the ledger is not balanced: what the product says"),
        (ledger(dropped=1), "the ledger says of a/boot: "),
        (ledger(rows=2), "the ledger says of a/boot: "),
        (ledger(sink={"unexplained_rows": 1}), "the ledger has rows that are not exported: "),
        (ledger(sink={"exported_rows": 2}), "the ledger has 2 rows exported, of 3"),
        (ledger().model_copy(update={"sinks": ()}), "the ledger has no sink"),
        (ledger().model_copy(update={"outboxes": ()}), "the ledger says of a/boot: "),
    ],
)
def test_a_ledger_that_says_otherwise_is_named(said: LedgerAnswer, difference: str) -> None:
    assert any(text.startswith(difference) for text in compared(said=said).differences)


def test_no_more_than_the_first_differing_keys_are_named() -> None:
    written = {("a", "boot", seq): WrittenReport(seq, 1) for seq in range(7)}
    found = compared(replace(OUTBOX, written=written), JournalRecord(Counter(), [], Counter()), [], ledger())
    difference = found.differences[1]
    assert difference.startswith("7 reports of a missing")
    assert difference.endswith("('a', 'boot', 4) and 2 more")
