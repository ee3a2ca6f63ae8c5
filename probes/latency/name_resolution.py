"""Keeps the addresses of names fresh: resolves again every minute, and soon where an answer is in doubt.

A look-up may hang for as long as DNS does not answer. So each has a thread of its own, one for a name and a few in all,
and none is of the loop's executor, which others need meanwhile: the MQTT client connects in it. The threads are
daemons: one that hangs does not hold up the end of the process, either. An address in figures needs no look-up.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from probes.latency.targets import Route

AGAIN_S = 60.0
DOUBT_S = 1.0  # a name that failed, or is doubted, is not asked for more often
AT_ONCE = 16


Name = tuple[str, int]
# What `socket.getaddrinfo` answers; raises OSError or UnicodeError: a label that IDNA cannot encode.
LookUp = Callable[[str, int], Sequence[tuple[Any, ...]]]


def look_up(host: str, port: int) -> Sequence[tuple[Any, ...]]:
    """Ask the system, which may take as long as it likes."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)


class NameResolver:
    """The watched names, each with the addresses it has now.

    `on_resolved(name, choices)` gets every answer in the system's order of preference; none where it failed.
    """

    def __init__(self, on_resolved: Callable[[Name, list[Route]], None], look_up: LookUp = look_up) -> None:
        self._on_resolved = on_resolved
        self._look_up = look_up
        self._due: dict[Name, float] = {}
        self._asked: dict[Name, float] = {}
        self._asking: set[Name] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._changed = asyncio.Event()

    def watch(self, names: Iterable[Name]) -> None:
        """Watch these names, and no others. New ones are asked for at once."""
        wanted = set(names)
        self._due = {name: self._due.get(name, 0.0) for name in wanted}
        self._asked = {name: at for name, at in self._asked.items() if name in wanted}
        self._changed.set()

    def doubt(self, name: Name) -> None:
        """Ask for a name again soon: nothing came from its address."""
        if name in self._due:
            self._due[name] = min(self._due[name], self._asked.get(name, 0.0) + DOUBT_S)
            self._changed.set()

    async def run(self) -> None:
        """Resolve until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                now = time.monotonic()
                waiting = {name: due for name, due in self._due.items() if name not in self._asking}
                for name in [name for name, due in waiting.items() if due <= now]:
                    self._asking.add(name)
                    self._asked[name] = now
                    self._due[name] = waiting[name] = now + AGAIN_S
                    group.create_task(self._ask(name), name=f"resolve[{name[0]}]")
                wait_s = min(waiting.values(), default=now + AGAIN_S) - now
                with contextlib.suppress(TimeoutError):
                    # Not wait_for: before Python 3.12 it loses a cancellation that meets the event.
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()

    async def _ask(self, name: Name) -> None:
        try:
            answers = _in_figures(name)
            if answers is None:
                async with self._turns:
                    answers = await _in_thread(self._look_up, name)
        finally:
            self._asking.discard(name)
            self._changed.set()
        if name in self._due:
            self._on_resolved(name, [Route(answer[0], answer[4]) for answer in answers])


def _in_figures(name: Name) -> Sequence[tuple[Any, ...]] | None:
    """The answer for an address in figures, which needs no look-up; None for a name."""
    try:
        return socket.getaddrinfo(*name, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None


async def _in_thread(look_up: LookUp, name: Name) -> Sequence[tuple[Any, ...]]:
    """Look a name up in a thread of its own; nothing where that fails."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Sequence[tuple[Any, ...]]] = loop.create_future()

    def settle(answers: Sequence[tuple[Any, ...]]) -> None:
        if not answered.done():
            answered.set_result(answers)

    def ask() -> None:
        answers: Sequence[tuple[Any, ...]] = ()
        with contextlib.suppress(OSError, UnicodeError):
            answers = look_up(*name)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the answer came too late
            loop.call_soon_threadsafe(settle, answers)

    threading.Thread(target=ask, name=f"resolve[{name[0]}]", daemon=True).start()
    return await answered
