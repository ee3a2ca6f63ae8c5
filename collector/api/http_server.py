"""The HTTP server as one task: uvicorn on a socket bound beforehand, so that a taken port is an OperatorError."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from linkweather.errors import OperatorError

GRACE_S = 2


class _UvicornServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the daemon handles signals


class HttpServer:
    """Listens from construction on, answers during `run`. Raises OperatorError for a taken port or a bad host."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._socket = _listen(host, port)
        config = uvicorn.Config(
            app,
            lifespan="off",
            # What else is installed, as the page's packages are, must not change how the API reads requests.
            http="h11",
            ws="none",
            access_log=False,
            log_config=None,
            log_level="warning",
            # The client's address decides what it may do: a header must not change it.
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = _UvicornServer(config)

    async def run(self) -> None:
        """Serve until cancelled; requests under way then get GRACE_S to end."""
        serving = asyncio.create_task(self._server.serve([self._socket]), name="uvicorn")
        try:
            await asyncio.shield(serving)
        finally:
            self._server.should_exit = True
            await serving

    def close(self) -> None:
        """Close the port."""
        self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise OperatorError(f"api.host = {host!r}: cannot be resolved: {error.strerror}") from None
    # asyncio sets TCP_NODELAY where a socket names its protocol: without it each short answer waits 40 ms for an ACK.
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise OperatorError(_sentence(host, port, error)) from None
    return listener


def _sentence(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"api.port = {port}: the port is taken, perhaps by another collector: choose another with --port"
    return f"api: cannot listen on {host}:{port}: {error.strerror}"
