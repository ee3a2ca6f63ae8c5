"""Latency and loss of links."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import AwareDatetime, model_validator

from linkweather.mesh import MethodName
from linkweather.wire.fields import Count, Figures, Seconds, SignedSeconds
from linkweather.wire.messages import LinkReport, Message, Row, check_says_something


class Outage(Message):
    """At least five probes in a row without any reply.

    It starts when the first of the `lost` probes was sent and ends when the next answered one was sent; `end` is None
    while the outage lasts.
    """

    start: AwareDatetime
    end: AwareDatetime | None = None
    lost: Count


# Failures of rows about links on which nothing was sent: they say nothing of the contact, neither good nor bad.
NOT_PROBED = frozenset({"behind_nat", "method_missing", "bad_options", "prober_error"})

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
    median, a value that occurred.
    """

    method: MethodName
    window_s: Seconds | None = None
    sent: Count = 0
    received: Count = 0
    lost_forward: Count | None = None
    lost_back: Count | None = None
    duplicated: Count | None = None
    reordered: Count | None = None
    late: Count | None = None
    late_max_s: Seconds | None = None
    outages: tuple[Outage, ...] | None = None
    rtt_min_s: Seconds | None = None
    rtt_mean_s: Seconds | None = None
    rtt_p50_s: Seconds | None = None
    rtt_p95_s: Seconds | None = None
    rtt_p99_s: Seconds | None = None
    rtt_max_s: Seconds | None = None
    rtt_stdev_s: Seconds | None = None
    jitter_p95_p50_s: Seconds | None = None
    jitter_rfc3550_s: Seconds | None = None
    owd_forward_p50_s: SignedSeconds | None = None
    owd_back_p50_s: SignedSeconds | None = None
    owd_error_s: Seconds | None = None
    timestamp: Literal["kernel", "user"] | None = None
    during_throughput: bool = False
    figures: Figures | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.received > self.sent:
            raise ValueError("received exceeds sent")
        # Only a row without counts needs the closer look: this runs for every decoded row.
        if not self.sent:
            check_says_something(self, _LATENCY_RESULTS)
        return self


class LatencyReport(LinkReport):
    """The latency rows of one window."""

    publisher: ClassVar[Literal["src"]] = "src"

    kind: Literal["latency"] = "latency"
    links: tuple[LatencyRow, ...]
