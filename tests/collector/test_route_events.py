"""Events are made for listeners alone, and what is left out is a gap."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from collector import route_events
from collector.api.event_feed import EventFeed
from collector.route_events import RouteEvents, RouteKey
from linkweather.containment import overflows
from linkweather.models.events import LinkEvent, RouteEvent
from linkweather.models.routes import NoRoute
from linkweather.models.state import LinkAnswer
from tests.waiting import running_task, until

NOON = 1_800_000_000.0


@dataclass
class Heard:
    """A feed that keeps what it is given."""

    wanted: bool = True
    skipped: int = 0
    events: list[LinkEvent | RouteEvent] = field(default_factory=list)

    def emit(self, event: LinkEvent | RouteEvent) -> None:
        self.events.append(event)

    def skip(self, count: int) -> None:
        self.skipped += count


def events(heard: Heard | EventFeed) -> RouteEvents:
    def route(key: RouteKey) -> NoRoute | None:
        objective, src, dst = key
        return (
            None if src == "gone" else NoRoute(src=src, dst=dst, objective=objective, reason="down", why="it is down")
        )

    def link(src: str, dst: str, _now: float) -> LinkAnswer | None:
        if src == "bad":
            raise ValueError("a fault of ours")
        return None if src == "gone" else LinkAnswer(src=src, dst=dst, state="down")

    return RouteEvents(heard, link=link, route=route, now=lambda: NOON)


async def test_without_listeners_nothing_is_made() -> None:
    heard = Heard(wanted=False)
    made = events(heard)
    made.add(2, (pytest.fail("an event was made") for _ in "ab"))
    assert heard.skipped == 2


async def test_a_pair_that_changes_twice_is_one_event_and_a_fault_costs_that_one() -> None:
    heard = Heard()
    made = events(heard)
    made.add(3, [("a", "b"), ("bad", "b"), ("gone", "b")])
    made.add(3, [("latency", "a", "b"), ("latency", "gone", "b"), ("latency", "a", "b")])
    made.add(1, [("a", "b")])
    async with running_task(made.run()):
        await until(lambda: len(heard.events) == 2)
    link, route = heard.events
    assert isinstance(link, LinkEvent)
    assert isinstance(route, RouteEvent)
    assert route.no_route is not None


async def test_beyond_the_bound_the_oldest_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_events, "WAITING_MAX", 2)
    heard = Heard()
    made = events(heard)
    before = overflows().get("event changes", 0)
    made.add(1, [("a", "b")])
    made.add(3, [("c", "b"), ("d", "b"), ("e", "b")])
    assert heard.skipped == 2
    assert overflows()["event changes"] == before + 2
    async with running_task(made.run()):
        await until(lambda: len(heard.events) == 2)
    assert [event.link.src for event in heard.events if isinstance(event, LinkEvent)] == ["c", "d"]


async def test_a_feed_is_wanted_while_someone_listens_and_a_while_after(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = EventFeed("boot")
    assert not feed.wanted
    listening = feed.listen((), None, None)
    await anext(listening)
    assert feed.wanted
    await listening.aclose()
    assert feed.wanted
    monkeypatch.setattr("collector.api.event_feed.COMES_BACK_S", 0.0)
    assert not feed.wanted


async def test_a_listener_is_told_of_a_gap_at_once_and_when_it_comes_back() -> None:
    feed = EventFeed("boot")
    listening = feed.listen(["link"], "c", None)
    await anext(listening)
    feed.emit(
        LinkEvent.model_validate_json('{"at":"2027-01-01T00:00:00Z","link":{"src":"a","dst":"b","state":"down"}}')
    )
    feed.skip(5)
    text = await anext(listening)
    assert b"event: gap" in text
    assert b'"missed":5' in text
    back = feed.listen((), None, "boot.1")
    await anext(back)
    assert b'"missed":5' in await anext(back)
