"""Completion times as predicted from our own measurements, against transfers in a lab; the bench has many more."""

from __future__ import annotations

from pathlib import Path

from tests.collector.routing.relayed_lab import Line, RelayedLab, relayed
from tests.lab.labs import as_root

pytestmark = as_root

LAB = relayed(direct=Line(50, 40), up=Line(150, 10), down=Line(100, 20))
SIZES_BYTES = (1_000_000, 3_000_000, 10_000_000)
NEAR, ENOUGH = 0.15, 0.8


async def test_transfers_take_as_long_as_predicted_direct_and_through_a_relay(tmp_path: Path) -> None:
    async with RelayedLab.entered(LAB, tmp_path, congestion="cubic") as lab:
        await lab.measure()
        done = [await lab.transfer("direct", 3_000_000, streams=4)]
        for size in SIZES_BYTES:
            done += [await lab.transfer(way, size) for way in ("direct", "pipelined", "stored")]
    near = [abs(each.error) <= NEAR for each in done]
    assert sum(near) >= ENOUGH * len(near), [(each.way, each.size_bytes, each.error) for each in done]
