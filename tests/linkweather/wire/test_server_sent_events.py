from __future__ import annotations

from linkweather.wire.server_sent_events import KEEP_ALIVE, EventParser, ServerSentEvent, event_bytes


def read(stream: bytes) -> list[ServerSentEvent]:
    parser = EventParser()
    return [event for line in stream.decode().splitlines() if (event := parser.line(line)) is not None]


def test_an_event_is_framed_by_its_fields_and_an_empty_line() -> None:
    assert event_bytes("link", b'{"a": 1}', "b.7") == b'id: b.7\nevent: link\ndata: {"a": 1}\n\n'
    assert event_bytes("link", b"{}") == b"event: link\ndata: {}\n\n"


def test_what_is_written_is_what_is_read() -> None:
    stream = event_bytes("link", b'{"a": 1}', "b.7") + event_bytes("route", b"{}")
    assert read(stream) == [ServerSentEvent("link", '{"a": 1}', "b.7"), ServerSentEvent("route", "{}", None)]


def test_a_comment_keeps_a_stream_alive_and_carries_nothing() -> None:
    assert read(KEEP_ALIVE) == [ServerSentEvent("", "", None)]


def test_several_lines_of_data_are_one_text_and_unknown_fields_are_ignored() -> None:
    assert read(b"data:one\ndata: two\nretry: 5\n\n") == [ServerSentEvent("", "one\ntwo", None)]
