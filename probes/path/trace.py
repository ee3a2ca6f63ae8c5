"""When which probe of a trace is sent, and when the trace is over. Pure: `now` and what was received go in.

The first flow goes ahead, a few TTLs at a time, and finds the length of the path. The other flows follow with one probe
per TTL, to reveal parallel paths. Then the first flow is repeated for its RTTs and losses. A Linux router answers
bursts of 6 and then one packet a second (`icmp_ratelimit`), as many others do. Four flows and three repetitions are 6
probes per router, and repetitions wait a second, so that a router's rate limit does not look like loss. A destination
may have spent its limit on another trace just before: where the first flow meets only silence at the end, its
repetitions go as far, and the nearest TTL that is answered then counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from linkweather.mesh import MAX_HOPS
from probes.path.replies import Outcome, TraceReply
from probes.path.tracer_lines import HopSample

WINDOW = 3


@dataclass(frozen=True, slots=True)
class TracePlan:
    """How one trace is made. `probes` is how often the first flow probes each TTL."""

    flows: int = 4
    probes: int = 3
    max_ttl: int = MAX_HOPS
    timeout_s: float = 1.0
    round_s: float = 1.0
    # Between any two probes: at most 200 packets a second.
    gap_s: float = 0.005
    # Silent routers in a row after which no answer is expected further on.
    silent_limit: int = 5


class TraceProbe(NamedTuple):
    """One packet to send; `number` identifies it in the trace."""

    flow: int
    ttl: int
    number: int


class _FlowSearch:
    """One flow's search along the path, until a reply shows its end, or no reply comes any more."""

    def __init__(self, plan: TracePlan, limit: int, most: int) -> None:
        self._plan = plan
        self._most = most
        # Where another flow found the end. The search goes beyond it only where a router answers there: silence may
        # be a destination that has reached its rate limit.
        self._limit = limit
        self._next = 1
        self._open: set[int] = set()
        self._answered = 0
        self.end: int | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is left to send or to wait for."""
        return not self._open and self.next() is None

    def next(self) -> int | None:
        """The TTL to send now."""
        if self.end is not None or len(self._open) >= WINDOW or self._next > self._most:
            return None
        if self._next - self._answered > self._plan.silent_limit:
            return None
        if self._next > self._limit and self._answered < self._limit:
            return None
        return self._next

    def sent(self) -> None:
        """The TTL of `next` was sent."""
        self._open.add(self._next)
        self._next += 1

    def settle(self, ttl: int, outcome: Outcome | None) -> None:
        """Note the outcome of a TTL; None: no reply in time."""
        self._open.discard(ttl)
        if outcome is not None:
            self._answered = max(self._answered, ttl)
        if outcome not in (None, "exceeded"):
            self.end = min(ttl, self.end or ttl)
            # Probes beyond the end are not awaited.
            self._open = {waiting for waiting in self._open if waiting < self.end}

    @property
    def length(self) -> int:
        """The length of the path, as far as it is known."""
        return self.end or self._answered

    @property
    def reach(self) -> int:
        """How many TTLs are worth repeating."""
        return self.end or self._next - 1


class Trace:
    """A running trace. Times are seconds of any steady clock."""

    def __init__(self, plan: TracePlan) -> None:
        self._plan = plan
        self._searches = [_FlowSearch(plan, plan.max_ttl, plan.max_ttl)]
        self._repeats: list[tuple[float, int]] = []
        self._under_way: dict[int, tuple[TraceProbe, float]] = {}
        self._number = 0
        self._not_before = 0.0

    @property
    def over(self) -> bool:
        """Whether every probe was sent and settled."""
        return not (self._under_way or self._repeats) and all(search.over for search in self._searches)

    def next(self, now: float) -> TraceProbe | None:
        """The probe to send now; it counts as sent."""
        if now < self._not_before:
            return None
        chosen = self._choose(now)
        if chosen is None:
            return None
        probe = TraceProbe(*chosen, self._number)
        self._number += 1
        self._under_way[probe.number] = (probe, now)
        self._not_before = now + self._plan.gap_s
        return probe

    def wake_at(self, now: float) -> float:
        """When there is something to do again, unless a reply comes before."""
        times = [sent + self._plan.timeout_s for _, sent in self._under_way.values()]
        times += [at for at, _ in self._repeats[:1]]
        if any(search.next() is not None for search in self._searches):
            times.append(now)
        return max(self._not_before, min(times, default=now))

    def heard(self, number: int, reply: TraceReply, rtt_s: float, now: float) -> HopSample | None:
        """Take in a reply to a probe; None where that probe is not awaited any more: a duplicate, or late."""
        probe, _ = self._under_way.pop(number, (None, 0.0))
        if probe is None:
            return None
        # A router for which 100 octets are too big forwards nothing.
        outcome: Outcome = "refused" if reply.kind == "too_big" else reply.kind
        self._settle(probe, outcome, now)
        return HopSample(
            flow=probe.flow, ttl=probe.ttl, outcome=outcome, address=reply.address, rtt_s=rtt_s, labels=reply.labels
        )

    def lost(self, now: float) -> list[HopSample]:
        """Take in that time has passed: the probes that are now lost."""
        overdue = [probe for probe, sent in self._under_way.values() if now - sent >= self._plan.timeout_s]
        for probe in overdue:
            del self._under_way[probe.number]
            self._settle(probe, None, now)
        return [HopSample(flow=probe.flow, ttl=probe.ttl, outcome="lost") for probe in overdue]

    def _choose(self, now: float) -> tuple[int, int] | None:
        for flow, search in enumerate(self._searches):
            ttl = search.next()
            if ttl is not None:
                search.sent()
                return flow, ttl
        end = self._searches[0].end
        while self._repeats and self._repeats[0][0] <= now:
            _, ttl = self._repeats.pop(0)
            if end is None or ttl <= end:
                return 0, ttl
        return None

    def _settle(self, probe: TraceProbe, outcome: Outcome | None, now: float) -> None:
        first = self._searches[0]
        was_over = first.over
        self._searches[probe.flow].settle(probe.ttl, outcome)
        if first.over and not was_over:
            self._follow_up(first, now)

    def _follow_up(self, first: _FlowSearch, now: float) -> None:
        plan, length = self._plan, first.length
        if not length:
            return
        # Where the first flow met only silence at the end, the others would as well.
        most = plan.max_ttl if first.end else length
        self._searches += [_FlowSearch(plan, length, most) for _ in range(plan.flows - 1)]
        self._repeats = [
            (now + again * plan.round_s, ttl) for again in range(1, plan.probes) for ttl in range(1, first.reach + 1)
        ]
