"""What a reflector dropped, in a line a minute."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from probes.latency import reflector


async def test_what_is_new_is_one_line_and_nothing_is_none(caplog: pytest.LogCaptureFixture) -> None:
    dropped: Counter[str] = Counter()
    told = asyncio.Event()
    caplog.handler.addFilter(lambda record: told.set() or bool(record))  # type: ignore[func-returns-value]
    task = asyncio.create_task(reflector.log_drops(dropped, every_s=0.01), name="drops")
    for counts in ({"short": 2, "loop": 1}, {"short": 3}):
        told.clear()
        dropped.update(counts)
        async with asyncio.timeout(30):
            await told.wait()
    task.cancel()
    await asyncio.wait([task])
    assert [record.getMessage() for record in caplog.records] == [
        "the reflector dropped 3 datagrams in 0.01 s: 1 loop, 2 short",
        "the reflector dropped 3 datagrams in 0.01 s: 3 short",
    ]
