"""What a test by hand was asked for."""

from __future__ import annotations

from dataclasses import dataclass

from probes.byhand.methods import MethodName


@dataclass(frozen=True, slots=True)
class Options:
    """One `linkweather test`. `throughput` None: only where the host has an iperf3 server.

    `method` None: the first
    that the host answers. `family` is AF_INET, AF_INET6, or 0 for what the name resolves to first.
    """

    host: str
    latency: bool
    throughput: bool | None
    method: MethodName | None
    count: int
    interval_s: float
    timeout_s: float
    port: int | None
    tcp_port: int | None
    iperf3_port: int
    duration_s: float
    reverse: bool
    key: bytes | None
    family: int
