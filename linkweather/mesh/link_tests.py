"""How links are measured: latency, throughput and paths."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

from linkweather.mesh.mesh_fields import (
    DEFAULT_BUDGET_BYTES,
    Budget,
    NotNegative,
    PathMethod,
    Port,
    Positive,
    ProbeInterval,
    ReportInterval,
    Settings,
)

ARRANGE_S = 0.5  # of a slot, for invitation and answer
MAX_FLOWS = 8  # of a path test
MAX_HOPS, MOST_HOPS = 30, 64
TRACEROUTE_PORT = 33434  # traceroute's first UDP port


class LatencyTests(Settings):
    """How latency is measured: a probe to each peer every `interval_s`, a row every `report_interval_s`.

    STAMP probes are padded (RFC 8972 §4.1) to `packet_bytes` of UDP payload; 0 leaves them as they are, 44 octets,
    authenticated 112.
    """

    interval_s: ProbeInterval = 0.1
    timeout_s: Positive = 1.0
    report_interval_s: ReportInterval = 5.0
    authenticated: bool = False
    packet_bytes: Annotated[int, Field(ge=0, le=1472)] = 0


class ThroughputTests(Settings):
    """How throughput is measured: every link once in `every_s`, one test per slot and site.

    A link that was never measured, or whose figure has expired, is tested at its next turn. A test ends after
    `max_duration_s`; with `until_converged` as soon as its estimate has converged. A link whose tests agree waits
    longer from test to test, up to `quiet_factor` times; a shifted latency, loss or a new path brings its test forward.
    In no 24 hours do the tests of a site, sent and received, move more payload than `budget_bytes_per_day`, nor those
    of a link more than `link_budget_bytes_per_day`; UNLIMITED_BYTES, or a link's unset, is no limit.
    """

    enabled: bool = True
    every_s: NotNegative = 600.0
    slot_s: Positive = 5.0
    max_duration_s: Annotated[float, Field(ge=0.5, le=60)] = 3.0
    until_converged: bool = True
    quiet_factor: Annotated[int, Field(ge=1, le=100)] = 6
    budget_bytes_per_day: Budget = DEFAULT_BUDGET_BYTES
    link_budget_bytes_per_day: Budget | None = None

    @property
    def longest_wait(self) -> int:
        """For how many times `every_s` a link may wait for its test."""
        return self.quiet_factor if self.every_s else 1

    @model_validator(mode="after")
    def _fits(self) -> Self:
        least_s = self.max_duration_s + ARRANGE_S
        if self.slot_s < least_s:
            raise ValueError(
                f"slot_s = {self.slot_s}: must be at least {least_s:g}, "
                f"max_duration_s and {ARRANGE_S:g} s to arrange a test"
            )
        return self


class PathTests(Settings):
    """How paths are traced: every outgoing link once in `every_s`, over several flows, to find parallel paths.

    `udp` probes go to `udp_port`, where no program should listen; `tcp` probes to the site's `tcp_port`.
    """

    enabled: bool = True
    every_s: Positive = 300.0
    method: PathMethod = "udp"
    flows: Annotated[int, Field(ge=1, le=MAX_FLOWS)] = 4
    max_hops: Annotated[int, Field(ge=1, le=MOST_HOPS)] = MAX_HOPS
    udp_port: Port = TRACEROUTE_PORT


class Limits(Settings):
    """Figures beyond which a link is degraded, whatever is normal for it; unset is no limit.

    At most so much loss, so long an RTT (median) and jitter (p95 minus median); at least so much goodput.
    """

    loss_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    rtt_s: Positive | None = None
    jitter_s: Positive | None = None
    goodput_bps: Annotated[float, Field(gt=0, le=1e15)] | None = None


class LinkTests(NamedTuple):
    """How one link is measured: as its group says, and for the rest as the mesh says."""

    latency: LatencyTests
    throughput: ThroughputTests
    path: PathTests
    limits: Limits = Limits()
