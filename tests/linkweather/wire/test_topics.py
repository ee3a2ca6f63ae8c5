from __future__ import annotations

import pytest

from linkweather.errors import MessageError
from linkweather.wire import topics
from linkweather.wire.topics import Topic


def test_topics_in_their_frozen_form() -> None:
    assert topics.MESH == "linkweather/v1/mesh"
    assert topics.ALL_REPORTS == "linkweather/v1/site/+/report/+"
    assert topics.ALL_STATUSES == "linkweather/v1/site/+/status"
    assert topics.status("a") == "linkweather/v1/site/a/status"
    assert topics.report("a", "latency") == "linkweather/v1/site/a/report/latency"
    assert topics.committed("a") == "linkweather/v1/site/a/committed"
    assert topics.invite("a", "b") == "linkweather/v1/site/a/invite/b"
    assert topics.answer("a", "b") == "linkweather/v1/site/a/answer/b"
    assert topics.claim("a") == "linkweather/v1/site/a/claim"
    assert topics.ALL_CLAIMS == "linkweather/v1/site/+/claim"
    assert topics.routes("a") == "linkweather/v1/site/a/routes"
    assert topics.weights("a") == "linkweather/v1/site/a/weights"


@pytest.mark.parametrize(
    ("topic", "parsed"),
    [
        (topics.status("a"), Topic("status", "a")),
        (topics.report("a", "latency"), Topic("report", "a", "latency")),
        (topics.committed("a"), Topic("committed", "a")),
        (topics.invite("a", "b"), Topic("invite", "a", "b")),
        (topics.answer("a", "b"), Topic("answer", "a", "b")),
        (topics.claim("a"), Topic("claim", "a")),
        (topics.routes("a"), Topic("routes", "a")),
        (topics.weights("a"), Topic("weights", "a")),
    ],
)
def test_what_is_built_is_parsed(topic: str, parsed: Topic) -> None:
    assert topics.parse(topic) == parsed


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "linkweather/v1/mesh",
        "linkweather/v2/site/a/status",
        "linkweather/v1/site/A/status",
        "linkweather/v1/site/-a/status",
        "linkweather/v1/site//status",
        "linkweather/v1/site/a",
        "linkweather/v1/site/a/weather",
        "linkweather/v1/site/a/status/more",
        "linkweather/v1/site/a/report",
        "linkweather/v1/site/a/report/",
        "linkweather/v1/site/a/report/latency/more",
        "linkweather/v1/site/" + "a" * 33 + "/status",
    ],
)
def test_any_other_topic_is_none(topic: str) -> None:
    assert topics.parse(topic) is None


def test_what_is_longer_than_any_message_of_its_name_is_refused_before_it_is_decoded() -> None:
    topics.check_size("status", b"{}")
    with pytest.raises(MessageError, match="oversized: 20000000 bytes"):
        topics.check_size("status", bytes(20_000_000))
