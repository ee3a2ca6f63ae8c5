from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.path.replies import Kind, Quote, TraceReply
from probes.path.trace import Trace, TracePlan, TraceProbe
from probes.path.traced_route import reached, steps
from probes.path.tracer_lines import HopSample

QUOTE = Quote("udp", "192.0.2.99", 1, 2, 3)


def reply(kind: Kind, address: str = "r") -> TraceReply:
    return TraceReply(kind, address, QUOTE)


class Network:
    """Answers after 10 ms what a path of so many routers would; `silent` TTLs do not, nor does a whole flow."""

    def __init__(self, length: int, *, silent: frozenset[int] = frozenset(), end: Kind | None = "reached") -> None:
        self.length, self.silent, self.end = length, silent, end
        self.sent: list[tuple[float, TraceProbe]] = []
        self.samples: list[HopSample] = []
        self.now = 100.0

    def run(self, trace: Trace) -> None:
        coming: list[tuple[float, TraceProbe]] = []
        for _ in range(10_000):
            if trace.over:
                return
            self.samples += trace.lost(self.now)
            probe = trace.next(self.now)
            if probe is not None:
                self.sent.append((self.now, probe))
                if self.answer(probe) is not None:
                    coming.append((self.now + 0.010, probe))
            wake = trace.wake_at(self.now)
            self.now = max(self.now, min([wake, *(at for at, _ in coming)]))
            while coming and coming[0][0] <= self.now:
                at, probe = coming.pop(0)
                answer = self.answer(probe)
                assert answer is not None
                sample = trace.heard(probe.number, answer, at - self.now + 0.010, self.now)
                assert sample is not None
                self.samples.append(sample)
        raise AssertionError("the trace has no end")

    def answer(self, probe: TraceProbe) -> TraceReply | None:
        if probe.ttl in self.silent:
            return None
        if probe.ttl < self.length:
            return reply("exceeded", f"r{probe.ttl}")
        return None if self.end is None else reply(self.end, "end")


def test_each_ttl_is_probed_three_times_by_the_first_flow_and_once_by_the_others() -> None:
    network = Network(6)
    network.run(Trace(TracePlan()))
    sent = Counter((probe.flow, probe.ttl) for _, probe in network.sent if probe.ttl <= 6)
    assert sent == {(flow, ttl): 3 if flow == 0 else 1 for flow in range(4) for ttl in range(1, 7)}
    assert len({probe.number for _, probe in network.sent}) == len(network.sent)


def test_no_more_than_two_probes_are_sent_beyond_the_end() -> None:
    network = Network(6)
    network.run(Trace(TracePlan()))
    assert [probe.ttl for _, probe in network.sent if probe.ttl > 6] == [7, 8]
    assert [(step.ttl, step.sent, step.lost) for step in steps(network.samples)] == [(n, 6, 0) for n in range(1, 7)]


def test_probes_keep_their_distance_and_rounds_a_second() -> None:
    network = Network(4)
    network.run(Trace(TracePlan()))
    times = [at for at, _ in network.sent]
    assert min(late - early for early, late in itertools.pairwise(times)) >= 0.005 - 1e-9
    first = [at for at, probe in network.sent if (probe.flow, probe.ttl) == (0, 1)]
    assert first[1] - first[0] >= 1.0
    assert first[2] - first[1] == pytest.approx(1.0, abs=0.05)


def test_silent_router_is_lost_each_time_and_those_behind_it_are_found() -> None:
    network = Network(5, silent=frozenset({2}))
    network.run(Trace(TracePlan(flows=2)))
    found = steps(network.samples)
    assert [(step.ttl, step.sent, step.lost) for step in found] == [
        (1, 4, 0),
        (2, 4, 4),
        (3, 4, 0),
        (4, 4, 0),
        (5, 4, 0),
    ]
    assert reached(network.samples)


def test_silence_without_end_ends_the_trace_after_five_routers() -> None:
    network = Network(3, end=None)
    network.run(Trace(TracePlan()))
    assert {probe.ttl for _, probe in network.sent if probe.flow == 0} == set(range(1, 8))
    # The other flows need not find the same silence again.
    assert {probe.ttl for _, probe in network.sent if probe.flow} == {1, 2}
    assert not reached(network.samples)


def test_nobody_at_all_costs_five_probes() -> None:
    network = Network(1, end=None)
    network.run(Trace(TracePlan()))
    assert [probe.ttl for _, probe in network.sent] == [1, 2, 3, 4, 5]
    assert network.now - 100.0 == pytest.approx(2.0, abs=0.1)  # three at a time


def test_longest_path_ends_at_the_largest_ttl() -> None:
    network = Network(99)
    network.run(Trace(TracePlan(flows=1, probes=1, max_ttl=30)))
    assert [probe.ttl for _, probe in network.sent] == list(range(1, 31))


def test_flow_whose_path_is_longer_goes_on() -> None:
    class Uneven(Network):
        def answer(self, probe: TraceProbe) -> TraceReply | None:
            self.length = 5 if probe.flow else 3
            return super().answer(probe)

    network = Uneven(3)
    network.run(Trace(TracePlan(flows=2)))
    assert max(sample.ttl for sample in network.samples if sample.flow and sample.outcome == "exceeded") == 4
    assert min(sample.ttl for sample in network.samples if sample.flow and sample.outcome == "reached") == 5


def test_silence_where_the_first_flow_ended_is_not_passed() -> None:
    class Tired(Network):
        def answer(self, probe: TraceProbe) -> TraceReply | None:
            return None if probe.flow and probe.ttl >= 3 else super().answer(probe)

    network = Tired(3)
    network.run(Trace(TracePlan()))
    assert max(probe.ttl for _, probe in network.sent if probe.flow) == 3


def test_destination_that_spent_its_answers_on_somebody_else_is_found_a_second_later() -> None:
    class Spent(Network):
        def answer(self, probe: TraceProbe) -> TraceReply | None:
            return None if probe.ttl >= 3 and self.now < 102.0 else super().answer(probe)

    network = Spent(3)
    network.run(Trace(TracePlan(flows=2)))
    assert reached(network.samples)
    assert [step.ttl for step in steps(network.samples)] == [1, 2, 3]
    # The last round knows where the path ends.
    last_round = [probe.ttl for at, probe in network.sent if probe.flow == 0][-3:]
    assert last_round == [1, 2, 3]


@pytest.mark.parametrize("kind", ["refused", "too_big"])
def test_router_that_forbids_is_the_end(kind: Kind) -> None:
    network = Network(3, end=kind)
    network.run(Trace(TracePlan(flows=1, probes=1)))
    assert [sample.outcome for sample in network.samples if sample.ttl == 3] == ["refused"]


def test_second_reply_and_late_reply_are_not_counted() -> None:
    trace = Trace(TracePlan(flows=1))
    first = trace.next(0.0)
    assert first is not None
    assert trace.next(0.0) is None  # too early for the next
    assert trace.wake_at(0.0) == 0.005
    assert trace.heard(first.number, reply("exceeded"), 0.001, 0.001) is not None
    assert trace.heard(first.number, reply("exceeded"), 0.002, 0.002) is None
    second = trace.next(0.010)
    assert second is not None
    assert trace.lost(1.009) == []
    assert trace.lost(1.010) == [HopSample(flow=0, ttl=2, outcome="lost")]
    assert trace.heard(second.number, reply("exceeded"), 1.1, 1.1) is None
    assert trace.heard(99, reply("exceeded"), 1.1, 1.1) is None


@given(
    st.integers(1, 12),
    st.frozensets(st.integers(1, 12)),
    st.sampled_from(["reached", "refused", None]),
    st.integers(1, 8),
)
def test_every_trace_ends_with_a_sample_per_probe(
    length: int, silent: frozenset[int], end: Kind | None, flows: int
) -> None:
    network = Network(length, silent=silent, end=end)
    network.run(Trace(TracePlan(flows=flows)))
    assert len(network.samples) == len(network.sent)
    assert network.now - 100.0 < 40
