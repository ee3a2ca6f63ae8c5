"""Two whole probes, one of them behind a real NAT of the kernel's: it can call out, and cannot be called."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from linkweather.lab.namespaces import Namespace
from linkweather.mesh import UNLIMITED_BYTES
from linkweather.wire import LatencyRow, ThroughputRow
from tests import servers
from tests.lab.labs import as_root
from tests.probes.test_daemon import Collector, collecting
from tests.probes.throughput.masquerade import OUTSIDE_OF_NAT, PEER, behind_nat

pytestmark = as_root
TESTS = {
    "every_s": 0,
    "slot_s": 1.5,
    "max_duration_s": 1.0,
    "quiet_factor": 1,
    "budget_bytes_per_day": UNLIMITED_BYTES,  # the kernel passes on gigabytes a second
}


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """Short enough for a socket, and readable across network namespaces."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "mqtt"


@contextmanager
def probing(namespace: Namespace, site: str, broker: Path, folder: Path) -> Iterator[None]:
    become = [sys.executable, "-m", "linkweather.lab.enter", namespace.path, str(os.getpid()), "--"]
    probe = [sys.executable, "-m", "linkweather", "probe", "--site", site, "--broker", f"unix://{broker}"]
    with servers.running(*become, *probe, "--data-dir", str(folder / site), log=folder / f"{site}.log"):
        yield


def throughput(collector: Collector, src: str, dst: str) -> list[ThroughputRow]:
    rows = [row for report in collector.reports[dst] for row in report.links if isinstance(row, ThroughputRow)]
    return [row for row in rows if row.src == src]


def latency(collector: Collector, src: str, dst: str) -> list[LatencyRow]:
    rows = [row for report in collector.reports[src] for row in report.links if isinstance(row, LatencyRow)]
    return [row for row in rows if row.dst == dst]


async def test_both_directions_are_tested_though_only_one_end_can_be_called(tmp_path: Path, socket_path: Path) -> None:
    servers.require("iperf3")
    extra = f"listener 0 {socket_path}\nuser root\n"
    with ExitStack() as stack:
        broker_port = stack.enter_context(servers.mosquitto(tmp_path, extra=extra))
        within, without = stack.enter_context(behind_nat())
        stack.enter_context(probing(within, "a", socket_path, tmp_path))
        stack.enter_context(probing(without, "b", socket_path, tmp_path))
        async with collecting(broker_port) as collector:
            sites = {"a": {"address": OUTSIDE_OF_NAT}, "b": {"address": PEER}}
            await collector.mesh(sites=sites, throughput=TESTS)
            # Nobody told b that it cannot call a.
            await collector.until(lambda: bool(throughput(collector, "a", "b")))
            assert throughput(collector, "a", "b")[0].failure == "refused"
            sites["a"]["nat"] = True  # type: ignore[assignment]  # of JSON
            collector.reports.clear()
            await collector.mesh(sites=sites, throughput=TESTS)
            await collector.until(
                lambda: len(throughput(collector, "a", "b")) >= 3 and len(throughput(collector, "b", "a")) >= 3
            )
            await collector.until(lambda: bool(latency(collector, "a", "b")) and bool(latency(collector, "b", "a")))
    for src, dst in (("a", "b"), ("b", "a")):
        row = throughput(collector, src, dst)[-1]
        assert row.failure is None
        assert row.goodput_bps is not None
        assert row.goodput_bps > 1e6
        assert row.congestion is not None
        assert row.retransmits is not None
    # What reaches the NAT from outside reaches nobody; the RTT of the other direction is not taken for it.
    assert latency(collector, "a", "b")[-1].failure is None
    towards = latency(collector, "b", "a")[-1]
    assert (towards.failure, towards.rtt_p50_s) == ("behind_nat", None)
