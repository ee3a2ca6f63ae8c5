"""The queue before the commits: two lanes in one bound."""

from __future__ import annotations

from datetime import timedelta

import pytest

from collector.ingest.admission import IncomingMessage, measured_at
from collector.ingest.waiting_messages import BATCH_REPORTS, MESSAGE_BYTES, WaitingMessages
from linkweather.wire import encode, topics
from tests.collector.report_samples import NOON, latency


def message(seq: int, age_s: float = 0.0) -> IncomingMessage:
    return IncomingMessage(topics.report("a", "latency"), encode(latency(seq)), NOON + timedelta(seconds=age_s))


def test_what_was_kept_through_an_outage_has_half_of_a_batch_while_new_reports_wait() -> None:
    waiting = WaitingMessages()
    kept = [message(seq, 3600) for seq in range(2 * BATCH_REPORTS)]
    fresh = [message(seq) for seq in range(150)]
    for one in kept + fresh:
        assert waiting.put(one)
    assert waiting.take() == fresh[:100] + kept[:100]
    assert waiting.take() == fresh[100:] + kept[100:250]
    assert waiting.take() == kept[250:]
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
