"""Traces to try things with, in short: flow by flow, what answered at each TTL."""

from __future__ import annotations

from probes.path.tracer_lines import HopSample

END = "192.0.2.99"


def samples(*flows: str) -> list[HopSample]:
    """`samples("a b .", "a c E")`: addresses by TTL, `.` is silence, `E` the destination; `b+c` two probes' answers."""
    return [
        sample(flow, ttl, address)
        for flow, text in enumerate(flows)
        for ttl, level in enumerate(text.split(), start=1)
        for address in level.split("+")
    ]


def sample(flow: int, ttl: int, address: str, rtt_s: float = 0.01, labels: tuple[int, ...] = ()) -> HopSample:
    if address == ".":
        return HopSample(flow=flow, ttl=ttl, outcome="lost")
    if address == "E":
        return HopSample(flow=flow, ttl=ttl, outcome="reached", address=END, rtt_s=rtt_s, labels=labels)
    return HopSample(flow=flow, ttl=ttl, outcome="exceeded", address=address, rtt_s=rtt_s, labels=labels)
