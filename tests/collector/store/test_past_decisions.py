"""What an evaluation reads of a real journal, and how much of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collector.store import past_decisions
from collector.store.decision_log import DecisionLog, PlacementDecision, RouteDecision, RouteDecisions
from collector.store.journal import Journal
from collector.store.past_decisions import Measurements, PastDecisions, PastPlacements, SwitchCounts
from linkweather.models.placements import PlacementAnswer
from linkweather.models.routes import Objective
from linkweather.wire import DeviceRow
from tests.collector.report_samples import NOON, capacity, entry, latency, throughput


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal(tmp_path / "journal.duckdb")
    DecisionLog(found.database)
    yield found
    found.close()


SITES = ("a", "b", "c")


def past(journal: Journal, objective: Objective = "latency", days: float = 1) -> PastDecisions:
    return PastDecisions(DecisionLog(journal.database), objective, SITES, NOON, NOON + timedelta(days=days))


def after(journal: Journal, *seconds: float, objective: Objective = "latency", within_s: float = 60) -> Measurements:
    moments = np.array([NOON.timestamp() + second for second in seconds])
    return past(journal, objective).measured(moments, within_s)


def values(found: Measurements) -> list[float]:
    """The second of each latency row is its value in milliseconds."""
    return sorted((1000 * found.value).round(6).tolist())


def decided(path: str, at_s: float, occasion: Any = "changed", objective: Objective = "latency") -> RouteDecision:
    return RouteDecision(NOON + timedelta(seconds=at_s), occasion, "a", "b", objective, tuple(path.split()))


def seconds(decisions: RouteDecisions) -> list[float]:
    return [at - NOON.timestamp() for at in decisions.at.tolist()]


def test_the_first_measurement_after_each_moment_is_taken_of_each_link(journal: Journal) -> None:
    journal.commit([entry(latency(seq, peers=("b", "c", "gone"))) for seq in range(1, 200)])
    found = after(journal, 0.5, 100, 110)
    assert values(found) == [1, 1, 101, 101, 111, 111]
    at_100 = found.after(1, 3)
    assert at_100[0].tolist() == pytest.approx([np.nan, 0.101, 0.101], nan_ok=True)
    assert np.isnan(at_100[1:]).all()


def test_a_measurement_at_the_moment_itself_or_too_late_is_none(journal: Journal) -> None:
    journal.commit([entry(latency(seq)) for seq in (10, 71, 150)])
    assert values(after(journal, 10)) == []
    assert values(after(journal, 11)) == [71]
    assert values(after(journal, 10, within_s=61)) == [71]


def test_one_measurement_may_be_the_first_after_two_moments(journal: Journal) -> None:
    journal.commit([entry(latency(59))])
    found = after(journal, 1, 58)
    assert values(found) == [59, 59]
    assert found.place.tolist() == [0, 1]


def test_latencies_leave_out_loaded_rows_and_count_silence_as_infinite(journal: Journal) -> None:
    journal.commit(
        [
            entry(latency(1)),
            entry(latency(2, during_throughput=True)),
            entry(latency(3, received=0, rtt_p50_s=None)),
            entry(latency(4, sent=0, received=0, rtt_p50_s=None, failure="unresolved")),
            entry(latency(5, sent=0, received=0, rtt_p50_s=None, failure="behind_nat")),
        ]
    )
    assert after(journal, 0, 1, 3, 4.5).value.tolist() == [0.001, np.inf, np.inf]  # behind NAT nothing was asked


def test_a_value_stands_for_the_other_direction_where_that_has_none() -> None:
    moments, both = np.array([0.0, 1.0]), np.array([0, 0, 1])
    one = Measurements(moments, both, np.array([0, 1, 0]), np.array([1, 0, 1]), np.array([1.0, 2.0, 3.0]))
    assert one.after(0, 2, both_ways=True)[[0, 1], [1, 0]].tolist() == [1.0, 2.0]
    assert one.after(1, 2, both_ways=True)[[0, 1], [1, 0]].tolist() == [3.0, 3.0]


def test_a_measurement_from_a_clock_that_is_ahead_counts_when_it_arrived(journal: Journal) -> None:
    journal.commit([entry(latency(7200), after_s=-7195), entry(throughput(7300), "b", after_s=-7293)])
    assert len(after(journal, 1).value) == 1
    assert len(after(journal, 4.9, within_s=0.2).value) == 1
    assert len(after(journal, 6).value) == 0
    assert len(after(journal, 6.9, objective="goodput", within_s=0.2).value) == 1


def test_goodputs_leave_out_tests_that_failed(journal: Journal) -> None:
    failed = throughput(2, goodput_bps=None, bytes=None, failure="declined")
    journal.commit([entry(throughput(1), "b"), entry(failed, "b")])
    assert after(journal, 0, 1.5, objective="goodput").value.tolist() == [1e7]


def test_decisions_of_one_objective_are_read_in_order_without_those_that_were_asked_for(journal: Journal) -> None:
    later, sooner = decided("a c b", 9, "sampled"), decided("a b", 3)
    asked, other = decided("a b", 5, "asked"), decided("a b", 4, objective="goodput")
    gone = decided("a x b", 6, "sampled")
    DecisionLog(journal.database).add([later, sooner, asked, other, gone])
    found = past(journal).spread()
    assert (seconds(found), found.via.tolist()) == ([3, 9], [-1, 2])
    assert seconds(past(journal, "goodput").spread()) == [4]


def test_a_long_time_is_looked_at_by_evenly_spread_moments(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_decisions, "MOMENTS_MAX", 2)
    DecisionLog(journal.database).add([decided("a b", at_s, "sampled") for at_s in range(4) for _ in "ab"])
    assert seconds(past(journal).spread()) == [0, 0, 2, 2]


def test_of_many_pairs_fewer_moments_are_looked_at(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_decisions, "DECISIONS_MAX", 10)
    DecisionLog(journal.database).add([decided("a b", at_s, "sampled") for at_s in range(4) for _ in range(5)])
    assert len(past(journal).spread()) == 10


def test_many_changes_push_out_no_sample_of_all_pairs(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_decisions, "MOMENTS_MAX", 4)
    samples = [decided("a b", at_s, "sampled") for at_s in (0.5, 50.5)]
    DecisionLog(journal.database).add([*samples, *(decided("a b", at_s) for at_s in range(100))])
    assert seconds(past(journal).spread()) == [0, 0.5, 50, 50.5]


def test_of_a_large_mesh_fewer_moments_are_looked_at(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_decisions, "MEASUREMENTS_MAX", 100)
    DecisionLog(journal.database).add([decided("a b", at_s, "sampled") for at_s in range(30)])
    assert seconds(past(journal).spread()) == [*range(0, 30, 3)]


def test_switches_and_flaps_are_counted_from_the_changes(journal: Journal) -> None:
    changes = [("a b", 0), ("a c b", 10), ("a b", 20), ("a c b", 1000), ("a c b", 1010)]
    DecisionLog(journal.database).add([decided(*change) for change in changes])
    found = past(journal).changes()
    assert (found.switches, found.flaps) == (3, 1)
    assert found.pair_hours == pytest.approx(1010 / 3600)


def test_nothing_decided_is_nothing_changed(journal: Journal) -> None:
    assert past(journal).changes() == SwitchCounts()
    assert len(past(journal).spread()) == 0
    assert after(journal).value.tolist() == []


def placements(journal: Journal) -> PastPlacements:
    return PastPlacements(DecisionLog(journal.database), NOON, NOON + timedelta(days=1))


def placed(at_s: float) -> PlacementDecision:
    answer = PlacementAnswer(job=f"job-{at_s:g}", at=NOON + timedelta(seconds=at_s), why="soonest")
    return PlacementDecision.of(answer)


def test_of_many_placements_evenly_spread_ones_are_read(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    DecisionLog(journal.database).add([placed(at_s) for at_s in (-1, *range(6))])
    assert [answer.job for answer in placements(journal).spread(3)] == [f"job-{at_s}" for at_s in range(6)]
    monkeypatch.setattr(past_decisions, "MOMENTS_MAX", 3)
    assert [answer.job for answer in placements(journal).spread(3)] == ["job-0", "job-2", "job-4"]


def test_a_placement_that_cannot_be_read_back_costs_itself(journal: Journal) -> None:
    broken = PlacementDecision(NOON, "broken", None, None, None, "{")
    untold = PlacementDecision(NOON, "untold", None, None, None)
    DecisionLog(journal.database).add([broken, untold, placed(1)])
    assert [answer.job for answer in placements(journal).spread(3)] == ["job-1"]


def test_the_first_report_of_devices_after_each_moment_is_taken_of_each_type(journal: Journal) -> None:
    a100, cpu = DeviceRow(type="a100", total=8, free=3), DeviceRow(type="cpu", total=64)
    busy = DeviceRow(type="a100", total=8, free=0, queue_s=60.0)
    journal.commit([entry(capacity(1, a100, cpu)), entry(capacity(50, busy)), entry(capacity(5, cpu), "b")])
    moments = NOON.timestamp() + np.array([0.5, 1.0, 100.0])
    found = placements(journal).devices(moments, within_s=60)
    assert {key: (at - NOON.timestamp(), said) for key, (at, said) in found.items()} == {
        (0, "a", "a100"): (1, a100),
        (0, "a", "cpu"): (1, cpu),
        (0, "b", "cpu"): (5, cpu),
        (1, "a", "a100"): (50, busy),
        (1, "b", "cpu"): (5, cpu),
    }
    assert (0, "b", "cpu") not in placements(journal).devices(moments, within_s=4)
    assert placements(journal).devices(np.array([]), within_s=60) == {}
