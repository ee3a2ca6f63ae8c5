from __future__ import annotations

import pytest

from probes.throughput import result as results
from probes.throughput.iperf3_output import EndSummary, Fault, Interval, Transcript
from probes.throughput.result import Result, spanned
from probes.throughput.stop_rule import StoppedBy, StopRule


def transcript(received_bps: float = 90.0, *, sender: bool = True) -> Transcript:
    rates = (10, 20, 40, 80, 90, 95, 85)
    read = Transcript(intervals=[Interval(number / 10, (number + 1) / 10, rate) for number, rate in enumerate(rates)])
    read.summaries["receiver"] = EndSummary("receiver", 0.8, received_bps)
    if sender:
        read.summaries["sender"] = EndSummary("sender", 0.8, 95.0, 4)
    return read


def conclude(
    read: Transcript,
    *,
    reverse: bool = True,
    congestion: str | None = None,
    ended: Fault | StoppedBy = "time",
    status: int = 0,
    cpu_demand: float | None = None,
    max_bytes: int | None = None,
) -> results.Result:
    return results.conclude(
        read,
        reverse=reverse,
        congestion=congestion,
        ended=ended,
        status=status,
        cpu_demand=cpu_demand,
        rule=StopRule(3.0, max_bytes=max_bytes),
    )


def test_a_reversed_test_reports_the_steady_part_and_the_whole_tests_bytes() -> None:
    result = conclude(transcript())
    assert (result.failure, result.intervals_of, result.stopped_by) == (None, "receiver", "time")
    assert result.goodput_bps == 90
    assert result.goodput_low_bps is not None
    assert result.bytes == 9  # 90 bit/s for 0.8 s
    assert (result.duration_s, result.retransmits) == (0.8, 4)
    assert result.goodput_10s_bps == pytest.approx((8 * 9 + 90 * 9.2) / 10)


def test_a_result_says_what_ended_its_test() -> None:
    result = conclude(transcript(), ended="converged", status=1)
    assert (result.failure, result.stopped_by) == (None, "converged")


def test_a_forward_test_reports_the_receivers_mean_and_calls_the_intervals_the_senders() -> None:
    result = conclude(transcript(70.0), reverse=False, congestion="cubic")
    assert (result.goodput_bps, result.intervals_of, result.congestion) == (70.0, "sender", "cubic")
    assert (result.goodput_low_bps, result.goodput_high_bps, result.goodput_10s_bps) == (None, None, None)
    assert len(result.intervals) == 7


def test_retransmits_are_unknown_where_the_sender_says_nothing() -> None:
    assert conclude(transcript(sender=False), status=1).retransmits is None


def test_what_iperf3_says_goes_before_how_it_ended() -> None:
    read = transcript()
    read.fault = Fault("died", "control socket has closed unexpectedly")
    result = conclude(read, ended=Fault("timeout", "…"), status=-9)
    assert (result.failure, result.goodput_bps) == ("died", None)
    assert len(result.intervals) == 7


def test_a_test_that_the_watchdog_ended_is_a_timeout() -> None:
    ended = Fault("timeout", "the test was not over after 6 s")
    result = conclude(Transcript(), ended=ended, status=-2)
    assert (result.failure, result.detail) == ("timeout", "the test was not over after 6 s")


def test_a_failed_authentication_mentions_the_clocks() -> None:
    read = Transcript(fault=Fault("auth", "test authorization failed"))
    result = conclude(read, status=1)
    assert result.failure == "auth"
    assert "clocks" in (result.detail or "")


@pytest.mark.parametrize(("status", "reason"), [(0, "garbage"), (1, "died"), (-11, "died")])
@pytest.mark.parametrize("reverse", [True, False])
def test_an_end_without_a_result_is_garbage_or_a_death(status: int, reason: str, *, reverse: bool) -> None:
    result = conclude(Transcript(), reverse=reverse, status=status)
    assert result.failure == reason


def test_a_summary_without_intervals_is_of_a_test_that_died_at_once() -> None:
    read = Transcript(summaries={"receiver": EndSummary("receiver", 24055.83, 23.3e3)})  # as iperf3 3.12 has it
    assert conclude(read).failure == "died"


def test_a_connection_on_which_nothing_arrives_is_stalled_not_zero() -> None:
    read = Transcript(intervals=[Interval(0.0, 0.1, 0.0)], summaries={"receiver": EndSummary("receiver", 3.0, 0.0)})
    result = conclude(read)
    assert (result.failure, result.goodput_bps) == ("stalled", None)


def test_a_test_that_ended_at_its_limit_in_bytes_moved_exactly_these() -> None:
    result = conclude(transcript(), ended="bytes", max_bytes=131072)
    assert (result.bytes, result.stopped_by) == (131072, "bytes")
    # It stopped before it came to its limit.
    assert conclude(transcript(), ended="converged", max_bytes=131072).bytes == 9


def test_a_limit_in_bytes_that_is_over_at_once_is_too_short_to_measure() -> None:
    read = Transcript(intervals=[Interval(0.0, 0.0, 9e9)], summaries={"receiver": EndSummary("receiver", 0.0, 9e9)})
    assert conclude(read, ended="bytes", max_bytes=131072).failure == "too_short"


def test_the_mean_is_of_the_last_part_of_the_test_and_says_how_long_that_was() -> None:
    # Three of seven intervals, in 0.8 s.
    assert conclude(transcript()).steady_s == pytest.approx(0.8 * 3 / 7)
    assert conclude(transcript(), reverse=False).steady_s is None


def test_a_test_that_ended_before_its_pipe_was_full_was_limited_by_us() -> None:
    growing = transcript()
    growing.intervals = growing.intervals[:4]
    assert conclude(growing).limited_by == "application"
    assert conclude(transcript()).limited_by is None
    # A sender's intervals do not tell.
    assert conclude(growing, reverse=False).limited_by is None


def test_a_client_that_wanted_all_of_a_core_was_limited_by_its_host() -> None:
    assert conclude(transcript(), cpu_demand=0.97).limited_by == "receiver host"
    assert conclude(transcript(), cpu_demand=0.97, reverse=False).limited_by == "sender host"


def result(low: float, mean: float, high: float, over_10_s: float | None = None) -> Result:
    return Result(
        (), "receiver", 1, goodput_bps=mean, goodput_low_bps=low, goodput_high_bps=high, goodput_10s_bps=over_10_s
    )


def interval(stated: Result) -> tuple[float | None, float | None]:
    return stated.goodput_low_bps, stated.goodput_high_bps


def test_the_interval_holds_the_ten_second_equivalent_which_slow_start_lowers() -> None:
    assert interval(spanned(result(99, 100, 101, 93))) == (93, 101)
    assert interval(spanned(result(95, 100, 105, 98))) == (95, 105)


def test_an_estimate_of_one_sample_spans_itself_and_a_failure_nothing() -> None:
    assert interval(spanned(Result((), "receiver", 1, goodput_bps=90.0, goodput_10s_bps=80.0))) == (80, 90)
    failed = Result((), "receiver", 1, failure="refused")
    assert spanned(failed) is failed


LATE = Fault("timeout", "the test was not over after 6 s")


def unfinished(*rates: float) -> Transcript:
    return Transcript(intervals=[Interval(n / 10, (n + 1) / 10, rate) for n, rate in enumerate(rates)])


def test_intervals_are_a_result_when_the_end_of_the_test_does_not_come() -> None:
    result = conclude(unfinished(*[80.0] * 10), ended=LATE)
    assert (result.failure, result.stopped_by, result.goodput_bps) == (None, "time", 80.0)
    assert (result.bytes, result.duration_s) == (10, 1.0)  # 80 bit/s for 1 s


@pytest.mark.parametrize(
    ("read", "ended", "failure"),
    [
        (unfinished(*[80.0] * 7), LATE, "timeout"),  # too few for an estimate
        (unfinished(*[80.0] * 9, 0.0), LATE, "timeout"),  # its data had stopped
        (unfinished(*[80.0] * 10), Fault("garbage", "a flood"), "garbage"),
        (unfinished(*[80.0] * 10), "time", "died"),  # its server is gone
    ],
)
def test_a_test_that_broke_is_a_failure_whatever_its_intervals(
    read: Transcript, ended: Fault | StoppedBy, failure: str
) -> None:
    assert conclude(read, ended=ended, status=1).failure == failure


def test_sender_whose_end_does_not_come_is_a_failure_for_its_intervals_are_not_the_receivers() -> None:
    assert conclude(unfinished(*[80.0] * 10), ended=LATE, reverse=False).failure == "timeout"


def test_bytes_are_what_arrived_where_a_lost_segment_held_some_back() -> None:
    held_back = unfinished(*[80.0] * 10)
    held_back.arrived_bytes = 12
    assert conclude(held_back, ended=LATE).bytes == 12


def test_connected_is_whether_the_other_end_had_answered() -> None:
    read = Transcript()
    assert not conclude(read, ended=LATE).connected
    read.feed("[  5] local 10.0.0.2 port 40000 connected to 10.0.0.1 port 5201")
    assert conclude(read, ended=LATE).connected
