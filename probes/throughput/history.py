"""What earlier tests of a link found: the interval that a test states is not narrower than what they show. Pure.

A test that converged on a variable path says what the path was like for a second. Two tests of 10 s on such a
path agree within 10 % two times in three, and no rule within one test can know it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from probes.throughput.result import Result

# With eight tests behind it, the next value of the same kind is between their extremes in 7 of 9 cases,
# and a mean over 10 s, which varies less than theirs, in more.
REMEMBERED = 8


class History:
    """The intervals of the last tests of each link, by its source."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, float]]] = {}

    def widened(self, src: str, result: Result) -> Result:
        """The result with an interval that holds its own, its 10-s equivalent, and those of the tests before it."""
        values = (result.goodput_low_bps, result.goodput_bps, result.goodput_high_bps, result.goodput_10s_bps)
        known = [value for value in values if value is not None]
        if not known:
            return result
        seen = self._seen.setdefault(src, deque(maxlen=REMEMBERED))
        # What this test saw by itself is remembered, not what is stated: else an interval never narrowed again.
        seen.append((min(known), max(known)))
        low_bps, high_bps = min(low for low, _ in seen), max(high for _, high in seen)
        return replace(result, goodput_low_bps=low_bps, goodput_high_bps=high_bps)
