"""An iperf3 process that never outlives its block: lines out, a watchdog, SIGINT, then SIGKILL, always reaped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence

from linkweather.errors import MeasurementError, OperatorError
from probes.throughput.iperf3_output import Build, parse_build

PROGRAM = "iperf3"
STOP_LIMIT_S = 0.5  # measured: SIGINT ends a client in 1–6 ms
VERSION_LIMIT_S = 5.0
LINE_CHARACTERS = 4096
OUTPUT_BYTES = 4 << 20  # 60 s of eight streams print 0.4 MB

MISSING = "the program iperf3 is missing: install the package iperf3, or test latency only"


def find() -> str:
    """The program's path. Raises OperatorError when it is not installed."""
    path = shutil.which(PROGRAM)
    if path is None:
        raise OperatorError(MISSING)
    return path


async def installed() -> Build | None:
    """The installed program's version and abilities; None when it does not say. Raises OperatorError as `find`."""
    async with child((find(), "--version"), {}) as process, _limit(VERSION_LIMIT_S):
        with contextlib.suppress(MeasurementError):
            return parse_build("\n".join([line async for line in lines(process)]))
    return None


@contextlib.asynccontextmanager
async def child(command: Sequence[str], extra: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child in a session of its own; at the end of the block it is stopped, drained and reaped."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C", **extra},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    try:
        if process.returncode is None:
            send(process, signal.SIGINT)  # a client that says goodbye frees its server at once
            async with _limit(STOP_LIMIT_S):
                await process.communicate()
    finally:
        # The whole session, also after its leader: a program that left a child behind holds the pipe open.
        send(process, signal.SIGKILL)
        async with _limit(STOP_LIMIT_S):
            await process.communicate()


@contextlib.asynccontextmanager
async def _limit(seconds: float) -> AsyncIterator[None]:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            yield


def send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal the child and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    """The child's lines as they come, overlong ones cut. Raises MeasurementError for a flood."""
    assert process.stdout is not None  # noqa: S101  – `child` asked for the pipe
    rest, seen = "", 0
    while seen < OUTPUT_BYTES:
        chunk = await process.stdout.read(1 << 16)
        seen += len(chunk)
        *whole, rest = (rest + chunk.decode("ascii", "replace")).split("\n")
        for line in whole if chunk else [rest]:
            yield line[:LINE_CHARACTERS]
        if not chunk:
            return
        rest = rest[:LINE_CHARACTERS]
    raise MeasurementError("garbage", f"iperf3 printed more than {OUTPUT_BYTES} bytes")
