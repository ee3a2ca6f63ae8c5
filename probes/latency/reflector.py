"""The reflector's shell: answers STAMP probes on real sockets, one per address family."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Collection, Iterable, Sequence

from linkweather.errors import MessageError, OperatorError
from probes.latency import clocks
from probes.latency.clocks import encode_error, ntp_from_ns
from probes.latency.engine_timer import guarded
from probes.latency.flood_filter import (
    CALM_S,
    FILLING,
    MOST_SESSIONS,
    RENEW_S,
    attach,
    detach,
    program,
    strangers_share,
)
from probes.latency.kernel_timestamps import BATCH, BufferOverflow, receive, stamp_received
from probes.latency.reflector_drops import ReflectorDrops
from probes.latency.stamp_packet import depart
from probes.latency.stamp_responder import StampResponder
from probes.latency.udp_sockets import families, open_socket

_CLOCK_EVERY_S = 5.0
_WATCH_EVERY_S = 0.2
_WATCH_FULL_S = 0.02  # while more waits than is read in one go
Peers = tuple[Collection[str], Collection[int]]  # addresses, ports of reflectors


class Reflector:
    """Answers probes until cancelled. Port 0 takes a free one, the same in both families.

    `dropped` counts what was not answered, by reason; `answered` what was; `flagged` replies with TLVs that we did
    not know or trust, by flag. `allow` is as in `StampResponder`; `peers` says, again and again, from which addresses
    and at which ports the reflectors of the mesh's other sites are.
    """

    def __init__(
        self,
        port: int,
        *,
        bind: Sequence[str] = (),
        key: bytes | None = None,
        stateless: bool = False,
        allow: Iterable[str] | None = None,
        rate_per_s: float = 10_000.0,
        dropped: ReflectorDrops | None = None,
        peers: Callable[[], Peers] = lambda: ((), ()),
    ) -> None:
        self._sockets: list[socket.socket] = []
        try:
            for family, address in families(bind).items():
                opened = open_socket(family, address, port)
                self._sockets.append(opened)
                stamp_received(opened)
                port = opened.getsockname()[1]
        except OperatorError:
            self.close()
            raise
        self.port = port
        self.answered = 0
        self.dropped = ReflectorDrops() if dropped is None else dropped
        self._responder = StampResponder(port, key=key, stateless=stateless, allow=allow, rate_per_s=rate_per_s)
        self.flagged = self._responder.flagged
        self._error = 0
        self._overflow = BufferOverflow(self._sockets)
        self._peers = peers
        self._filtering, self._flooded, self._filtered = False, 0.0, 0.0
        self._seen = self.dropped.total()
        self._looked = self._watched = time.monotonic()
        self._look_around()

    async def run(self) -> None:
        """Answer until cancelled; the sockets are closed then."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        try:
            for opened in self._sockets:
                loop.add_reader(opened, guarded(lambda s=opened: self._drain(s), ended))  # type: ignore[misc]
            while not ended.done():
                await asyncio.wait([ended], timeout=_WATCH_EVERY_S)
                self._watch(time.monotonic())
            ended.result()
        finally:
            for opened in self._sockets:
                loop.remove_reader(opened)
            self.close()

    def set_keys(self, keys: Sequence[bytes]) -> None:
        """Answer what is signed by one of these keys from now on, with the same key."""
        self._responder.set_keys(keys)

    def close(self) -> None:
        """Give the port back; `run` does so itself."""
        for opened in self._sockets:
            opened.close()

    def _look_around(self) -> None:
        """Read our clock, and who the peers are."""
        self._responder.follow(*self._peers())
        now = clocks.read()
        self._error = encode_error(now.error_s, synchronised=now.synchronised)

    def _watch(self, now: float) -> None:
        """Count what the kernel dropped, and have it choose what it drops."""
        if now - self._looked >= _CLOCK_EVERY_S:
            self._looked = now
            self._look_around()
        dropped = self._overflow.take()
        if dropped:
            self.dropped.drop("overflow", "all senders", dropped)
        seen, self._seen = self._seen, self.answered + self.dropped.total()
        per_s = (self._seen - seen) / max(now - self._watched, _WATCH_FULL_S)
        self._watched = now
        share = strangers_share(per_s, dropped, self._overflow.filled, filtering=self._filtering)
        if share is not None:
            self._flooded = now
            due = not self._filtering or self._overflow.filled > FILLING or now - self._filtered >= RENEW_S
        else:
            due = self._filtering and now - self._flooded >= CALM_S
        if due:
            self._filter(share, now)

    def _filter(self, share: float | None, now: float) -> None:
        with contextlib.suppress(OSError):  # a kernel without it drops at random
            for opened in self._sockets:
                if share is None:
                    detach(opened)
                else:
                    sessions = self._responder.steady_sessions(now, MOST_SESSIONS)
                    attach(opened, program(sessions, self._responder.ssid_at, share))
        self._filtering, self._filtered = share is not None, now

    def _drain(self, opened: socket.socket) -> None:
        now = time.monotonic()
        responder, error, send = self._responder, self._error, opened.sendmsg
        read = 0
        for data, source, kernel_ns, ttl, local, truncated in receive(opened):
            read += 1
            try:
                received = ntp_from_ns(kernel_ns or time.time_ns())
                reply = responder.answer(data, source, now, received, ttl=ttl, error=error, truncated=truncated)
                # What we do after T3 counts as the network's: with cold caches, making a reply is as long as the way.
                depart(reply, ntp_from_ns(time.time_ns()), responder.key)
                send((reply,), local, 0, source)
                self.answered += 1
            except MessageError as refusal:
                self.dropped.drop(refusal.reason, source[0])
            except OSError:
                self.dropped.drop("send_failed", source[0])
        if read == BATCH and not self._filtering and now - self._watched >= _WATCH_FULL_S:
            self._watch(now)
