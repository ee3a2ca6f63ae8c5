from __future__ import annotations

from pathlib import Path

import pytest

from probes.throughput.iperf3_output import (
    Build,
    Datagrams,
    EndSummary,
    Fault,
    Interval,
    Transcript,
    parse_build,
    parse_version,
)

OUTPUTS = Path(__file__).parent / "outputs"  # recorded from iperf3 3.12


def read(name: str, streams: int = 1) -> Transcript:
    transcript = Transcript(streams)
    for line in (OUTPUTS / f"{name}.txt").read_text(encoding="ascii").splitlines():
        transcript.feed(line)
    return transcript


def test_a_reversed_test_gives_the_receivers_intervals_and_both_summaries() -> None:
    transcript = read("reverse")
    assert len(transcript.intervals) == 10
    assert transcript.intervals[0] == Interval(0.0, 0.1, 17_983_163_000.0)
    assert transcript.intervals[9] == Interval(0.9, 1.0, 19_795_242_000.0)
    assert transcript.summaries == {
        "sender": EndSummary("sender", 1.0, 19_917_706_000.0, 10),
        "receiver": EndSummary("receiver", 1.0, 19_919_645_000.0),
    }
    assert transcript.fault is None


def test_of_several_streams_only_the_sums_count() -> None:
    transcript = read("reverse-three-streams", streams=3)
    assert [each.start_s for each in transcript.intervals] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert transcript.intervals[0].rate_bps == 22_186_228_000.0
    assert transcript.summaries["receiver"].rate_bps == 19_415_685_000.0
    assert transcript.summaries["sender"].retransmits == 0


def test_a_senders_intervals_carry_retransmits_and_window_and_are_read_alike() -> None:
    transcript = read("forward")
    assert transcript.intervals[-1] == Interval(0.9, 1.0, 20_550_857_000.0)
    assert transcript.summaries["sender"].retransmits == 20
    assert len(read("forward-two-streams", streams=2).intervals) == 10


def test_a_udp_test_counts_datagrams_and_their_jitter() -> None:
    transcript = read("udp-reverse")
    assert transcript.intervals == [Interval(0.0, 0.5, 10_484_000.0), Interval(0.5, 1.0, 9_960_000.0)]
    assert transcript.summaries["receiver"] == EndSummary(
        "receiver", 1.0, 10_222_000.0, datagrams=Datagrams(39, 0, 0.071 / 1e3)
    )


@pytest.mark.parametrize(("printed", "lost"), [("5/39 (13%)", 5), ("-2/39 (-5.1%)", 0)])
def test_datagrams_that_overtook_others_are_not_lost(printed: str, lost: int) -> None:
    transcript = Transcript()
    transcript.feed(f"[  5]   0.00-1.00   sec  1.22 MBytes  10222 Kbits/sec  0.500 ms  {printed}  receiver")
    assert transcript.summaries["receiver"].datagrams == Datagrams(39, lost, 0.0005)


def test_an_interrupted_sender_has_no_retransmits_and_its_receiver_has_a_summary() -> None:
    transcript = read("interrupted")
    assert transcript.summaries["receiver"] == EndSummary("receiver", 0.61, 18_082_934_000.0)
    assert transcript.summaries["sender"].retransmits is None
    assert transcript.fault is None


def test_the_interval_that_a_dying_server_leaves_twice_counts_once() -> None:
    transcript = read("server-died")
    assert len(transcript.intervals) == 5
    assert transcript.summaries == {}
    assert transcript.fault == Fault("died", "control socket has closed unexpectedly")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("authbad", "auth"),
        ("badbind", "bind"),
        ("badcc", "protocol"),
        ("busy", "busy"),
        ("refused", "refused"),
        ("silent", "died"),
        ("taken", "port_taken"),
        ("unresolved", "unresolved"),
    ],
)
def test_recorded_errors_have_their_reason(name: str, reason: str) -> None:
    fault = read(f"error-{name}").fault
    assert fault is not None
    assert fault.reason == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("unable to connect to server: Connection timed out", "timeout"),
        ("idle timeout for receiving data", "timeout"),
        ("unable to connect to server: No route to host", "unreachable"),
        ("unable to connect to server: Network is unreachable", "unreachable"),
        ("the server has terminated", "died"),
        ("something that iperf3 9.9 may say", "protocol"),
    ],
)
def test_other_errors_of_its_source_have_their_reason(text: str, reason: str) -> None:
    transcript = Transcript()
    transcript.feed(f"iperf3: error - {text}")
    assert transcript.fault == Fault(reason, text)


def test_the_first_error_is_the_cause_and_a_wrong_option_is_one() -> None:
    transcript = Transcript()
    transcript.feed("iperf3: parameter error - some option you are trying to set is client only")
    transcript.feed("iperf3: error - the server has terminated")
    assert transcript.fault == Fault("protocol", "some option you are trying to set is client only")


@pytest.mark.parametrize("words", ["the client has terminated", "the client has unexpectedly closed the connection"])
def test_a_server_names_a_client_that_went_away_without_calling_it_an_error(words: str) -> None:
    transcript = Transcript()
    transcript.feed(f"iperf3: {words}")
    assert transcript.fault == Fault("died", words)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[ ID] Interval           Transfer     Bitrate",
        "[  5]   0.00-0.10   sec   214 MBytes  -nan Kbits/sec",
        "[  5]   0.00-0.10   sec   214 MBytes  17983163 Kbits/sec                  (omitted)",
        "[  5]   0.00-0.10   sec   214 MBytes  " + 40 * "9" + " Kbits/sec",
        "[SUM]   0.00-0.10   sec   265 MBytes  22186228 Kbits/sec                  ",
        "\x00\x1b[31m[[[[",
        "iperf3: interrupt - the client has terminated",
    ],
)
def test_a_line_that_says_nothing_about_the_test_is_passed_over(line: str) -> None:
    transcript = Transcript()
    assert transcript.feed(line) is None
    assert transcript == Transcript()


@pytest.mark.parametrize(
    ("unit", "bps"),
    [("bits/sec", 3.0), ("Kbits/sec", 3e3), ("Mbits/sec", 3e6), ("Gbits/sec", 3e9), ("Tbits/sec", 3e12)],
)
def test_every_unit_of_a_rate_is_understood(unit: str, bps: float) -> None:
    assert Transcript().feed(f"[  5]   0.00-0.10   sec  0.00 Bytes  3.00 {unit}") == Interval(0.0, 0.1, bps)


def test_the_version_and_whether_it_has_authentication_are_read() -> None:
    build = parse_build((OUTPUTS / "version-3.12.txt").read_text(encoding="ascii"))
    assert build == Build((3, 12), authentication=True)
    assert str(build) == "3.12"
    assert parse_build("iperf 3.19.1 (cJSON 1.7.15)\nOptional features available: CPU affinity") == Build(
        (3, 19, 1), authentication=False
    )
    assert parse_build("iperf version unknown") is None


def test_a_version_is_compared_by_its_numbers() -> None:
    assert parse_version("3.9") < parse_version("3.12") < parse_version("3.17") < parse_version("3.19.1")
    assert parse_version("?") == ()
