"""What limited a test's rate, by the evidence of both ends; None where the evidence does not say. Pure.

The sender's kernel counts for how long it had data to send, and for how much of that it waited for the receiver's
window or for its own buffer. For the rest congestion control held it back, and that is the network. Each end also knows
how much CPU its iperf3 wanted: the time it ran, and the time it waited in the run queue.
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
# A thread that wanted a core nearly all the time; iperf3's own timers and pauses keep it from 1.
BUSY_CPU = 0.9
# Below this the host is not the limit; between the two it is unknown. Measured: a starved receiver may sleep a
# quarter of the time, and its sender's kernel then takes the late acknowledgements for congestion.
FREE_CPU = 0.5
# A window or a buffer is the limit if it took more than this share of the time. It does not take all of it: the kernel
# counts what BBR paces, and what iperf3 3.18 waits before it writes again, as neither. Measured where it was the limit:
# 0.43 and more; where the network was: 0.05.
HELD_BY_HOST = 0.3
# The network is, if congestion control took more than this.
MOST = 0.5


@dataclass(frozen=True, slots=True)
class SenderEvidence:
    """What the sending end saw: its connections in the last sample, and its CPU demand (1 is one whole core)."""

    connections: Sequence[TcpConnection]
    cpu_demand: float | None

    @property
    def retransmits(self) -> int | None:
        """Retransmitted segments, over all streams; None when no connection was seen."""
        return sum(each.retransmits for each in self.connections) if self.connections else None

    @property
    def congestion(self) -> str | None:
        """The congestion control of the busiest stream."""
        return self._busiest.congestion if self._busiest else None

    @property
    def limited_by(self) -> LimitedBy | None:
        """The limit as the sending end knows it: its host, the receiver's window, or the network."""
        if _wants_a_core(self.cpu_demand):
            return "sender host"
        busiest = self._busiest
        if busiest is None or busiest.busy_s == 0:
            return None
        if busiest.window_limited_s > HELD_BY_HOST * busiest.busy_s:
            return "receiver host"
        if busiest.buffer_limited_s > HELD_BY_HOST * busiest.busy_s:
            return "sender host"
        held_s = busiest.busy_s - busiest.window_limited_s - busiest.buffer_limited_s
        return "network" if _is_free(self.cpu_demand) and held_s > MOST * busiest.busy_s else None

    @property
    def _busiest(self) -> TcpConnection | None:
        return max(self.connections, key=lambda each: each.acked_bytes, default=None)


def own_limit(stopped_by: StoppedBy, end: End, *, filled: bool, cpu_demand: float | None) -> LimitedBy | None:
    """The limit as one end knows it by itself: our own cap, or this end's host.

    A test that its cap in time or bytes ended while the rate still grew was limited by that cap.
    """
    if not filled and stopped_by != "converged":
        return "application"
    return _HOSTS[end] if _wants_a_core(cpu_demand) else None


def agreed(own: LimitedBy | None, cpu_demand: float | None, theirs: str | None) -> str | None:
    """The limit by the evidence of both ends: our own first, and the network only where our host was free."""
    if own is not None or (theirs == "network" and not _is_free(cpu_demand)):
        return own
    return theirs


def _is_free(cpu_demand: float | None) -> bool:
    return cpu_demand is not None and cpu_demand < FREE_CPU


def _wants_a_core(cpu_demand: float | None) -> bool:
    return cpu_demand is not None and cpu_demand >= BUSY_CPU
