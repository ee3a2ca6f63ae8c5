"""An application of the API on a free port, in a thread: for commands that ask it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from fastapi import FastAPI

from collector.api.http_server import HttpServer
from tests import servers


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Where it answers, while the block runs."""
    port, stopping = servers.free_port(), threading.Event()

    async def serve() -> None:
        server = HttpServer(app, "127.0.0.1", port)
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
