"""The paths that a link took, and its throughput tests, on a real journal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from collector.store import link_marks
from collector.store.journal import Journal
from collector.store.link_marks import LinkMarksReader
from tests.collector.report_samples import NOON, entry, path, throughput

HOUR = timedelta(hours=1)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Traces each five minutes from noon on: path one, from half past on path two; two tests, the second in vain."""
    found = Journal(tmp_path / "journal.duckdb", keep_days=1)
    traces = [path(300 * number, "one" if number < 6 else "two") for number in range(12)]
    tests = [
        throughput(601, duration_s=2.0, reason="scheduled"),
        throughput(1201, goodput_bps=None, bytes=None, failure="refused", detail="no server"),
    ]
    found.commit([entry(report) for report in (*traces, path(1, "other", dst="c"))])
    found.commit([entry(report) for report in tests])
    yield found
    found.close()


def test_a_path_is_named_where_it_begins_with_its_hops(journal: Journal) -> None:
    found = LinkMarksReader(journal.database).marks("a", "b", NOON, NOON + HOUR)
    assert [(one.at, one.fingerprint) for one in found.paths] == [(NOON, "one"), (NOON + HOUR / 2, "two")]
    hops = [(hop.ttl, hop.address, hop.rtt_s) for hop in found.paths[0].hops]
    assert hops == [(1, "192.0.2.1", 0.001), (2, None, None)]
    assert found.omitted == 0


def test_the_path_at_the_beginning_of_the_span_is_older_than_it(journal: Journal) -> None:
    found = LinkMarksReader(journal.database).marks("a", "b", NOON + HOUR / 4, NOON + HOUR)
    assert [one.at for one in found.paths] == [NOON, NOON + HOUR / 2]
    later = LinkMarksReader(journal.database).marks("a", "b", NOON + 0.75 * HOUR, NOON + HOUR)
    assert [one.fingerprint for one in later.paths] == ["two"]


def test_tests_have_their_goodput_or_why_they_failed(journal: Journal) -> None:
    well, failed = LinkMarksReader(journal.database).marks("a", "b", NOON, NOON + HOUR).tests
    assert (well.at, well.duration_s, well.goodput_bps, well.reason) == (
        NOON + timedelta(seconds=601),
        2.0,
        1e7,
        "scheduled",
    )
    assert (failed.goodput_bps, failed.failure, failed.detail) == (None, "refused", "no server")


def test_of_many_the_newest_are_answered_and_the_others_counted(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_marks, "_TESTS", link_marks._TESTS.replace(f"LIMIT {link_marks.TESTS_MAX}", "LIMIT 1"))
    found = LinkMarksReader(journal.database).marks("a", "b", NOON, NOON + HOUR)
    assert ([one.failure for one in found.tests], found.omitted) == (["refused"], 1)
