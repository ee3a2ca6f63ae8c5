"""One peer's session: what was sent, what came back, and what that says. Pure: time comes in as arguments.

A probe is out from `send` until it settles. It settles once, in one of these ways:

    received    its reply and its TX stamp are there, whichever came first, or its exchange is over
    set aside   likewise, but the times cannot be: the clock was stepped, or the reflector's residence is negative
    late        its reply came after the timeout
    lost        the timeout passed without a reply, or our own kernel would not send it

A probe that settled is remembered for a while, so that a duplicate, or a reply that is later still, is known for one
and counted. A window's row is made when all its probes are settled.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Literal

from linkweather.containment import note
from linkweather.errors import MessageError
from linkweather.wire import LatencyRow
from linkweather.wire.fields import printable
from probes.latency.clocks import Clock, encode_error, ntp_from_ns
from probes.latency.loss_direction import CountedProbe, LossEdge, by_direction
from probes.latency.pacing import Window
from probes.latency.prober import RoundTrip, TimestampSource
from probes.latency.stamp_packet import StampReply, StampRequest
from probes.latency.statistics import Jitter
from probes.latency.tally import Outages, SentProbe, Tally, TimedReply, row
from probes.latency.trip_times import add_one_way, elapsed_s, round_trip

# As if probe 0 had been lost: this sets a stateful reflector, which counts its replies from 0, apart from a stateless
# one, which copies our sequence.
FIRST_SEQUENCE = 1
_MASK = 0xFFFFFFFF
_HALF = 0x80000000
_REMEMBERED_TIMEOUTS = 4  # a later reply than this, or than the floor, is a stray
_REMEMBERED_FLOOR_S = 10.0

TWAMP_LIGHT = "twamp-light"  # the method of rows whose replies have its format

Outcome = Literal["received", "lost", "late", "duplicate", "set_aside"]


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """What became of one probe. `late_s` is by how much a late reply missed the timeout."""

    site: str
    sequence: int
    outcome: Outcome
    rtt_s: float | None = None
    source: TimestampSource | None = None
    late_s: float | None = None
    reason: str | None = None


class Session:
    """The probes to one peer, matched with its replies.

    `ssid` sets this session apart from others between the same addresses (RFC 8972 §3); zero in a reply is a
    reflector that does not know it.
    """

    def __init__(
        self,
        src: str,
        dst: str,
        method: str = "stamp",
        *,
        ssid: int,
        timeout_s: float,
        first_sequence: int = FIRST_SEQUENCE,
    ) -> None:
        self.dst = dst
        self.ssid = ssid
        self.timeout_s = timeout_s
        self.strays: Counter[str] = Counter()
        self._src = src
        self._method = method
        self._light = False  # whether the last reply was in the shorter format
        self._next = first_sequence
        self._highest = first_sequence - 1
        self._probes: dict[int, SentProbe] = {}
        self._tallies: deque[Tally] = deque()
        # A session is new to its reflector, whose first count will be 0: losses before that have a direction, too.
        self._edge: LossEdge | None = LossEdge(first_sequence - 1, _MASK)
        self._error = 0
        self._jitter = Jitter()
        self._outages = Outages()

    def open(self, window: Window, clock: Clock, *, loaded: bool = False) -> None:
        """Begin a window; `clock` is how good ours is during it."""
        self._tallies.append(Tally(window, clock, loaded))
        self._error = encode_error(clock.error_s, synchronised=clock.synchronised)

    def mark_loaded(self) -> None:
        """Our own throughput test loads the link during the open window."""
        if self._tallies:
            self._tallies[-1].loaded = True

    def note(self, reason: str, remark: str | None = None) -> None:
        """The network, or what the peer sends, says why there is no result."""
        if self._tallies:
            self._tallies[-1].reason = reason
            self._tallies[-1].remark = remark

    def note_overflow(self, dropped: int) -> None:
        """Our own kernel dropped datagrams, replies perhaps: probes that are still out may have been answered."""
        for tally in self._tallies:
            tally.overflowed += dropped

    def send(self, now: float, wall_ns: int, *, awaits_stamp: bool) -> tuple[SentProbe, StampRequest]:
        """The next probe, and what to send. `awaits_stamp`: whether the kernel will say when it left."""
        tally = self._tallies[-1]
        timestamp = ntp_from_ns(wall_ns)
        probe = SentProbe(self._next, tally, now, wall_ns, timestamp, awaits_stamp)
        self._next += 1
        self._probes[probe.sequence] = probe
        tally.probes.append(probe)
        tally.window.unsettled += 1
        self._forget(now)
        return probe, StampRequest(probe.sequence & _MASK, timestamp, self._error, self.ssid)

    def fail(self, probe: SentProbe, reason: str, remark: str | None = None) -> ProbeOutcome | None:
        """The probe failed: our own kernel would not send it, or its exchange came to nothing; None when too late."""
        if probe.settled:
            return None
        probe.tally.reason, probe.tally.remark = reason, remark or probe.tally.remark
        return self._lose(probe)

    def finish(self, probe: SentProbe, trip: RoundTrip, now: float) -> ProbeOutcome | None:
        """The probe's exchange is over, and measured `trip`; None when its timeout was before."""
        if probe.settled:
            return None
        self._close(probe)
        tally = probe.tally
        # To the losses it is a reply of a reflector without a count: they have no direction.
        probe.first = probe.last = probe.sequence & _MASK
        tally.received += 1
        tally.remark = trip.remark or tally.remark
        if not 0 <= trip.rtt_s <= now - probe.sent_s:
            return self._set_aside(probe, trip.source, "impossible_rtt")
        tally.add_rtt(trip.rtt_s, trip.source)
        return ProbeOutcome(self.dst, probe.sequence, "received", trip.rtt_s, trip.source)

    def stamp(self, probe: SentProbe, kernel_ns: int) -> ProbeOutcome | None:
        """The kernel says when the probe left."""
        probe.stamp_ns = kernel_ns
        return None if probe.settled or probe.arrival is None else self._settle(probe, probe.arrival)

    def receive(self, arrival: TimedReply) -> ProbeOutcome | None:
        """Take a reply in; None while the probe's TX stamp is awaited.

        Raises MessageError: `foreign` for another session's, `stray` for one that no remembered probe explains.
        """
        reply = arrival.reply
        if reply.ssid not in {0, self.ssid}:
            raise MessageError("foreign")
        sequence = self._next - 1 - ((self._next - 1 - reply.sender_sequence) & _MASK)
        probe = self._probes.get(sequence)
        if probe is None or probe.timestamp != reply.sender_timestamp:
            raise MessageError("stray")
        if probe.first is not None:
            return self._duplicate(probe, reply)
        probe.first = probe.last = reply.sequence
        self._light = reply.light
        late_s = elapsed_s(probe, arrival) - self.timeout_s
        if late_s > 0 or probe.settled:
            return self._late(probe, late_s)
        return self._on_time(probe, arrival)

    def expire(self, probe: SentProbe) -> ProbeOutcome | None:
        """The probe's timeout is over: lost, or received without the stamp that was awaited."""
        if probe.settled:
            return None
        return self._lose(probe) if probe.arrival is None else self._settle(probe, probe.arrival)

    def abandon(self) -> None:
        """Settle everything without a result: the peer is measured no more."""
        for probe in self._probes.values():
            self._close(probe)

    def close(self, window: Window, reason: str | None = None, remark: str | None = None) -> LatencyRow | None:
        """The row of the oldest window, whose probes are settled; None when this session has no part in it.

        `reason` says why nothing was sent, if nothing was, and `remark` says more for people.
        """
        if not self._tallies or self._tallies[0].window is not window:
            return None
        tally = self._tallies.popleft()
        if not tally.probes:
            tally.reason, tally.remark = tally.reason or reason, tally.remark or remark
        losses, self._edge = by_direction((probe.probed() for probe in tally.probes), self._edge, self._right_edge())
        outages = self._outages.follow(tally.probes)
        method = TWAMP_LIGHT if self._light else self._method
        try:
            return row(self._src, self.dst, method, tally, losses, jitter=self._jitter, outages=outages)
        except Exception as error:  # noqa: BLE001 - a figure that cannot be costs its own link's row
            note("latency row", error)
            remark = printable(f"{type(error).__name__}: {error}")
            return LatencyRow(src=self._src, dst=self.dst, method=method, failure="prober_error", detail=remark)

    def _right_edge(self) -> CountedProbe | None:
        later = (probe for tally in self._tallies for probe in tally.probes)
        return next((probe.probed() for probe in later if probe.first is not None), None)

    def _on_time(self, probe: SentProbe, arrival: TimedReply) -> ProbeOutcome | None:
        probe.arrival = arrival
        probe.tally.received += 1
        # RFC 4737 §3: reordered is what comes after a later one.
        probe.tally.reordered += probe.sequence < self._highest
        self._highest = max(self._highest, probe.sequence)
        if probe.awaits_stamp and probe.stamp_ns is None:
            return None
        return self._settle(probe, arrival)

    def _settle(self, probe: SentProbe, arrival: TimedReply) -> ProbeOutcome:
        self._close(probe)
        rtt_s, source, impossible, held = round_trip(probe, arrival)
        if impossible:
            return self._set_aside(probe, source, impossible)
        probe.tally.add_rtt(rtt_s, source)
        probe.tally.held += held
        add_one_way(probe, arrival)
        return ProbeOutcome(self.dst, probe.sequence, "received", rtt_s, source)

    def _set_aside(self, probe: SentProbe, source: TimestampSource, reason: str) -> ProbeOutcome:
        probe.tally.set_aside[reason] += 1
        return ProbeOutcome(self.dst, probe.sequence, "set_aside", source=source, reason=reason)

    def _duplicate(self, probe: SentProbe, reply: StampReply) -> ProbeOutcome:
        if probe.last is None or (reply.sequence - probe.last) & _MASK < _HALF:
            probe.last = reply.sequence
        self._open_tally(probe).duplicated += 1
        return ProbeOutcome(self.dst, probe.sequence, "duplicate")

    def _late(self, probe: SentProbe, late_s: float) -> ProbeOutcome:
        self._close(probe)
        late_s = max(late_s, 0.0)
        self._open_tally(probe).add_late(late_s)
        return ProbeOutcome(self.dst, probe.sequence, "late", late_s=late_s)

    def _lose(self, probe: SentProbe) -> ProbeOutcome:
        self._close(probe)
        return ProbeOutcome(self.dst, probe.sequence, "lost", reason=probe.tally.reason)

    def _close(self, probe: SentProbe) -> None:
        if not probe.settled:
            probe.settled = True
            probe.tally.window.unsettled -= 1

    def _open_tally(self, probe: SentProbe) -> Tally:
        """Where to count what came after the probe settled: its own window, else the oldest without a row."""
        return probe.tally if probe.tally.window.end_s >= self._tallies[0].window.end_s else self._tallies[0]

    def _forget(self, now: float) -> None:
        horizon = now - max(_REMEMBERED_FLOOR_S, _REMEMBERED_TIMEOUTS * self.timeout_s)
        while (first := next(iter(self._probes.values()))).sent_s < horizon:
            del self._probes[first.sequence]
