"""One end of a throughput test as a process of its own: inside a lab's site, or on a processor of its own.

python -m tests.probes.throughput.ends client '{"host": …, "port": …, …}'    prints the result
python -m tests.probes.throughput.ends server '{"bind": …, "port": …}'       prints a line when it listens,
                                                                             then what it saw of the test
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from probes.throughput.iperf3_client import ClientTest, run_client
from probes.throughput.iperf3_output import Build, Interval
from probes.throughput.iperf3_server import ServerPlace, serve_once
from probes.throughput.result import Result
from probes.throughput.stop_rule import StopRule

LIMIT_S = 30.0
BUILD = Build((3, 12), authentication=True)
# How a command gets where it shall run: into a site, onto a processor.
Placed = Callable[[Sequence[str]], list[str]]


async def call(
    host: str,
    port: int,
    *,
    duration_s: float,
    until_converged: bool = False,
    max_bytes: int | None = None,
    rtt_s: float | None = None,
    on_interval: Callable[[Interval], None] = lambda _: None,
    **more: Any,
) -> Result:
    """`run_client` with the parts of its rule, and more of its test, by name."""
    rule = StopRule(duration_s, until_converged=until_converged, max_bytes=max_bytes, rtt_s=rtt_s)
    return await run_client(ClientTest(host, port, rule, **more), BUILD, on_interval)


def argv(end: str, **options: Any) -> list[str]:
    return [sys.executable, "-m", "tests.probes.throughput.ends", end, json.dumps(options)]


async def client(place: Placed, **options: Any) -> Result:
    """The result of `call` with these options."""
    process = await asyncio.create_subprocess_exec(*place(argv("client", **options)), stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    found = json.loads(output)
    return Result(**{**found, "intervals": tuple(Interval(**each) for each in found["intervals"])})


@contextlib.asynccontextmanager
async def server(place: Placed, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A one-off server that listens; `seen` says afterwards what it saw."""
    process = await asyncio.create_subprocess_exec(*place(argv("server", **options)), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def seen(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """What the server saw: retransmits, congestion, limited_by, cpu_demand."""
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(await process.stdout.readline())
    return found


async def _client(options: dict[str, Any]) -> None:
    print(json.dumps(asdict(replace(await call(**options), sent=None))))  # its bytes are not for JSON


async def _server(options: dict[str, Any]) -> None:
    async with serve_once(
        ServerPlace(options["bind"], [options["port"]]), BUILD, guard=None, seconds=LIMIT_S
    ) as serving:
        print("listens", flush=True)
        await serving.finished(accept_s=LIMIT_S)
        sent = serving.sent
        names = ("retransmits", "congestion", "limited_by", "cpu_demand")
        print(json.dumps({name: getattr(sent, name) for name in names}), flush=True)


if __name__ == "__main__":
    asyncio.run({"client": _client, "server": _server}[sys.argv[1]](json.loads(sys.argv[2])))
