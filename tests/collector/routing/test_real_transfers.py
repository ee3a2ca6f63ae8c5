"""Completion times as predicted from our own measurements, against transfers in a lab; the bench has many more."""

from __future__ import annotations

from pathlib import Path

from tests.collector.routing.relayed_lab import Line, RelayedLab, Transfer, relayed
from tests.lab.labs import as_root

pytestmark = as_root

LAB = relayed(direct=Line(50, 40), up=Line(150, 10), down=Line(100, 20))
SIZES_BYTES = (1_000_000, 3_000_000, 10_000_000)
NEAR, ENOUGH = 0.15, 0.8
ATTEMPTS = 5  # a busy machine takes the processor from a transfer, or from what measures its link


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
        done = await transfers(lab)
        for _ in range(1, ATTEMPTS):
            if share_near(done) < ENOUGH:
                done = await transfers(lab)
    assert share_near(done) >= ENOUGH, [(each.way, each.size_bytes, each.error) for each in done]
