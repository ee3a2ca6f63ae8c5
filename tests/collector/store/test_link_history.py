"""Which resolution answers a span, and by which step."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from collector.settings import JournalSettings
from collector.store.link_history import default_step_s, span
from tests.collector.report_samples import NOON

KEPT = JournalSettings(keep_days=7, minute_days=90)


@pytest.mark.parametrize(
    ("days", "long_days", "step_s", "expected"),
    [
        (0.1, 0.1, 10, ("rows", 10)),
        (0.1, 0.1, 0.2, ("rows", 1)),
        (0.25, 0.25, 600, ("rows", 600)),  # six hours
        (1, 1, 60, ("minutes", 60)),
        (1, 1, 100, ("minutes", 120)),
        (1, 1, 10, ("rows", 10)),  # so fine a step was asked for
        (7.1, 0.1, 10, ("minutes", 60)),  # rows are gone
        (30, 30, 3599, ("minutes", 3600)),
        (30, 30, 3600, ("hours", 3600)),
        (30, 30, 5000, ("hours", 3600)),
        (91, 0.1, 60, ("hours", 3600)),  # minutes, too
    ],
)
def test_the_finest_that_is_kept_and_no_finer_than_the_step(
    days: float, long_days: float, step_s: float, expected: tuple[str, int]
) -> None:
    since = NOON - timedelta(days=days)
    found = span(since, since + timedelta(days=long_days), step_s, NOON, KEPT)
    assert (found.name, found.step_s) == expected
    assert found.since <= since < found.since + timedelta(seconds=found.step_s)
    assert found.since.timestamp() % found.step_s == 0


def test_rows_are_read_as_long_as_they_are_kept_for_ever() -> None:
    since = NOON - timedelta(days=80)
    kept = JournalSettings(keep_days=math.inf)
    assert span(since, since + timedelta(hours=1), 10, NOON, kept).name == "rows"


@pytest.mark.parametrize(
    ("span_s", "step_s"), [(600, 10), (3600, 60), (86_400, 900), (30 * 86_400, 43_200), (4e9, 2_592_000)]
)
def test_without_a_step_there_are_some_hundred(span_s: float, step_s: int) -> None:
    assert default_step_s(span_s) == step_s
