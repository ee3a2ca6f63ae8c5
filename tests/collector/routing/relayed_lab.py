"""A lab of a source, a relay and a destination: its links measured by our own commands, then real transfers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from collector.routing.transfer_time import RelayMode, TransferLeg, TransferTime, transfer_time
from linkweather.lab.lab import Lab
from linkweather.lab.labfile import LabFile, LabLink, LabSite

SOURCE, RELAY, DESTINATION = "source", "relay", "destination"
Way = Literal["direct", "pipelined", "stored"]
# Who is asked for the bytes, at which port, and how a relay between two legs works.
ASKED: Mapping[Way, tuple[str, int]] = {"direct": (SOURCE, 7000), "pipelined": (RELAY, 7001), "stored": (RELAY, 7002)}
SITES: Mapping[Way, Sequence[str]] = {
    "direct": (SOURCE, DESTINATION),
    "pipelined": (SOURCE, RELAY, DESTINATION),
    "stored": (SOURCE, RELAY, DESTINATION),
}
MODES: Mapping[Way, RelayMode] = {"direct": "pipelined", "pipelined": "pipelined", "stored": "stored"}
# An interval's ends are 1.96 standard errors from its mean, the p10 1.28.
P10_SHARE = 1.28 / 1.96
HEADERS_BYTES = 52


@dataclass(frozen=True)
class Line:
    """A link as the lab makes it, both ways; what is predicted knows nothing of it."""

    rate_mbps: float
    rtt_ms: float
    loss_ratio: float = 0.0

    def between(self, src: str, dst: str) -> LabLink:
        rate_bps, delay_s = 1e6 * self.rate_mbps, self.rtt_ms / 2e3
        return LabLink(src=src, dst=dst, rate_bps=rate_bps, delay_s=delay_s, loss_ratio=self.loss_ratio, both=True)


def relayed(direct: Line, up: Line, down: Line) -> LabFile:
    """`up` leads to the relay, `down` on from it."""
    links = direct.between(SOURCE, DESTINATION), up.between(SOURCE, RELAY), down.between(RELAY, DESTINATION)
    return LabFile(sites={site: LabSite() for site in (SOURCE, RELAY, DESTINATION)}, links=links)


@dataclass(frozen=True)
class Transfer:
    """One that was predicted, and then done."""

    way: Way
    size_bytes: int
    streams: int
    congestion: str
    expected: TransferTime[float]
    took_s: float

    @property
    def error(self) -> float:
        """By which share of the time that it took the middle expectation was longer."""
        return self.expected.p50_s / self.took_s - 1


class RelayedLab:
    """The lab with everything that answers in it; `entered` starts it."""

    def __init__(self, lab: Lab, fetcher: asyncio.subprocess.Process, congestion: str) -> None:
        self._lab = lab
        self._fetcher = fetcher
        self._congestion = congestion
        self.legs: dict[tuple[str, str], TransferLeg[float]] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def entered(
        cls, lab_file: LabFile, folder: Path, *, congestion: str, mtu_bytes: int | None = None
    ) -> AsyncIterator[Self]:
        async with contextlib.AsyncExitStack() as stack:
            lab = await stack.enter_async_context(Lab(lab_file, data_dir=folder, seed=1))
            for site in lab.addresses if mtu_bytes else ():
                await _output(lab.command(site, ["ip", "link", "set", "wan", "mtu", str(mtu_bytes)]))
            for site, argv in _servers(lab):
                await stack.enter_async_context(_running(lab.command(site, argv), answers=True))
            fetching = lab.command(DESTINATION, _module("tests.collector.routing.transfers", "fetcher"))
            yield cls(lab, await stack.enter_async_context(_running(fetching, answers=False)), congestion)

    async def measure(self) -> None:
        """Measure every link: RTT and path MTU of all at once, then the goodput of one after another."""
        pairs = [(SOURCE, DESTINATION), (SOURCE, RELAY), (RELAY, DESTINATION)]
        light = [
            *(self._test(pair, "--latency", "--method", "stamp", "--interval", "0.02") for pair in pairs),
            *(self._test(pair, "--path", "--path-method", "icmp", "--flows", "1") for pair in pairs),
        ]
        found = await asyncio.gather(*light)
        for number, pair in enumerate(pairs):
            load = await self._test(pair, "--throughput", "--duration", "3", "--congestion", self._congestion)
            self.legs[pair] = leg(found[number]["latency"], load["throughput"], found[number + len(pairs)])

    def expected(self, way: Way, size_bytes: int, streams: int = 1) -> TransferTime[float]:
        """What the measurements lead us to expect of a transfer."""
        legs = [self.legs[pair] for pair in itertools.pairwise(SITES[way])]
        return transfer_time(legs, size_bytes, streams=streams, relay=MODES[way])

    async def transfer(self, way: Way, size_bytes: int, streams: int = 1) -> Transfer:
        """Do a transfer, and set what was expected beside it."""
        site, port = ASKED[way]
        request = {"address": self._lab.addresses[site], "port": port, "size": size_bytes, "streams": streams}
        took_s = float(await self._ask(request | {"congestion": self._congestion}))
        return Transfer(way, size_bytes, streams, self._congestion, self.expected(way, size_bytes, streams), took_s)

    async def _ask(self, request: Mapping[str, Any]) -> bytes:
        assert self._fetcher.stdin is not None
        assert self._fetcher.stdout is not None
        self._fetcher.stdin.write(json.dumps(request).encode() + b"\n")
        return await self._fetcher.stdout.readline()

    async def _test(self, pair: tuple[str, str], *options: str) -> dict[str, Any]:
        """The document of a test by hand, run at the receiving end as data flows to where it is run."""
        host, here = self._lab.addresses[pair[0]], pair[1]
        found: dict[str, Any] = json.loads(
            await _output(self._lab.command(here, _module("linkweather", "test", host, *options, "--json")))
        )
        return found


def leg(latency: Mapping[str, Any], throughput: Mapping[str, Any], path: Mapping[str, Any]) -> TransferLeg[float]:
    """What the documents of three tests by hand say of a link."""
    rtts_s = [rtt_s for rtt_s in latency["rtts_s"] if rtt_s is not None]
    goodput_bps = throughput["goodput_bps"]
    below_bps = goodput_bps - (throughput["goodput_low_bps"] or goodput_bps)
    return TransferLeg(
        rtt_p50_s=float(np.quantile(rtts_s, 0.5)),
        rtt_p90_s=float(np.quantile(rtts_s, 0.9)),
        goodput_p50_bps=goodput_bps,
        goodput_p10_bps=goodput_bps - P10_SHARE * below_bps,
        mss_bytes=path["path_mtu_bytes"] - HEADERS_BYTES,
    )


def _servers(lab: Lab) -> list[tuple[str, list[str]]]:
    """What has to answer, and where: each prints a line when it does."""
    source = lab.addresses[SOURCE], str(ASKED["direct"][1])
    programs = [(SOURCE, _module("tests.collector.routing.transfers", "source", *source))]
    for way in ("pipelined", "stored"):
        here = lab.addresses[RELAY], str(ASKED[way][1])
        programs.append((RELAY, _module("tests.collector.routing.transfers", way, *here, *source)))
    for site in (SOURCE, RELAY):
        programs += [(site, ["iperf3", "-s", "--forceflush"]), (site, _module("linkweather", "reflector"))]
    return programs


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


@contextlib.asynccontextmanager
async def _running(argv: Sequence[str], *, answers: bool) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=nowhere if answers else None)
    try:
        if answers:
            assert process.stdout is not None
            await process.stdout.readline()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def _output(argv: Sequence[str]) -> bytes:
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output
