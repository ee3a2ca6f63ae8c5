"""What is the collector's own trouble, and until when it hears no site."""

from __future__ import annotations

from typing import Any

from collector.incidents.conditions import Evidence, Subject
from collector.incidents.incident_words import clause
from collector.incidents.own_trouble import OwnTrouble

AWAY = Subject("collector", name="the connection to the broker")
SINK = Subject("sink", name="influx")


def _look(own: OwnTrouble, now: float, *failing: Subject, **behind: float) -> list[str]:
    given: dict[str, Any] = {"late_s": 0.0, "waiting_s": 0.0} | behind
    found = own.look([(one, Evidence(detail="refused")) for one in failing], silence_s=15.0, now=now, **given)
    return [f"{one.name} {clause(one.kind, figure)}" for one, figure in found.items()]


def _heard() -> OwnTrouble:
    own = OwnTrouble()
    assert _look(own, 90.0) == []
    return own


def test_a_collector_that_starts_has_nothing_to_catch_up_with() -> None:
    own = OwnTrouble()
    _look(own, 100.0, AWAY)
    assert not own.hearing(100.0)
    _look(own, 102.0)
    assert own.hearing(102.0)


def test_nothing_is_wrong_with_a_collector_that_keeps_up() -> None:
    own = OwnTrouble()
    assert _look(own, 100.0, late_s=1.0, waiting_s=4.9) == []
    assert own.hearing(100.0)


def test_a_sink_that_fails_keeps_no_site_from_being_heard() -> None:
    own = OwnTrouble()
    assert _look(own, 100.0, SINK) == ["influx writes nothing, or not all: refused"]
    assert own.hearing(100.0)


def test_without_a_broker_no_site_is_heard_and_for_a_silence_after() -> None:
    own = _heard()
    assert _look(own, 100.0, AWAY) == ["the connection to the broker fails: refused"]
    assert not own.hearing(100.0)
    assert _look(own, 114.0) == []
    assert not own.hearing(114.9)
    assert own.hearing(115.0)


def test_an_overload_is_named_with_how_far_the_collector_is_behind() -> None:
    own = OwnTrouble()
    assert _look(own, 100.0, late_s=7.0, waiting_s=12.0) == [
        "the collector runs 7 s late: its machine has too much to do",
        "the intake of reports lags: reports wait 12 s to be committed",
    ]
    assert not own.hearing(100.0)


def test_a_lateness_lasts_from_one_moment_to_the_next() -> None:
    own = _heard()
    _look(own, 100.0, late_s=7.0)
    assert len(_look(own, 109.9)) == 1
    assert not own.hearing(109.9)
    assert _look(own, 110.0) == []
    assert own.hearing(124.9)
