"""When to decide, in seconds of a clock that the test sets."""

from __future__ import annotations

import pytest

from collector.routing.decision_pace import DecisionPace


def decided(at: float, took_s: float = 0.0) -> DecisionPace:
    pace = DecisionPace()
    pace.began(at)
    pace.ended(took_s)
    return pace


def test_the_first_decision_is_due_now() -> None:
    assert DecisionPace().wait_s(5.0) == 0


def test_news_wait_for_a_second_since_the_last_decision() -> None:
    pace = decided(10.0)
    assert pace.wait_s(10.25) == 1.75  # links age
    pace.note()
    assert pace.wait_s(10.25) == 0.75
    assert pace.wait_s(11.5) == 0


def test_what_is_lost_is_decided_at_once_alone_and_not_again() -> None:
    pace = decided(10.0)
    pace.note(lost=True)
    assert pace.wait_s(10.5) == 0
    assert pace.only_lost(10.5)
    pace.looked(10.5)
    assert not pace.only_lost(10.5)
    assert pace.wait_s(10.5) == 0.5
    pace.note(lost=True)
    assert pace.wait_s(10.5) == pytest.approx(0.1)  # together with what comes next


def test_a_decision_about_what_is_lost_that_took_long_is_followed_by_a_rest() -> None:
    pace = decided(10.0, took_s=0.4)
    pace.looked(10.5)
    pace.decided_lost(0.5)
    pace.note(lost=True)
    assert (pace.wait_s(10.75), pace.only_lost(10.75)) == (1.75, False)
    assert (pace.wait_s(12.5), pace.only_lost(12.5)) == (0, True)
    pace.decided_lost(5.0)
    assert pace.wait_s(10.75) == 3.25  # all are due before


def test_what_is_lost_when_all_is_due_is_decided_with_all() -> None:
    pace = decided(10.0)
    pace.note(lost=True)
    assert not pace.only_lost(11.0)
    pace.began(11.0)
    assert pace.wait_s(11.0) == 2


def test_a_decision_that_took_long_is_followed_by_a_longer_rest() -> None:
    pace = decided(10.0, took_s=2.0)
    pace.note()
    assert pace.wait_s(12.0) == 18


def test_the_rest_is_bounded() -> None:
    pace = decided(10.0, took_s=60.0)
    pace.note()
    assert pace.wait_s(10.0) == 60
