"""Predicted completion times against real transfers in emulated labs, direct and through a relay.

    python -m tests.bench.completion [--limit S] [--rows]

What is predicted rests on what `linkweather test` measures in the same run: RTT, goodput, path MTU. Exits 1 when fewer
than 80 % of the transfers take within 15 % of the predicted p50. A transfer that would take longer than
the limit is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from collector.routing.transfer_time import TransferLeg, transfer_time
from tests.collector.routing.relayed_lab import SITES, Line, RelayedLab, Transfer, relayed

NEAR, ENOUGH, LEAST = 0.15, 0.8, 50
SIZES_MB = (1, 3, 10, 30, 100, 300, 500)
MANY_STREAMS, OF_SIZES_MB = 4, (3, 30)
CANDIDATES, REPEATED = 1000, 200


@dataclass(frozen=True)
class Scene:
    """One lab: its links, whose rates the relay that emulates them can carry, and what sends through them."""

    direct: Line
    up: Line
    down: Line
    congestion: str
    mtu_bytes: int


SCENES = (
    Scene(Line(50, 20), Line(100, 30), Line(100, 10), "cubic", 9000),
    Scene(Line(100, 80), Line(200, 40), Line(150, 60), "bbr", 9000),
    Scene(Line(200, 10), Line(200, 20), Line(100, 2), "bbr", 9000),
    Scene(Line(400, 1), Line(200, 1), Line(200, 5), "cubic", 9000),
    Scene(Line(500, 40), Line(150, 5), Line(300, 80), "cubic", 9000),
    Scene(Line(50, 20), Line(100, 30), Line(100, 10), "bbr", 1500),
    Scene(Line(100, 80), Line(120, 40), Line(80, 60), "cubic", 1500),
    Scene(Line(100, 20, loss_ratio=1e-4), Line(100, 10, loss_ratio=1e-4), Line(100, 10), "cubic", 1500),
)


async def transfers(scene: Scene, limit_s: float) -> AsyncIterator[Transfer]:
    lab_file = relayed(scene.direct, scene.up, scene.down)
    with tempfile.TemporaryDirectory() as folder:
        entered = RelayedLab.entered(lab_file, Path(folder), congestion=scene.congestion, mtu_bytes=scene.mtu_bytes)
        async with entered as lab:
            await lab.measure()
            print(described(lab), flush=True)
            for size_mb in SIZES_MB:
                for way in SITES:
                    if lab.expected(way, size_mb * 10**6).p50_s <= limit_s:
                        yield await lab.transfer(way, size_mb * 10**6)
                if size_mb in OF_SIZES_MB:
                    yield await lab.transfer("direct", size_mb * 10**6, streams=MANY_STREAMS)


def described(lab: RelayedLab) -> str:
    return "measured " + ", ".join(
        f"{src} → {dst} {leg.goodput_p50_bps / 1e6:.1f} Mbit/s (p10 {leg.goodput_p10_bps / 1e6:.1f})"
        f" {leg.rtt_p50_s * 1e3:.2f} ms (p90 {leg.rtt_p90_s * 1e3:.2f})"
        for (src, dst), leg in lab.legs.items()
    )


def row(done: Transfer) -> str:
    return (
        f"  {done.size_bytes / 1e6:5.0f} MB {done.way:9} {done.streams} {done.congestion:5} took {done.took_s:7.3f} s,"
        f" p50 {done.expected.p50_s:7.3f} ({done.error:+6.1%}), p90 {done.expected.p90_s:7.3f}"
    )


# What is printed

CLASSES: Sequence[tuple[str, Callable[[Transfer], bool]]] = (
    ("1 and 3 MB", lambda done: done.size_bytes < 10e6),
    ("10 and 30 MB", lambda done: 10e6 <= done.size_bytes < 100e6),
    ("100 MB and more", lambda done: done.size_bytes >= 100e6),
    ("direct", lambda done: done.way == "direct"),
    ("pipelined relay", lambda done: done.way == "pipelined"),
    ("stored relay", lambda done: done.way == "stored"),
    (f"{MANY_STREAMS} streams", lambda done: done.streams == MANY_STREAMS),
    ("cubic", lambda done: done.congestion == "cubic"),
    ("bbr", lambda done: done.congestion == "bbr"),
    ("all", lambda done: done.streams > 0),
)


def near(done: Sequence[Transfer]) -> float:
    return statistics.mean(abs(each.error) <= NEAR for each in done)


def line(name: str, done: Sequence[Transfer]) -> str:
    if not done:
        return f"{name:16} {0:4}"
    errors = [each.error for each in done]
    below = statistics.mean(each.took_s <= each.expected.p90_s for each in done)
    return (
        f"{name:16} {len(done):4} {near(done):10.0%} {statistics.median(errors):+8.1%} {min(errors):+8.1%}"
        f" {max(errors):+8.1%} {below:10.0%}"
    )


def cpu_s() -> float:
    """CPU time of one answer for many candidate relays, the median."""
    rng = np.random.default_rng(1)
    rtt, goodput = rng.uniform(0.001, 0.1, (2, CANDIDATES)), rng.uniform(1e7, 1e9, (2, CANDIDATES))
    legs = [
        TransferLeg(rtt_p50_s=rtt[n], rtt_p90_s=rtt[n], goodput_p50_bps=goodput[n], goodput_p10_bps=goodput[n])
        for n in (0, 1)
    ]
    took_s = []
    for _ in range(REPEATED):
        began = time.process_time()
        transfer_time(legs, 1e9)
        took_s.append(time.process_time() - began)
    return statistics.median(took_s)


async def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=9.0, metavar="S", help="of one transfer")
    parser.add_argument("--rows", action="store_true", help="print every transfer")
    arguments = parser.parse_args()
    done = []
    for scene in SCENES:
        async for each in transfers(scene, arguments.limit):
            done.append(each)
            if arguments.rows:
                print(row(each), flush=True)
    print(f"{'transfers':16} {'n':>4} {'within 15%':>10} {'median':>8} {'least':>8} {'most':>8} {'below p90':>10}")
    for name, belongs in CLASSES:
        print(line(name, [each for each in done if belongs(each)]))
    print(f"{CANDIDATES} candidate relays in one call: {cpu_s() * 1e3:.2f} ms of CPU (median of {REPEATED})")
    return len(done) >= LEAST and near(done) >= ENOUGH


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
