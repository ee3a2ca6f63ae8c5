"""A child process that never outlives its block: lines out, SIGINT, then SIGKILL, always reaped.

iperf3 and the path tracer run in one. The child leads a session of its own, so that a signal reaches all that it
started, and Ctrl-C at our terminal reaches only us.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence

from linkweather.child_processes import without_raw_sockets
from linkweather.errors import MeasurementError

STOP_LIMIT_S = 0.5  # measured: SIGINT ends an iperf3 client in 1–6 ms
LINE_CHARACTERS = 4096
OUTPUT_BYTES = 4 << 20  # 60 s of iperf3 with eight streams print 0.4 MB


@contextlib.asynccontextmanager
async def child(
    command: Sequence[str], extra: Mapping[str, str], *, raw: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program with `extra` environment variables; the end of the block stops, drains and reaps it.

    Only with `raw` it may open raw sockets, where we may.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C", **extra},
        start_new_session=True,
        preexec_fn=None if raw else without_raw_sockets,
    )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    try:
        if process.returncode is None:
            send(process, signal.SIGINT)  # an iperf3 client that ends its test frees its server at once
            await _drain(process)
    finally:
        # The whole session, even after its leader has ended: a grandchild may hold the pipe open.
        send(process, signal.SIGKILL)
        await _drain(process)


async def _drain(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_LIMIT_S):
            await process.communicate()


def send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal the child and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    """The child's lines as they come, overlong ones cut. Raises MeasurementError `garbage` for a flood."""
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
    raise MeasurementError("garbage", f"the program printed more than {OUTPUT_BYTES} bytes")
