"""A real collector that was told of three sites by real reports, and the examples as processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt

from linkweather.client import Client
from linkweather.wire import (
    AnyReport,
    CapacityReport,
    DeviceRow,
    LatencyReport,
    LatencyRow,
    ThroughputReport,
    ThroughputRow,
    encode,
    topics,
)
from tests import servers

EXAMPLES = Path(__file__).parents[2] / "examples"
LINKWEATHER = str(Path(sys.executable).with_name("linkweather"))
SITES = ("gz", "nm", "bj")
# The island was never measured.
MESH = """
[sites.gz]
address = "192.0.2.1"
compute_id = "CN-GZ"
egress_usd_per_gb = 0.05

[sites.nm]
address = "192.0.2.2"
egress_usd_per_gb = 0.02

[sites.bj]
address = "192.0.2.3"

[sites.island]
address = "192.0.2.4"
"""
# Every link has an RTT of 10 ms; what nm sends is slower everywhere, so that no relay gains anything.
EGRESS_BPS = {"gz": 1e8, "nm": 5e7, "bj": 1e8}
GOODPUT_BPS = {(src, dst): EGRESS_BPS[src] for src in SITES for dst in SITES if src != dst}
DEVICES = {
    "gz": DeviceRow(type="a100", total=16, free=16, usd_per_device_hour=2.0),
    "nm": DeviceRow(type="a100", total=16, queue_s=360.0),
    "bj": DeviceRow(type="a100", total=4, free=4),
}


def reports(site: str) -> Iterator[tuple[str, AnyReport]]:
    """What a site publishes, by kind."""
    at = datetime.now(UTC)
    out = [dst for src, dst in GOODPUT_BPS if src == site]
    latency = [LatencyRow(src=site, dst=dst, method="stamp", sent=50, received=50, rtt_p50_s=0.01) for dst in out]
    goodput = [
        ThroughputRow(src=src, dst=dst, method="iperf3", goodput_bps=bps, goodput_10s_bps=bps)
        for (src, dst), bps in GOODPUT_BPS.items()
        if dst == site
    ]
    yield "latency", LatencyReport(boot="b", seq=1, at=at, links=tuple(latency))
    yield "throughput", ThroughputReport(boot="b", seq=2, at=at, links=tuple(goodput))
    yield "capacity", CapacityReport(boot="b", seq=3, at=at, devices=(DEVICES[site],))


async def publish(port: int) -> None:
    """Say it all, as the sites' probes would."""
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        for site in SITES:
            for kind, report in reports(site):
                await client.publish(topics.report(site, kind), encode(report), qos=1)


def in_the_record(api: str) -> bool:
    """Whether everything that was published is answered."""
    with Client(api) as client:
        measured = [link for link in client.links() if link.goodput_bps is not None and link.rtt_p50_s is not None]
        return len(measured) == len(GOODPUT_BPS) and len(client.capacity()) == len(DEVICES)


@contextlib.contextmanager
def telling_collector(folder: Path) -> Iterator[str]:
    """A collector process that was told everything; yields its API's URL."""
    (folder / "mesh.toml").write_text(MESH)
    port, broker_port = servers.free_port(), servers.free_port()
    options = ("--port", str(port), "--broker-port", str(broker_port))
    api = f"http://127.0.0.1:{port}"
    with servers.running(LINKWEATHER, "collector", *options, log=folder / "log", cwd=folder):
        servers.wait_until(lambda: servers.responds(f"{api}/readyz"), "the collector is ready")
        asyncio.run(publish(broker_port))
        servers.wait_until(lambda: in_the_record(api), "the reports are in the record")
        yield api


def run(example: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """An example as a user runs it."""
    command = [sys.executable, str(EXAMPLES / example), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
