"""How long each step of an arranged or ad hoc throughput test may take; all limits grow with the RTT of its path.

A step costs time that no path changes (a process starts, a timer fires) and round trips: TCP's handshake, the exchange
of iperf3's parameters and results, a message and its answer by the broker. A lost segment costs some more, for TCP
waits at least an RTT before it sends again; the counts below leave room for that. `lease` is how long the two sites
hold their leases beyond the test's duration: the sum of the steps that one waits for, so that a lease never ends
before its test. The RTT is what the probe has measured; where it has measured none, `UNKNOWN_RTT_S` is assumed.

A room of its own, because both ends, the messages and the leases must agree about these times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

Step = Literal["start", "connect", "silence", "accept", "margin", "stop", "answer", "offer", "served", "heard"]

UNKNOWN_RTT_S: Final = 0.3
# TCP doubles ten segments until they fill the path: 10 round trips for 1 Gbit/s at 100 ms. Of these the duration of a
# test covers some anyway.
SLOW_START_RTTS: Final = 8
MOST_RTT_S: Final = 2.0  # beyond it a measured RTT is a fault, and no reason to hold a lease for minutes


class Limit(NamedTuple):
    """The time that a step takes on a path without delay, and how many round trips it may take."""

    least_s: float
    round_trips: float


LIMITS: dict[Step, Limit] = {
    "start": Limit(2.0, 0),  # iperf3 starts and listens
    "connect": Limit(1.0, 3),  # the client's control connection
    "silence": Limit(2.0, 5),  # data that should come and does not
    "accept": Limit(2.5, 5),  # from the offer until the client has connected
    "margin": Limit(3.0, 15),  # connecting, exchanging parameters and results: a test beyond its duration
    "stop": Limit(1.0, 0),  # an iperf3 ends after it was asked to
    "answer": Limit(1.5, 4),  # a message by the broker and its answer
    "offer": Limit(3.5, 4),  # an answer for which the other site first starts its iperf3
    "served": Limit(1.0, 3),  # what the source saw, sent after the test
    "heard": Limit(1.5, 3),  # our own message, heard back from the broker
}
# What one test may wait for, one after the other: its claim, the answer, the offer where the source calls, ….
_IN_A_LEASE: Sequence[Step] = ("heard", "answer", "offer", "accept", "margin", "stop", "served")


def limit_s(step: Step, rtt_s: float | None) -> float:
    """How long a step may take over a path with this RTT; None: not measured."""
    least_s, round_trips = LIMITS[step]
    return least_s + round_trips * (UNKNOWN_RTT_S if rtt_s is None else min(rtt_s, MOST_RTT_S))


def lease_margin_s(rtt_s: float | None) -> float:
    """How long a site may hold its lease beyond the duration of the test."""
    return sum(limit_s(step, rtt_s) for step in _IN_A_LEASE)


def duration_s(max_duration_s: float, rtt_s: float | None) -> float:
    """How long a test may take over a path with this RTT, where one over a short path may take `max_duration_s`."""
    # Whole seconds, which iperf3 can end by itself.
    return max_duration_s + round(SLOW_START_RTTS * min(rtt_s or 0.0, MOST_RTT_S))
