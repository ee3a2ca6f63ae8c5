"""Keeps the addresses of names fresh: resolves again every minute, and soon where an answer is in doubt."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterable

from probes.latency.targets import Route

AGAIN_S = 60.0
DOUBT_S = 1.0  # a name that failed, or is doubted, is not asked for more often


Name = tuple[str, int]


class Names:
    """The watched names, each with the addresses it has now.

    `on_resolved(name, choices)` gets every answer in the system's order of preference; none where it failed.
    """

    def __init__(self, on_resolved: Callable[[Name, list[Route]], None]) -> None:
        self._on_resolved = on_resolved
        self._due: dict[Name, float] = {}
        self._asked: dict[Name, float] = {}
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
                for name in [name for name, due in self._due.items() if due <= now]:
                    self._asked[name] = now
                    self._due[name] = now + AGAIN_S
                    group.create_task(self._ask(name), name=f"resolve[{name[0]}]")
                wait_s = min(self._due.values(), default=now + AGAIN_S) - now
                with contextlib.suppress(TimeoutError):
                    # Not wait_for: before Python 3.12 it loses a cancellation that meets the event.
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()

    async def _ask(self, name: Name) -> None:
        try:
            answers = await asyncio.get_running_loop().getaddrinfo(*name, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError):  # UnicodeError: a label that IDNA cannot encode
            answers = []
        if name in self._due:
            self._on_resolved(name, [Route(answer[0], answer[4]) for answer in answers])  # type: ignore[arg-type]
