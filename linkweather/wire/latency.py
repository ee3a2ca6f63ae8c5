"""Latency and loss of links."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from linkweather.mesh import METHOD_NAME
from linkweather.wire.fields import Count, Delay, Figures, Moment, Name, Seconds, SignedDelay
from linkweather.wire.messages import MANY, LinkReport, Message, Relations, Row, check_says_something

MAX_OUTAGES = 1000

# Of duplicates there may be more than probes, and late replies may be to earlier windows' probes.
LATENCY_RELATIONS = Relations(
    "received <= sent",
    "lost_forward + lost_back <= sent - received",
    "reordered <= received",
    "rtt_min_s <= rtt_p50_s <= rtt_p95_s <= rtt_p99_s <= rtt_max_s",
    "rtt_min_s <= rtt_mean_s <= rtt_max_s",
    "rtt_stdev_s <= rtt_max_s - rtt_min_s",
    "jitter_p95_p50_s <= rtt_max_s - rtt_min_s",
)


class Outage(Message):
    """At least five probes in a row without any reply.

    It starts when the first of the `lost` probes was sent and ends when the next answered one was sent; `end` is None
    while the outage lasts.
    """

    start: Moment
    end: Moment | None = None
    lost: Count

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.end is not None and self.end < self.start:
            raise ValueError("start <= end does not hold")
        return self


# Failures of rows about links on which nothing was sent, or nothing more, or whose replies our own full buffer may have
# lost: they say nothing of the contact, neither good nor bad.
NOT_PROBED = frozenset({"behind_nat", "method_missing", "bad_options", "prober_error", "peer_restarting", "overflow"})

# Any of these makes a row a result if its prober counts no probes.
_LATENCY_RESULTS = ("rtt_p50_s", "rtt_mean_s", "rtt_min_s", "rtt_p95_s", "rtt_p99_s", "rtt_max_s")


class LatencyRow(Row):
    """Latency and loss of one link over a window that ends at the report's `at`.

    Published by `src`. Losses of unknown direction are in `sent - received` only. `late` replies came after the
    timeout, the last of them by `late_max_s`: replies to this window's probes, which are neither received nor lost, and
    to probes of earlier windows, whose published rows count them as lost. `outages` ended in this window, or have not
    ended yet. `jitter_p95_p50_s` is the RTT's p95 minus its p50, `jitter_rfc3550_s` the smoothed interarrival jitter of
    RFC 3550 §6.4.1. One-way delays are given only when both clocks are synchronised, and may be negative within
    `owd_error_s`. `figures` are what the prober measures besides, under names of its own: of each the window's low
    median, a value that occurred. `address` is the one that was probed, where the site is given by a name.
    """

    method: Annotated[str, Field(pattern=METHOD_NAME)]
    address: Name | None = None
    window_s: Seconds | None = None
    sent: Count = 0
    received: Count = 0
    lost_forward: Count | None = None
    lost_back: Count | None = None
    duplicated: Count | None = None
    reordered: Count | None = None
    late: Count | None = None
    late_max_s: Seconds | None = None
    outages: Annotated[tuple[Outage, ...], Field(max_length=MAX_OUTAGES)] | None = None
    rtt_min_s: Delay | None = None
    rtt_mean_s: Delay | None = None
    rtt_p50_s: Delay | None = None
    rtt_p95_s: Delay | None = None
    rtt_p99_s: Delay | None = None
    rtt_max_s: Delay | None = None
    rtt_stdev_s: Delay | None = None
    jitter_p95_p50_s: Delay | None = None
    jitter_rfc3550_s: Delay | None = None
    owd_forward_p50_s: SignedDelay | None = None
    owd_back_p50_s: SignedDelay | None = None
    owd_error_s: Delay | None = None
    timestamp: Literal["kernel", "user"] | None = None
    during_throughput: bool = False
    figures: Figures | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        row = self.__dict__  # read in half the time that attributes take
        LATENCY_RELATIONS.check(row)
        # Only a row without a reply needs the closer look: this runs for every decoded row.
        if not row["received"]:
            self._check_unanswered()
        if row["outages"]:
            _check_outages(row["outages"])
        return self

    def _check_unanswered(self) -> None:
        if not self.sent:
            check_says_something(self, _LATENCY_RESULTS)
        elif any(getattr(self, name) is not None for name in _LATENCY_RESULTS):
            raise ValueError("an RTT of probes without a reply")


def _check_outages(outages: tuple[Outage, ...]) -> None:
    # By order alone: a clock that is stepped between two outages makes the later one start before the other's end.
    if any(one.end is None for one in outages[:-1]):
        raise ValueError("outages: only the last one lasts, does not hold")


class LatencyReport(LinkReport):
    """The latency rows of one window."""

    publisher: ClassVar[Literal["src"]] = "src"

    kind: Literal["latency"] = "latency"
    links: Annotated[tuple[LatencyRow, ...], MANY]
