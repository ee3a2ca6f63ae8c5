"""Connections to the API, within bounds: how many there are, of one client too, and how long each may take.

A caller that sends its request a byte at a time, or does not read its answer, is cut off; one that opens connections
without end gets the ones that it may have. Descriptors used up cost the callers that come then, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from linkweather.containment import note_overflow

HEADERS_S = 10.0  # from a request's first octet, or the connection, to the end of its headers
BODY_S = 60.0  # and from there to the end of its body
STALLED_S = 30.0  # for which a caller may read nothing of its answer
SLOW_S = 300.0  # for which one may, in all, be slower to read an answer than we are to make it
HANDSHAKE_S = 10.0
HEADER_BYTES_MAX = 16 * 1024
FULL_PAUSE_S = 0.1
_FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_NAME = "connections"


class ConnectionCounts:
    """How many connections there are, in all and of each client; `admit` and `release` come in pairs."""

    def __init__(self, most: int, most_per_client: int) -> None:
        self.most = most
        self._most_per_client = most_per_client
        self._of: Counter[str] = Counter()

    def admit(self, client: str) -> bool:
        """Whether one more may be."""
        if self._of.total() >= self.most or self._of[client] >= self._most_per_client:
            return False
        self._of[client] += 1
        return True

    def release(self, client: str) -> None:
        """One has ended."""
        self._of[client] -= 1
        if not self._of[client]:
            del self._of[client]


class LimitedConnection(H11Protocol):
    """One connection; `ended` is called once, when it is over."""

    def __init__(self, *args: Any, ended: Callable[[], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ended = ended
        self._asking: tuple[object, object] | None = None  # what of which request is still to come
        self._asked: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._slow_s = 0.0
        self._paused_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Take in what came, and wait for the rest of the request, if there is one."""
        super().data_received(data)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        super().connection_lost(exc)
        for timer in (self._asked, self._stalled):
            if timer is not None:
                timer.cancel()
        self._ended()

    def pause_writing(self) -> None:
        """The caller does not read as fast as we write."""
        super().pause_writing()
        self._paused_at = self.loop.time()
        self._stalled = self.loop.call_later(min(STALLED_S, max(0.0, SLOW_S - self._slow_s)), self._cut_off)

    def resume_writing(self) -> None:
        """It has read on."""
        super().resume_writing()
        self._slow_s += self.loop.time() - self._paused_at
        if self._stalled is not None:
            self._stalled.cancel()

    def on_response_complete(self) -> None:
        """Start anew: a request that is complete already is answered next."""
        self._slow_s = 0.0
        super().on_response_complete()

    def _expect(self) -> None:
        state = self.conn.their_state
        asking = (state, self.cycle) if state in {h11.IDLE, h11.SEND_BODY} else None
        if asking == self._asking:
            return
        self._asking = asking
        if self._asked is not None:
            self._asked.cancel()
        if asking is not None:
            self._asked = self.loop.call_later(HEADERS_S if state is h11.IDLE else BODY_S, self._cut_off)

    def _cut_off(self) -> None:
        note_overflow("time of callers")
        self.transport.abort()


class HttpListener:
    """Accepts the connections of a listening socket. `serve` makes the protocol of one, given what to call at its end.

    Of a Unix socket, `local`, only our own user and root are accepted.
    """

    def __init__(
        self,
        listener: socket.socket,
        serve: Callable[[Callable[[], None]], LimitedConnection],
        counts: ConnectionCounts,
        tls: ssl.SSLContext | None = None,
        *,
        local: bool = False,
    ) -> None:
        self._listener = listener
        self._serve = serve
        self._counts = counts
        self._tls = tls
        self._local = local
        self._reserve: int | None = _reserved()

    async def run(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        self._listener.setblocking(False)  # noqa: FBT003 – the library's form
        try:
            async with asyncio.TaskGroup() as handshakes:
                while True:
                    try:
                        connection, address = await loop.sock_accept(self._listener)
                    except OSError as error:
                        if error.errno in _FULL:
                            await self._refuse_one()
                        continue  # else the caller has left before it was accepted
                    self._take(handshakes, connection, "" if self._local else str(address[0]))
        finally:
            self._spend_reserve()

    def _take(self, handshakes: asyncio.TaskGroup, connection: socket.socket, client: str) -> None:
        if self._local and not _is_ours(connection):
            connection.close()
        elif self._counts.admit(client):
            handshakes.create_task(self._connect(connection, client), name="http connection")
        else:
            note_overflow(_NAME)
            if self._tls is None:
                with contextlib.suppress(OSError):
                    connection.send(_BUSY)
            connection.close()

    async def _connect(self, connection: socket.socket, client: str) -> None:
        counted = True

        def ended() -> None:
            nonlocal counted
            if counted:
                counted = False
                self._counts.release(client)

        limit_s = None if self._tls is None else HANDSHAKE_S
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._serve(ended), connection, ssl=self._tls, ssl_handshake_timeout=limit_s
            )
        except OSError:  # also of TLS: the caller's mistake
            connection.close()
            ended()

    async def _refuse_one(self) -> None:
        """No descriptor is left: spend the reserve on refusing a caller, else the queue of the kernel stays full."""
        note_overflow(_NAME)
        self._spend_reserve()
        with contextlib.suppress(OSError):
            self._listener.accept()[0].close()
        self._reserve = _reserved()
        await asyncio.sleep(FULL_PAUSE_S)

    def _spend_reserve(self) -> None:
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None


def _reserved() -> int | None:
    with contextlib.suppress(OSError):  # another part took the descriptor: the next caller waits until one is free
        return os.open(os.devnull, os.O_RDONLY)
    return None


def _is_ours(connection: socket.socket) -> bool:
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user in {0, os.geteuid()}
