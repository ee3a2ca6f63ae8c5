"""What the collector tells as it happens, over server-sent events; each kind's name on the stream is its key here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AwareDatetime

from linkweather.models.routes import NoRoute, RouteAnswer
from linkweather.models.state import LinkAnswer
from linkweather.wire import Count, Message

EventKind = Literal["link", "route"]


class LinkEvent(Message):
    """A link's condition changed, or its goodput was measured."""

    at: AwareDatetime
    link: LinkAnswer


class RouteEvent(Message):
    """The path of a pair changed: `route` is in force now, or `no_route` says why there is no usable path."""

    at: AwareDatetime
    route: RouteAnswer | None = None
    no_route: NoRoute | None = None


class Gap(Message):
    """Events were missed: what is known from earlier ones may be outdated, so ask once. `missed` where it is known."""

    missed: Count | None = None


Event = LinkEvent | RouteEvent | Gap

EVENTS: Mapping[str, type[LinkEvent | RouteEvent | Gap]] = {
    "link": LinkEvent,
    "route": RouteEvent,
    "gap": Gap,
}
