from __future__ import annotations

import pytest

from probes.throughput.output import Fault, Interval, Summary, Transcript
from probes.throughput.result import conclude


def transcript(received_bps: float = 90.0, *, sender: bool = True) -> Transcript:
    rates = (10, 20, 40, 80, 90, 95, 85)
    read = Transcript(intervals=[Interval(number / 10, (number + 1) / 10, rate) for number, rate in enumerate(rates)])
    read.summaries["receiver"] = Summary("receiver", 0.8, received_bps)
    if sender:
        read.summaries["sender"] = Summary("sender", 0.8, 95.0, 4)
    return read


def test_a_reversed_test_reports_the_steady_part_and_the_whole_tests_bytes() -> None:
    result = conclude(transcript(), reverse=True, congestion=None, ended=None, status=0)
    assert (result.failure, result.intervals_of, result.stopped_by) == (None, "receiver", "time")
    assert result.goodput_bps == 90
    assert result.goodput_low_bps is not None
    assert result.bytes == 9  # 90 bit/s for 0.8 s
    assert (result.duration_s, result.retransmits) == (0.8, 4)


def test_a_forward_test_reports_the_receivers_mean_and_calls_the_intervals_the_senders() -> None:
    result = conclude(transcript(70.0), reverse=False, congestion="cubic", ended=None, status=0)
    assert (result.goodput_bps, result.intervals_of, result.congestion) == (70.0, "sender", "cubic")
    assert (result.goodput_low_bps, result.goodput_high_bps) == (None, None)
    assert len(result.intervals) == 7


def test_retransmits_are_unknown_where_the_sender_says_nothing() -> None:
    assert conclude(transcript(sender=False), reverse=True, congestion=None, ended=None, status=1).retransmits is None


def test_what_iperf3_says_goes_before_how_it_ended() -> None:
    read = transcript()
    read.fault = Fault("died", "control socket has closed unexpectedly")
    result = conclude(read, reverse=True, congestion=None, ended=Fault("timeout", "…"), status=-9)
    assert (result.failure, result.goodput_bps) == ("died", None)
    assert len(result.intervals) == 7


def test_a_test_that_the_watchdog_ended_is_a_timeout() -> None:
    ended = Fault("timeout", "the test was not over after 6 s")
    result = conclude(Transcript(), reverse=True, congestion=None, ended=ended, status=-2)
    assert (result.failure, result.detail) == ("timeout", "the test was not over after 6 s")


def test_a_failed_authentication_mentions_the_clocks() -> None:
    read = Transcript(fault=Fault("auth", "test authorization failed"))
    result = conclude(read, reverse=True, congestion=None, ended=None, status=1)
    assert result.failure == "auth"
    assert "clocks" in (result.detail or "")


@pytest.mark.parametrize(("status", "reason"), [(0, "garbage"), (1, "died"), (-11, "died")])
@pytest.mark.parametrize("reverse", [True, False])
def test_an_end_without_a_result_is_garbage_or_a_death(status: int, reason: str, *, reverse: bool) -> None:
    result = conclude(Transcript(), reverse=reverse, congestion=None, ended=None, status=status)
    assert result.failure == reason


def test_a_summary_without_intervals_is_no_measurement_of_the_receiver() -> None:
    read = Transcript(summaries={"receiver": Summary("receiver", 0.0, 0.0)})
    assert conclude(read, reverse=True, congestion=None, ended=None, status=0).failure == "garbage"


def test_a_connection_on_which_nothing_arrives_is_stalled_not_zero() -> None:
    read = Transcript(intervals=[Interval(0.0, 0.1, 0.0)], summaries={"receiver": Summary("receiver", 3.0, 0.0)})
    result = conclude(read, reverse=True, congestion=None, ended=None, status=0)
    assert (result.failure, result.goodput_bps) == ("stalled", None)
