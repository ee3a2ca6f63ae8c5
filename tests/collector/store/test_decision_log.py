"""The record of decisions in a real journal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from collector.store.decision_log import DecisionLog, LoggedRoutes, RouteDecision, RouteDecisions
from collector.store.journal import Journal
from tests.collector.report_samples import NOON

DIRECT = RouteDecision(NOON, "changed", "a", "b", "latency", ("a", "b"), 0.02, 0.03, 0.02, '{"why":"it is"}')
RELAYED = RouteDecision(
    NOON + timedelta(seconds=5), "changed", "a", "b", "latency", ("a", "c", "b"), 0.01, 0.02, None, "{}"
)
NONE = RouteDecision(NOON + timedelta(seconds=7), "changed", "a", "c", "latency", ())
SAMPLED = RouteDecision(NOON + timedelta(seconds=9), "sampled", "a", "b", "latency", ("a", "b"), 0.02, 0.03)


SITES = ("a", "b", "c")


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
    found = log.active("latency", SITES)
    pairs = sorted(zip(found.src.tolist(), found.dst.tolist(), found.via.tolist(), found.at.tolist(), strict=True))
    assert pairs == [(0, 1, 2, RELAYED.at.timestamp()), (0, 2, -2, NONE.at.timestamp())]
    assert found.p50[found.dst == 1].tolist() == [0.01]
    assert np.isnan(found.p50[found.dst == 2]).all()


def test_what_stands_through_a_site_that_is_gone_is_left_out(log: DecisionLog) -> None:
    log.add([RELAYED, NONE])
    assert log.active("latency", ("a", "b")).via.tolist() == []
    assert len(log.active("goodput", SITES)) == 0


def test_columns_are_logged_as_rows_are(log: DecisionLog) -> None:
    at = np.array([one.at.timestamp() for one in (DIRECT, RELAYED, NONE)])
    places = {"src": np.array([0, 0, 0]), "dst": np.array([1, 1, 2]), "via": np.array([-1, 2, -3])}
    figures = {"p50": np.array([0.02, 0.01, np.nan]), "p90": np.array([0.03, 0.02, np.nan])}
    direct = np.array([0.02, np.nan, np.nan])
    columns = RouteDecisions(objective="latency", sites=SITES, at=at, direct_p50=direct, **places, **figures)
    log.add([LoggedRoutes("changed", columns)])
    assert log.since(NOON, SAMPLED.at) == [bare(DIRECT), bare(RELAYED), NONE]


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
    assert DecisionLog(second.database).active("latency", SITES).via.tolist() == [-1]
    second.close()
