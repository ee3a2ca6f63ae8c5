"""Completion times as predicted from our own measurements, against transfers in a lab; the bench has many more."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.collector.routing.relayed_lab import Line, RelayedLab, Transfer, relayed
from tests.lab.labs import as_root

pytestmark = as_root

LAB = relayed(direct=Line(50, 40), up=Line(150, 10), down=Line(100, 20))
SIZES_BYTES = (1_000_000, 3_000_000, 10_000_000)
NEAR, ENOUGH = 0.15, 0.8
# A busy machine takes the processor from a transfer, or from what measures its link: that is measured beside them.
HELD_UP_S = 0.02
LIMIT_S = 60.0
_SAMPLE_S = 0.005


@contextlib.asynccontextmanager
async def held_up() -> AsyncIterator[list[float]]:
    """By how much this machine let a process wait during the block, of every 5 ms."""
    waits_s: list[float] = []

    async def sample() -> None:
        while True:
            due = time.monotonic() + _SAMPLE_S
            await asyncio.sleep(_SAMPLE_S)
            waits_s.append(time.monotonic() - due)

    sampling = asyncio.create_task(sample(), name="sampling")
    try:
        yield waits_s
    finally:
        sampling.cancel()


async def transfers(lab: RelayedLab) -> list[Transfer]:
    """Transfers of several sizes each way, after the links were measured."""
    await lab.measure()
    done = [await lab.transfer("direct", 3_000_000, streams=4)]
    for size in SIZES_BYTES:
        done += [await lab.transfer(way, size) for way in ("direct", "pipelined", "stored")]
    return done


def share_near(done: list[Transfer]) -> float:
    return sum(abs(each.error) <= NEAR for each in done) / len(done)


async def test_transfers_take_as_long_as_predicted_direct_and_through_a_relay(tmp_path: Path) -> None:
    async with RelayedLab.entered(LAB, tmp_path, congestion="cubic") as lab:
        until, busy = time.monotonic() + LIMIT_S, True
        while busy and time.monotonic() < until:
            async with held_up() as waits_s:
                done = await transfers(lab)
            if share_near(done) >= ENOUGH:
                return
            busy = max(waits_s) > HELD_UP_S
    errors = [(each.way, each.size_bytes, each.error) for each in done]
    if busy:
        pytest.skip(f"the machine held processes up for {max(waits_s):.2f} s, and transfers with them: {errors}")
    pytest.fail(f"nothing held the transfers up, and they took another time than predicted: {errors}")
