"""One session: what a probe's fate is, and the row that it goes into. Times are nanoseconds from a round second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from linkweather.errors import MessageError
from linkweather.wire import LatencyRow, Outage
from probes.latency.clocks import UNKNOWN, Clock, encode_error, ntp_from_ns
from probes.latency.pacing import Window
from probes.latency.prober import RoundTrip
from probes.latency.session import ProbeOutcome, Session
from probes.latency.stamp_packet import StampReply, StampRequest
from probes.latency.tally import SentProbe, TimedReply

near: Any = pytest.approx  # its declared type may not stand in a tuple beside others
BASE_NS = 1_795_305_600 * 10**9
AT = datetime(2026, 11, 22, tzinfo=UTC)
MS = 10**6


class Link:
    """A session and its peer, with a probe every 100 ms; the way takes 10 ms, of which the peer holds 2 ms."""

    def __init__(self, *, clock: Clock = UNKNOWN, first: int = 1, kernel: bool = True, their_error: int = 1) -> None:
        self.session = Session("a", "b", ssid=5, timeout_s=1.0, first_sequence=first)
        self.window = Window(AT, 0.0, 5.0)
        self.session.open(self.window, clock)
        self.kernel = kernel
        self.their_error = their_error
        self.sent: list[tuple[SentProbe, StampRequest]] = []

    def send(self, count: int = 1) -> None:
        for _ in range(count):
            now_ns = len(self.sent) * 100 * MS
            self.sent.append(self.session.send(now_ns / 1e9, BASE_NS + now_ns, awaits_stamp=self.kernel))
            if self.kernel:
                self.session.stamp(self.sent[-1][0], BASE_NS + now_ns + 1000)

    def reply(self, number: int, reflected: int, *, after_ms: float = 10, **changes: Any) -> ProbeOutcome | None:
        """Probe `number` (from 0) is answered as the reflector's number `reflected`."""
        probe, request = self.sent[number]
        came_ns = probe.sent_ns + int(after_ms * MS)
        reply = StampReply(
            sequence=reflected,
            timestamp=ntp_from_ns(came_ns - 3 * MS),
            error=self.their_error,
            ssid=5,
            received=ntp_from_ns(came_ns - 5 * MS),
            sender_sequence=request.sequence,
            sender_timestamp=request.timestamp,
            sender_error=request.error,
            sender_ttl=255,
        )._replace(**changes)
        kernel_ns = came_ns - 1000 if self.kernel else None
        return self.session.receive(TimedReply(reply, (came_ns - BASE_NS) / 1e9, came_ns, kernel_ns))

    def expire(self) -> list[ProbeOutcome]:
        return [sample for probe, _ in self.sent if (sample := self.session.expire(probe))]

    def row(self, reason: str | None = None) -> LatencyRow:
        assert self.window.unsettled == 0
        row = self.session.close(self.window, reason)
        assert row is not None
        return row


def test_rtt_is_the_kernels_time_without_the_peers() -> None:
    link = Link()
    link.send()
    sample = link.reply(0, 0)
    assert sample is not None
    assert (sample.outcome, sample.source, sample.rtt_s) == ("received", "kernel", near(0.007998))
    row = link.row()
    assert (row.sent, row.received, row.timestamp, row.rtt_p50_s) == (1, 1, "kernel", sample.rtt_s)
    assert (row.lost_forward, row.lost_back, row.failure, row.window_s) == (0, 0, None, 5.0)
    assert row.owd_forward_p50_s is None


@pytest.mark.parametrize(
    ("took_ms", "held_ms", "rtt_s", "capped"),
    [(8, 5, 0.002999, False), (8, 7, 0.002999, True), (100, 24, 0.075999, False), (100, 95, 0.07499925, True)],
)
def test_a_reflector_that_says_it_held_replies_for_long_shortens_no_rtt_by_more_than_a_quarter_or_5_ms(
    took_ms: int, held_ms: int, rtt_s: float, *, capped: bool
) -> None:
    link = Link()
    link.send()
    # The sender's stamp is 1 µs after its probe; the kernel's of the reply 1 µs before it is read.
    left = BASE_NS + took_ms * MS - 1000
    sample = link.reply(
        *(0, 0), after_ms=took_ms, received=ntp_from_ns(left - held_ms * MS), timestamp=ntp_from_ns(left)
    )
    assert sample is not None
    assert sample.rtt_s == pytest.approx(rtt_s, abs=3e-6)
    said = "1 replies held by the reflector, it says, for longer than counts" if capped else None
    assert link.row().detail == said


def test_a_reply_before_its_stamp_waits_for_it() -> None:
    link = Link(kernel=False)
    probe, _ = sent = link.session.send(0.0, BASE_NS, awaits_stamp=True)
    link.sent.append(sent)
    link.kernel = True
    assert link.reply(0, 0) is None
    assert link.window.unsettled == 1
    sample = link.session.stamp(probe, BASE_NS + 1000)
    assert sample is not None
    assert (sample.source, sample.rtt_s) == ("kernel", near(0.007998))
    assert link.session.stamp(probe, BASE_NS + 1000) is None


def test_a_stamp_that_never_comes_makes_it_a_user_sample_at_the_timeout() -> None:
    link = Link(kernel=False)
    link.sent.append(link.session.send(0.0, BASE_NS, awaits_stamp=True))
    assert link.reply(0, 0) is None
    assert [(sample.source, sample.rtt_s) for sample in link.expire()] == [("user", near(0.008))]
    assert link.row().timestamp == "user"


def test_one_user_sample_makes_the_row_user() -> None:
    link = Link()
    link.send()
    link.reply(0, 0)
    link.kernel = False
    link.send()
    link.reply(1, 1)
    assert link.row().timestamp == "user"


def test_losses_are_told_by_direction() -> None:
    link = Link()
    link.send(8)
    for number, reflected in ((0, 0), (3, 2), (7, 3)):  # 1 and 2: one each way; 4, 5, 6: all forward
        link.reply(number, reflected)
    assert [sample.outcome for sample in link.expire()] == ["lost"] * 5
    row = link.row()
    assert (row.sent, row.received, row.lost_forward, row.lost_back) == (8, 3, 4, 1)


def test_a_later_windows_reply_tells_the_direction() -> None:
    link = Link()
    link.send(2)
    link.reply(0, 0)
    later = Window(AT, 5.0, 10.0)
    link.session.open(later, UNKNOWN)
    link.send()
    link.reply(2, 2)
    link.expire()
    assert link.row().lost_back == 1
    assert link.session.close(Window(AT, 0, 1)) is None
    assert link.session.close(later) is not None
    assert link.session.close(later) is None


def test_the_sequence_wraps_without_a_loss() -> None:
    link = Link(first=2**32 - 2)
    link.send(4)
    assert [request.sequence for _, request in link.sent] == [2**32 - 2, 2**32 - 1, 0, 1]
    for number in range(4):
        link.reply(number, number)
    row = link.row()
    assert (row.received, row.reordered, row.lost_forward, row.lost_back) == (4, 0, 0, 0)


def test_reply_after_timeout_counts_as_late_and_by_how_much() -> None:
    link = Link()
    link.send(3)
    link.reply(0, 0)
    link.reply(2, 2)
    link.expire()
    late = link.reply(1, 1, after_ms=1250)
    assert late == ProbeOutcome("b", 2, "late", late_s=near(0.25, abs=1e-5))
    row = link.row()
    assert (row.received, row.late, row.lost_forward, row.lost_back) == (2, 1, 0, 0)
    assert row.late_max_s == near(0.25, abs=1e-5)


def test_the_latest_reply_says_by_how_much() -> None:
    link = Link()
    link.send(2)
    link.expire()
    for number, after_ms in ((1, 1500), (0, 1100)):
        link.reply(number, number, after_ms=after_ms)
    row = link.row()
    assert (row.late, row.late_max_s) == (2, near(0.5, abs=1e-5))


def test_an_outage_begins_in_one_row_and_ends_in_a_later_one() -> None:
    link = Link()
    link.send(7)
    link.reply(0, 0)
    link.expire()
    row = link.row()
    assert row.outages == (Outage(start=AT + timedelta(milliseconds=100), lost=6),)
    later = Window(AT, 5.0, 10.0)
    link.session.open(later, UNKNOWN)
    link.send()
    link.reply(7, 1)
    closed = link.session.close(later)
    assert closed is not None
    assert closed.outages == (
        Outage(start=AT + timedelta(milliseconds=100), end=AT + timedelta(milliseconds=700), lost=6),
    )


def test_late_replies_are_no_outage() -> None:
    link = Link()
    link.send(6)
    link.expire()
    for number in range(6):
        link.reply(number, number, after_ms=1500)
    assert link.row().outages is None


def test_a_late_reply_that_we_saw_before_we_saw_the_timeout_is_late_all_the_same() -> None:
    link = Link(kernel=False)
    link.send()
    sample = link.reply(0, 0, after_ms=1001)
    assert sample is not None
    assert sample.outcome == "late"
    assert link.row().failure == "late"


def test_a_reply_that_was_on_time_and_read_late_is_on_time() -> None:
    link = Link()
    link.send()
    _, request = link.sent[0]
    reply = StampReply(0, request.timestamp, 1, 5, request.timestamp, 1, request.timestamp, 1, 255)
    sample = link.session.receive(TimedReply(reply, 60.0, BASE_NS + 60 * 10**9, BASE_NS + 11 * MS))
    assert sample is not None
    assert (sample.outcome, sample.rtt_s) == ("received", near(0.010999))


def test_late_and_duplicate_replies_after_the_row_count_in_the_oldest_open_window() -> None:
    link = Link()
    link.send(2)
    link.reply(0, 0)
    link.expire()
    link.row()
    later = Window(AT, 5.0, 10.0)
    link.session.open(later, UNKNOWN)
    link.reply(0, 0)
    link.reply(1, 1, after_ms=2000)
    link.send()
    link.reply(2, 2)
    row = link.session.close(later)
    assert row is not None
    assert (row.sent, row.received, row.late, row.duplicated) == (1, 1, 1, 1)


def test_duplicated_and_reordered_replies_are_counted() -> None:
    link = Link()
    link.send(3)
    for number, reflected in ((0, 0), (2, 1), (1, 2), (2, 3), (2, 1)):
        link.reply(number, reflected, after_ms=900)
    row = link.row()
    assert (row.received, row.duplicated, row.reordered) == (3, 2, 1)
    assert link.sent[2][0].last == 3


def test_foreign_and_stray_replies_are_refused() -> None:
    link = Link()
    link.send()
    for changes, reason in (
        ({"ssid": 6}, "foreign"),
        ({"sender_sequence": 2}, "stray"),
        ({"sender_timestamp": 1}, "stray"),
    ):
        with pytest.raises(MessageError, match=reason):
            link.reply(0, 0, **changes)
    assert link.reply(0, 0, ssid=0) is not None


def test_a_probe_is_forgotten_after_a_while() -> None:
    link = Link()
    link.send(120)
    assert link.reply(20, 20) is not None
    with pytest.raises(MessageError, match="stray"):
        link.reply(0, 0)


@pytest.mark.parametrize(
    ("changes", "stamp_ns", "reason"),
    [
        ({}, 11 * MS, "clock_stepped"),  # left after its reply came
        ({}, -1 * MS, "clock_stepped"),  # took longer than the monotonic clock says
        ({"received": ntp_from_ns(BASE_NS + 8 * MS)}, 1000, "negative_residence"),
        ({"received": ntp_from_ns(BASE_NS - 8 * MS)}, 1000, "negative_rtt"),
    ],
)
def test_impossible_times_are_set_aside(changes: dict[str, int], stamp_ns: int, reason: str) -> None:
    link = Link()
    link.sent.append(link.session.send(0.0, BASE_NS, awaits_stamp=True))
    link.session.stamp(link.sent[0][0], BASE_NS + stamp_ns)
    sample = link.reply(0, 0, **changes)
    assert sample is not None
    assert (sample.outcome, sample.reason) == ("set_aside", reason)
    row = link.row()
    assert (row.received, row.rtt_p50_s, row.detail) == (1, None, f"samples set aside: 1 {reason}")


@pytest.mark.parametrize(
    ("step_ns", "outcome"),
    [(0, "received"), (MS // 2, "received"), (5 * MS, "set_aside"), (-5 * MS, "set_aside")],
)
def test_a_step_that_the_stamps_do_not_show_is_seen_by_the_monotonic_clock(step_ns: int, outcome: str) -> None:
    """The reply came after 10 ms and was read 40 ms later; meanwhile somebody set the clock."""
    link = Link()
    probe, request = link.session.send(0.0, BASE_NS, awaits_stamp=True)
    link.session.stamp(probe, BASE_NS)
    reply = StampReply(0, request.timestamp, 0, 0, request.timestamp, request.sequence, request.timestamp, 0, 0)
    read = TimedReply(reply, 0.05, BASE_NS + 50 * MS + step_ns, BASE_NS + 10 * MS)
    sample = link.session.receive(read)
    assert sample is not None
    assert sample.outcome == outcome


@pytest.mark.parametrize(
    ("after_ms", "delays_s"),
    [
        (10, (0.007998, 0.008123, 0.008236, 0.000113, 0.000177)),
        (2.2, (0.000198, 0.0003233, 0.0004361, 0.0001128, 0.0001772)),  # of which the peer holds 2 ms
        (2.02, (0.000018, 0.0001433, 0.00025607, 0.00011277, 0.0001772)),
    ],
)
def test_delays_are_rounded_to_a_microsecond_or_a_thousandth_of_the_rtt(
    after_ms: float, delays_s: tuple[float, ...]
) -> None:
    link = Link()
    link.send(2)
    link.reply(0, 0, after_ms=after_ms)
    link.reply(1, 1, after_ms=after_ms + 0.2506)
    row = link.row()
    assert (row.rtt_min_s, row.rtt_p50_s, row.rtt_p95_s, row.jitter_p95_p50_s, row.rtt_stdev_s) == delays_s


def test_one_way_delays_need_both_clocks_and_are_never_clamped() -> None:
    good = Clock(synchronised=True, error_s=0.001)
    link = Link(clock=good, their_error=encode_error(2**-9, synchronised=True))
    link.send()
    link.reply(0, 0, received=ntp_from_ns(BASE_NS - 2 * MS), timestamp=ntp_from_ns(BASE_NS - MS))
    row = link.row()
    assert row.owd_forward_p50_s == near(-0.002001)
    assert row.owd_back_p50_s == near(0.010999)
    assert row.owd_error_s == near(0.002953)  # 1 ms and 2^-9 s, to the microsecond


def test_one_way_delays_by_user_stamps_where_the_kernel_has_none() -> None:
    good = Clock(synchronised=True, error_s=0.001)
    link = Link(clock=good, their_error=encode_error(0.001, synchronised=True), kernel=False)
    link.send()
    link.reply(0, 0)
    row = link.row()
    assert (row.owd_forward_p50_s, row.owd_back_p50_s) == (near(0.005), near(0.003))


def test_silence_is_a_failure_with_what_we_were_told() -> None:
    for tell, failure in ((lambda _: None, "no_reply"), (lambda link: link.session.note("refused"), "refused")):
        link = Link()
        link.send(2)
        tell(link)
        link.expire()
        row = link.row()
        assert (row.failure, row.sent, row.received, row.lost_forward) == (failure, 2, 0, None)


def test_a_probe_that_our_kernel_refuses_is_sent_and_lost() -> None:
    link = Link()
    link.send()
    outcome = link.session.fail(link.sent[0][0], "unreachable")
    assert outcome is not None
    assert outcome.outcome == "lost"
    assert link.session.fail(link.sent[0][0], "refused") is None
    row = link.row()
    assert (row.failure, row.sent) == ("unreachable", 1)


def test_an_unresolved_peer_has_a_failure_row_and_an_idle_one_has_none() -> None:
    assert Link().row("unresolved").failure == "unresolved"
    link = Link()
    assert link.session.close(link.window) is None


def test_rows_under_our_own_load_say_so() -> None:
    link = Link()
    link.session.mark_loaded()
    link.send()
    link.reply(0, 0)
    assert link.row().during_throughput


def test_a_session_without_a_window_takes_no_notes() -> None:
    session = Session("a", "b", ssid=5, timeout_s=1.0)
    session.mark_loaded()
    session.note("refused")
    assert session.close(Window(AT, 0.0, 5.0)) is None


def test_an_abandoned_session_holds_no_window_up() -> None:
    link = Link()
    link.send(3)
    link.session.abandon()
    assert link.window.unsettled == 0
    assert link.expire() == []


def test_an_exchange_that_ends_after_its_timeout_changes_nothing() -> None:
    link = Link(kernel=False)
    link.send()
    assert [each.outcome for each in link.expire()] == ["lost"]
    assert link.session.finish(link.sent[0][0], RoundTrip(0.01), 5.0) is None


def test_a_figure_that_cannot_be_costs_the_row_and_not_the_probe() -> None:
    link = Link(kernel=False)
    link.send()
    link.session.finish(link.sent[0][0], RoundTrip(4000.0), 5000.0)  # an RTT is an hour at most
    row = link.row()
    assert (row.failure, row.sent) == ("prober_error", 0)
    assert row.detail is not None
    assert "rtt_min_s" in row.detail


def test_the_method_is_twamp_light_s_from_its_first_reply_on_and_stamp_s_again_from_stamp_s() -> None:
    link = Link()
    methods: list[str] = []
    for light in (True, False, None):
        if link.window.unsettled or link.sent:
            link.window = Window(AT, 0.0, 5.0)
            link.session.open(link.window, UNKNOWN)
        link.send()
        if light is not None:
            link.reply(-1, len(methods), light=light)
        link.session.expire(link.sent[-1][0])
        methods.append(link.row().method)
    assert methods == ["twamp-light", "stamp", "stamp"]


def test_what_our_own_full_buffer_may_have_lost_is_no_loss_of_the_link() -> None:
    link = Link()
    for number, reflected in ((0, 0), (3, 2), (5, 3)):  # one of 1 and 2 came back, 4 never arrived
        while len(link.sent) <= number:
            link.send()
        link.reply(number, reflected)
    link.expire()
    link.session.note_overflow(7)
    row = link.row()
    assert (row.sent, row.received, row.lost_forward, row.lost_back) == (5, 3, 2, 0)
    assert row.detail == "samples set aside: 1 overflow"


def test_a_window_whose_every_reply_our_own_buffer_may_have_lost_says_so() -> None:
    link = Link()
    for _ in range(6):
        link.send()
    link.expire()
    link.session.note_overflow(9)
    row = link.row()
    assert (row.sent, row.received, row.failure, row.outages) == (0, 0, "overflow", None)


def test_a_smaller_overflow_leaves_the_other_losses_to_the_link() -> None:
    link = Link()
    for _ in range(6):
        link.send()
    link.expire()
    link.session.note_overflow(2)
    row = link.row()
    assert (row.sent, row.received, row.failure) == (4, 0, "no_reply")
