"""Work on the disk holds up no event loop, is done in order, and is bounded."""

from __future__ import annotations

import asyncio
import threading

import pytest

from linkweather.containment import faults
from probes.disk_queue import DiskQueue


async def test_work_is_done_in_order_and_followed_up_in_the_loop() -> None:
    queue, loop = DiskQueue(), threading.get_ident()
    done: list[tuple[str, bool]] = []

    def note(name: str) -> None:
        done.append((name, threading.get_ident() == loop))

    for name in "abc":
        assert queue.put("x", lambda name=name: note(name), then=lambda name=name: note(name.upper()))  # type: ignore[misc]
    task = asyncio.create_task(queue.run())
    await queue.drain()
    task.cancel()
    assert done == [("a", False), ("A", True), ("b", False), ("B", True), ("c", False), ("C", True)]


async def test_beyond_its_bound_it_takes_nothing() -> None:
    queue = DiskQueue(max_waiting=2)
    assert [queue.put("x", lambda: None) for _ in range(3)] == [True, True, False]


async def test_a_disk_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probes.disk_queue.DRAIN_LIMIT_S", 0.01)
    queue = DiskQueue()
    queue.put("x", lambda: None)
    await queue.drain()  # and no task works


async def test_a_fault_costs_that_piece() -> None:
    queue, done = DiskQueue(), []

    def broken() -> None:
        raise ValueError

    queue.put("disk queue's test", broken)
    queue.put("x", lambda: done.append(1))
    task = asyncio.create_task(queue.run())
    await queue.drain()
    task.cancel()
    assert done == [1]
    assert faults()["disk queue's test"] == 1
