"""Reports in flight: two lanes in one window, and a patience that grows with what commits take."""

from __future__ import annotations

from collections.abc import Sequence

from probes.delivery.flight import (
    COMMIT_TARGET_S,
    FRESH_BEFORE,
    FRESH_REPORTS,
    LEAST_REPORTS,
    RESEND_MOST_S,
    WINDOW_REPORTS,
    Flight,
)


def due(flight: Flight, waiting: Sequence[int], now: float) -> list[int]:
    """What is due of a queue, as the publisher asks; it counts as sent."""
    found = flight.due(waiting[:WINDOW_REPORTS], waiting[-FRESH_REPORTS:], now)
    flight.sent(found, now)
    return found


def test_each_report_is_due_once_and_again_after_a_minute_when_no_commit_was_ever_seen() -> None:
    flight = Flight()
    assert due(flight, [1, 2], now=0.0) == [1, 2]
    assert due(flight, [1, 2, 3], now=1.0) == [3]
    assert due(flight, [1, 2, 3], now=59.9) == []
    assert due(flight, [1, 2, 3], now=60.0) == [1, 2]


def test_patience_is_four_of_the_slowest_commits_of_late_and_a_receipt_does_not_shorten_it() -> None:
    flight = Flight()
    due(flight, [1, 2], now=0.0)
    flight.settled([1], now=5.0)
    assert flight.patience_s == 20.0
    assert flight.wait_s(now=5.0) == 20.0  # from when something settled that was sent no later
    due(flight, [2, 3], now=6.0)
    flight.settled([3], now=6.1)
    assert flight.patience_s == 18.0  # nine tenths of 5 s, four times
    flight.settled([99], now=7.0)
    assert flight.patience_s == 18.0


def test_each_repetition_doubles_the_wait_until_a_report_that_was_sent_once_is_settled() -> None:
    flight = Flight()
    due(flight, [1], now=0.0)
    flight.settled([1], now=0.1)
    now, waits = 1.0, []
    due(flight, [2], now)
    for _ in range(8):
        waits.append(flight.patience_s)
        now += flight.patience_s
        assert due(flight, [2], now) == [2]
    assert waits == [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, RESEND_MOST_S, RESEND_MOST_S]
    due(flight, [2, 3], now)
    flight.settled([2], now)
    assert flight.patience_s == RESEND_MOST_S
    for seq in range(3, 80):  # nine tenths of 1230 s, 77 times: below the 2.5 s of which four are the least
        due(flight, [seq], now)
        flight.settled([seq], now + 0.1)
    assert flight.patience_s == 10.0


def test_a_collector_that_takes_longer_and_longer_is_sent_each_report_once() -> None:
    """A commit of all that has arrived takes 1 s, then half as long again each time, up to 30 s; a report a second."""
    flight, sent, now, commit_s, written = Flight(), 0, 0.0, 1.0, 0
    while now < 300.0:
        arrived = due(flight, range(written, int(now) + 1), now)
        sent += len(arrived)
        now, commit_s = now + commit_s, min(1.5 * commit_s, 30.0)
        flight.settled(arrived, now)
        written += len(arrived)
    assert sent == written > 250


def widened(flight: Flight) -> None:
    """Settle reports at once until the larger lane is as wide as it gets."""
    for seq in range(-2 * WINDOW_REPORTS, 0):
        due(flight, [seq], now=0.0)
        flight.settled([seq], now=0.0)


def test_the_newest_have_a_share_of_the_window_and_the_rest_goes_in_order() -> None:
    flight = Flight()
    backlog = list(range(12_000))
    assert due(flight, backlog, now=0.0) == [*backlog[-FRESH_BEFORE:], *backlog[:LEAST_REPORTS]]
    # Not what comes before the newest: the lane is for what is measured from now on, which finds it free.
    live = list(range(12_000, 12_000 + FRESH_REPORTS - FRESH_BEFORE))
    assert due(flight, [*backlog, *live], now=0.5) == live
    flight.settled([*backlog[-FRESH_BEFORE:], *live], now=0.5)
    rest = backlog[:-FRESH_BEFORE]
    flight.settled(backlog[:3], now=0.6)
    found = due(flight, rest[3:], now=0.7)
    assert found == backlog[LEAST_REPORTS : LEAST_REPORTS + len(found)]
    assert len(found) > 3  # and more, as all was settled soon


def test_no_more_than_a_window_is_in_flight_however_many_are_new() -> None:
    flight, waiting = Flight(), list(range(1000))
    widened(flight)
    sent = set(due(flight, waiting, now=0.0))
    for _ in range(20):
        waiting += [len(waiting) + number for number in range(10)]
        sent.update(due(flight, waiting, now=0.1))
    assert len(sent) == WINDOW_REPORTS


def drained(sites: int, rate: float, least_s: float = 0.0) -> tuple[int, list[int], int]:
    """A minute of backlogs at a collector that commits `rate` reports a second, each after `least_s` at the earliest.

    Commits come five times a second. What was committed; how much waited after each second; what was sent.
    """
    flights, waiting = [Flight() for _ in range(sites)], [list(range(100_000)) for _ in range(sites)]
    queue: list[tuple[float, int, int]] = []
    committed, waits, sent, room = 0, [], 0, 0.0
    for step in range(300):
        now = step / 5
        room = min(room + rate / 5, rate)
        while queue and room >= 1 and queue[0][0] <= now - least_s:
            _, site, seq = queue.pop(0)
            waiting[site].remove(seq)
            flights[site].settled([seq], now)
            committed, room = committed + 1, room - 1
        for site, flight in enumerate(flights):
            found = due(flight, waiting[site], now)
            queue += [(now, site, seq) for seq in found]
            sent += len(found)
        waits += [len(queue)] * (step % 5 == 4)
    return committed, waits, sent


def test_the_backlogs_of_many_sites_keep_a_collector_busy_and_its_queue_short() -> None:
    committed, waits, sent = drained(sites=20, rate=200.0)
    assert committed > 0.9 * 60 * 200
    assert max(waits) < 2 * COMMIT_TARGET_S * 200
    assert sent == committed + waits[-1]  # each once


def test_a_site_alone_far_from_its_collector_has_a_whole_window_in_flight() -> None:
    committed, waits, _ = drained(sites=1, rate=1000.0, least_s=3.0)
    assert waits[-1] >= WINDOW_REPORTS - FRESH_REPORTS
    assert committed > 60 * 10


def test_a_new_connection_makes_everything_due() -> None:
    flight = Flight()
    due(flight, [1], now=0.0)
    flight.forget()
    assert due(flight, [1], now=0.1) == [1]


def test_a_report_dropped_in_flight_is_not_waited_for() -> None:
    flight = Flight()
    due(flight, [1, 2], now=0.0)
    due(flight, [2], now=1.0)
    flight.missing([2])
    assert flight.wait_s(now=5.0) is None


def test_a_wait_that_is_over_is_zero_and_not_negative() -> None:
    flight = Flight()
    due(flight, [1], now=0.0)
    assert flight.wait_s(now=100.0) == 0.0


def test_a_report_waits_while_what_was_sent_before_it_is_worked_off() -> None:
    flight = Flight()
    due(flight, [1, 2, 3], now=0.0)
    due(flight, [1, 2, 3, 4], now=5.0)
    flight.settled([1], now=9.0)  # patience: four times 9 s
    assert flight.wait_s(now=9.0) == 36.0  # of 2 and 3, and of 4
    flight.settled([4], now=20.0)  # sent after them: they may be lost
    assert due(flight, [2, 3], now=44.9) == []
    flight.settled([2], now=44.9)
    assert flight.wait_s(now=44.9) == 4 * 44.9
    assert due(flight, [3], now=224.4) == []
    assert due(flight, [3], now=224.6) == [3]


def test_what_was_dropped_is_sent_again_though_later_reports_are_settled() -> None:
    flight = Flight()
    again: list[float] = []
    due(flight, [1, 2], now=0.0)
    flight.settled([2], now=0.125)
    for seq in range(3, 400):
        now = (seq - 2) / 8
        sent = due(flight, [1, seq], now)
        assert sent[-1] == seq
        if len(sent) > 1:
            assert sent[0] == 1
            again.append(now)
        flight.settled([seq], now + 0.0625)
        assert len(flight._progress) <= 2 * WINDOW_REPORTS
    assert again == [10.125, 20.25, 30.375, 40.5]


def test_a_new_connection_is_not_used_before_the_collector_is_heard_or_has_had_its_time() -> None:
    flight = Flight()
    flight.forget()
    flight.hold(15.0)
    assert due(flight, [1, 2], now=5.0) == []
    assert flight.wait_s(now=5.0) == 10.0
    assert due(flight, [1, 2], now=15.0) == [1, 2]
    flight.forget()
    flight.hold(40.0)
    flight.forget()  # the collector's mesh
    assert due(flight, [1, 2], now=20.0) == [1, 2]
    assert due(flight, [1, 2], now=21.0) == []
