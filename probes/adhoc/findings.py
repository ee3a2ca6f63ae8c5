"""What an ad hoc test found: plain data, its JSON document, whether it failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from linkweather.wire import LatencyRow, Message, ThroughputRow
from probes.adhoc.method_choice import Attempt
from probes.throughput.iperf3_output import Datagrams

# A row names two sites of a mesh; an ad hoc test has none.
HERE = "here"
THERE = "there"
# The method of a row that iperf3 measured by datagrams; by TCP it is "iperf3".
UDP = "iperf3_udp"
_OF_A_MESH = {"src", "dst", "during_throughput"}


@dataclass(frozen=True, slots=True)
class MeasuredHost:
    """A host as the user named it, and where it is."""

    host: str
    address: str

    def __str__(self) -> str:
        """The name, with the address where that says more."""
        return self.host if self.host == self.address else f"{self.host} ({self.address})"


@dataclass(frozen=True, slots=True)
class LatencyFindings:
    """The probes' row, each probe's RTT in the order of sending (None: lost), and how the method was chosen."""

    row: LatencyRow
    rtts_s: Sequence[float | None]
    attempts: Sequence[Attempt]

    @property
    def failed(self) -> bool:
        """Whether there was no reply at all."""
        return self.row.received == 0


@dataclass(frozen=True, slots=True)
class ThroughputFindings:
    """The test's row, its intervals' rates in the order of time, and which way the data went."""

    row: ThroughputRow
    intervals_bps: Sequence[float]
    interval_s: float
    reverse: bool
    port: int
    # Without --throughput, a host without an iperf3 server is no failure.
    wanted: bool
    udp_rate_bps: float | None = None
    datagrams: Datagrams | None = None

    @property
    def failed(self) -> bool:
        """Whether nothing was measured although it was asked for."""
        return self.wanted and self.row.failure is not None


@dataclass(frozen=True, slots=True)
class Findings:
    """All that one test found; a part that was not measured is None. `opposite` is the throughput the other way."""

    target: MeasuredHost
    at: datetime
    latency: LatencyFindings | None = None
    throughput: ThroughputFindings | None = None
    opposite: ThroughputFindings | None = None
    interrupted: bool = False

    @property
    def failed(self) -> bool:
        """Whether a part that was asked for was not measured, or nothing was."""
        parts = [part for part in (self.latency, self.throughput, self.opposite) if part is not None]
        return not parts or any(part.failed for part in parts)

    @property
    def throughputs(self) -> list[ThroughputFindings]:
        """The throughput tests, one for each way that was tested."""
        return [test for test in (self.throughput, self.opposite) if test is not None]


@dataclass(frozen=True, slots=True)
class HostOutcome:
    """The outcome of one host's test: findings, or the reason and a sentence why it could not begin."""

    host: str
    findings: Findings | None = None
    failure: str = ""
    detail: str = ""

    @property
    def failed(self) -> bool:
        """Whether the host, or a part of what was asked for, was not measured."""
        return self.findings is None or self.findings.failed

    @property
    def document(self) -> dict[str, Any]:
        """Its JSON document."""
        if self.findings is None:
            return {"host": self.host, "failure": self.failure, "detail": self.detail}
        return document(self.findings)


def document(findings: Findings) -> dict[str, Any]:
    """The JSON document of a test, in the field names of reports."""
    return {
        "host": findings.target.host,
        "address": findings.target.address,
        "at": findings.at.isoformat(),
        "interrupted": findings.interrupted,
        "latency": findings.latency and _latency(findings.latency),
        "throughput": findings.throughput and _throughput(findings.throughput),
        "throughput_opposite": findings.opposite and _throughput(findings.opposite),
    }


def _latency(latency: LatencyFindings) -> dict[str, Any]:
    attempts = [
        {"method": each.method, "port": each.port, "answered": each.answered, "outcome": each.outcome}
        for each in latency.attempts
    ]
    return {**_fields(latency.row), "attempts": attempts, "rtts_s": list(latency.rtts_s)}


def _throughput(throughput: ThroughputFindings) -> dict[str, Any]:
    return {
        **_fields(throughput.row),
        "direction": "reverse" if throughput.reverse else "forward",
        "port": throughput.port,
        "udp_rate_bps": throughput.udp_rate_bps,
        "datagrams": throughput.datagrams and _datagrams(throughput.datagrams),
        "interval_s": throughput.interval_s,
        "intervals_bps": list(throughput.intervals_bps),
    }


def _datagrams(datagrams: Datagrams) -> dict[str, Any]:
    return {"sent": datagrams.sent, "lost": datagrams.lost, "jitter_rfc3550_s": datagrams.jitter_s}


def _fields(row: Message) -> dict[str, Any]:
    return row.model_dump(mode="json", exclude=_OF_A_MESH)
