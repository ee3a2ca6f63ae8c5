"""Follows the collector for all who look: one event stream and one round of questions, however many they are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from linkweather.client import AsyncClient
from linkweather.containment import contained
from linkweather.errors import LinkweatherError
from linkweather.models.events import Event, Gap, IncidentEvent, RouteEvent
from linkweather.models.scores import EvaluationAnswer
from page.mesh_picture import OBJECTIVES, MeshPicture

log = logging.getLogger(__name__)

POLL_S = 2.0
LINKS_A_SECOND = 500  # no more links than this are asked for each second; what changes comes as an event
ROUTES_EVERY = 5  # rounds; after a change of a route with the second round
LOOKED_S = 15.0  # for so long after a look the page keeps asking
LEAST_GAP_S = 0.5
RETRY_S = 2.0
SCORE_EVERY_S = 60.0
SCORE_SPAN = "1h"
USUAL_EVERY_S = 1800.0


def pace_s(links: int) -> float:
    """How long from one round of questions to the next."""
    return max(POLL_S, links / LINKS_A_SECOND)


class MeshFollower:
    """Keeps `view` current while it is looked at; `version` counts its changes."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.view = MeshPicture()
        self.version = 0
        self._looked = self._round_at = self._score_at = self._usual_at = float("-inf")
        self._rounds = ROUTES_EVERY
        self._score: EvaluationAnswer | None = None
        self._due = asyncio.Event()  # something is to be asked before the next round
        self._all_due, self._route_changed = True, False
        self._filled = asyncio.Event()

    def look(self) -> MeshPicture:
        """What is known; the page goes on asking for a while."""
        now = time.monotonic()
        if now - self._looked > LOOKED_S:
            self.ask_again()
        self._looked = now
        return self.view

    async def first_look(self, within_s: float) -> MeshPicture:
        """What is known once the collector has answered, or after so long."""
        self.look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._filled.wait()
        return self.view

    def ask_again(self) -> None:
        """Ask for all at once."""
        self._all_due = True
        self._due.set()

    async def score(self) -> EvaluationAnswer | None:
        """How the decisions of the last hour did, asked for at most once a minute; None while there is no answer."""
        now = time.monotonic()
        if now - self._score_at >= SCORE_EVERY_S:
            self._score_at = now
            with contextlib.suppress(LinkweatherError):
                self._score = await self.client.evaluation(SCORE_SPAN)
        return self._score

    async def ask_usual(self) -> None:
        """Ask what the links were like a week ago, at most once in half an hour: a question about all of them."""
        now = time.monotonic()
        if now - self._usual_at >= USUAL_EVERY_S:
            self._usual_at = now
            with contextlib.suppress(LinkweatherError):
                self._show(self.view.with_usual(await self.client.sla(since="8d", until="1d")))

    async def run(self) -> None:
        """Follow, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll(), name="questions")
            tasks.create_task(self._watch(), name="events")

    async def _poll(self) -> None:
        while True:
            self._due.clear()
            if time.monotonic() - self._looked <= LOOKED_S:
                with contained("questions"):
                    await self._ask()
            await asyncio.sleep(LEAST_GAP_S)
            with contextlib.suppress(TimeoutError):
                left_s = self._round_at - time.monotonic()
                async with asyncio.timeout(left_s if left_s > 0 else POLL_S):
                    await self._due.wait()

    async def _ask(self) -> None:
        try:
            if self._all_due or time.monotonic() >= self._round_at:
                await self._ask_all()
            else:
                self._show(self.view.with_incidents(await self.client.incidents()))
        except LinkweatherError as error:
            self._show(self.view.with_problem(str(error)))
            self._round_at = time.monotonic() + pace_s(len(self.view.links))
        else:
            self._filled.set()

    async def _ask_all(self) -> None:
        client, self._all_due = self.client, False
        self._round_at = time.monotonic() + pace_s(len(self.view.links))
        links, sites, incidents = await client.links(), await client.sites(), await client.incidents()
        self._show(self.view.with_links(links, time.time()).with_sites(sites, time.time()).with_incidents(incidents))
        if not self.view.name:
            self._show(self.view.with_name((await client.mesh()).mesh.name))
        self._rounds += 1
        if self._rounds >= (2 if self._route_changed else ROUTES_EVERY):
            self._rounds, self._route_changed = 0, False
            for objective in OBJECTIVES:
                self._show(self.view.with_routes(await client.routes(objective)))

    async def _watch(self) -> None:
        while True:
            with contained("events"), contextlib.suppress(LinkweatherError):
                async with contextlib.aclosing(self.client.watch()) as events:
                    async for event in events:
                        self._hear(event)
            await asyncio.sleep(RETRY_S)

    def _hear(self, event: Event) -> None:
        """A link's event says all; of incidents more is asked for at once, of routes with the second next round."""
        self._show(self.view.with_event(event))
        if isinstance(event, RouteEvent):
            self._route_changed = True
        elif isinstance(event, IncidentEvent):
            self._due.set()
        elif isinstance(event, Gap):
            self._rounds = ROUTES_EVERY
            self.ask_again()

    def _show(self, view: MeshPicture) -> None:
        self.view = view
        self.version += 1
