from __future__ import annotations

import pytest

from probes.throughput.iperf3_output import End
from probes.throughput.limiting import LimitedBy, SenderEvidence, agreed, own_limit
from probes.throughput.tcpinfo import TcpConnection


def connection(
    window_s: float = 0.0, buffer_s: float = 0.0, *, busy_s: float = 1.0, acked: int = 1000
) -> TcpConnection:
    return TcpConnection(b"cookie", acked, 3, busy_s, window_s, buffer_s, "cubic")


@pytest.mark.parametrize(
    ("seen", "cpu_demand", "limit"),
    [
        (connection(), 0.3, "network"),
        (connection(window_s=0.6), 0.3, "receiver host"),
        (connection(buffer_s=0.6), 0.3, "sender host"),
        # Its window and its buffer together took most of the time, but neither took enough.
        (connection(window_s=0.3, buffer_s=0.3), 0.3, None),
        (connection(window_s=0.4), 0.3, "receiver host"),
        (connection(buffer_s=0.4), 0.3, "sender host"),
        (connection(window_s=0.3), 0.3, "network"),
        (connection(buffer_s=0.3), 0.3, "network"),
        (connection(), 0.9, "sender host"),
        # Perhaps its host, perhaps not.
        (connection(), 0.5, None),
        (connection(window_s=0.6), 0.5, "receiver host"),
        # Congestion control held it, or a slow host that nobody looked at.
        (connection(), None, None),
        (connection(busy_s=0.0), 0.3, None),
    ],
)
def test_the_sending_end_tells_only_what_took_much_of_the_time(
    seen: TcpConnection, cpu_demand: float | None, limit: LimitedBy | None
) -> None:
    assert SenderEvidence([seen], cpu_demand).limited_by == limit


def test_the_busiest_stream_speaks_for_all_and_retransmits_add_up() -> None:
    sent = SenderEvidence([connection(window_s=1.0, acked=10), connection(acked=1000)], 0.1)
    assert (sent.limited_by, sent.retransmits, sent.congestion) == ("network", 6, "cubic")


def test_a_sender_that_saw_no_connection_knows_nothing() -> None:
    sent = SenderEvidence([], None)
    assert (sent.limited_by, sent.retransmits, sent.congestion) == (None, None, None)


@pytest.mark.parametrize(("end", "host"), [("receiver", "receiver host"), ("sender", "sender host")])
def test_a_client_knows_that_its_own_processor_was_the_limit(end: End, host: str) -> None:
    assert own_limit("converged", end, filled=True, cpu_demand=0.9) == host
    assert own_limit("converged", end, filled=True, cpu_demand=0.89) is None
    assert own_limit("converged", end, filled=True, cpu_demand=None) is None


def test_our_own_evidence_goes_before_what_the_other_end_tells() -> None:
    assert agreed("application", 0.1, "network") == "application"
    assert agreed(None, 0.1, "sender host") == "sender host"
    assert agreed(None, 0.6, "sender host") == "sender host"
    assert agreed(None, 0.1, None) is None


def test_the_network_is_to_blame_only_when_neither_host_can_be() -> None:
    assert agreed(None, 0.49, "network") == "network"
    assert agreed(None, 0.5, "network") is None
    assert agreed(None, None, "network") is None


def test_a_pipe_that_our_own_cap_kept_from_filling_was_limited_by_the_application() -> None:
    assert own_limit("bytes", "receiver", filled=False, cpu_demand=0.1) == "application"
    assert own_limit("time", "receiver", filled=False, cpu_demand=0.99) == "application"
    assert own_limit("time", "receiver", filled=True, cpu_demand=0.1) is None
