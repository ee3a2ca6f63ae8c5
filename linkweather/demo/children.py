"""The demo's processes: started, restarted when they die, and stopped together."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from linkweather.child_processes import die_with_parent, stop_child
from linkweather.cli.root import EXIT_USAGE
from linkweather.errors import OperatorError

log = logging.getLogger(__name__)

RESTART_S = 1.0
STOP_LIMIT_S = 8.0


@dataclass(slots=True)
class DemoProcess:
    """One process, its command and its log file."""

    name: str
    command: Sequence[str]
    log: Path
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    async def run(self) -> None:
        """Keep it running until cancelled, then stop it. Raises OperatorError if its settings are wrong."""
        try:
            while True:
                self.process = await self._start()
                status = await self.process.wait()
                if status == EXIT_USAGE:
                    raise OperatorError(f"{self.name}: {self.last_line()}")
                log.warning("%s ended with status %d and restarts; its log: %s", self.name, status, self.log)
                await asyncio.sleep(RESTART_S)
        finally:
            await self._stop()

    def last_line(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return (lines[-1] if lines else "its log is empty").removeprefix("Error: ")

    async def _start(self) -> asyncio.subprocess.Process:
        return await _start(self.command, self.log)

    async def _stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            await stop_child(process, STOP_LIMIT_S)


async def run_once(command: Sequence[str], log: Path) -> int:
    """Run one command to its end and return its exit status; cancelling stops it."""
    process = await _start(command, log)
    try:
        return await process.wait()
    finally:
        await stop_child(process, STOP_LIMIT_S)


async def _start(command: Sequence[str], log: Path) -> asyncio.subprocess.Process:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "ab") as output:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent,
            # Ctrl-C in the terminal reaches the demo only: it stops its children in order.
            start_new_session=True,
        )
