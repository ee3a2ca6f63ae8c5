"""The API's application behind its server, on a free port of this event loop."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from fastapi import FastAPI

from collector.api.http_server import HttpServer
from collector.settings import ApiSettings
from tests import servers
from tests.waiting import running_task


@contextlib.asynccontextmanager
async def served(
    app: FastAPI, settings: ApiSettings | None = None, folder: Path | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the server, which ends with the block."""
    settings = settings or ApiSettings(port=servers.free_port())
    server = HttpServer(app, settings, folder)
    scheme = "http" if settings.cert_file is None else "https"
    try:
        async with (
            running_task(server.run()),
            httpx.AsyncClient(base_url=f"{scheme}://127.0.0.1:{settings.port}", trust_env=False) as client,
        ):
            yield client
    finally:
        server.close()
