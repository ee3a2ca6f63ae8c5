"""One ad hoc test: what is asked for, who watches it, and how it ends early."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from linkweather.mesh import MethodName
from probes.adhoc.findings import MeasuredHost
from probes.throughput.iperf3_output import Interval

# The longest duration of a test that stops when it has converged, and the duration of one that cannot.
UNTIL_CONVERGED_S, FIXED_S = 10.0, 3.0


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """The throughput tests. `reverse`: from the host to here first; `both`: then the other direction too.

    `udp_rate_bps` is the rate of all streams together; None: TCP.
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
        """Whether the test stops when it has converged: not where we send, or where UDP has a fixed rate."""
        return self.until_converged and reverse and self.udp_rate_bps is None

    def limit_s(self, *, reverse: bool) -> float:
        """The longest duration of a test in this direction."""
        if self.duration_s is not None:
            return self.duration_s
        return UNTIL_CONVERGED_S if self.converges(reverse=reverse) else FIXED_S


@dataclass(frozen=True, slots=True)
class AdhocOptions:
    """One `linkweather test`. `throughput` None: only where the host has an iperf3 server.

    `method` None: the first that the host answers. `method_options` are the method's own.
    `family` is AF_INET, AF_INET6, or 0 for what the name resolves to first.
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
    load: LoadOptions
    key: bytes | None
    family: int
    method_options: Mapping[str, str | int | float | bool] = field(default_factory=dict)


class AdhocDisplay:
    """Follows the steps of a test as they happen; this one shows nothing of them."""

    def trying(self, title: str) -> None:
        """Note that the method with this title is tried."""

    def chosen(self, choice: str, count: int) -> None:
        """Note which method is used and why, and for how many probes."""

    def probe(self, rtt_s: float | None) -> None:
        """Note the RTT of a probe; None: it was lost, or its reply came late or is unusable."""

    def connecting(self, port: int, *, reverse: bool) -> None:
        """Note that the throughput test begins."""

    def interval(self, interval: Interval) -> None:
        """Note an interval of the throughput test."""


class StopRequest:
    """The user's request to end early. Each part of a test that runs says how it is ended."""

    def __init__(self) -> None:
        self.asked = False
        self._hows: list[Callable[[], None]] = []

    def ask(self) -> None:
        """End all that runs now, and begin nothing more."""
        self.asked = True
        for how in list(self._hows):
            how()

    @contextlib.contextmanager
    def by(self, how: Callable[[], None]) -> Iterator[None]:
        """Within this block, `how` ends what runs."""
        self._hows.append(how)
        if self.asked:
            how()
        try:
            yield
        finally:
            self._hows.remove(how)


class AdhocJob(NamedTuple):
    """One ad hoc test: what is asked for, of which host, who watches it, who may end it; the RTT once it is known."""

    options: AdhocOptions
    target: MeasuredHost
    watch: AdhocDisplay
    stop: StopRequest
    rtt_s: float | None = None
