"""Throughput tests that stop when they know, against separate tests of 10 s on the same emulated link.

    python -m tests.bench.stopping [--tests N] [--rates 50,300] [--rtts 0.2,20] [--only steady|variable]

Every stopped test is followed by a test of 10 s of its own, so that a difference is the rule's error and the
path's own change together; "same run" applies the rule to the intervals of the 10-s test itself, which leaves
the rule's error alone. Half of the tests use cubic, half BBR. Takes 12 s for each pair.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import random
import statistics
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from linkweather.lab.lab import Lab
from linkweather.lab.labfile import LabFile, LabLink, LabSite
from linkweather.wire import ThroughputRow
from probes.throughput.invitation import row
from probes.throughput.past_tests import LinkHistory
from probes.throughput.result import Result, spanned
from probes.throughput.stop_rule import StopRule, estimate, over_10_s
from probes.throughput.time_limits import duration_s
from tests.probes.throughput import ends

RATES_MBPS = (50.0, 300.0, 1000.0)
RTTS_MS = (0.2, 20.0, 80.0, 300.0)
VARIABLE_MBPS = (50.0, 300.0)
VARIABLE_MS = 20.0
LOSS_RATIO = 3e-4
CAP_S = 3.0
LONG_S = 10.0
CONGESTION = ("cubic", "bbr")
TEST_PORT, OTHER_PORT = 5201, 5202
NEAR = 0.10


@dataclass(frozen=True)
class Pair:
    """A stopped test, what it states after those of its link before it, and the 10-s test that followed it."""

    stopped: Result
    stated: ThroughputRow
    long: Result
    rtt_s: float

    @property
    def share(self) -> float:
        return (self.stopped.bytes or 0) / (self.long.bytes or 1)

    @property
    def error(self) -> float:
        return (self.stopped.goodput_10s_bps or 0.0) / self.truth_bps - 1

    @property
    def truth_bps(self) -> float:
        return 8 * (self.long.bytes or 1) / (self.long.duration_s or 1)

    @property
    def covered(self) -> bool:
        return self.within(self.stated)

    def within(self, stated: ThroughputRow) -> bool:
        return (stated.goodput_low_bps or 0.0) <= self.truth_bps <= (stated.goodput_high_bps or 0.0)

    @property
    def width(self) -> float:
        return ((self.stated.goodput_high_bps or 0.0) - (self.stated.goodput_low_bps or 0.0)) / self.truth_bps

    @property
    def error_in_run(self) -> float:
        cap_s = duration_s(CAP_S, self.rtt_s)
        rule = StopRule(cap_s, until_converged=True, rtt_s=self.rtt_s)
        seen = list(self.long.intervals)
        stops = (count for count in range(1, len(seen)) if rule.verdict(seen[:count]) or seen[count].end_s > cap_s)
        part = seen[: next(stops)]
        found = estimate(part, self.rtt_s)
        assert found is not None
        moved = sum(each.rate_bps * (each.end_s - each.start_s) for each in part) / 8
        return over_10_s(found.goodput_bps, round(moved), part[-1].end_s) / self.truth_bps - 1


def link_lab(rate_mbps: float, rtt_ms: float, loss_ratio: float = 0.0) -> LabFile:
    link = LabLink(
        src="a", dst="b", delay_s=rtt_ms / 2e3, rate_bps=rate_mbps * 1e6, both=True, loss_ratio=loss_ratio, queue_s=0.1
    )
    return LabFile(sites={"a": LabSite(), "b": LabSite()}, links=(link,))


@contextlib.asynccontextmanager
async def running(argv: Sequence[str]) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def client(lab: Lab, **options: Any) -> Result:
    """One test as a probe runs it, in a process inside site b: from a to b."""
    return await ends.client(functools.partial(lab.command, "b"), host=lab.addresses["a"], port=TEST_PORT, **options)


async def pairs(lab: Lab, count: int, rtt_s: float) -> list[Pair]:
    found: list[Pair] = []
    history = LinkHistory()
    for number in range(count):
        congestion = CONGESTION[number % len(CONGESTION)]
        stopped = await client(
            lab, duration_s=duration_s(CAP_S, rtt_s), until_converged=True, rtt_s=rtt_s, congestion=congestion
        )
        long = await client(lab, duration_s=LONG_S, rtt_s=rtt_s, congestion=congestion)
        if stopped.failure or long.failure:
            print(f"  a test failed and is left out: {stopped.failure or long.failure} {stopped.detail or long.detail}")
            continue
        tested = row("a", "b", spanned(stopped))
        history = history.after(0.0, tested, block=1, quiet_factor=1)
        found.append(Pair(stopped, history.stated(tested), long, rtt_s))
    return found


def held(found: Sequence[Pair], tests: int) -> list[bool]:
    """Whether the 10 s after a test lie in what it states when its link has had so many tests, from each of them on."""
    verdicts = []
    for end in range(tests, len(found) + 1):
        history = LinkHistory()
        for pair in found[end - tests : end]:
            tested = row("a", "b", spanned(pair.stopped))
            history = history.after(0.0, tested, block=1, quiet_factor=1)
        verdicts.append(found[end - 1].within(history.stated(tested)))
    return verdicts


# What makes a path variable


async def competing(lab: Lab, *, rng: random.Random, rate_mbps: float) -> None:
    """Another TCP flow, on and off."""
    del rate_mbps
    while True:
        await asyncio.sleep(rng.uniform(0.5, 4))
        await other(lab, rng.randint(1, 6))


async def on_off(lab: Lab, *, rng: random.Random, rate_mbps: float) -> None:
    """UDP at half of the link's rate, on and off."""
    while True:
        await asyncio.sleep(rng.uniform(0.5, 3))
        await other(lab, rng.randint(1, 3), "-u", "-l", "8000", "-b", f"{rate_mbps / 2:g}M")


async def other(lab: Lab, seconds: int, *options: str) -> None:
    argv = ["iperf3", "-c", lab.addresses["a"], "-p", str(OTHER_PORT), "-R", "-t", str(seconds), *options]
    async with running(lab.command("b", argv)):
        await asyncio.sleep(seconds + 0.2)


async def nothing(lab: Lab, *, rng: random.Random, rate_mbps: float) -> None:
    """The link's own loss is enough."""
    del lab, rng, rate_mbps


class Traffic(Protocol):
    """What goes on beside the tests."""

    async def __call__(self, lab: Lab, *, rng: random.Random, rate_mbps: float) -> None: ...


VARIABLE: Mapping[str, tuple[float, Traffic]] = {
    "competing TCP": (0.0, competing),
    "on/off UDP": (0.0, on_off),
    "random loss": (LOSS_RATIO, nothing),
}


async def quiet(lab: Lab) -> None:
    """Leave the path alone."""
    del lab


async def bench(
    lab_file: LabFile, count: int, traffic: Callable[[Lab], Coroutine[None, None, None]] = quiet
) -> list[Pair]:
    with tempfile.TemporaryDirectory() as folder:
        async with contextlib.AsyncExitStack() as stack:
            lab = await stack.enter_async_context(Lab(lab_file, data_dir=Path(folder), seed=1))
            for port in (TEST_PORT, OTHER_PORT):
                await stack.enter_async_context(running(lab.command("a", ["iperf3", "-s", "-p", str(port)])))
            await asyncio.sleep(0.5)
            async with asyncio.TaskGroup() as group:
                beside = group.create_task(traffic(lab), name="traffic")
                found = await pairs(lab, count, 2 * lab_file.links[0].delay_s)
                beside.cancel()
            return found


# What is printed


def share_near(errors: Sequence[float]) -> float:
    return sum(abs(error) <= NEAR for error in errors) / len(errors)


def line(name: str, found: Sequence[Pair]) -> str:
    if not found:
        return f"{name:28} nothing was measured"
    errors = [pair.error for pair in found]
    stops = Counter(pair.stopped.stopped_by for pair in found)
    share = sum(pair.stopped.bytes or 0 for pair in found) / sum(pair.long.bytes or 1 for pair in found)
    return (
        f"{name:28} {len(found):4} {statistics.mean(pair.share for pair in found):7.1%} {share:7.1%}"
        f" {share_near(errors):7.0%} {share_near([pair.error_in_run for pair in found]):9.0%}"
        f" {statistics.median(errors):+7.1%} {max(errors, key=abs):+7.1%}"
        f" {sum(pair.covered for pair in found) / len(found):8.0%} {statistics.median(p.width for p in found):7.1%}"
        f"  {stops['converged']:3} {stops['time']:3}"
    )


HEAD = (
    f"{'path':28} {'n':>4} {'bytes':>7} {'of all':>7} {'within':>7} {'same run':>9} {'median':>7} {'worst':>7}"
    f" {'covered':>8} {'width':>7}  conv time"
)


async def steady(count: int, rates_mbps: Sequence[float], rtts_ms: Sequence[float]) -> None:
    print(HEAD)
    found = []
    for rate in rates_mbps:
        for rtt in rtts_ms:
            cell = await bench(link_lab(rate, rtt), count)
            print(line(f"steady {rate:g} Mbit/s {rtt:g} ms", cell), flush=True)
            found += cell
    print(line("steady, all", found), flush=True)


async def variable(count: int, rates_mbps: Sequence[float]) -> None:
    print(HEAD)
    cells: list[list[Pair]] = []
    for rate in rates_mbps:
        for name, (loss_ratio, traffic) in VARIABLE.items():
            rng = random.Random(f"{name} {rate}")
            cell = await bench(
                link_lab(rate, VARIABLE_MS, loss_ratio), count, functools.partial(traffic, rng=rng, rate_mbps=rate)
            )
            print(line(f"{name} {rate:g} Mbit/s", cell), flush=True)
            cells.append(cell)
    print(line("variable, all", [pair for cell in cells for pair in cell]))
    for tests in range(1, max(map(len, cells), default=0) + 1):
        verdicts = [verdict for cell in cells for verdict in held(cell, tests)]
        print(f"  the interval after {tests} tests held in {sum(verdicts)} of {len(verdicts)}")


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=int, default=6, help="of each path")
    parser.add_argument("--rates", type=numbers, default=RATES_MBPS, help="Mbit/s")
    parser.add_argument("--rtts", type=numbers, default=RTTS_MS, help="ms")
    parser.add_argument("--only", choices=["steady", "variable"])
    arguments = parser.parse_args()
    if arguments.only != "variable":
        await steady(arguments.tests, arguments.rates, arguments.rtts)
    if arguments.only != "steady":
        await variable(arguments.tests, [rate for rate in VARIABLE_MBPS if rate in arguments.rates])


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
