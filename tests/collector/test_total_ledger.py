from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.sinks.backlog import Backlog
from collector.store.journal import Journal
from collector.total_ledger import Ledger
from linkweather.sink import RowRefusal
from linkweather.wire import BootCount, Status
from tests.collector.report_samples import NOON, entry, latency, path, pruned


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.duckdb", keep_days=1)


def ledger_of(journal: Journal, *sinks: str) -> Ledger:
    return Ledger(journal, sinks, now=lambda: NOON)


def status(next_: int, **counts: int) -> Status:
    return Status(state="online", boots=(BootCount(boot="boot-1", next=next_, **counts),))


def export(backlog: Backlog, kind: str, limit: int, *refusals: RowRefusal) -> None:
    batch = backlog.next(kind, limit)
    assert batch is not None
    backlog.advance(batch, refusals, NOON)


def test_every_report_and_row_is_explained_in_one_sentence(journal: Journal) -> None:
    backlog = Backlog(journal.database, "archive")
    journal.commit([entry(latency(seq)) for seq in range(4)] + [entry(path(4, "f"))])
    export(backlog, "latency", 3, RowRefusal(2, 2, 1, "no such field"))
    ledger = ledger_of(journal, "archive")
    ledger.said("a", status(8, waiting=2, dropped=1))
    answer = ledger.answer(None, 10)
    assert answer.balanced
    assert answer.why == (
        "8 reports written = 5 committed + 2 waiting + 1 dropped; "
        "archive: 5 rows = 2 exported + 2 waiting + 1 set aside; the ledger balances"
    )
    assert answer.outboxes[0].passed_rows == {"archive": 3}


def test_a_lost_report_is_named_and_the_ledger_does_not_balance(journal: Journal) -> None:
    journal.commit([entry(latency(seq)) for seq in (0, 2)])
    ledger = ledger_of(journal)
    ledger.said("a", status(3))
    answer = ledger.answer(None, 10)
    assert not answer.balanced
    assert answer.why == "3 reports written = 2 committed + 1 missing (a/boot-1); the ledger does NOT balance"


def test_what_the_journal_lost_is_named_by_its_reason_also_at_later_starts(journal: Journal, tmp_path: Path) -> None:
    """Of three acknowledged reports the file that comes back, of an old backup, has one."""
    journal.commit([entry(latency(0))])
    journal.close()
    (tmp_path / "old").write_bytes((tmp_path / "journal.duckdb").read_bytes())
    journal = Journal(tmp_path / "journal.duckdb")
    journal.commit([entry(latency(seq)) for seq in (1, 2)])
    journal.close()
    (tmp_path / "old").rename(tmp_path / "journal.duckdb")
    for _ in range(2):
        journal = Journal(tmp_path / "journal.duckdb")
        ledger = ledger_of(journal)
        ledger.said("a", status(3))
        answer = ledger.answer(None, 10)
        journal.close()
        assert not answer.balanced
        assert answer.lost == {"missing": 2}
        ((damage),) = answer.damage
        assert (damage.reason, damage.lost) == ("missing", 2)
        assert damage.detail.endswith("has 1 of 3 reports that it acknowledged: 2 are lost")
        assert "; the journal has lost 2 reports (missing); the ledger does NOT balance" in answer.why
        assert journal.damage.found == {"missing": 1}
        (sentence,) = journal.damage.recent(datetime.now(UTC))
        assert sentence.startswith(damage.detail)
        assert journal.damage.recent(datetime.now(UTC) + timedelta(days=2)) == []


def test_a_cursor_that_moved_without_a_write_leaves_rows_unexplained(journal: Journal) -> None:
    backlog = Backlog(journal.database, "archive")
    journal.commit([entry(latency(seq)) for seq in range(4)])
    export(backlog, "latency", 1)
    journal.database.rows("UPDATE cursors SET number = 3 WHERE kind = 'latency'")
    answer = ledger_of(journal, "archive").answer(None, 10)
    assert answer.sinks[0].unexplained_rows == 2
    assert not answer.balanced
    assert answer.why.endswith("archive: 4 rows = 1 exported + 1 waiting + 2 UNEXPLAINED; the ledger does NOT balance")


def test_what_retention_deleted_before_a_sink_came_is_missed_by_it_and_explained(journal: Journal) -> None:
    journal.commit([entry(latency(seq)) for seq in range(3)])
    pruned(journal, NOON.replace(year=2027))
    backlog = Backlog(journal.database, "late")
    journal.commit([entry(latency(3))])
    export(backlog, "latency", 10)
    (line,) = ledger_of(journal, "late").answer(None, 10).sinks
    assert (line.committed_rows, line.missed_rows, line.exported_rows, line.unexplained_rows) == (4, 3, 1, 0)


def test_rows_that_were_exported_and_that_retention_deleted_stay_exported(journal: Journal) -> None:
    backlog = Backlog(journal.database, "archive")
    journal.commit([entry(latency(seq)) for seq in range(3)])
    export(backlog, "latency", 2)
    assert pruned(journal, NOON.replace(year=2027)) == 2
    (line,) = ledger_of(journal, "archive").answer(None, 10).sinks
    assert (line.exported_rows, line.waiting_rows, line.unexplained_rows) == (2, 1, 0)


def test_what_was_set_aside_and_dropped_counts_as_dropped(journal: Journal) -> None:
    backlog = Backlog(journal.database, "archive")
    journal.commit([entry(latency(seq)) for seq in range(3)])
    export(backlog, "latency", 3, RowRefusal(1, 3, 2, "partly"))
    backlog.set_aside.drop()
    (line,) = ledger_of(journal, "archive").answer(None, 10).sinks
    assert (line.exported_rows, line.set_aside_rows, line.dropped_rows, line.unexplained_rows) == (1, 0, 2, 0)


def test_lines_beyond_the_limit_are_omitted_and_counted_those_with_gaps_last(journal: Journal) -> None:
    journal.commit([entry(latency(0), site) for site in ("a", "b", "c")] + [entry(latency(2), "c")])
    answer = ledger_of(journal).answer(None, 1)
    assert [line.site for line in answer.outboxes] == ["c"]
    assert (answer.omitted, answer.total.committed, answer.total.gaps) == (2, 4, 1)


def test_one_site_is_asked_for_alone(journal: Journal) -> None:
    journal.commit([entry(latency(0), site) for site in ("a", "b")])
    answer = ledger_of(journal).answer("b", 10)
    assert [line.site for line in answer.outboxes] == ["b"]
    assert answer.total.written == 1


def test_a_will_says_nothing_of_the_outbox(journal: Journal) -> None:
    ledger = ledger_of(journal)
    ledger.said("a", status(3, waiting=3))
    ledger.said("a", Status(state="offline"))
    assert ledger.answer(None, 10).total.waiting == 3
