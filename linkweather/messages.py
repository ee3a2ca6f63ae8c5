"""Reports and the other MQTT messages: fields, units, encoding.

Base SI units stand in the names; times are UTC, RFC 3339 on the wire. A reader ignores fields that
it does not know and refuses values that cannot be: a message from a broken or hostile peer raises
`MessageError` with a reason to count it by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from linkweather.errors import MessageError
from linkweather.mesh import NotNegative, SiteId

Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
# A nanosecond is finer than any clock here: further digits would be noise, and a third of every report.
_Nanoseconds = PlainSerializer(lambda value: round(value, 9), return_type=float, when_used="json-unless-none")
Seconds = Annotated[float, Field(ge=0), _Nanoseconds]
SignedSeconds = Annotated[float, _Nanoseconds]
Ratio = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(max_length=1000)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
DeviceCount = Annotated[int, Field(ge=0, le=10**9)]


class Message(BaseModel):
    """A frozen message; strict, so that "5" is not a number and NaN is no measurement."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


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


class Report(Message):
    """What a probe publishes: one message, many links. Its key is (site, boot, seq); the topic names the site.

    `boot` is the id of the outbox that numbered it; `at` is when the measurement ended.
    """

    v: Literal[1] = 1
    boot: Name
    seq: Count
    at: AwareDatetime


class LatencyReport(Report):
    """Latency rows of one window."""

    kind: Literal["latency"] = "latency"
    links: tuple[LatencyRow, ...]


class ThroughputReport(Report):
    """Throughput rows of one test."""

    kind: Literal["throughput"] = "throughput"
    links: tuple[ThroughputRow, ...]


class PathReport(Report):
    """Path rows of one trace."""

    kind: Literal["path"] = "path"
    links: tuple[PathRow, ...]


class CapacityReport(Report):
    """What the publishing site has for jobs. A type that it does not name stays as it was reported before."""

    kind: Literal["capacity"] = "capacity"
    devices: Annotated[tuple[DeviceRow, ...], Field(min_length=1)]

    @property
    def links(self) -> tuple[Row, ...]:
        """What it says of links: nothing."""
        return ()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        types = [row.type for row in self.devices]
        if len(set(types)) < len(types):
            raise ValueError("a type stands twice")
        return self


LinkReport = LatencyReport | ThroughputReport | PathReport
AnyReport = LinkReport | CapacityReport

LINK_REPORTS: Mapping[str, type[LinkReport]] = {
    "latency": LatencyReport,
    "throughput": ThroughputReport,
    "path": PathReport,
}
REPORTS: Mapping[str, type[AnyReport]] = {**LINK_REPORTS, "capacity": CapacityReport}
# kind → the end of the link that publishes its rows.
PUBLISHER: Mapping[str, Literal["src", "dst"]] = {"latency": "src", "throughput": "dst", "path": "src"}
# kind → the publishing end of a row, and the other.
_ENDS: Mapping[str, tuple[Callable[[Row], str], Callable[[Row], str]]] = {
    kind: (attrgetter(near), attrgetter("dst" if near == "src" else "src")) for kind, near in PUBLISHER.items()
}


class Refusal(Message):
    """A report that will never be in the journal, and why; the site drops and counts it."""

    seq: Count
    reason: Name


class Committed(Message):
    """Collector to site: these reports of outbox `boot` are in the journal, or refused for good."""

    v: Literal[1] = 1
    boot: Name
    seqs: tuple[Count, ...] = ()
    refused: tuple[Refusal, ...] = ()


class Status(Message):
    """A site's retained state; its will says offline. `dropped_datagrams` is what its reflector did not answer.

    `throughput_tests` counts the tests of its incoming links by the reason why each ran. `budget_left_bytes` is what
    its tests may move now of the `budget_bytes_per_day`, which accrues evenly; both are absent without a budget.
    """

    v: Literal[1] = 1
    state: Literal["online", "offline"]
    at: AwareDatetime | None = None
    version: Text | None = None
    capabilities: tuple[Name, ...] = ()
    outbox_reports: Count = 0
    dropped_reports: Count = 0
    refused_reports: Count = 0
    dropped_datagrams: Count = 0
    throughput_tests: dict[Name, Count] = {}
    budget_bytes_per_day: Count | None = None
    budget_left_bytes: Count | None = None


class Invite(Message):
    """Asks the addressed site to serve one throughput test to the writer of the topic.

    `authentication` says whether its iperf3 can show a secret; `max_bytes` is the most payload that the test moves.
    """

    v: Literal[1] = 1
    id: Name
    duration_s: Seconds
    iperf3: Name
    authentication: bool = False
    max_bytes: Count | None = None


class Served(Message):
    """What the sending end of a throughput test saw: counted by its kernel until 0.1 s before the end."""

    retransmits: Count | None = None
    congestion: Name | None = None
    limited_by: Name | None = None


class Answer(Message):
    """Accepts an invitation (port, secret, public_key_pem, until) or declines it (reason, retry_after_s).

    A site behind NAT accepts without a port: it is the one to call, and `authentication` says whether its iperf3 can
    show a secret. The inviting site answers it with the same id and the port at which it serves.
    After the test, a further answer with the same id carries `served`, what the source saw.
    """

    v: Literal[1] = 1
    id: Name
    accepted: bool
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    secret: Name | None = None
    public_key_pem: Text | None = None
    iperf3: Name | None = None
    authentication: bool | None = None
    until: AwareDatetime | None = None
    reason: Name | None = None
    retry_after_s: Seconds | None = None
    served: Served | None = None


class Claim(Message):
    """Claims the groups of sites that share a bottleneck for the test with this id, for so long; 0 gives them back.

    The claim stands from when the broker passes it on; of two on the same group the first one counts.
    """

    v: Literal[1] = 1
    id: Name
    groups: tuple[Name, ...] = ()
    for_s: Seconds


AnyMessage = TypeVar("AnyMessage", bound=Message)


def encode(message: BaseModel) -> bytes:
    """Compact UTF-8 JSON without the fields that are not set."""
    return message.model_dump_json(exclude_none=True).encode()


def decode(model: type[AnyMessage], payload: bytes | str) -> AnyMessage:
    """Decode one message. Raises MessageError: `malformed` for no JSON, `impossible` for a bad value."""
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        raise _refusal(error) from None


def decode_report(site: str, kind: str, payload: bytes) -> AnyReport:
    """Decode a report that arrived on `site`'s topic for `kind`.

    Raises MessageError with reason `unknown_kind`, `malformed`, `impossible`, or `foreign` when a
    row speaks about a link that is not this site's own.
    """
    if kind not in REPORTS:
        raise MessageError("unknown_kind", kind[:64])
    report = decode(REPORTS[kind], payload)
    if isinstance(report, CapacityReport):
        return report  # of the site that the topic names, and of no other
    near, far = _ENDS[kind]
    ends = {near(row) for row in report.links}
    if ends - {site}:
        raise MessageError("foreign", f"{site} may not report links of {min(ends - {site})}")
    if site in {far(row) for row in report.links}:
        raise MessageError("impossible", f"{site} → {site} is no link")
    return report


def rows_of(report: AnyReport) -> tuple[Row, ...] | tuple[DeviceRow, ...]:
    """The rows of any report: of links, or of the site's own devices."""
    return report.devices if isinstance(report, CapacityReport) else report.links


def _refusal(error: ValidationError) -> MessageError:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    reason = "malformed" if first["type"] == "json_invalid" else "impossible"
    return MessageError(reason, f"{where}: {first['msg']}" if where else first["msg"])
