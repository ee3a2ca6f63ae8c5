"""One directed link: a packet's length and `now` go in, its arrival time or the reason for its loss comes out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Literal

from linkweather.lab.labfile import Behaviour
from linkweather.lab.routers import EmulatedRouter

Drop = Literal["cut", "loss", "queue", "router"]


@dataclass(slots=True)
class LinkCounters:
    """The counters of a link. `router` counts the packets that routers on the way have stopped, once any has."""

    forwarded_packets: int = 0
    forwarded_bytes: int = 0
    duplicated_packets: int = 0
    reordered_packets: int = 0
    dropped: dict[Drop, int] = field(default_factory=lambda: {"cut": 0, "loss": 0, "queue": 0})


class EmulatedLink:
    """Serialises packets at the rate, then delays them: first in, first out, except those chosen to overtake.

    The queue is a virtual finish time: the transmitter is busy until `_free_at`, so that time minus `now` is the
    backlog, and a packet that finds more than `queue_s` of it is dropped.
    """

    __slots__ = (
        *("_behaviour", "_free_at", "_last_arrival", "_random", "_seconds_per_byte"),
        *("counters", "cut", "routers"),
    )

    def __init__(self, behaviour: Behaviour, random: Random) -> None:
        self._random = random
        self._free_at = 0.0
        self._last_arrival = 0.0
        self.cut = False
        # The routers on the way; of each choice one, by flow.
        self.routers: tuple[tuple[EmulatedRouter, ...], ...] = ()
        self.counters = LinkCounters()
        self.behaviour = behaviour

    @property
    def behaviour(self) -> Behaviour:
        """How packets are treated from now on; those under way keep their arrival times."""
        return self._behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._seconds_per_byte = 8 / behaviour.rate_bps

    def admit(self, length_bytes: int, now: float) -> float | Drop:
        """The time at which a packet that entered at `now` arrives, or why it does not."""
        arrival = self._arrival(length_bytes, now)
        if isinstance(arrival, str):
            self.counters.dropped[arrival] += 1
        else:
            self.counters.forwarded_packets += 1
            self.counters.forwarded_bytes += length_bytes
        return arrival

    def copies(self) -> int:
        """How often an admitted packet arrives: once or twice."""
        ratio = self._behaviour.duplicate_ratio
        if not ratio or self._random.random() >= ratio:
            return 1
        self.counters.duplicated_packets += 1
        return 2

    def stop(self, length_bytes: int) -> None:
        """Count an admitted packet as stopped by a router."""
        self.counters.forwarded_packets -= 1
        self.counters.forwarded_bytes -= length_bytes
        self.counters.dropped["router"] = self.counters.dropped.get("router", 0) + 1

    def loses(self) -> bool:
        """Whether the link loses a router's own packet, which joins on the way and takes no time in the queue."""
        return self.cut or (self._behaviour.loss_ratio > 0 and self._random.random() < self._behaviour.loss_ratio)

    def _arrival(self, length_bytes: int, now: float) -> float | Drop:
        behaviour = self._behaviour
        if self.cut:
            return "cut"
        if behaviour.loss_ratio and self._random.random() < behaviour.loss_ratio:
            return "loss"
        start = max(now, self._free_at)
        if start - now > behaviour.queue_s:
            return "queue"
        self._free_at = start + length_bytes * self._seconds_per_byte
        if behaviour.reorder_ratio and self._random.random() < behaviour.reorder_ratio:
            self.counters.reordered_packets += 1
            return self._free_at
        arrival = self._free_at + behaviour.delay_s
        if behaviour.jitter_s:
            arrival += self._random.uniform(-behaviour.jitter_s, behaviour.jitter_s)
        # A fibre keeps the order of its packets, also when its delay has just become shorter.
        self._last_arrival = max(arrival, self._last_arrival)
        return self._last_arrival
