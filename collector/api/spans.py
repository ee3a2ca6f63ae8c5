"""Moments and durations as people write them in a query: `15m`, `10s`, RFC 3339. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

UNITS_S: Mapping[str, float] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_S = 100 * 366 * 86400.0
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)")


def duration_s(text: str) -> float:
    """`10s`, `1.5h`, `500ms`, `7d` in seconds. Raises ValueError with what is allowed."""
    match = _SPAN.fullmatch(text)
    seconds = float(match[1]) * UNITS_S[match[2]] if match else 0.0
    if seconds > LONGEST_S:
        raise ValueError("must be at most 100 years")
    if seconds <= 0:
        raise ValueError("must be a duration such as 10s, 15m, 1h or 7d")
    return seconds


def moment(text: str, now: datetime) -> datetime:
    """RFC 3339, `now`, or how long ago: `15m`. Raises ValueError with what is allowed."""
    if text == "now":
        return now
    if _SPAN.fullmatch(text):
        return now - timedelta(seconds=duration_s(text))
    try:
        # A + in a query is a blank to whoever forgets to escape it.
        at = datetime.fromisoformat(re.sub(r" (\d\d:\d\d)$", r"+\1", text))
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time such as 2026-01-31T12:00:00Z, or how long ago, such as 15m") from None
