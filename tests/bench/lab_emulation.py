"""The emulator's own error: ping's RTT and iperf3's rate against what the lab file says.

    python -m tests.bench.lab_emulation [--rtts N] [--seconds S]

ping's own cost, about 0.03 ms on an idle link, is part of the RTT error. The rate error compares
iperf3's goodput at the receiver with the TCP payload that fits into the configured rate.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from linkweather.lab.lab import Lab
from linkweather.lab.labfile import LabFile, LabLink, LabSite

CASES = [(0.0002, 1e9), (0.020, 50e6), (0.020, 300e6), (0.020, 500e6), (0.080, 500e6), (0.020, 1e9), (0.080, 1e9)]
PAIRS = 4
PAIR_RATE_BPS = 200e6
# An MTU of 9000 less 20 octets of IPv4, 20 of TCP, 12 of its timestamps.
PAYLOAD_RATIO = (9000 - 52) / 9000
TIME = re.compile(r"time=([0-9.]+) ms")


@dataclass(frozen=True)
class Throughput:
    """One iperf3 run at its receiver."""

    goodput_bps: float
    retransmits: int


def pairs_lab(count: int, rtt_s: float, rate_bps: float) -> LabFile:
    """A lab of `count` disjoint pairs of sites."""
    links = [
        LabLink(src=f"s{2 * n}", dst=f"s{2 * n + 1}", delay_s=rtt_s / 2, rate_bps=rate_bps, both=True)
        for n in range(count)
    ]
    return LabFile(sites={f"s{n}": LabSite() for n in range(2 * count)}, links=tuple(links))


async def output_of(argv: list[str]) -> str:
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode()


async def rtts_ms(lab: Lab, src: str, dst: str, count: int) -> list[float]:
    text = await output_of(lab.command(src, ["ping", "-n", "-i", "0.01", "-c", str(count), lab.addresses[dst]]))
    return sorted(float(value) for value in TIME.findall(text))


async def throughput(lab: Lab, src: str, dst: str, seconds: int) -> Throughput:
    server = await asyncio.create_subprocess_exec(
        *lab.command(dst, ["iperf3", "-s", "-1", "--forceflush"]), stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    while b"listening" not in await server.stdout.readline():
        pass
    text = await output_of(
        lab.command(src, ["iperf3", "-c", lab.addresses[dst], "-t", str(seconds), "-O", "2", "--json"])
    )
    await server.communicate()
    end = json.loads(text)["end"]
    return Throughput(end["sum_received"]["bits_per_second"], end["sum_sent"]["retransmits"])


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def bench_case(rtt_s: float, rate_bps: float, count: int, seconds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Lab(pairs_lab(1, rtt_s, rate_bps), data_dir=Path(folder), seed=1) as lab:
            samples = await rtts_ms(lab, "s0", "s1", count)
            pid = (await lab.state()).pid
            before, began = cpu_seconds(pid), time.monotonic()
            measured = await throughput(lab, "s0", "s1", seconds)
            cpu = (cpu_seconds(pid) - before) / (time.monotonic() - began)
            p50, p99 = statistics.median(samples), samples[int(len(samples) * 0.99)]
            error = measured.goodput_bps / (rate_bps * PAYLOAD_RATIO) - 1
            print(
                f"{rtt_s * 1e3:8.1f} {rate_bps / 1e6:8.0f} {p50 - rtt_s * 1e3:+10.3f} {p99 - rtt_s * 1e3:+10.3f}"
                f" {len(samples):6d} {measured.goodput_bps / 1e6:10.1f} {error:+8.1%} {measured.retransmits:6d}"
                f" {cpu:7.0%}  {lab.engine}",
                flush=True,
            )


async def bench_pairs(seconds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Lab(pairs_lab(PAIRS, 0.020, PAIR_RATE_BPS), data_dir=Path(folder), seed=1) as lab:
            flows = [throughput(lab, f"s{2 * n}", f"s{2 * n + 1}", seconds) for n in range(PAIRS)]
            results = await asyncio.gather(*flows)
            errors = [result.goodput_bps / (PAIR_RATE_BPS * PAYLOAD_RATIO) - 1 for result in results]
            print(f"{PAIRS} pairs at once, {PAIR_RATE_BPS / 1e6:.0f} Mbit/s each: errors", end=" ")
            print(" ".join(f"{error:+.1%}" for error in errors))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rtts", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=5)
    arguments = parser.parse_args()
    print("  RTT ms   Mbit/s p50 err ms p99 err ms      n    goodput    error  retr. lab CPU  engine")
    for rtt_s, rate_bps in CASES:
        await bench_case(rtt_s, rate_bps, arguments.rtts, arguments.seconds)
    await bench_pairs(arguments.seconds)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
