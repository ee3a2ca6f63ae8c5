"""The reader of the stream of events, line by line."""

from __future__ import annotations

from linkweather.client.responses import EventReader
from linkweather.models.events import Gap


def read(reader: EventReader, text: str) -> list[object]:
    return [event for event in map(reader.line, text.split("\n")) if event is not None]


def test_an_event_ends_with_an_empty_line() -> None:
    reader = EventReader()
    assert read(reader, 'id: b.7\nevent: gap\ndata: {"missed":\ndata: 3}') == []
    assert reader.last_id is None
    assert read(reader, "\n") == [Gap(missed=3)]
    assert reader.last_id == "b.7"


def test_comments_and_unknown_fields_and_kinds_say_nothing() -> None:
    assert read(EventReader(), ": still here\n\nretry: 5\nevent: weather\ndata: {}\n\n") == []


def test_an_event_that_cannot_be_read_is_a_gap_of_one() -> None:
    reader = EventReader()
    assert read(reader, 'id: b.8\nevent: link\ndata: {"at": "many"}\n\n') == [Gap(missed=1)]
    assert reader.last_id == "b.8"


def test_what_was_cut_off_is_not_joined_to_what_comes_next() -> None:
    reader = EventReader()
    read(reader, 'event: gap\ndata: {"missed":')
    reader.connected()
    assert read(reader, "event: gap\ndata: {}\n\n") == [Gap()]


def test_the_wait_doubles_until_an_event_arrives() -> None:
    reader = EventReader()
    assert [reader.wait_s() for _ in range(7)] == [0.5, 1, 2, 4, 8, 15, 15]
    read(reader, "event: gap\ndata: {}\n\n")
    assert reader.wait_s() == 0.5
