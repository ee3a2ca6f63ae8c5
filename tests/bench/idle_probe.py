"""What an idle probe daemon costs: memory and CPU with 7 peers at 10 probes/s each, answering as many.

    .venv/bin/python -m tests.bench.idle_probe [--for SECONDS]

Eight daemons on loopback, one broker; each daemon is measured over the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import aiomqtt
import numpy as np
import psutil

from linkweather.mesh import Mesh
from tests import servers
from tests.mesh_messages import mesh_messages

SITES = 8
MEMORY_LIMIT_BYTES = 60 * 2**20
CPU_LIMIT = 0.05
SETTLE_S = 5.0


def main() -> int:
    """Measure, print, and exit 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--for", dest="for_s", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        port = stack.enter_context(servers.mosquitto(folder))
        probes = [stack.enter_context(probe(number, port, folder)) for number in range(1, SITES + 1)]
        asyncio.run(publish_mesh(port))
        time.sleep(SETTLE_S)
        shares, sizes = measure([psutil.Process(process.pid) for process in probes], options.for_s)
    print(f"one core's share: mean {shares.mean():.2%}  max {shares.max():.2%}  n {SITES} daemons, {options.for_s:g} s")
    print(f"resident memory:  mean {sizes.mean() / 2**20:.1f} MiB  max {sizes.max() / 2**20:.1f} MiB")
    return 0 if shares.max() <= CPU_LIMIT and sizes.max() <= MEMORY_LIMIT_BYTES else 1


def probe(number: int, port: int, folder: Path):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """One daemon, with an address of loopback of its own."""
    command = [sys.executable, "-m", "linkweather", "probe", "--site", f"s{number}"]
    options = ["--broker", f"mqtt://127.0.0.1:{port}", "--data-dir", str(folder / f"s{number}")]
    return servers.running(*command, *options, "--bind", f"127.66.0.{number}", log=folder / "log")


async def publish_mesh(port: int) -> None:
    """Every site probes every other 10 times a second; nothing else goes on."""
    mesh = {
        "sites": {f"s{number}": {"address": f"127.66.0.{number}"} for number in range(1, SITES + 1)},
        "latency": {"interval_s": 0.1},
        "throughput": {"enabled": False},
    }
    async with aiomqtt.Client("127.0.0.1", port) as client:
        for topic, payload in mesh_messages(Mesh.model_validate(mesh)):
            await client.publish(topic, payload, qos=1, retain=True)


def measure(daemons: list[psutil.Process], for_s: float) -> tuple[np.ndarray, np.ndarray]:
    """The share of one core that each daemon used, and its memory at the end."""
    before = [sum(daemon.cpu_times()[:2]) for daemon in daemons]
    began = time.monotonic()
    time.sleep(for_s)
    elapsed_s = time.monotonic() - began
    used = np.array([sum(daemon.cpu_times()[:2]) for daemon in daemons]) - before
    return used / elapsed_s, np.array([daemon.memory_info().rss for daemon in daemons])


if __name__ == "__main__":
    sys.exit(main())
