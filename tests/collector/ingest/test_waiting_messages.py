"""The queue before the commits: two lanes in one bound."""

from __future__ import annotations

from datetime import timedelta

import pytest

from collector.ingest.admission import IncomingMessage, measured_at
from collector.ingest.waiting_messages import (
    BATCH_BYTES,
    BATCH_REPORTS,
    MESSAGE_BYTES,
    SITE_BYTES,
    WaitingMessages,
)
from linkweather.wire import encode, topics
from tests.collector.report_samples import NOON, latency


def message(seq: int, age_s: float = 0.0) -> IncomingMessage:
    return IncomingMessage(topics.report("a", "latency"), encode(latency(seq)), NOON + timedelta(seconds=age_s))


def test_what_was_kept_through_an_outage_has_half_of_a_batch_while_new_reports_wait() -> None:
    waiting = WaitingMessages()
    kept = [message(seq, 3600) for seq in range(2 * BATCH_REPORTS)]
    fresh = [message(seq) for seq in range(BATCH_REPORTS - 50)]
    for one in kept + fresh:
        assert waiting.put(one)
    half = BATCH_REPORTS // 2
    assert waiting.take() == fresh[:half] + kept[:half]
    rest = half + BATCH_REPORTS - len(fresh[half:])
    assert waiting.take() == fresh[half:] + kept[half:rest]
    assert waiting.take() == kept[rest:]
    assert (len(waiting), waiting.bytes) == (0, 0)
    assert waiting.take() == []


def test_new_reports_alone_have_the_whole_batch() -> None:
    waiting = WaitingMessages()
    fresh = [message(seq, 60) for seq in range(BATCH_REPORTS + 10)]
    for one in fresh:
        waiting.put(one)
    assert waiting.take() == fresh[:BATCH_REPORTS]
    assert waiting.take() == fresh[BATCH_REPORTS:]


def test_a_message_that_does_not_fit_is_refused_and_room_comes_with_a_batch() -> None:
    one = message(1)
    size = len(one.payload) + len(one.topic) + MESSAGE_BYTES
    waiting = WaitingMessages(2 * size)
    assert [waiting.put(one) for _ in range(3)] == [True, True, False]
    assert waiting.bytes == 2 * size
    waiting.take()
    assert waiting.put(one)


def test_a_sites_backlog_gives_way_to_its_new_reports_where_the_queue_is_full() -> None:
    old, new = message(1, 3600), message(2)
    size = len(old.payload) + len(old.topic) + MESSAGE_BYTES
    waiting = WaitingMessages(4 * size)
    assert [waiting.put(old) for _ in range(5)] == [True] * 4 + [False]
    assert [waiting.put(new) for _ in range(5)] == [True] * 4 + [False]
    assert (waiting.take(), waiting.overflowed) == ([new] * 4, 6)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b'{"v":1,"boot":"b","seq":1,"at":"2026-11-01T00:00:00"',
        b'{"v":1,"boot":"b","seq":1,"at":"2026-11-01T99:00:00+00:00"',
    ],
)
def test_what_says_no_time_is_new(payload: bytes) -> None:
    assert measured_at(IncomingMessage("t", payload, NOON)) is None


def of(site: str, seq: int, payload_bytes: int, age_s: float = 0.0) -> IncomingMessage:
    text = b'{"v":1,"boot":"b","seq":%d,"at":"%s"' % (seq, NOON.isoformat().encode())
    at = NOON + timedelta(seconds=age_s)
    return IncomingMessage(topics.report(site, "latency"), text.ljust(payload_bytes, b" "), at)


@pytest.mark.parametrize("age_s", [0.0, 3600.0])
def test_sites_take_turns_and_none_has_more_than_its_share_of_a_batch(age_s: float) -> None:
    waiting = WaitingMessages()
    flood = [of("a", seq, SITE_BYTES // 5 - 1000, age_s) for seq in range(20)]
    others = [of(site, 0, 1000, age_s) for site in "bc"]
    for one in [*flood, *others]:
        assert waiting.put(one)
    assert waiting.take() == [flood[0], *others, *flood[1:5]]
    assert len(waiting) == 15
    late = of("d", 0, 1000, age_s)
    waiting.put(late)
    assert late in waiting.take()


def test_a_message_longer_than_a_share_goes_alone() -> None:
    waiting = WaitingMessages()
    first, second = (of("a", seq, SITE_BYTES + 1) for seq in range(2))
    waiting.put(first)
    waiting.put(second)
    assert (waiting.take(), waiting.take(), waiting.bytes) == ([first], [second], 0)


def test_a_batch_is_bounded_by_its_bytes() -> None:
    waiting = WaitingMessages()
    for number in range(60):
        waiting.put(of(f"s{number}", 0, 490_000))
    taken = [sum(len(one.payload) for one in waiting.take()) for _ in range(3)]
    assert taken[0] <= BATCH_BYTES < taken[0] + 490_000
    assert sum(taken) == 60 * 490_000


def test_a_full_queue_drops_the_newest_of_the_site_with_most_in_it() -> None:
    waiting = WaitingMessages(10_000)
    flood = [of("a", seq, 1500, 3600.0 * (seq % 2)) for seq in range(6)]
    assert [waiting.put(one) for one in flood] == [True] * 5 + [False]  # new ones before its kept ones
    other = of("b", 0, 3000)
    assert waiting.put(other)
    assert waiting.bytes <= 10_000
    assert waiting.overflowed == 3
    assert not waiting.put(of("c", 0, 20_000))
    assert waiting.put(of("c", 1, 3000))
    assert waiting.take() == [flood[0], other, of("c", 1, 3000)]
    assert waiting.overflowed == 6


def test_a_site_that_floods_is_no_sign_of_a_collector_that_lags() -> None:
    waiting = WaitingMessages()
    assert waiting.oldest_at is None
    for seq in range(10):
        waiting.put(of("a", seq, 99_000))
    assert waiting.oldest_at == NOON
    waiting.put(of("b", 0, 1000, 30.0))
    assert waiting.oldest_at == NOON + timedelta(seconds=30)
