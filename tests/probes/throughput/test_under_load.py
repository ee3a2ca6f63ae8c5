"""Two whole daemons test their link: the row says how the RTT was meanwhile, by their own probes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from linkweather.broker import BrokerSettings
from linkweather.wire import LatencyRow, ThroughputRow
from probes.daemon import ProbeDaemon
from probes.settings import ProbeSettings
from probes.throughput.iperf3_program import installed
from tests import servers
from tests.probes.test_daemon import Collector, addresses, collecting

TESTS = {"throughput": {"every_s": 0, "slot_s": 1.5, "max_duration_s": 1.0, "until_converged": False}}


@asynccontextmanager
async def probing(site: str, address: str, port: int, folder: Path) -> AsyncIterator[None]:
    settings = ProbeSettings(
        site=site,
        broker=BrokerSettings(url=f"mqtt://127.0.0.1:{port}"),
        data_dir=folder / site,
        bind=(address,),
        throughput_ports=(servers.free_port(),) * 2,
    )
    stop = asyncio.Event()
    daemon = ProbeDaemon(settings, iperf3=await installed())
    async with asyncio.TaskGroup() as group:
        group.create_task(daemon.run(stop), name=f"daemon[{site}]")
        try:
            yield
        finally:
            stop.set()


def measured(collector: Collector, site: str) -> list[ThroughputRow]:
    rows = [row for report in collector.reports[site] for row in report.links]
    return [row for row in rows if isinstance(row, ThroughputRow) and row.failure is None]


def beside_a_test(collector: Collector, site: str) -> bool:
    rows = [row for report in collector.reports[site] for row in report.links]
    return any(isinstance(row, LatencyRow) and row.during_throughput for row in rows)


async def test_a_row_has_the_rtt_under_its_load_and_the_latency_rows_beside_it_say_so(
    broker_port: int, tmp_path: Path
) -> None:
    servers.require("iperf3")
    both = addresses(2)
    async with collecting(broker_port) as collector, AsyncExitStack() as stack:
        for site, address in zip("ab", both, strict=True):
            await stack.enter_async_context(probing(site, address, broker_port, tmp_path))
        await collector.mesh(*both, **TESTS)
        await collector.until(lambda: bool(measured(collector, "b")))
        row = measured(collector, "b")[0]
        await collector.until(lambda: beside_a_test(collector, "b"))
    assert row.rtt_loaded_s is not None
    assert 0 < row.rtt_loaded_s < 1
    assert row.congestion is not None
    assert row.retransmits is not None
