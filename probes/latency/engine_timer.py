"""The one timer of an engine: when it ticks, and whether its sockets are read in between."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Callable, Sequence

# The kernel stamps what comes and goes, so that haste gains nothing. Ticks are a grain apart: what falls due meanwhile
# leaves together, up to a grain late. Replies wait for a tick that is near, and are read at once where none is.
GRAIN_S = 1e-3
NEAR_S = 20e-3


class EngineTimer:
    """Calls `tick` at the time that `arm` names, and `readable` when a socket is and no tick is near.

    With `eager`, sockets are always read at once. An error of either call comes out of `over`.
    """

    def __init__(self, tick: Callable[[], None], readable: Callable[[], None], *, eager: bool) -> None:
        self._tick = tick
        self._readable = readable
        self._eager = eager
        self._timer: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[None] | None = None
        self._ticked_s = -math.inf
        self._sockets: Sequence[socket.socket] = ()
        self._listening = False

    def begin(self, sockets: Sequence[socket.socket]) -> asyncio.Future[None]:
        """Call from now on, in the running loop; the future that is returned is done when it is over."""
        self._sockets = sockets
        self._over = asyncio.get_running_loop().create_future()
        return self._over

    def finish(self) -> None:
        """Say that it is over."""
        if self._over and not self._over.done():
            self._over.set_result(None)

    def end(self) -> None:
        """Call no more."""
        if self._timer:
            self._timer.cancel()
        self._over = None
        self._listen(wanted=False)

    def arm(self, next_s: float) -> None:
        """Tick at this monotonic time, or a grain after the last tick."""
        if self._over is None or self._over.done():
            return
        if self._timer:
            self._timer.cancel()
        at_s = max(next_s, self._ticked_s + GRAIN_S)
        self._listen(wanted=self._eager or at_s - self._ticked_s > NEAR_S)
        self._timer = asyncio.get_running_loop().call_at(at_s, guarded(self._ticks, self._over))

    def guarded(self, callback: Callable[[], None]) -> Callable[[], None] | None:
        """A callback whose error ends the engine; None when it does not run."""
        return None if self._over is None else guarded(callback, self._over)

    def _ticks(self) -> None:
        self._ticked_s = time.monotonic()
        self._tick()

    def _listen(self, *, wanted: bool) -> None:
        if wanted == self._listening:
            return
        self._listening = wanted
        loop = asyncio.get_running_loop()
        readable = self.guarded(self._readable)
        for opened in self._sockets:
            if wanted and readable:
                loop.add_reader(opened, readable)
            else:
                loop.remove_reader(opened)


def guarded(callback: Callable[[], None], ended: asyncio.Future[None]) -> Callable[[], None]:
    """A loop callback whose error ends the shell that runs it, instead of being logged and forgotten."""

    def call() -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - it is raised again where the shell's `run` waits
            if not ended.done():
                ended.set_exception(error)

    return call
