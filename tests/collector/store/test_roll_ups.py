"""Roll-ups: exactly the rows of the record at any moment, sorted by link, and what retention deletes."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from collector.settings import JournalSettings
from collector.store import roll_ups
from collector.store.columns import Entry
from collector.store.journal import Journal
from collector.store.link_history import LinkHistoryReader, span
from collector.store.roll_ups import RollUps
from linkweather.models.link_history import LinkHistoryAnswer
from linkweather.wire import LatencyReport, LatencyRow
from tests.collector.report_samples import NOON, entry, latency, throughput

SITES = ("a", "b", "c")
LATER = NOON + timedelta(hours=6)
SETTINGS = JournalSettings(keep_days=math.inf)


def report(site: str, seq: int, chance: random.Random) -> Entry:
    """One that says of each peer what chance says, or nothing of it; some arrive hours late."""
    rows = []
    for peer in SITES:
        received = chance.choice([0, 49, 50])
        rtt_s = chance.uniform(0.01, 0.02) if received else None
        measured: dict[str, Any] = {
            "rtt_min_s": rtt_s and rtt_s / 2,
            "rtt_mean_s": rtt_s,
            "rtt_max_s": rtt_s and rtt_s * 2,
        }
        if peer != site and chance.random() < 0.9:
            row = LatencyRow(
                src=site, dst=peer, method="stamp", sent=50, received=received, rtt_p50_s=rtt_s, lost_back=1, **measured
            )
            rows.append(row)
    at = NOON + timedelta(seconds=30 * seq)
    late_s = chance.choice([0.1, 0.1, 0.1, 7200])
    return Entry(site, LatencyReport(boot="boot", seq=seq, at=at, links=tuple(rows)), at + timedelta(seconds=late_s))


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """Two hours of three sites, in the order of arrival; stretches and slices are small."""
    monkeypatch.setattr(roll_ups, "STRETCH_ROWS", 300)
    monkeypatch.setattr(roll_ups, "SLICE_ROWS", 40)
    monkeypatch.setattr(roll_ups, "SLICE_LINES", 60)
    chance = random.Random(1)
    entries = [report(site, seq, chance) for seq in range(2 * 120) for site in SITES]
    journal = Journal(tmp_path / "journal.duckdb", keep_days=1)
    entries.sort(key=attrgetter("received_at"))
    for start in range(0, len(entries), 240):
        journal.commit(entries[start : start + 240])
    yield journal
    journal.close()


def history(journal: Journal, step_s: float, *, src: str = "a", dst: str = "b") -> LinkHistoryAnswer:
    wanted = span(NOON, NOON + timedelta(hours=7), step_s, LATER, SETTINGS)
    found = LinkHistoryReader(journal.database).history(src, dst, wanted)
    # A mean of parts that are whole microseconds differs by one, with how they are parted.
    steps = (step.model_copy(update={"rtt_mean_s": step.rtt_mean_s and 0.015}) for step in found.steps)
    return found.model_copy(update={"steps": tuple(steps)})


def rolled(journal: Journal) -> RollUps:
    roll_ups = RollUps(journal.database, 90)
    assert list(roll_ups.roll(LATER))
    return roll_ups


def test_the_history_is_the_same_before_in_the_middle_of_and_after_rolling_up(journal: Journal) -> None:
    before = {step_s: history(journal, step_s) for step_s in (60, 3600)}
    assert [before[step_s].resolution for step_s in (60, 3600)] == ["minutes", "hours"]
    assert sum(step.reports for step in before[60].steps) > 200
    for number, _ in enumerate(RollUps(journal.database, 90).roll(LATER)):
        if number % 4 == 0:
            assert history(journal, 3600) == before[3600]
    assert number > 10
    assert {step_s: history(journal, step_s) for step_s in (60, 3600)} == before


def test_the_counts_and_extremes_are_those_of_the_rows_and_quantiles_are_within_a_hundredth(journal: Journal) -> None:
    rolled(journal)
    hours = span(NOON, NOON + timedelta(hours=7), 3600, LATER, SETTINGS)
    for step in LinkHistoryReader(journal.database).history("c", "b", hours).steps:
        ((count, up, sent, received, back, least, mean, most, rtts_s),) = journal.database.rows(
            """SELECT count(*), avg((received > 0)::INT), sum(sent), sum(received), sum(lost_back), min(rtt_min_s),
                      sum(rtt_mean_s * received) / sum(received), max(rtt_max_s),
                      list(rtt_p50_s ORDER BY rtt_p50_s) FILTER (rtt_p50_s IS NOT NULL)
               FROM latency WHERE src = 'c' AND dst = 'b' AND "at" >= $at AND "at" < $at + INTERVAL 1 HOUR""",
            {"at": step.at.replace(tzinfo=None)},
        )
        assert (step.reports, step.sent, step.received, step.lost_back) == (count, sent, received, back)
        assert step.lost_forward is None
        assert step.available_ratio == pytest.approx(up)
        assert step.loss_ratio == pytest.approx(1 - received / sent)
        assert (step.rtt_min_s, step.rtt_mean_s, step.rtt_max_s) == pytest.approx((least, mean, most), abs=1e-6)
        quantiles = [rtts_s[int(share * (len(rtts_s) - 1))] for share in (0.5, 0.95, 0.99)]
        assert [step.rtt_p50_s, step.rtt_p95_s, step.rtt_p99_s] == pytest.approx(quantiles, rel=0.0101)


def test_a_crash_between_two_slices_adds_nothing_twice_and_leaves_nothing_out(journal: Journal) -> None:
    before = history(journal, 60)
    steps = 0
    while next(RollUps(journal.database, 90).roll(LATER), None) is not None:
        steps += 1
    assert steps > 10
    assert history(journal, 60) == before
    ((reports,),) = journal.database.rows("SELECT sum(reports) FROM latency_minutes")
    assert journal.database.rows("SELECT count(*) FROM latency") == [(reports,)]


def test_rows_of_this_hour_wait_and_late_ones_add_to_their_minute(journal: Journal) -> None:
    roll_ups = rolled(journal)
    late = entry(latency(5000, peers=("b",)).model_copy(update={"at": NOON + timedelta(seconds=20)}), after_s=30_000)
    before = history(journal, 60)
    journal.commit([late])
    assert list(roll_ups.roll(late.received_at)) == []
    with_row = history(journal, 60)
    assert with_row.steps[0].reports == before.steps[0].reports + 1
    assert with_row.steps[1:] == before.steps[1:]
    assert list(roll_ups.roll(late.received_at + timedelta(hours=1))) == [0]
    assert history(journal, 60) == with_row


def test_what_is_over_is_sorted_by_link_and_says_the_same(journal: Journal) -> None:
    roll_ups = rolled(journal)
    before = {step_s: history(journal, step_s) for step_s in (60, 3600)}
    assert list(roll_ups.sort(LATER)) == []
    for number, _ in enumerate(RollUps(journal.database, 90).sort(NOON + timedelta(days=40))):
        assert history(journal, 3600) == before[3600]
        if number == 1:
            break
    assert len(list(RollUps(journal.database, 90).sort(NOON + timedelta(days=40)))) > 2
    assert {step_s: history(journal, step_s) for step_s in (60, 3600)} == before
    for table in ("latency_minutes", "latency_hours"):
        lines = journal.database.rows(f'SELECT src, dst, "at" FROM {table} ORDER BY rowid')  # noqa: S608
        assert lines == sorted(set(lines))  # each once, the parts added up
    assert list(RollUps(journal.database, 90).sort(NOON + timedelta(days=40))) == []


def test_minutes_go_when_they_are_too_old_and_hours_stay(journal: Journal) -> None:
    roll_ups = rolled(journal)
    hours = history(journal, 3600)
    deleted = list(roll_ups.prune(NOON + timedelta(days=90, hours=1)))
    assert len(deleted) > 3
    assert journal.database.rows('SELECT min("at") FROM latency_minutes') == [
        ((NOON + timedelta(hours=1)).replace(tzinfo=None),)
    ]
    assert history(journal, 3600) == hours
    assert list(RollUps(journal.database, float("inf")).prune(NOON + timedelta(days=900))) == []


def test_no_row_is_deleted_before_it_is_rolled_up(journal: Journal) -> None:
    ((rows,),) = journal.database.rows("SELECT count(*) FROM latency")
    much_later = NOON + timedelta(days=3)
    assert sum(journal.prune(much_later)) == 0
    next(RollUps(journal.database, 90).roll(much_later))
    assert sum(journal.prune(much_later)) == 0
    hours = history(journal, 3600)
    list(RollUps(journal.database, 90).roll(much_later))
    assert sum(journal.prune(much_later)) == rows
    assert history(journal, 3600) == hours


def test_numbers_go_on_after_all_rows_are_gone(tmp_path: Path) -> None:
    for seq, days in ((1, 3), (2, 6)):
        journal = Journal(tmp_path / "journal.duckdb", keep_days=1)
        journal.commit([entry(latency(seq), after_s=days * 86_400 - 200_000)])
        assert len(list(RollUps(journal.database, 90).roll(NOON + timedelta(days=days)))) == 1
        assert sum(journal.prune(NOON + timedelta(days=days))) == 1
        journal.close()


def test_throughput_is_rolled_up_too_and_a_failed_test_is_one_without_a_goodput(journal: Journal) -> None:
    failed = throughput(1, goodput_bps=None, bytes=None, failure="unreachable")
    journal.commit([entry(failed), entry(throughput(2)), entry(throughput(3, goodput_bps=3e7))])
    for roll in (lambda: None, lambda: rolled(journal)):
        roll()
        (step,) = (step for step in history(journal, 3600).steps if step.tests)
        assert (step.tests, step.measured) == (3, 2)
        assert (step.goodput_min_bps, step.goodput_mean_bps, step.goodput_max_bps) == (1e7, 2e7, 3e7)


def test_values_that_no_message_could_have_end_no_roll_up(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.duckdb")
    for value in ("-1", "0", "1e300", "'inf'::DOUBLE", "'nan'::DOUBLE", "NULL", "0.01"):
        journal.database._connection.execute(
            f"""INSERT INTO latency_rows BY NAME
                SELECT (SELECT count(*) + 1 FROM latency) AS number, 'a' AS src, 'b' AS dst,
                TIMESTAMP '2026-11-01 12:00:00' AS "at", TIMESTAMP '2026-11-01 12:00:01' AS received_at,
                9223372036854775807 AS sent, -5 AS received, {value} AS rtt_p50_s, {value} AS rtt_min_s,
                {value} AS rtt_mean_s, {value} AS rtt_max_s"""  # noqa: S608
        )
    list(RollUps(journal.database, 90).steps(NOON + timedelta(days=40)))
    (step,) = history(journal, 3600).steps
    assert (step.reports, step.sent, step.received, step.rtt_min_s) == (7, None, None, 0.01)
    assert step.rtt_p50_s == pytest.approx(0.01, rel=0.0101)
    journal.close()
