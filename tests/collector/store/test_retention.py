"""Retention beside commits: slices, and what stays."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from collector.store import decision_log, journal
from collector.store.decision_log import DecisionLog, RouteDecision
from collector.store.journal import Journal
from collector.store.retention import Retention
from collector.store.roll_ups import RollUps
from tests.collector.report_samples import NOON, entry, latency


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """Seven rows, of which the fourth arrived late; three may go in one transaction."""
    monkeypatch.setattr(journal, "PRUNED_ROWS", 3)
    record = Journal(tmp_path / "journal.duckdb", keep_days=1)
    record.commit([entry(latency(seq), after_s=90_000 if seq == 3 else 1) for seq in range(7)])
    return record


def test_rows_are_deleted_a_few_in_a_transaction_and_commits_come_between(record: Journal) -> None:
    list(RollUps(record.database, 90).roll(NOON + timedelta(days=1, seconds=60)))
    slices = record.prune(NOON + timedelta(days=1, seconds=60))
    assert next(slices) == 3
    assert record.commit([entry(latency(7), after_s=90_000)])
    assert list(slices) == [2, 1]
    assert record.database.rows("SELECT seq FROM latency ORDER BY seq") == [(3,), (7,)]


async def test_all_that_is_too_old_goes_and_says_how_many(record: Journal) -> None:
    log = DecisionLog(record.database)
    late = Retention(record, log, 1, now=lambda: NOON + timedelta(days=9))
    assert await late.prune() == 7
    assert await late.prune() == 0


async def test_without_keep_days_everything_stays(record: Journal) -> None:
    assert await Retention(record, DecisionLog(record.database), None, now=lambda: NOON.replace(year=2099)).prune() == 0


def test_decisions_go_by_slices_but_for_the_active_routes(record: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_log, "PRUNED_ROWS", 2)
    log = DecisionLog(record.database)
    log.add(
        [
            RouteDecision(NOON + timedelta(seconds=second), "changed", "a", "b", "latency", ("a", "b"))
            for second in range(6)
        ]
    )
    assert list(log.prune(NOON + timedelta(days=1))) == [2, 2, 1]
    assert log.active("latency", ("a", "b")).at.tolist() == [NOON.timestamp() + 5]
