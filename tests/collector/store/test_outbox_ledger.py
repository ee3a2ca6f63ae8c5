from __future__ import annotations

from pathlib import Path

import pytest

from collector.store import outbox_ledger
from collector.store.journal import Journal
from collector.store.outbox_ledger import OutboxLedger, outbox_line
from collector.store.quarantine import Quarantine, QuarantinedMessage
from collector.store.report_keys import Range
from linkweather.containment import overflows
from linkweather.models.ledger import OutboxLine, ReportCounts
from linkweather.wire import BootCount, SplitFrom
from tests.collector.report_samples import NOON, entry, latency


def counts(line: OutboxLine) -> dict[str, int]:
    """The counts that are not zero; their sum is checked."""
    parts = line.committed + line.waiting + line.dropped + line.damaged + line.refused + line.refiled + line.gaps
    assert line.written == parts
    return {name: count for name in ReportCounts.model_fields if (count := getattr(line, name))}


def compare(ranges: list[tuple[int, int]], said: BootCount | None) -> dict[str, int]:
    keys: list[Range] = [("a", "boot", first, last) for first, last in ranges]
    return counts(outbox_line(("a", "boot"), keys, said, rows=0, refused={}))


def said(next_: int, **fields: int) -> BootCount:
    return BootCount(boot="boot", next=next_, **fields)


def test_what_is_written_and_neither_committed_nor_let_go_of_waits() -> None:
    assert compare([(0, 6)], said(10, waiting=3)) == {"written": 10, "committed": 7, "waiting": 3}


def test_what_was_dropped_and_refused_at_the_site_is_no_gap() -> None:
    stated = said(10, waiting=1, dropped=3, refused=1, refiled=1)
    expected = {"written": 10, "committed": 4, "waiting": 1, "dropped": 3, "refused": 1, "refiled": 1}
    assert compare([(4, 6), (8, 8)], stated) == expected


def test_what_was_lost_to_damage_of_the_outbox_is_no_gap() -> None:
    stated = said(10, waiting=1, damaged=2)
    assert compare([(0, 6)], stated) == {"written": 10, "committed": 7, "waiting": 1, "damaged": 2}


def test_a_report_that_the_site_was_told_is_committed_and_that_is_not_there_is_a_gap() -> None:
    assert compare([(0, 3), (5, 9)], said(10)) == {"written": 10, "committed": 9, "gaps": 1}


def test_what_was_committed_since_the_status_waits_no_longer() -> None:
    assert compare([(0, 14)], said(10, waiting=6)) == {"written": 15, "committed": 15}


def test_what_was_dropped_and_is_committed_all_the_same_counts_as_committed() -> None:
    assert compare([(0, 9)], said(10, dropped=2)) == {"written": 10, "committed": 10}


def test_numbers_missing_in_a_boot_of_which_no_status_speaks_are_gaps() -> None:
    assert compare([(100, 104), (107, 109)], None) == {"written": 10, "committed": 8, "gaps": 2}


def test_a_boot_counts_from_its_first_number_on() -> None:
    assert compare([(100, 109)], said(110, first=100)) == {"written": 10, "committed": 10}


def test_a_boot_of_which_nothing_has_come_waits() -> None:
    assert compare([], said(4, waiting=4)) == {"written": 4, "waiting": 4}


def test_rows_refusals_and_statements_are_kept_by_site_and_boot(tmp_path: Path) -> None:
    file = tmp_path / "journal.duckdb"
    journal = Journal(file)
    ledger = OutboxLedger(journal.database)
    journal.commit([entry(latency(seq, peers=("b", "c"))) for seq in (0, 1)])
    journal.commit([entry(latency(1, peers=("b", "c"))), entry(latency(3))])
    refused = QuarantinedMessage("t", b"{}", "foreign", "", NOON)
    Quarantine(journal.database).add([refused], [("a", "boot-1", "foreign"), ("a", "boot-1", "conflict")])
    ledger.said("a", [BootCount(boot="boot-1", next=5, waiting=1, refused=1)])
    (line,) = ledger.lines(journal.database.rows)
    ledger.write()
    journal.close()
    journal = Journal(file)
    assert OutboxLedger(journal.database).lines(journal.database.rows) == [line]
    assert counts(line) == {"written": 5, "committed": 3, "waiting": 1, "refused": 1, "conflicts": 1}
    assert (line.rows, line.refused_by_reason) == (5, {"foreign": 1})


@pytest.mark.parametrize("written_between", [True, False])
def test_numbers_that_an_outbox_gave_before_it_went_back_in_time_are_gaps(
    tmp_path: Path,
    written_between: bool,  # noqa: FBT001
) -> None:
    journal = Journal(tmp_path / "journal.duckdb")
    ledger = OutboxLedger(journal.database)
    journal.commit([entry(latency(seq)) for seq in (0, 1)])
    ledger.said("a", [BootCount(boot="boot-1", next=5, waiting=2, dropped=1)])
    if written_between:
        ledger.write()
    ledger.said("a", [BootCount(boot="boot-1", next=1)])
    for _ in range(2):
        (line,) = ledger.lines(journal.database.rows)
        assert counts(line) == {"written": 5, "committed": 2, "dropped": 1, "gaps": 2}
        ledger.write()


def test_parts_of_a_report_that_is_there_whole_are_committed_and_no_gap(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.duckdb")
    ledger = OutboxLedger(journal.database)
    journal.commit([entry(latency(0, peers=("b", "c")))])
    whole = SplitFrom(boot="boot-1", seq=0, parts_boot="boot-1", first=1, last=2)
    same = {"split_from": whole, "at": latency(0).at}
    parts = [entry(latency(seq).model_copy(update=same)) for seq in (1, 2)]
    for _ in range(2):
        assert journal.commit(parts) == []
    ledger.said("a", [BootCount(boot="boot-1", next=3, refiled=1)])
    (line,) = ledger.lines(journal.database.rows)
    assert counts(line) == {"written": 3, "committed": 3}
    assert line.rows == 2


def test_rows_of_a_journal_from_before_the_ledger_are_counted_once(tmp_path: Path) -> None:
    file = tmp_path / "journal.duckdb"
    journal = Journal(file)
    journal.commit([entry(latency(seq)) for seq in range(3)])
    journal.database.rows("DROP TABLE outbox_rows")
    journal.close()
    for _ in range(2):
        journal = Journal(file)
        assert journal.database.rows("FROM outbox_rows") == [("a", "boot-1", 3)]
        journal.close()


def test_refusals_beyond_the_bound_are_counted_under_no_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_ledger, "REFUSALS_KEPT", 2)
    database = Journal(tmp_path / "journal.duckdb").database
    for number in range(5):
        with database.transaction() as connection:
            outbox_ledger.count_refusals(connection, [("a", f"boot-{number}", "foreign")])
    kept = database.rows("FROM boot_refusals ORDER BY boot")
    assert kept == [("a", "", "foreign", 3), ("a", "boot-0", "foreign", 1), ("a", "boot-1", "foreign", 1)]


def test_parts_that_an_earlier_version_noted_are_committed(tmp_path: Path) -> None:
    file = tmp_path / "journal.duckdb"
    journal = Journal(file)
    journal.commit([entry(latency(0))])
    journal.database.rows("CREATE TABLE parts_of_wholes AS SELECT 'a' AS site, 'boot-1' AS boot, 1::BIGINT AS seq")
    journal.close()
    for _ in range(2):
        journal = Journal(file)
        assert counts(OutboxLedger(journal.database).lines(journal.database.rows)[0]) == {"written": 2, "committed": 2}
        journal.close()


def test_of_a_sites_boots_those_that_are_not_at_rest_and_the_newest_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_ledger, "KEPT_BOOTS", 3)
    journal = Journal(tmp_path / "journal.duckdb")
    ledger = OutboxLedger(journal.database)
    before = overflows().get("ledger boots", 0)
    ledger.said("b", [BootCount(boot="boot-0", next=1, waiting=1)])
    for number in range(6):
        ledger.said("a", [BootCount(boot=f"boot-{number}", next=1, waiting=int(number == 1))])
        ledger.write()
    kept = [(line.site, line.boot) for line in ledger.lines(journal.database.rows)]
    assert kept == [("a", "boot-1"), ("a", "boot-4"), ("a", "boot-5"), ("b", "boot-0")]
    assert overflows()["ledger boots"] == before + 3


def test_boots_that_are_said_and_not_written_yet_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_ledger, "UNWRITTEN_BOOTS", 2)
    journal = Journal(tmp_path / "journal.duckdb")
    ledger = OutboxLedger(journal.database)
    before = overflows().get("ledger boots", 0)
    for next_ in (1, 2):
        ledger.said("a", [BootCount(boot=f"boot-{number}", next=next_) for number in range(5)])
    assert {count.next for count in ledger._said.values()} == {2}
    assert len(ledger._said) == 2
    assert overflows()["ledger boots"] == before + 6
