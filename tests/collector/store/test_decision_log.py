"""The record of decisions in a real journal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from collector.store.decision_log import DecisionLog, RouteDecision
from collector.store.journal import Journal
from tests.collector.report_samples import NOON

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
