"""The events that the collector emits over server-sent events; each kind's name on the stream is its key here.

A room of its own because an event holds answers of the other models: they must not import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AwareDatetime

from linkweather.models.incidents import IncidentAnswer
from linkweather.models.routes import NoRoute, RouteAnswer
from linkweather.models.state import LinkAnswer
from linkweather.wire import Count, Message

EventKind = Literal["link", "route", "incident"]


class LinkEvent(Message):
    """A link's condition changed, or its goodput was measured."""

    at: AwareDatetime
    link: LinkAnswer


class RouteEvent(Message):
    """The active route of a pair changed: to `route`, or to none for the reason in `no_route`."""

    at: AwareDatetime
    route: RouteAnswer | None = None
    no_route: NoRoute | None = None


class IncidentEvent(Message):
    """An incident began, changed, or is over."""

    at: AwareDatetime
    incident: IncidentAnswer


class Gap(Message):
    """Events were missed, `missed` of them if known: a follower's state may be outdated, so it asks once."""

    missed: Count | None = None


Event = LinkEvent | RouteEvent | IncidentEvent | Gap

EVENTS: Mapping[str, type[LinkEvent | RouteEvent | IncidentEvent | Gap]] = {
    "link": LinkEvent,
    "route": RouteEvent,
    "incident": IncidentEvent,
    "gap": Gap,
}
