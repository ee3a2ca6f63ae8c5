"""What the tests of one link have found, and what may be stated after the last of them. Pure.

A test knows its own second or two; the 10 s after it may be others'. No rule within a test can see that: the test of a
path that is loaded now and then looks as steady as any. So the interval of a row also spans what the last tests found.
That is not enough: where n tests and the next one are alike in nothing but their path, the next lies outside the span
of the n in two cases of n + 1, whatever their distribution. The span is widened in both directions in that proportion:
by 50 % after the first test, by 33 % after the second, by 11 % after the eighth. (By 50 %/n, two tests that happened
upon the same state of their path stated too little.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import Field

from linkweather.mesh.tournament import MAX_BLOCK_SLOTS
from linkweather.wire import Message, ThroughputRow

# Two tests agree within this much of their mean, and so many in a row make a quiet link.
AGREE_SHARE: Final = 0.10
AGREEING: Final = 3
REMEMBERED: Final = 8
UNSEEN: Final = 0.5  # what the span is widened by after a single test, which the next is sure to miss

Span = tuple[float, float]


class LinkHistory(Message):
    """What the tests of a link have found: it is kept, so that a restart is no reason to test every link again.

    `wait_cycles` lie between two tests; `failures` since the last figure; a test takes `block` slots. `spans_bps` are
    the lowest and the highest goodput that each of the last tests allows by itself.
    """

    tested_s: float | None = None
    measured_s: float | None = None
    found_bps: Annotated[tuple[float, ...], Field(max_length=AGREEING)] = ()
    spans_bps: Annotated[tuple[Span, ...], Field(max_length=REMEMBERED)] = ()
    wait_cycles: Annotated[int, Field(ge=1)] = 1
    failures: Annotated[int, Field(ge=0)] = 0
    block: Annotated[int, Field(ge=1, le=MAX_BLOCK_SLOTS)] = 1

    @property
    def quiet(self) -> bool:
        """Whether the last tests agree."""
        return len(self.found_bps) == AGREEING and _agree(self.found_bps)

    def after(self, now_s: float, row: ThroughputRow, *, block: int, quiet_factor: int) -> LinkHistory:
        """The history after one more test, which took `block` slots."""
        common = {"tested_s": now_s, "block": block, "wait_cycles": 1}
        if row.goodput_bps is None:
            return self.model_copy(update={**common, "failures": self.failures + 1})
        found = (*self.found_bps, row.goodput_bps)[-AGREEING:]
        # What this test saw by itself is remembered, not what is stated: else an interval never narrowed again.
        spans = (*self.spans_bps, _span(row))[-REMEMBERED:]
        update = {"measured_s": now_s, "found_bps": found, "spans_bps": spans, "failures": 0}
        measured = self.model_copy(update={**common, **update})
        if not measured.quiet:
            return measured
        return measured.model_copy(update={"wait_cycles": min(2 * self.wait_cycles, quiet_factor)})

    def stated(self, row: ThroughputRow) -> ThroughputRow:
        """The row of the last test, with an interval that holds those of all that are known here."""
        if not self.spans_bps:
            return row
        unseen = 1 + UNSEEN * 2 / (len(self.spans_bps) + 1)
        low_bps = min(low for low, _ in self.spans_bps) / unseen
        high_bps = max(high for _, high in self.spans_bps) * unseen
        return row.model_copy(update={"goodput_low_bps": low_bps, "goodput_high_bps": high_bps})


def _span(row: ThroughputRow) -> Span:
    values = (row.goodput_low_bps, row.goodput_bps, row.goodput_high_bps, row.goodput_10s_bps)
    known = [value for value in values if value is not None]
    return min(known), max(known)


def _agree(values: Iterable[float]) -> bool:
    known = tuple(values)
    return max(known) - min(known) <= AGREE_SHARE * sum(known) / len(known)
