"""The HTTP server as one task: uvicorn's answers on connections that we accept, so that each has its bounds."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from collector.api.access import LOCAL
from collector.api.connections import HEADER_BYTES_MAX, ConnectionCounts, HttpListener, LimitedConnection
from collector.api.listening import ServerCertificate, listen_at_file, listen_at_port
from collector.settings import ApiSettings
from linkweather.api_place import socket_name

GRACE_S = 2


class _UvicornServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the daemon handles signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        del sockets  # `HttpListener` accepts
        self.servers = []
        self.started = True


class HttpServer:
    """Listens from construction on, at the port and, given a folder, at a socket there; answers during `run`.

    Raises OperatorError for a taken port, a bad host, or a certificate that cannot be used.
    """

    def __init__(self, app: FastAPI, settings: ApiSettings, folder: Path | None = None) -> None:
        self._certificate = None
        if settings.cert_file is not None and settings.key_file is not None:
            self._certificate = ServerCertificate(settings.cert_file, settings.key_file)
        self._port = listen_at_port(settings.host, settings.port)
        try:
            self._file = None if folder is None else listen_at_file(folder, settings.port)
        except BaseException:
            self._port.close()
            raise
        self._path = None if folder is None else folder / socket_name(settings.port)
        self._counts = ConnectionCounts(settings.max_connections, settings.max_connections_per_client)
        self._config = uvicorn.Config(
            app,
            lifespan="off",
            # What else is installed, as the page's packages are, must not change how the API reads requests.
            http="h11",
            h11_max_incomplete_event_size=HEADER_BYTES_MAX,
            ws="none",
            access_log=False,
            log_config=None,
            log_level="warning",
            server_header=False,
            # The client's address decides what it may do: a header must not change it.
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._config.load()
        self._server = _UvicornServer(self._config)

    async def run(self) -> None:
        """Serve until cancelled; requests under way then get GRACE_S to end."""
        serving = asyncio.create_task(self._server.serve(), name="uvicorn")
        try:
            async with asyncio.TaskGroup() as group:
                for listener in self._listeners():
                    group.create_task(listener.run(), name="http listener")
                if self._certificate is not None:
                    group.create_task(self._certificate.run(), name="certificate")
                await asyncio.shield(serving)
        finally:
            self._server.should_exit = True
            await serving

    def close(self) -> None:
        """Close the port, and remove the socket."""
        self._port.close()
        if self._file is not None:
            self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _listeners(self) -> Iterator[HttpListener]:
        tls = None if self._certificate is None else self._certificate.context
        yield HttpListener(self._port, partial(self._connection, {LOCAL: False}), self._counts, tls)
        if self._file is not None:
            ours = ConnectionCounts(self._counts.most, self._counts.most)
            yield HttpListener(self._file, partial(self._connection, {LOCAL: True}), ours, local=True)

    def _connection(self, state: dict[str, Any], ended: Callable[[], None]) -> LimitedConnection:
        return LimitedConnection(self._config, self._server.server_state, state, ended=ended)
