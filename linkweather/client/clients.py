"""The two clients. They share every request, answer and error; only what waits for the network is written twice.

`route = _Method(requests.route)` makes a method of a request: same parameters, same documentation, and as its result
the answer, which AsyncClient has awaited.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Generic, ParamSpec, Self, overload

import httpx

from linkweather.client import requests
from linkweather.client.event_stream import SILENCE_LIMIT_S, Reader
from linkweather.client.requests import DEFAULT_API, Answered, Request
from linkweather.client.responses import away, check, read
from linkweather.errors import CollectorUnavailableError
from linkweather.models.events import Event, EventKind

TIMEOUT_S = 10.0

Parameters = ParamSpec("Parameters")


class _Method(Generic[Parameters, Answered]):
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


class _Methods:
    links = _Method(requests.links)
    link = _Method(requests.link)
    history = _Method(requests.history)
    sites = _Method(requests.sites)
    mesh = _Method(requests.mesh)
    push_mesh = _Method(requests.push_mesh)
    route = _Method(requests.route)
    routes = _Method(requests.routes)
    capacity = _Method(requests.capacity)
    place = _Method(requests.place)
    place_together = _Method(requests.place_together)
    evaluation = _Method(requests.evaluation)
    sinks = _Method(requests.sinks)
    set_aside = _Method(requests.set_aside)
    retry_set_aside = _Method(requests.retry_set_aside)
    drop_set_aside = _Method(requests.drop_set_aside)


def _settings(api: str, token: str | None, timeout_s: float) -> Mapping[str, Any]:
    return {
        "base_url": requests.base_url(api),
        "headers": {"Authorization": f"Bearer {token}"} if token else {},
        "timeout": timeout_s,
        # No proxy of the environment: the collector is usually on loopback.
        "trust_env": False,
    }


def _ended(api: str) -> CollectorUnavailableError:
    return CollectorUnavailableError(f"the collector at {api} has ended the stream")


class Client(_Methods):
    """A client of one collector; a context manager, or `close()` it.

    Every method raises CollectorUnavailableError when no collector answers, and OperatorError, with the collector's own
    sentence, when it refuses the request.
    """

    def __init__(self, api: str = DEFAULT_API, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """`token` lets `push_mesh` in from another machine. Raises OperatorError for an impossible URL."""
        self._api = api
        self._http = httpx.Client(**_settings(api, token, timeout_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, request: Request[Answered]) -> Answered:
        """Send one request and return its answer."""
        try:
            response = self._http.request(request.method, request.path, **request.more)
        except httpx.HTTPError as error:
            raise away(self._api, error) from None
        return read(self._api, request, response)

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


class AsyncClient(_Methods):
    """A client of one collector for asyncio; an asynchronous context manager, or await `close()`.

    Every method is that of Client, awaited, with the same answers and errors.
    """

    def __init__(self, api: str = DEFAULT_API, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """`token` lets `push_mesh` in from another machine. Raises OperatorError for an impossible URL."""
        self._api = api
        self._http = httpx.AsyncClient(**_settings(api, token, timeout_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(self, request: Request[Answered]) -> Answered:
        """Send one request and return its answer."""
        try:
            response = await self._http.request(request.method, request.path, **request.more)
        except httpx.HTTPError as error:
            raise away(self._api, error) from None
        return read(self._api, request, response)

    async def watch(self, kinds: Iterable[EventKind] = (), *, reconnect: bool = True) -> AsyncGenerator[Event]:
        """What happens from now on, as `Client.watch` yields it.

        Close it when you leave its loop early: `async with contextlib.aclosing(client.watch()) as events: …`.
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
