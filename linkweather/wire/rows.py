"""The rows of reports: what was measured of one link, or why it could not be; what a site has for jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from linkweather.mesh import NotNegative, SiteId
from linkweather.wire.fields import Count, Message, Name, Ratio, Seconds, SignedSeconds, Text

DeviceCount = Annotated[int, Field(ge=0, le=10**9)]


class Row(Message):
    """One link's result, or its failure with the reason: never a zero, never silence."""

    src: SiteId
    dst: SiteId
    method: Name
    failure: Name | None = None
    detail: Text | None = None


def _check_says_something(row: Row, results: Iterable[str]) -> None:
    if row.failure is None and all(getattr(row, name) is None for name in results):
        raise ValueError("neither a result nor a failure")


class Outage(Message):
    """At least five probes in a row without any reply.

    From when the first of the `lost` ones was sent to when one was sent that was answered again; `end` is None
    while the outage lasts.
    """

    start: AwareDatetime
    end: AwareDatetime | None = None
    lost: Count


# What makes a row of a prober that counts no probes a result.
_LATENCY_RESULTS = ("rtt_p50_s", "rtt_mean_s", "rtt_min_s", "rtt_p95_s", "rtt_p99_s", "rtt_max_s")


class LatencyRow(Row):
    """Latency and loss of one link over a window that ends at the report's `at`.

    Published by `src`. Losses whose direction could not be told are in `sent - received` only. `late` replies came
    after the timeout, the latest by `late_max_s`: those to this window's probes, which are neither received nor
    lost, and those to earlier windows' whose rows, published before, call them lost. `outages` ended in this
    window, or last on at its end.
    `jitter_p95_p50_s` is the RTT's p95 minus its p50, `jitter_rfc3550_s` the smoothed
    interarrival jitter of RFC 3550 §6.4.1. One-way delays are given only when both clocks are
    synchronised, and may be negative within `owd_error_s`.
    """

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

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.received > self.sent:
            raise ValueError("received exceeds sent")
        # Only a row that counts nothing is looked at more closely: this runs for every row that is ever decoded.
        if not self.sent:
            _check_says_something(self, _LATENCY_RESULTS)
        return self


class ThroughputRow(Row):
    """Goodput of one link as its receiver saw it. Published by `dst`, where the bytes arrive.

    `goodput_bps` is the mean after slow start, `goodput_10s_bps` what a test of 10 s finds, slow start
    included; low and high hold both, and what the last tests of the link found. `retransmits` is what
    the sender's kernel counted, where an interrupted iperf3 does not say. `rtt_loaded_s` is the median
    RTT of our own probes while the pipe was full. What nobody could observe is absent. `reason` is why the test
    ran: first, scheduled, or brought forward by latency_shift, loss or new_path.
    """

    goodput_bps: Seconds | None = None
    goodput_low_bps: Seconds | None = None
    goodput_high_bps: Seconds | None = None
    goodput_10s_bps: Seconds | None = None
    bytes: Count | None = None
    duration_s: Seconds | None = None
    streams: Count | None = None
    retransmits: Count | None = None
    rtt_loaded_s: Seconds | None = None
    congestion: Name | None = None
    stopped_by: Name | None = None
    limited_by: Name | None = None
    reason: Name | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _check_says_something(self, ("goodput_bps", "goodput_10s_bps"))
        return self


class Hop(Message):
    """What answered at one TTL; `address` is None where nobody did.

    The address is that of the first flow, where it has one, and `also` those that further flows met: parallel
    paths. `rtt_s` is the lowest and belongs to the address, `labels` is the MPLS stack under which our packets
    reached it, the outermost first (RFC 4950), and `loss_ratio` is of all probes to this TTL.
    """

    ttl: Annotated[int, Field(ge=1, le=255)]
    address: Name | None = None
    rtt_s: Seconds | None = None
    loss_ratio: Ratio | None = None
    also: tuple[Name, ...] | None = None
    labels: tuple[Annotated[int, Field(ge=0, lt=2**20)], ...] | None = None


class PathRow(Row):
    """The route of one link's packets. Published by `src`.

    `reached` is whether the destination itself answered. The fingerprint names the route and stays while it is the
    same, also when a router is silent for once. `changed` is an event: `before` is then the route until this one.
    `path_mtu_bytes` is the largest IP packet that is known to arrive whole.
    """

    hops: tuple[Hop, ...] = ()
    reached: bool | None = None
    fingerprint: Name | None = None
    changed: bool = False
    before: tuple[Hop, ...] | None = None
    path_mtu_bytes: Count | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.hops:
            _check_says_something(self, ("fingerprint", "path_mtu_bytes", "reached"))
        return self


class DeviceRow(Message):
    """How many devices (accelerators, or whatever jobs are counted in) of one type the publishing site has.

    `total` can be used by jobs at all, `free` of them now. `queue_s` is how long a job that comes now waits until it
    starts; where a site knows only how much work is ahead of it, running or waiting, `queued_device_hours` is that.
    What is not known is absent, and is then nowhere read as zero.
    """

    type: Name
    total: DeviceCount
    free: DeviceCount | None = None
    queue_s: Seconds | None = None
    queued_device_hours: NotNegative | None = None
    usd_per_device_hour: NotNegative | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.free is not None and self.free > self.total:
            raise ValueError("free exceeds total")
        return self
