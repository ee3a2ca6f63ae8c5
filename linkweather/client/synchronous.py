"""The synchronous client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
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


class Client:
    """A client of one collector; a context manager, or `close()` it.

    Every method raises CollectorUnavailableError when no collector answers, and OperatorError, with the
    collector's own sentence, when it refuses what was asked.
    """

    def __init__(self, api: str = DEFAULT_API, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """`token` lets `push_mesh` in from another machine. Raises OperatorError for an impossible URL."""
        self._api = api
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # No proxy of the environment: the collector is usually on loopback.
        self._http = httpx.Client(base_url=questions.base_url(api), headers=headers, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def links(self) -> list[LinkAnswer]:
        """Every link of the mesh, also those never measured."""
        return self._ask(questions.links())

    def link(self, src: str, dst: str) -> LinkAnswer:
        """One link. Raises NotFoundError."""
        return self._ask(questions.link(src, dst))

    def history(self, src: str, dst: str, metric: str, *, since: str = "1h", step: str = "10s") -> HistoryAnswer:
        """One metric of one link over time; `since` is RFC 3339 or how long ago (`15m`). Raises NotFoundError."""
        return self._ask(questions.history(src, dst, metric, since, step))

    def sites(self) -> list[SiteAnswer]:
        """Every site of the mesh, also those never heard."""
        return self._ask(questions.sites())

    def mesh(self) -> MeshAnswer:
        """The mesh in force."""
        return self._ask(questions.mesh())

    def push_mesh(self, text: str) -> MeshAnswer:
        """Put a mesh, as TOML text, into force."""
        return self._ask(questions.push_mesh(text))

    def route(
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
        return self._ask(
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

    def routes(self, objective: Objective = "latency") -> MeshRoutes:
        """The decisions in force for all pairs."""
        return self._ask(questions.routes(objective))

    def capacity(self) -> list[CapacityAnswer]:
        """What each site last said of its devices, by type; also what has expired."""
        return self._ask(questions.capacity())

    def place(self, job: Job) -> PlacementAnswer:
        """Where a job should run, and why; its `site` is None where none can take it."""
        return self._ask(questions.place(job))

    def place_together(self, jobs: Iterable[Job]) -> PlacementsAnswer:
        """Where several jobs should run so that all are done early, in their order."""
        return self._ask(questions.place_together(jobs))

    def evaluation(self, since: str = "24h") -> EvaluationAnswer:
        """How the decisions since then did, against what was measured afterwards; RFC 3339 or how long ago."""
        return self._ask(questions.evaluation(since))

    def watch(self, kinds: Iterable[EventKind] = (), *, reconnect: bool = True) -> Iterator[Event]:
        """What happens from now on, as it happens: events of these kinds, or all; for ever.

        A lost connection is made again and goes on where it ended; a `Gap` says that events were missed meanwhile.
        Without `reconnect` the loss raises CollectorUnavailableError. A collector that refuses raises at once.
        """
        reader, kinds = Reader(), tuple(kinds)
        while True:
            try:
                yield from self._stream(reader, kinds)
            except CollectorUnavailableError:
                if not reconnect:
                    raise
            time.sleep(reader.wait_s())

    def _stream(self, reader: Reader, kinds: tuple[str, ...]) -> Iterator[Event]:
        reader.connected()
        asked = questions.events(kinds, reader.last_id)
        try:
            with self._http.stream("GET", **asked, timeout=SILENCE_LIMIT_S) as response:
                if not response.is_success:
                    response.read()
                check(self._api, response)
                for line in response.iter_lines():
                    event = reader.line(line)
                    if event is not None:
                        yield event
        except httpx.HTTPError as error:
            raise away(self._api, error) from None
        raise CollectorUnavailableError(f"the collector at {self._api} has ended the stream")

    def _ask(self, question: Question[Answer]) -> Answer:
        try:
            response = self._http.request(question.method, question.path, **question.more)
        except httpx.HTTPError as error:
            raise away(self._api, error) from None
        return read(self._api, question, response)
