"""Delays as steps on the disk: what is read is what was reported, to the last bit."""

# ruff: noqa: S608 - names of our own

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import duckdb
import pytest

from collector.sinks.backlog import JournalBatch
from collector.store.columns import TABLES
from collector.store.journal import Journal
from collector.store.journal_files import compact
from collector.store.packed_delays import stored_in
from linkweather.wire import LatencyReport, LatencyRow
from tests.collector.report_samples import NOON, entry

WAN = {
    "rtt_min_s": 0.051002,
    "rtt_mean_s": 0.051244,
    "rtt_p50_s": 0.051204,
    "rtt_p95_s": 0.051603,
    "rtt_p99_s": 0.051807,
    "rtt_max_s": 0.0523,
    "rtt_stdev_s": 0.000211,
    "jitter_p95_p50_s": 0.000399,
    "jitter_rfc3550_s": 0.000101,
    "owd_forward_p50_s": 0.0257,
    "owd_back_p50_s": 0.025504,
    "owd_error_s": 0.000131,
}


def report(*rows: dict[str, Any], site: str = "a") -> LatencyReport:
    links = tuple(LatencyRow(src=site, dst=f"b{place}", method="stamp", **row) for place, row in enumerate(rows))
    return LatencyReport(boot="boot-1", seq=1, at=NOON, links=links)


def answered(**delays: float) -> dict[str, Any]:
    return {"sent": 50, "received": 50, **delays}


def read(journal: Journal) -> list[Any]:
    """The rows as a sink has them."""
    return [one.row for one in JournalBatch(journal.database, "latency", "", ((1, 10**6),), checked_from=1).rows()]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.duckdb")


def test_the_delays_of_a_row_lie_as_differences_in_its_longest_steps(journal: Journal) -> None:
    journal.commit([entry(report(answered(**WAN)))])
    columns = ", ".join(f"{name}_steps" for name in WAN)
    ((per_s, *steps),) = journal.database.rows(f"SELECT steps_per_s, {columns} FROM latency_rows")
    # p50 51,204 µs, of which half is 25,602.
    assert (per_s, steps) == (10**6, [-202, 40, 51204, 399, 204, 493, 211, 0, 101, 98, 0, 131])
    assert journal.database.rows(f"SELECT coalesce({', '.join(WAN)}), site FROM latency_rows") == [(None, None)]
    assert journal.database.rows(f"SELECT site, {', '.join(WAN)} FROM latency") == [("a", *WAN.values())]


@pytest.mark.parametrize(
    ("delays", "per_s"),
    [
        ({"rtt_p50_s": 0.0000123}, 10**7),
        ({"rtt_p50_s": 0.05, "rtt_stdev_s": 0.00000012}, 10**8),
        ({"rtt_p50_s": 0.123456789}, 10**9),
        ({"rtt_p50_s": 500.0}, 10**6),
        ({"rtt_p50_s": 600.0}, None),  # as many steps as do not fit
        ({"rtt_p50_s": 0.1 + 1e-12}, None),  # finer than any
        ({"rtt_max_s": 0.2}, None),  # nothing that it is told by
        ({"rtt_p50_s": 0.02, "owd_back_p50_s": 0.01}, None),
        ({"rtt_p50_s": 0.02, "owd_forward_p50_s": -0.003001, "owd_back_p50_s": 0.023001}, 10**6),
        ({}, 10**6),
    ],
)
def test_whatever_a_row_has_is_read_back(journal: Journal, delays: dict[str, float], per_s: int | None) -> None:
    told = report({**answered(**delays), "window_s": 5.0} if delays else {"sent": 50, "failure": "no_reply"})
    journal.commit([entry(told)])
    assert journal.database.rows("SELECT steps_per_s FROM latency_rows") == [(per_s,)]
    assert read(journal) == list(told.links)


def test_rows_of_all_kinds_in_one_batch_are_read_back_exactly(journal: Journal) -> None:
    rng = random.Random(1)
    rows: list[dict[str, Any]] = [{"sent": 50, "failure": "no_reply"}, answered(rtt_max_s=0.5)]
    for digits in (6, 7, 8, 9, 15):
        for _ in range(100):
            values = sorted(round(rng.lognormvariate(-6, 2), digits) for _ in range(5))
            names = ("rtt_min_s", "rtt_p50_s", "rtt_p95_s", "rtt_p99_s", "rtt_max_s")
            rows.append(answered(**dict(zip(names, values, strict=True)), rtt_mean_s=values[2]))
    told = report(*rows)
    journal.commit([entry(told)])
    assert read(journal) == list(told.links)
    assert journal.database.rows("SELECT count(*) FROM latency_rows WHERE steps_per_s IS NULL")[0][0] < 120


def test_a_table_of_before_is_read_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.duckdb"
    names = ", ".join(f'"{name}" {sql}' for name, sql in TABLES["latency"].columns.items())
    with duckdb.connect(str(path)) as db:
        db.execute("CREATE TABLE journal_format AS SELECT 1 AS version")
        db.execute(f"CREATE TABLE latency ({names})")
        db.execute(
            """INSERT INTO latency BY NAME SELECT 1 AS number, 'a' AS site, 'old' AS boot, 1 AS seq, $at AS "at",
               $at AS received_at, 'a' AS src, 'b0' AS dst, 'stamp' AS method, 0.020000123 AS rtt_p50_s, 5 AS sent,
               5 AS received, false AS during_throughput""",
            {"at": NOON.replace(tzinfo=None)},
        )
    journal = Journal(path)
    journal.commit([entry(report(answered(**WAN)))])
    assert [row.rtt_p50_s for row in read(journal)] == [0.020000123, 0.051204]
    assert journal.database.rows("FROM journal_format") == [(2,)]
    journal.close()
    compact(path)
    with duckdb.connect(str(path), read_only=True) as db:  # the view is there without a collector, too
        assert db.execute("SELECT rtt_p50_s FROM latency ORDER BY number").fetchall() == [(0.020000123,), (0.051204,)]


def test_other_tables_have_no_view(journal: Journal) -> None:
    assert [stored_in(kind) for kind in TABLES] == ["latency_rows", "throughput", "path", "capacity"]
    assert journal.database.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal") == [("latency",)]
