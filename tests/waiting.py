"""Inside an event loop: waiting for a condition, and running something beside a block."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

LIMIT_S = 90.0


async def until(condition: Callable[[], object]) -> None:
    """Poll until `condition` holds; TimeoutError when it does not within the limit."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 – a condition of the world outside, which sets no event
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running_task(work: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Run `work` beside the block, and cancel it at the end; raises the error that ended it before."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()
