"""The asyncio client: the same questions as the synchronous one's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Self

import httpx

from linkweather.client import requests as questions
from linkweather.client.event_stream import SILENCE_LIMIT_S, Reader
from linkweather.client.requests import DEFAULT_API, Answer, Question
from linkweather.client.responses import away, check, read
from linkweather.errors import CollectorUnavailableError
from linkweather.models.evaluation import EvaluationAnswer
from linkweather.models.events import Event, EventKind
from linkweather.models.placements import Job, PlacementAnswer, PlacementsAnswer
from linkweather.models.routes import MeshRoutes, Objective, RouteAnswer
from linkweather.models.state import CapacityAnswer, HistoryAnswer, LinkAnswer, MeshAnswer, SiteAnswer

TIMEOUT_S = 10.0


class AsyncClient:
    """A client of one collector; an asynchronous context manager, or await `close()`.

    Every method is that of Client, awaited, with the same answers and errors.
    """

    def __init__(self, api: str = DEFAULT_API, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """`token` lets `push_mesh` in from another machine. Raises OperatorError for an impossible URL."""
        self._api = api
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # No proxy of the environment: the collector is usually on loopback.
        self._http = httpx.AsyncClient(
            base_url=questions.base_url(api), headers=headers, timeout=timeout_s, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def links(self) -> list[LinkAnswer]:
        """Every link of the mesh, also those never measured."""
        return await self._ask(questions.links())

    async def link(self, src: str, dst: str) -> LinkAnswer:
        """One link. Raises NotFoundError."""
        return await self._ask(questions.link(src, dst))

    async def history(self, src: str, dst: str, metric: str, *, since: str = "1h", step: str = "10s") -> HistoryAnswer:
        """One metric of one link over time; `since` is RFC 3339 or how long ago (`15m`). Raises NotFoundError."""
        return await self._ask(questions.history(src, dst, metric, since, step))

    async def sites(self) -> list[SiteAnswer]:
        """Every site of the mesh, also those never heard."""
        return await self._ask(questions.sites())

    async def mesh(self) -> MeshAnswer:
        """The mesh in force."""
        return await self._ask(questions.mesh())

    async def push_mesh(self, text: str) -> MeshAnswer:
        """Put a mesh, as TOML text, into force."""
        return await self._ask(questions.push_mesh(text))

    async def route(
        self,
        src: str,
        dst: str,
        *,
        objective: Objective = "latency",
        bytes: int | None = None,  # noqa: A002 – the API's own name
        max_relays: int | None = None,
        avoid: Iterable[str] = (),
        max_price_usd_per_gb: float | None = None,
    ) -> RouteAnswer:
        """Which path data should take now; sites by id or compute_id. `completion` needs the `bytes` to be sent.

        Prices are USD per 10^9 bytes. Raises NotFoundError, and NoPathError when no path is usable.
        """
        return await self._ask(
            questions.route(
                src,
                dst,
                objective=objective,
                bytes_=bytes,
                max_relays=max_relays,
                avoid=avoid,
                max_price_usd_per_gb=max_price_usd_per_gb,
            )
        )

    async def routes(self, objective: Objective = "latency") -> MeshRoutes:
        """The decisions in force for all pairs."""
        return await self._ask(questions.routes(objective))

    async def capacity(self) -> list[CapacityAnswer]:
        """What each site last said of its devices, by type; also what has expired."""
        return await self._ask(questions.capacity())

    async def place(self, job: Job) -> PlacementAnswer:
        """Where a job should run, and why; its `site` is None where none can take it."""
        return await self._ask(questions.place(job))

    async def place_together(self, jobs: Iterable[Job]) -> PlacementsAnswer:
        """Where several jobs should run so that all are done early, in their order."""
        return await self._ask(questions.place_together(jobs))

    async def evaluation(self, since: str = "24h") -> EvaluationAnswer:
        """How the decisions since then did, against what was measured afterwards; RFC 3339 or how long ago."""
        return await self._ask(questions.evaluation(since))

    async def watch(self, kinds: Iterable[EventKind] = (), *, reconnect: bool = True) -> AsyncGenerator[Event]:
        """What happens from now on, as it happens: events of these kinds, or all; for ever.

        Whoever leaves the loop early closes it: `async with contextlib.aclosing(client.watch()) as events: …`.
        A lost connection is made again and goes on where it ended; a `Gap` says that events were missed meanwhile.
        Without `reconnect` the loss raises CollectorUnavailableError. A collector that refuses raises at once.
        """
        reader, kinds = Reader(), tuple(kinds)
        while True:
            try:
                async with aclosing(self._stream(reader, kinds)) as events:
                    async for event in events:
                        yield event
            except CollectorUnavailableError:
                if not reconnect:
                    raise
            await asyncio.sleep(reader.wait_s())

    async def _stream(self, reader: Reader, kinds: tuple[str, ...]) -> AsyncGenerator[Event]:
        reader.connected()
        asked = questions.events(kinds, reader.last_id)
        try:
            async with self._http.stream("GET", **asked, timeout=SILENCE_LIMIT_S) as response:
                if not response.is_success:
                    await response.aread()
                check(self._api, response)
                async with aclosing(response.aiter_lines()) as lines:  # type: ignore[type-var]
                    async for line in lines:
                        event = reader.line(line)
                        if event is not None:
                            yield event
        except httpx.HTTPError as error:
            raise away(self._api, error) from None
        raise CollectorUnavailableError(f"the collector at {self._api} has ended the stream")

    async def _ask(self, question: Question[Answer]) -> Answer:
        try:
            response = await self._http.request(question.method, question.path, **question.more)
        except httpx.HTTPError as error:
            raise away(self._api, error) from None
        return read(self._api, question, response)
