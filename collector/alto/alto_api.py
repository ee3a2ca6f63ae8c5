"""ALTO over HTTP: reads requests, sends the resources' answers, and serves the update streams."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from collector.alto import alto_protocol as alto
from collector.alto import endpoints, request_fields, resources
from collector.alto.alto_protocol import AltoError
from collector.alto.path_vector import PathVector
from collector.alto.request_fields import Fields
from collector.alto.resources import RESOURCES, ROOT, Resource, ResourceRequest
from collector.alto.update_streams import UpdateEvent, UpdateStream
from collector.alto.view import View
from collector.api.api_requests import ApiError, read_body
from collector.api.costly_questions import question_threads
from linkweather.containment import note_overflow
from linkweather.mesh import Mesh
from linkweather.models.routes import NoRoute, RouteAnswer
from linkweather.models.state import CapacityAnswer, LinkAnswer
from linkweather.wire.server_sent_events import KEEP_ALIVE, KEEP_ALIVE_S, MEDIA_TYPE

BODY_BYTES_MAX = 1_000_000
STREAMS_MAX = 32
POLL_S = 1.0
RETRY_AFTER_S = 60
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AltoSources:
    """What ALTO's answers come from. `now` is in seconds since the epoch; `route` is the active route.

    `links` copies what is known now; what it returns makes the answers of it in any thread.
    Once `stopping` is true, update streams end, so that a server that waits for its responses can stop.
    `count_streams` is called with the number of open ones whenever it changes.
    """

    now: Callable[[], float]
    mesh: Callable[[], Mesh]
    links: Callable[[float], Callable[[], Sequence[LinkAnswer]]]
    route: Callable[[str, str, float], RouteAnswer | NoRoute]
    capacities: Callable[[float], Sequence[CapacityAnswer]]
    stopping: Callable[[], bool] = lambda: False
    count_streams: Callable[[int], None] = lambda _count: None
    most_streams_per_client: int = STREAMS_MAX


def add_alto(app: FastAPI, sources: AltoSources, *, poll_s: float = POLL_S, keep_alive_s: float = KEEP_ALIVE_S) -> None:
    """Answer ALTO under /alto; its directory, at /alto, names every resource.

    Update streams look for changes every `poll_s`, and send a comment after `keep_alive_s` without any.
    """
    server = _AltoService(sources, poll_s, keep_alive_s)
    for path in (ROOT, f"{ROOT}/directory"):
        app.router.add_route(path, _answering(server.directory), methods=["GET"])
    for resource in RESOURCES.values():
        app.router.add_route(ROOT + resource.path, _answering(server.resource(resource)), methods=[resource.method])
    updates = ROOT + resources.UPDATES_PATH
    app.router.add_route(updates, _answering(server.open_stream), methods=["POST"])
    app.router.add_route(f"{updates}/{{stream}}", _answering(server.control_stream), methods=["POST"])


def _answering(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except AltoError as error:
            return _json(error.document, alto.ERROR, 400)

    return answer


@dataclass(slots=True)
class _OpenStream:
    """An update stream with a client; `changed` makes it look for changes at once."""

    stream: UpdateStream
    client: str | None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class _AltoService:
    def __init__(self, sources: AltoSources, poll_s: float, keep_alive_s: float) -> None:
        self._sources = sources
        self._poll_s = poll_s
        self._keep_alive_s = keep_alive_s
        self._streams: dict[str, _OpenStream] = {}
        self._last_view: View | None = None
        self._thread = question_threads(1, "alto")

    async def _view(self) -> View:
        """One view for all who ask within half a poll interval, with its links, which a thread makes."""
        view = self._shared_view()
        await asyncio.get_running_loop().run_in_executor(self._thread, lambda: view.link)
        return view

    def _shared_view(self) -> View:
        """The same without: it makes its links when it is asked for them."""
        if self._last_view is None or not 0 <= self._sources.now() - self._last_view.now < self._poll_s / 2:
            self._last_view = self._new_view()
        return self._last_view

    def _new_view(self) -> View:
        now = self._sources.now()
        return View(
            now=now,
            mesh=self._sources.mesh(),
            links=self._sources.links(now),
            route=lambda src, dst: self._sources.route(src, dst, now),
            capacities=self._sources.capacities(now),
        )

    async def directory(self, request: Request) -> Response:
        _check_accept(request, alto.DIRECTORY)
        return _json(resources.directory(self._sources.mesh(), _base(request)), alto.DIRECTORY)

    def resource(self, resource: Resource) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            _check_accept(request, resource.media)
            asked = Fields({}) if resource.accepts is None else await _parameters(request, resource.accepts)
            view = self._shared_view() if resource.media == alto.NETWORK_MAP else await self._view()
            answer = resource.answer(view, ResourceRequest(asked, _requester(request)))
            if isinstance(answer, PathVector):
                return _bytes(answer.body(_domain(request)), answer.content_type)
            return _json(answer, resource.media)

        return endpoint

    async def open_stream(self, request: Request) -> Response:
        _check_accept(request, MEDIA_TYPE)
        asked = await _parameters(request, alto.UPDATE_PARAMS)
        if len(self._streams) >= STREAMS_MAX:
            note_overflow("alto update streams")
            # RFC 7285 §8.5.3: overload is no ALTO error; the answer says when to try again.
            sentence = f"{STREAMS_MAX} update streams are open already: try again later"
            raise ApiError(503, sentence, headers={"retry-after": str(RETRY_AFTER_S)})
        client = request.client.host if request.client else None
        if client is not None and self._streams_of(client) >= self._sources.most_streams_per_client:
            note_overflow("alto update streams")
            raise ApiError(429, "your address has too many update streams open")
        live = _OpenStream(UpdateStream(asked, _requester(request), await self._view()), client)
        name = secrets.token_urlsafe(16)
        self._streams[name] = live
        self._sources.count_streams(len(self._streams))
        control = {"control-uri": f"{_base(request)}{ROOT}{resources.UPDATES_PATH}/{name}"}
        return _EventStream(self._events(live, control), closed=lambda: self._close(name))

    def _streams_of(self, client: str) -> int:
        return sum(live.client == client for live in self._streams.values())

    def _close(self, name: str) -> None:
        del self._streams[name]
        self._sources.count_streams(len(self._streams))

    async def control_stream(self, request: Request) -> Response:
        live = self._streams.get(request.path_params["stream"])
        if live is None:
            raise HTTPException(404, "this update stream is closed")
        live.stream.control(await _parameters(request, alto.UPDATE_PARAMS), await self._view())
        live.changed.set()
        return Response(status_code=204)

    async def _events(self, live: _OpenStream, control: Mapping[str, str]) -> AsyncIterator[bytes]:
        yield UpdateEvent(alto.UPDATE_CONTROL, control).encode()
        silent_s = 0.0
        while True:
            found = [event.encode() for event in live.stream.events(await self._view())]
            silent_s = 0.0 if found else silent_s + self._poll_s
            if silent_s >= self._keep_alive_s:
                found.append(KEEP_ALIVE)
                silent_s = 0.0
            for chunk in found:
                yield chunk
            if live.stream.over or self._sources.stopping():
                return
            await _pause(live.changed, self._poll_s)


async def _pause(changed: asyncio.Event, limit_s: float) -> None:
    try:
        async with asyncio.timeout(limit_s):
            await changed.wait()
    except TimeoutError:
        return
    changed.clear()


class _EventStream(Response):
    """Sends chunks until they end or the client leaves, then calls `closed`."""

    def __init__(self, chunks: AsyncIterator[bytes], closed: Callable[[], object]) -> None:
        self.status_code = 200
        self.background = None
        self._chunks = chunks
        self._closed = closed
        # Set here, as Starlette appends a charset to text types, and clients compare the type exactly.
        self.init_headers({"content-type": MEDIA_TYPE, "cache-control": "no-store"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 – ASGI's form
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(self._send(send), name="alto update stream")
                leaving = tasks.create_task(_client_left(receive), name="alto client leaves")
                await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
                sending.cancel()
                leaving.cancel()
        finally:
            self._closed()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _client_left(receive: Receive) -> None:
    kind = ""
    while kind != "http.disconnect":
        kind = (await receive())["type"]


def _check_accept(request: Request, kind: str) -> None:
    if not alto.accepts(request.headers.get("accept"), kind):
        raise HTTPException(406, f"answers are of the type {kind}, which the Accept header excludes")


async def _parameters(request: Request, kind: str) -> Fields:
    if alto.essence(request.headers.get("content-type", "")) != kind:
        raise HTTPException(415, f"the body must be of the type {kind}")
    return request_fields.parse(await read_body(request, BODY_BYTES_MAX, "a request"))


def _requester(request: Request) -> str:
    return endpoints.write(request.client.host if request.client else "127.0.0.1")


def _base(request: Request) -> str:
    # RFC 7285 §9.2.2 allows relative URIs; not every client resolves them.
    return str(request.base_url).rstrip("/")


def _domain(request: Request) -> str:
    name = request.url.hostname or ""
    return name if _DOMAIN.fullmatch(name) else "localhost"


def _json(document: Mapping[str, Any], kind: str, status: int = 200) -> Response:
    return _bytes(json.dumps(document, allow_nan=False).encode(), kind, status)


def _bytes(body: bytes, kind: str, status: int = 200) -> Response:
    # The type as a header, as Starlette appends a charset to text types.
    return Response(body, status, headers={"content-type": kind})
