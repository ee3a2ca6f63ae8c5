"""The kinds of reports, their decoding, and the messages about them: receipts and the site's status."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Literal

from pydantic import AwareDatetime, Field

from linkweather.errors import MessageError
from linkweather.wire.capacity import CapacityReport
from linkweather.wire.fields import Bytes, Count, Name, Text
from linkweather.wire.latency import LatencyReport
from linkweather.wire.messages import LinkReport, Message, Row, decode
from linkweather.wire.path import PathReport
from linkweather.wire.throughput import ThroughputReport

AnyReport = LatencyReport | ThroughputReport | PathReport | CapacityReport

REPORTS: Mapping[str, type[AnyReport]] = {
    "latency": LatencyReport,
    "throughput": ThroughputReport,
    "path": PathReport,
    "capacity": CapacityReport,
}
# The end of the link that publishes a row → that end of a row, and the other one.
_ENDS: Mapping[str, tuple[Callable[[Row], str], Callable[[Row], str]]] = {
    "src": (attrgetter("src"), attrgetter("dst")),
    "dst": (attrgetter("dst"), attrgetter("src")),
}


def decode_report(site: str, kind: str, payload: bytes) -> AnyReport:
    """Decode a report that arrived on `site`'s topic for `kind`.

    Raises MessageError with reason `unknown_kind`, `malformed`, `impossible`, or `foreign` when a row is about a link
    that is not this site's own.
    """
    if kind not in REPORTS:
        raise MessageError("unknown_kind", kind[:64])
    report = decode(REPORTS[kind], payload)
    if isinstance(report, LinkReport):
        _check_ends(site, report)
    return report


def _check_ends(site: str, report: LinkReport) -> None:
    near, far = _ENDS[report.publisher]
    ends = {near(row) for row in report.links}
    if ends - {site}:
        raise MessageError("foreign", f"{site} may not report links of {min(ends - {site})}")
    if site in {far(row) for row in report.links}:
        raise MessageError("impossible", f"{site} → {site} is no link")


class ReportRefusal(Message):
    """A report that the journal will never hold, and why; the site drops and counts it."""

    seq: Count
    reason: Name


class Committed(Message):
    """Collector to site: these reports of outbox `boot` are in the journal, or refused for good."""

    v: Literal[1] = 1
    boot: Name
    seqs: tuple[Count, ...] = ()
    refused: tuple[ReportRefusal, ...] = ()


class Status(Message):
    """A site's retained state; its will says offline. `dropped_datagrams` are those that its reflector did not answer.

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
    throughput_tests: dict[Name, Count] = Field(default_factory=dict)
    budget_bytes_per_day: Bytes | None = None
    budget_left_bytes: Bytes | None = None
