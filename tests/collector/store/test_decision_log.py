"""The record of decisions in a real journal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from collector.store.decision_log import DecisionLog, RouteDecision
from collector.store.journal import Journal
from tests.collector.report_samples import NOON, entry, latency, throughput

DIRECT = RouteDecision(NOON, "changed", "a", "b", "latency", ("a", "b"), 0.02, 0.03, 0.02, '{"why":"it is"}')
RELAYED = RouteDecision(
    NOON + timedelta(seconds=5), "changed", "a", "b", "latency", ("a", "c", "b"), 0.01, 0.02, None, "{}"
)
NONE = RouteDecision(NOON + timedelta(seconds=7), "changed", "a", "c", "latency", ())
SAMPLED = RouteDecision(NOON + timedelta(seconds=9), "sampled", "a", "b", "latency", ("a", "b"), 0.02, 0.03)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal(tmp_path / "journal.duckdb")
    yield found
    found.close()


@pytest.fixture
def log(journal: Journal) -> DecisionLog:
    return DecisionLog(journal.database)


def bare(decided: RouteDecision) -> RouteDecision:
    return RouteDecision(*(getattr(decided, name) for name in RouteDecision.__slots__[:-1]))


def test_decisions_come_back_in_order_without_their_text(log: DecisionLog) -> None:
    log.add([])
    log.add([DIRECT, RELAYED, NONE])
    log.add([SAMPLED])
    assert log.since(NOON, SAMPLED.at) == [bare(DIRECT), bare(RELAYED), NONE]


def test_what_stands_is_the_newest_change_of_each_pair_also_when_there_is_no_path(log: DecisionLog) -> None:
    log.add([DIRECT, RELAYED, NONE, SAMPLED])
    assert sorted(log.active(), key=lambda one: one.dst) == [bare(RELAYED), NONE]


def test_what_stands_outlives_the_pruning(log: DecisionLog) -> None:
    log.add([DIRECT, RELAYED, NONE, SAMPLED])
    assert sum(log.prune(NOON + timedelta(days=1))) > 0
    assert log.since(NOON, NOON + timedelta(days=1)) == [bare(RELAYED), NONE]


def test_decisions_are_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal.duckdb"
    first = Journal(path)
    DecisionLog(first.database).add([DIRECT])
    first.close()
    second = Journal(path)
    assert DecisionLog(second.database).active() == [bare(DIRECT)]
    second.close()


def test_measured_latencies_leave_out_loaded_rows_and_count_silence_as_infinite(
    journal: Journal, log: DecisionLog
) -> None:
    journal.commit(
        [
            entry(latency(1)),
            entry(latency(2, during_throughput=True)),
            entry(latency(3, received=0, rtt_p50_s=None)),
            entry(latency(4, sent=0, received=0, rtt_p50_s=None, failure="unresolved")),
        ]
    )
    found = log.latencies(NOON)
    assert found.value.tolist() == [0.001, np.inf, np.inf]
    assert (found.at_s - NOON.timestamp()).tolist() == [1, 3, 4]
    assert (set(found.src), set(found.dst)) == ({"a"}, {"b"})
    assert log.latencies(NOON + timedelta(seconds=4)).value.tolist() == [np.inf]


def test_a_measurement_from_a_clock_that_is_ahead_counts_when_it_arrived(journal: Journal, log: DecisionLog) -> None:
    journal.commit([entry(latency(7200), after_s=-7195), entry(throughput(7300), "b", after_s=-7293)])
    assert (log.latencies(NOON).at_s - NOON.timestamp()).tolist() == [5]
    assert (log.goodputs(NOON).at_s - NOON.timestamp()).tolist() == [7]
    assert log.latencies(NOON + timedelta(seconds=6)).value.tolist() == []


def test_measured_goodputs_leave_out_tests_that_failed(journal: Journal, log: DecisionLog) -> None:
    journal.commit(
        [
            entry(throughput(1), "b"),
            entry(throughput(2, goodput_bps=None, bytes=None, failure="declined"), "b"),
        ]
    )
    assert log.goodputs(NOON).value.tolist() == [1e7]
    assert log.goodputs(NOON + timedelta(seconds=2)).value.tolist() == []
