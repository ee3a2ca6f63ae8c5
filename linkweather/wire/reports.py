"""Reports: what a probe publishes, one message with many rows, and how one is decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from linkweather.errors import MessageError
from linkweather.wire.coding import decode
from linkweather.wire.fields import Count, Message, Name
from linkweather.wire.rows import DeviceRow, LatencyRow, PathRow, Row, ThroughputRow


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
