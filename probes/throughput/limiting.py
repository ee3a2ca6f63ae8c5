"""What held a test's rate down, from evidence at both of its ends. Pure; where there is no evidence, None.

The sender's kernel counts the time in which it had data to send, and how much of that it had to wait for the
receiver's window or for its own buffer; in the rest, congestion control held it, and that is the network. Each end
knows how much processor time its iperf3 wanted: what it got, and what it waited for in the run queue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from probes.throughput.iperf3_output import End
from probes.throughput.stop_rule import StoppedBy
from probes.throughput.tcpinfo import TcpConnection

LimitedBy = Literal["network", "sender host", "receiver host", "application"]

_HOSTS: Mapping[End, LimitedBy] = {"sender": "sender host", "receiver": "receiver host"}
# A thread that wanted a processor nearly all the time; iperf3's own timers and pauses keep it from 1.
BUSY_CPU = 0.9
# Below this a host is not to blame; between the two nobody can tell. Measured: a starved receiver may sleep a
# quarter of the time, and its sender's kernel then calls the late acknowledgements congestion.
FREE_CPU = 0.5
# What took most of the time is the limit.
MOST = 0.5


@dataclass(frozen=True, slots=True)
class SenderEvidence:
    """What the sending end saw: its connections at the last look, and its CPU demand (1 is one core's worth)."""

    connections: Sequence[TcpConnection]
    cpu_demand: float | None

    @property
    def retransmits(self) -> int | None:
        """Segments sent again by then, over all streams; None when no connection was seen."""
        return sum(each.retransmits for each in self.connections) if self.connections else None

    @property
    def congestion(self) -> str | None:
        """The congestion control of the busiest stream."""
        return self._busiest.congestion if self._busiest else None

    @property
    def limited_by(self) -> LimitedBy | None:
        """What the sending end can tell: its host, the receiver's window, the network."""
        if _wants_a_core(self.cpu_demand):
            return "sender host"
        busiest = self._busiest
        if busiest is None or busiest.busy_s == 0:
            return None
        if busiest.window_limited_s > MOST * busiest.busy_s:
            return "receiver host"
        if busiest.buffer_limited_s > MOST * busiest.busy_s:
            return "sender host"
        held_s = busiest.busy_s - busiest.window_limited_s - busiest.buffer_limited_s
        return "network" if _is_free(self.cpu_demand) and held_s > MOST * busiest.busy_s else None

    @property
    def _busiest(self) -> TcpConnection | None:
        return max(self.connections, key=lambda each: each.acked_bytes, default=None)


def own_limit(stopped_by: StoppedBy, end: End, *, filled: bool, cpu_demand: float | None) -> LimitedBy | None:
    """What a client can tell by itself, being this end of the test: our own limit, or its host.

    A test that our limit in time or bytes ended while its rate still grew was held down by that limit.
    """
    if not filled and stopped_by != "converged":
        return "application"
    return _HOSTS[end] if _wants_a_core(cpu_demand) else None


def agreed(own: LimitedBy | None, cpu_demand: float | None, told: str | None) -> str | None:
    """What both ends' evidence amounts to: our own first, and the network only where our host is not to blame."""
    if own is not None or (told == "network" and not _is_free(cpu_demand)):
        return own
    return told


def _is_free(cpu_demand: float | None) -> bool:
    return cpu_demand is not None and cpu_demand < FREE_CPU


def _wants_a_core(cpu_demand: float | None) -> bool:
    return cpu_demand is not None and cpu_demand >= BUSY_CPU
