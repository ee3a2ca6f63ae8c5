"""An application of the API on a free port, in a thread: for commands that ask it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from fastapi import FastAPI

from collector.api.access import AccessControl, AccessRules
from collector.api.http_server import HttpServer
from collector.settings import ApiSettings
from tests import servers


@contextlib.contextmanager
def serving(app: FastAPI, own_token: str | None = None) -> Iterator[str]:
    """Where it answers, while the block runs; commands find the socket beside it by themselves."""
    with tempfile.TemporaryDirectory(prefix="linkweather-") as folder:
        app.add_middleware(AccessControl, rules=AccessRules(own_token=own_token))
        with _serving(app, Path(folder)) as url:
            yield url


@contextlib.contextmanager
def _serving(app: FastAPI, folder: Path) -> Iterator[str]:
    port, stopping = servers.free_port(), threading.Event()

    async def serve() -> None:
        server = HttpServer(app, ApiSettings(port=port), folder)
        task = asyncio.create_task(server.run(), name="server")
        await asyncio.to_thread(stopping.wait)
        task.cancel()
        await asyncio.wait([task])
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        servers.wait_until(lambda: servers.answers(port), "the API answers")
        yield f"http://127.0.0.1:{port}"
    finally:
        stopping.set()
        thread.join()
