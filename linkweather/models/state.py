"""What the HTTP API answers: shared by the collector, which fills it, and the client, which reads it.

Fields are base SI units; null means never measured; it never stands for zero.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from linkweather.mesh import Mesh
from linkweather.wire import DeviceRow, Message

LinkCondition = Literal["fresh", "degraded", "stale", "expired", "down", "unknown"]
GoodputCondition = Literal["fresh", "stale", "expired", "unknown"]
SiteCondition = Literal["online", "offline", "unknown"]
CapacityCondition = Literal["fresh", "expired"]
DegradedKind = Literal["loss", "latency", "jitter", "goodput"]
Traffic = Literal["direct", "relayed", "none"]


class Degradation(Message):
    """What is wrong with a degraded link, since when: a ratio for loss, seconds, or bit/s for goodput.

    `normal` is what is normal for this link, `limit` the limit of the mesh or a group that it is beyond; null is none.
    """

    kind: DegradedKind
    since: AwareDatetime
    value: float | None = None
    normal: float | None = None
    limit: float | None = None


class LinkAnswer(Message):
    """How one link is now.

    `state` is `down` after a row without any reply, until good rows follow; `stale`, then `expired`, as the newest row
    ages; `unknown` before the first row; `degraded` is fresh, and worse than is normal for the link or than the mesh's
    limits, for some while, by what `degraded_by` names. `since` is when this state began, null where that was before
    the collector's start. `reason` says why a link is not fresh. `traffic` says how the traffic of such a link goes
    now: direct, relayed through `traffic_relays`, or none where there is no usable path. `age_s` is the age of the
    newest latency row, `rtt_age_s` that of the row which the RTT figures come from: the newest row that our own
    throughput tests did not load, if it is recent; otherwise `during_throughput` is true. `figures` are the prober's
    own, of the newest row, `address` the one that it probed, where the site is given by a name. `jitter_s` is the RTT's
    p95 minus its p50. Loss covers about the last 100 probes by the same rule: a throughput test drops probes in the
    queue that it fills, so loaded rows count only where there are no recent others. Forward is the share of probes lost
    on the way there, back the share of those that got there and were lost on their return. `owd_p50_s` is the median
    one-way delay, within `owd_error_s`, where both clocks are synchronised; `hops` counts those of the last trace that
    reached the destination, the destination included. `outage_s` is the time since the last answered probe, where the
    newest row has an outage that has not ended. `goodput_low_bps` and `goodput_high_bps` are the ends of the goodput's
    confidence interval. A forecast is of the next measurement: `p50` is expected, and four of five measurements lie
    between `p10` and `p90`, which spread with the age of the newest one; `samples` is how many the forecast uses. A
    forecast of the RTT leaves out rows that our own tests loaded, by the rule above. Expired measurements give no
    forecast. `failure` is the newest failed measurement of any kind, with its age, and `goodput_failure` that of the
    last throughput test, each until one of its kind succeeds. `reason` names the clock where one that dates the link's
    rows is wrong: a link whose site's clock is behind looks expired. `next_test_in_s` is the time until the next
    throughput test, as `dst` says in its status, and `next_test_reason` why it takes place: first, expired, scheduled,
    or brought forward by latency_shift, loss or new_path. `next_test_waits_for` is why the last turn was not used, such
    as budget or leased, or why there is none: disabled in the mesh, or offline, which is `dst`. The link is worth a
    test once in `next_test_rounds` of `every_s`, by what decisions gain from it; None where `dst` has no weights.
    """

    src: str
    dst: str
    state: LinkCondition = "unknown"
    since: AwareDatetime | None = None
    reason: str | None = None
    degraded_by: tuple[Degradation, ...] | None = None
    traffic: Traffic | None = None
    traffic_relays: tuple[str, ...] | None = None
    age_s: float | None = None
    method: str | None = None
    address: str | None = None
    rtt_age_s: float | None = None
    rtt_min_s: float | None = None
    rtt_mean_s: float | None = None
    rtt_p50_s: float | None = None
    rtt_p95_s: float | None = None
    rtt_p99_s: float | None = None
    rtt_max_s: float | None = None
    jitter_s: float | None = None
    jitter_rfc3550_s: float | None = None
    owd_p50_s: float | None = None
    owd_error_s: float | None = None
    during_throughput: bool | None = None
    timestamp: Literal["kernel", "user"] | None = None
    figures: dict[str, float] | None = None
    loss_ratio: float | None = None
    loss_forward_ratio: float | None = None
    loss_back_ratio: float | None = None
    loss_probes: int | None = None
    outage_s: float | None = None
    goodput_state: GoodputCondition = "unknown"
    goodput_age_s: float | None = None
    goodput_bps: float | None = None
    goodput_low_bps: float | None = None
    goodput_high_bps: float | None = None
    goodput_failure: str | None = None
    goodput_failure_detail: str | None = None
    goodput_failure_age_s: float | None = None
    rtt_loaded_s: float | None = None
    limited_by: str | None = None
    rtt_forecast_p10_s: float | None = None
    rtt_forecast_p50_s: float | None = None
    rtt_forecast_p90_s: float | None = None
    rtt_forecast_samples: int | None = None
    goodput_forecast_p10_bps: float | None = None
    goodput_forecast_p50_bps: float | None = None
    goodput_forecast_p90_bps: float | None = None
    goodput_forecast_samples: int | None = None
    path_age_s: float | None = None
    path_fingerprint: str | None = None
    path_mtu_bytes: int | None = None
    hops: int | None = None
    failure: str | None = None
    failure_kind: Literal["latency", "throughput", "path"] | None = None
    failure_detail: str | None = None
    failure_age_s: float | None = None
    next_test_in_s: float | None = None
    next_test_reason: str | None = None
    next_test_waits_for: str | None = None
    next_test_rounds: float | None = None


class SiteAnswer(Message):
    """A site of the mesh and the status that it publishes.

    `state` is `unknown` until the site has published a status, and `offline` by its will or after a silence of three of
    its report intervals, 15 s at least; `since` is when that began. `reason` says why it is offline, or that its clock
    is wrong. `outbox_reports` wait at the site for the collector,
    `dropped_reports` were lost to a full outbox, the collector refused `refused_reports` for good; `oversized_reports`
    wait as the broker takes no packets of their size, `damaged_reports` were lost to damage of the outbox. The site's
    reflector did not answer `dropped_datagrams`.
    `throughput_tests` counts the tests of its incoming links, since it started, by the reason why each ran.
    `budget_left_bytes` is what its tests may move now of `budget_bytes_per_day`, which accrues evenly; both are null
    for a site without a budget. `clock_offset_s` is by how much the site's clock is ahead of the collector's, within
    some seconds, by its last reports; null where too few came or they waited at the site. `clock` is a sentence where a
    clock is wrong: the site's, or the collector's own, if most sites are off.
    `throughput_problem` is a sentence that says why the site tests no throughput. `suspect` is one that says which of
    its claims cannot be: it relays nothing and gets no job until an operator acknowledges the incident.
    `overflows` counts, by queue, what the site dropped since its start as too much waited, `unpublished`, by reason,
    what its broker would not take. `damaged_files` counts, by file, those that it found damaged and set aside, until
    they are deleted. `failed_authentication` counts, by address, the probes of the last minute or two that were signed
    with another key than the site's, and not answered.
    """

    site: str
    state: SiteCondition = "unknown"
    since: AwareDatetime | None = None
    reason: str | None = None
    address: str
    status_at: AwareDatetime | None = None
    report_age_s: float | None = None
    clock_offset_s: float | None = None
    clock: str | None = None
    version: str | None = None
    capabilities: tuple[str, ...] = ()
    outbox_reports: int | None = None
    dropped_reports: int | None = None
    refused_reports: int | None = None
    oversized_reports: int | None = None
    damaged_reports: int | None = None
    dropped_datagrams: int | None = None
    throughput_tests: dict[str, int] | None = None
    budget_bytes_per_day: int | None = None
    budget_left_bytes: int | None = None
    throughput_problem: str | None = None
    suspect: str | None = None
    overflows: dict[str, int] | None = None
    unpublished: dict[str, int] | None = None
    damaged_files: dict[str, int] | None = None
    failed_authentication: dict[str, int] | None = None
    compute_id: str | None = None
    operator: str | None = None
    region: str | None = None
    latitude: float | None = None
    longitude: float | None = None


class CapacityAnswer(DeviceRow):
    """One type of devices of one site, as the site last reported it `age_s` ago; null was not reported.

    `state` is `expired` once the report is too old to place a job on it.
    """

    site: str
    compute_id: str | None = None
    state: CapacityCondition
    at: AwareDatetime
    age_s: float


class HistoryBucket(Message):
    """One step of a history: what `count` rows measured in `[at, at + step)`."""

    at: AwareDatetime
    count: int
    min: float
    p50: float
    p95: float
    max: float


class HistoryAnswer(Message):
    """One metric of one link over time. Steps without a row are left out."""

    src: str
    dst: str
    metric: str
    since: AwareDatetime
    until: AwareDatetime
    step_s: float
    buckets: tuple[HistoryBucket, ...]


class MeshAnswer(Message):
    """The current mesh and, if the newest version of its file was refused, why."""

    mesh: Mesh
    links: int
    refused: str | None = None


class ReadyAnswer(Message):
    """Whether the collector is ready, and what it still waits for or fails at."""

    ready: bool
    reasons: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


class ErrorAnswer(Message):
    """The form of every error: one sentence, and the parameter or key that it concerns."""

    error: str
    field: str | None = None
