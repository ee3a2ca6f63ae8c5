"""The two clients. They share every request, answer and error; only what waits for the network is written twice.

`route = _RequestMethod(requests.route)` makes a method of a request, with its parameters and its documentation. Client
returns the answer, AsyncClient an awaitable of it.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Generic, ParamSpec, Self, overload

import httpx

from linkweather.api_place import DEFAULT_API, socket_of
from linkweather.client import requests
from linkweather.client.requests import Answered, Request
from linkweather.client.responses import SILENCE_LIMIT_S, EventReader, away, check, next_page, read
from linkweather.errors import CollectorUnavailableError, OperatorError
from linkweather.models.events import Event, EventKind
from linkweather.models.routes import MeshRoutes, Objective
from linkweather.models.state import LinkAnswer

TIMEOUT_S = 10.0
PAGE_LINKS = 1000

Parameters = ParamSpec("Parameters")


class _RequestMethod(Generic[Parameters, Answered]):
    """A descriptor: a method that asks what `request` describes."""

    def __init__(self, request: Callable[Parameters, Request[Answered]]) -> None:
        self._request = request
        self.__doc__ = request.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[Parameters, Answered]: ...
    @overload
    def __get__(self, client: AsyncClient, owner: type) -> Callable[Parameters, Coroutine[Any, Any, Answered]]: ...
    def __get__(self, client: Client | AsyncClient | None, owner: type) -> Any:
        if client is None:
            return self

        @functools.wraps(self._request)
        def method(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Any:
            return client.ask(self._request(*args, **kwargs))

        return method


class _RequestMethods:
    links = _RequestMethod(requests.links)
    link = _RequestMethod(requests.link)
    history = _RequestMethod(requests.history)
    link_history = _RequestMethod(requests.link_history)
    link_marks = _RequestMethod(requests.link_marks)
    silences = _RequestMethod(requests.silences)
    silence = _RequestMethod(requests.silence)
    acknowledge = _RequestMethod(requests.acknowledge)
    end_silence = _RequestMethod(requests.end_silence)
    sla = _RequestMethod(requests.sla)
    sites = _RequestMethod(requests.sites)
    mesh = _RequestMethod(requests.mesh)
    push_mesh = _RequestMethod(requests.push_mesh)
    route = _RequestMethod(requests.route)
    routes = _RequestMethod(requests.routes)
    capacity = _RequestMethod(requests.capacity)
    place = _RequestMethod(requests.place)
    place_together = _RequestMethod(requests.place_together)
    evaluation = _RequestMethod(requests.evaluation)
    incidents = _RequestMethod(requests.incidents)
    ledger = _RequestMethod(requests.ledger)
    sinks = _RequestMethod(requests.sinks)
    set_aside = _RequestMethod(requests.set_aside)
    retry_set_aside = _RequestMethod(requests.retry_set_aside)
    drop_set_aside = _RequestMethod(requests.drop_set_aside)


def _settings(api: str, token: str | None, timeout_s: float) -> Mapping[str, Any]:
    return {
        "base_url": requests.base_url(api),
        "headers": {"Authorization": f"Bearer {token}"} if token else {},
        "timeout": timeout_s,
        # No proxy of the environment: the collector is usually on loopback.
        "trust_env": False,
    }


def _printable(token: str) -> str:
    if not (token.isascii() and token.isprintable()):
        raise OperatorError("token: must be printable ASCII")
    return token


def _ended(api: str) -> CollectorUnavailableError:
    return CollectorUnavailableError(f"the collector at {api} has ended the stream")


class Client(_RequestMethods):
    """A client of one collector; a context manager, or `close()` it.

    Every method raises CollectorUnavailableError when no collector answers, and OperatorError, with the collector's own
    sentence, when it refuses the request.
    """

    def __init__(self, api: str = DEFAULT_API, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """`api` may be `unix:///path`, the collector's own socket. Raises OperatorError for an impossible URL."""
        self._api, socket = api, socket_of(api)
        transport = None if socket is None else httpx.HTTPTransport(uds=str(socket))
        self._http = httpx.Client(**_settings(api, token, timeout_s), transport=transport)

    def on_behalf_of(self, address: str, token: str) -> Client:
        """A client of the same collector that asks for whoever is at `address`: the token alone admits its changes.

        Raises OperatorError for what can be no token.
        """
        other = Client(self._api, token=_printable(token))
        other._http.headers["X-Forwarded-For"] = address
        return other

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, request: Request[Answered]) -> Answered:
        """Send one request and return its answer."""
        return read(self._api, request, self._send(request))

    def link_pages(self, limit: int = PAGE_LINKS) -> Iterator[list[LinkAnswer]]:
        """Every link, `limit` at a time, by the sites' names; a mesh of hundreds of sites has hundreds of MB in all."""
        return self._pages(requests.links(limit))

    def route_pages(self, objective: Objective = "latency", limit: int = PAGE_LINKS) -> Iterator[MeshRoutes]:
        """The active routes of all pairs, likewise."""
        return self._pages(requests.routes(objective, limit))

    def _pages(self, first: Request[Answered]) -> Iterator[Answered]:
        request: Request[Answered] | None = first
        while request is not None:
            response = self._send(request)
            yield read(self._api, request, response)
            request = next_page(request, response)

    def _send(self, request: Request[Any]) -> httpx.Response:
        try:
            return self._http.request(request.method, request.path, **request.more)
        except httpx.HTTPError as error:
            raise away(self._api, error) from None

    def watch(self, kinds: Iterable[EventKind] = (), *, reconnect: bool = True) -> Iterator[Event]:
        """What happens from now on, as it happens: events of these kinds, or all; for ever.

        A lost connection is made again and goes on where it ended; a `Gap` says that events were missed meanwhile.
        Without `reconnect` the loss raises CollectorUnavailableError. A collector that refuses raises at once.
        """
        reader, kinds = EventReader(), tuple(kinds)
        while True:
            try:
                yield from self._stream(reader, kinds)
            except CollectorUnavailableError:
                if not reconnect:
                    raise
            time.sleep(reader.wait_s())

    def _stream(self, reader: EventReader, kinds: tuple[str, ...]) -> Iterator[Event]:
        reader.connected()
        asked = requests.events(kinds, reader.last_id)
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
        raise _ended(self._api)


class AsyncClient(_RequestMethods):
    """A client of one collector for asyncio; an asynchronous context manager, or await `close()`.

    Every method is that of Client, awaited, with the same answers and errors.
    """

    def __init__(self, api: str = DEFAULT_API, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """`api` may be `unix:///path`, the collector's own socket. Raises OperatorError for an impossible URL."""
        self._api, socket = api, socket_of(api)
        transport = None if socket is None else httpx.AsyncHTTPTransport(uds=str(socket))
        self._http = httpx.AsyncClient(**_settings(api, token, timeout_s), transport=transport)

    def on_behalf_of(self, address: str, token: str) -> AsyncClient:
        """As that of Client."""
        other = AsyncClient(self._api, token=_printable(token))
        other._http.headers["X-Forwarded-For"] = address
        return other

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(self, request: Request[Answered]) -> Answered:
        """Send one request and return its answer."""
        return read(self._api, request, await self._send(request))

    def link_pages(self, limit: int = PAGE_LINKS) -> AsyncGenerator[list[LinkAnswer]]:
        """As that of Client."""
        return self._pages(requests.links(limit))

    def route_pages(self, objective: Objective = "latency", limit: int = PAGE_LINKS) -> AsyncGenerator[MeshRoutes]:
        """As that of Client."""
        return self._pages(requests.routes(objective, limit))

    async def _pages(self, first: Request[Answered]) -> AsyncGenerator[Answered]:
        request: Request[Answered] | None = first
        while request is not None:
            response = await self._send(request)
            yield read(self._api, request, response)
            request = next_page(request, response)

    async def _send(self, request: Request[Any]) -> httpx.Response:
        try:
            return await self._http.request(request.method, request.path, **request.more)
        except httpx.HTTPError as error:
            raise away(self._api, error) from None

    async def watch(self, kinds: Iterable[EventKind] = (), *, reconnect: bool = True) -> AsyncGenerator[Event]:
        """What happens from now on, as `Client.watch` yields it.

        Close it when you leave its loop early: `async with contextlib.aclosing(client.watch()) as events: …`.
        """
        reader, kinds = EventReader(), tuple(kinds)
        while True:
            try:
                async with aclosing(self._stream(reader, kinds)) as events:
                    async for event in events:
                        yield event
            except CollectorUnavailableError:
                if not reconnect:
                    raise
            await asyncio.sleep(reader.wait_s())

    async def _stream(self, reader: EventReader, kinds: tuple[str, ...]) -> AsyncGenerator[Event]:
        reader.connected()
        asked = requests.events(kinds, reader.last_id)
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
        raise _ended(self._api)
