"""Moments and durations as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from collector.api.spans import duration_s, moment

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("10s", 10.0), ("15m", 900.0), ("1.5h", 5400.0), ("500ms", 0.5), ("7d", 604800.0)]
)
def test_durations_have_a_unit(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "s", "-5s", "0s", "1y", "1 h", "nans", "٣s1"])
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a duration such as 10s, 15m, 1h or 7d$"):
        duration_s(text)


def test_duration_of_more_than_a_century_is_said_to_be_too_long() -> None:
    assert duration_s("36600d") == 36600 * 86400.0
    with pytest.raises(ValueError, match=r"^must be at most 100 years$"):
        duration_s("36601d")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("now", NOW),
        ("15m", datetime(2026, 1, 31, 11, 45, tzinfo=UTC)),
        ("2026-01-31T11:00:00Z", datetime(2026, 1, 31, 11, tzinfo=UTC)),
        ("2026-01-31T11:00:00+02:00", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("2026-01-31T11:00:00 02:00", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("2026-01-31T11:00:00", datetime(2026, 1, 31, 11, tzinfo=UTC)),
    ],
)
def test_a_moment_is_rfc_3339_or_how_long_ago(text: str, at: datetime) -> None:
    assert moment(text, NOW) == at


@pytest.mark.parametrize("text", ["yesterday", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_no_moment_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"^must be a time such as 2026-01-31T12:00:00Z, or how long ago, such as 15m$"
    ):
        moment(text, NOW)
