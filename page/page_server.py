"""The page's web server: NiceGUI's views in a FastAPI application, and the follower that they share."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import nicegui
import uvicorn
from fastapi import FastAPI
from nicegui import ui

from linkweather.client import AsyncClient
from linkweather.errors import OperatorError
from page.decisions_view import add_decisions_view
from page.incidents_view import add_incidents_view
from page.link_view import add_link_view
from page.map_view import add_map_view
from page.mesh_follower import MeshFollower
from page.now_view import add_now_view
from page.site_view import add_site_view

log = logging.getLogger(__name__)

# A browser that was away for so long finds its view as it left it.
RECONNECT_S = 60.0
_ICON = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
    "<path d='M2 12 6 5l4 5 4-7' fill='none' stroke='%230b6e75' stroke-width='2'/></svg>"
)


@dataclass(frozen=True, slots=True)
class PageAddress:
    """Which API the page asks, and where it listens: at a port, or at a socket that whoever started it holds."""

    api: str
    host: str
    port: int
    token: str | None = None
    fd: int | None = None


def serve(where: PageAddress) -> None:
    """Serve until SIGINT or SIGTERM. Raises OperatorError for a taken port or an impossible API."""
    app = _application(where)
    listener = _listen(where.host, where.port) if where.fd is None else socket.socket(fileno=where.fd)
    config = uvicorn.Config(app, access_log=False, log_config=None, log_level="warning", timeout_graceful_shutdown=1)
    log.info("the page is at http://%s:%d, and asks %s", *listener.getsockname()[:2], where.api)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _application(where: PageAddress) -> FastAPI:
    client = AsyncClient(where.api, token=where.token)
    follower = MeshFollower(client)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(follower.run(), name="follower")
        yield
        following.cancel()
        await asyncio.wait([following])
        await client.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    add_now_view(follower)
    add_incidents_view(follower)
    add_link_view(app, follower)
    add_site_view(follower)
    add_map_view(follower)
    add_decisions_view(follower)
    # Quasar's bar for requests would flicker at each of the browser's own.
    nicegui.app.config.quasar_config["loadingBar"] = {"skipHijack": True}
    ui.run_with(
        app,
        title="linkweather",
        favicon=_ICON,
        dark=None,
        language=None,  # each view says its own
        reconnect_timeout=RECONNECT_S,
        binding_refresh_interval=None,
        tailwind=False,
        show_welcome_message=False,
    )
    return app


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), reuse_port=False)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OperatorError(f"--port {port}: taken, perhaps by another page: choose another") from None
        raise OperatorError(f"cannot listen on {host}:{port}: {error.strerror}") from None
