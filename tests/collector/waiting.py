"""Waiting for a condition inside an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LIMIT_S = 90.0


async def until(condition: Callable[[], bool]) -> None:
    """Poll until `condition` holds; TimeoutError when it does not within the limit."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 – a condition of the world outside, which sets no event
            await asyncio.sleep(0.01)
