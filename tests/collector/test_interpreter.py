"""What the interpreter keeps of memory."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from collector import interpreter

KEPT_BYTES = 80_000_000
OBJECT_BYTES = 4000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def test_what_was_freed_between_what_is_used_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "GIVE_BACK_EVERY_S", 0.0)
    objects = [bytes(OBJECT_BYTES) for _ in range(KEPT_BYTES // OBJECT_BYTES)]
    used = objects[::50]
    objects.clear()
    before = resident_bytes()
    task = asyncio.create_task(interpreter.give_memory_back())
    async with asyncio.timeout(60):
        while resident_bytes() > before - KEPT_BYTES // 2:  # noqa: ASYNC110 - nothing says when
            await asyncio.sleep(0.01)
    task.cancel()
    assert len(used) == KEPT_BYTES // OBJECT_BYTES // 50
