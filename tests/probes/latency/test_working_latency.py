from __future__ import annotations

from probes.latency.station import WorkingLatency


def test_the_working_latency_is_the_median_of_the_last_seconds() -> None:
    working = WorkingLatency()
    working.watch("a")
    for at, rtt_s in ((1.0, 0.9), (2.0, 0.020), (2.5, 0.120), (3.0, 0.080)):
        working.take("a", rtt_s, at)
    # Sent before the pipe was full: 0.9.
    assert working.p50("a", 1.5, 3.0) == 0.080
    assert working.p50("a", 0.0, 3.0) is None


def test_only_the_peer_under_test_counts() -> None:
    working = WorkingLatency()
    working.take("a", 0.1, 1.0)
    working.watch("a")
    working.take("b", 0.2, 2.0)
    assert working.p50("a", 9.0, 2.0) is None
    working.take("a", 0.3, 2.0)
    assert working.p50("b", 9.0, 2.0) is None
    assert working.p50("a", 9.0, 2.0) == 0.3


def test_a_lost_probe_has_no_rtt() -> None:
    working = WorkingLatency()
    working.watch("a")
    working.take("a", None, 1.0)
    assert working.p50("a", 9.0, 1.0) is None


def test_a_new_test_begins_without_the_samples_of_the_last() -> None:
    working = WorkingLatency()
    working.watch("a")
    working.take("a", 0.1, 1.0)
    working.watch(None)
    working.watch("a")
    assert working.p50("a", 9.0, 1.0) is None
