"""Publishes each site's routes when they change: retained, on the site's topic; without a broker they wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from collector.routing.costs import COSTINGS
from collector.routing.route_columns import site_routes
from collector.routing.router import Router
from linkweather.containment import contained
from linkweather.wire import topics

# What changes together is published together.
GATHER_S = 0.1
# So many wait for the broker's acknowledgement at once.
SITES_AT_ONCE = 16

Publish = Callable[[str, bytes], Awaitable[bool]]


class RoutePublisher:
    """The sites whose routes are to be published, each once. `publish` says whether a broker took a message."""

    def __init__(self, router: Router, publish: Publish) -> None:
        self._router = router
        self._publish = publish
        self._waiting: dict[str, None] = {}
        self._news = asyncio.Event()

    def add(self, sites: Iterable[str]) -> None:
        """Publish these sites' routes soon."""
        self._waiting.update(dict.fromkeys(sites))
        self._news.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            taken = True
            while self._waiting and taken:
                taken = False
                with contained("route publisher"):
                    taken = await self._publish_some()
            await asyncio.sleep(GATHER_S)

    async def _publish_some(self) -> bool:
        """Publish the routes of a few sites; false where the broker took none of them."""
        sites = list(self._waiting)[:SITES_AT_ONCE]
        documents: dict[str, bytes] = {}
        for site in sites:
            views = {
                objective: view for objective in COSTINGS if (view := self._router.view_now(objective)) is not None
            }
            if not views:
                return False
            del self._waiting[site]
            position = next(iter(views.values())).snapshot.position.get(site)
            if position is not None:
                documents[site] = site_routes(position, views)
                await asyncio.sleep(0)
        sent = await asyncio.gather(*(self._publish(topics.routes(site), text) for site, text in documents.items()))
        self._waiting.update({site: None for site, done in zip(documents, sent, strict=True) if not done})
        return not sent or any(sent)
