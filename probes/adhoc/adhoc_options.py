"""What a test by hand was asked for."""

from __future__ import annotations

from dataclasses import dataclass

from probes.adhoc.method_choice import MethodName

# How long a test may last that ends when it knows enough, and how long one lasts that cannot know.
UNTIL_CONVERGED_S, FIXED_S = 10.0, 3.0


@dataclass(frozen=True, slots=True)
class Load:
    """The throughput tests. `reverse`: from the host to here first; `both`: then the other way too.

    `udp_rate_bps` is that of all streams together; TCP when None.
    """

    port: int = 5201
    reverse: bool = True
    both: bool = False
    duration_s: float | None = None
    until_converged: bool = True
    streams: int = 1
    congestion: str | None = None
    udp_rate_bps: float | None = None

    def converges(self, *, reverse: bool) -> bool:
        """Whether the test ends by its own rule: a sender does not see what arrives, and datagrams have their rate."""
        return self.until_converged and reverse and self.udp_rate_bps is None

    def limit_s(self, *, reverse: bool) -> float:
        """How long a test this way lasts at the most."""
        if self.duration_s is not None:
            return self.duration_s
        return UNTIL_CONVERGED_S if self.converges(reverse=reverse) else FIXED_S


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
    load: Load
    key: bytes | None
    family: int
