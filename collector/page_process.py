"""The page as a child process: the collector holds its port, and starts it when a browser first comes.

So a page that nobody opens costs nothing, one that crashes costs its viewers a moment, and none of it costs ingest
anything: the next connection starts it again, after a wait that grows while it fails.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket
import sys

from collector.settings import PageSettings, is_loopback
from linkweather.backoff import Backoff
from linkweather.child_processes import die_with_parent, stop_child

log = logging.getLogger(__name__)

STOP_LIMIT_S = 3.0
HEALTHY_S = 60.0  # one that ran this long has recovered
_NEEDS = "nicegui"


class PageProcess:
    """The page, from its first visitor on; `run` takes its port, and says once where there can be no page."""

    def __init__(self, settings: PageSettings, host: str, api: str) -> None:
        """`host` is where it listens unless its settings say so, `api` what it asks."""
        self._port = settings.port
        self._host = settings.host or host
        self._api = api
        self._enabled = settings.enabled
        self._listening = False
        self.starts = 0

    def address(self, host: str) -> str | None:
        """Where the page is for a browser that reached the API as `host`; None where there is none for it."""
        if not self._listening or (is_loopback(self._host) and not is_loopback(host)):
            return None
        return f"http://{_in_url(host)}:{self._port}/"

    async def run(self) -> None:
        """Start it whenever a browser comes and it does not run; stop it when cancelled."""
        listener = self._listen() if self._enabled else None
        if listener is None:
            return
        self._listening = True
        try:
            await self._serve_visitors(listener)
        finally:
            self._listening = False
            listener.close()

    async def _serve_visitors(self, listener: socket.socket) -> None:
        backoff, loop = Backoff(), asyncio.get_running_loop()
        while True:
            await _readable(listener)
            started = loop.time()
            status = await self._serve(listener)
            if loop.time() - started >= HEALTHY_S:
                backoff.reset()
            log.warning("the page ended with status %d; the next visitor starts it again", status)
            await asyncio.sleep(backoff.next_s())

    def _listen(self) -> socket.socket | None:
        if importlib.util.find_spec(_NEEDS) is None:
            log.info("no page: it needs pip install 'linkweather[page]'")
            return None
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            return socket.create_server((self._host, self._port), family=family)
        except OSError as error:
            log.warning("no page: [page] port = %d: %s: choose another", self._port, error.strerror)
            return None

    async def _serve(self, listener: socket.socket) -> int:
        self.starts += 1
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "linkweather", "page", "--api", self._api, "--fd", str(listener.fileno())),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(listener.fileno(),),
            preexec_fn=die_with_parent,
            start_new_session=True,  # Ctrl-C must not reach it: the collector ends it
        )
        try:
            return await process.wait()
        finally:
            await stop_child(process, STOP_LIMIT_S)


async def _readable(listener: socket.socket) -> None:
    """Wait until a connection waits to be accepted."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    loop.add_reader(listener, arrived.set)
    try:
        await arrived.wait()
    finally:
        loop.remove_reader(listener)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
