"""ICMP echo with a real kernel: privileged, unprivileged, and where nobody is."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime

import pytest

from linkweather.errors import OperatorError
from linkweather.mesh import LatencyTests
from linkweather.wire import LatencyRow
from probes.latency.engine import LatencyEngine
from probes.latency.prober import load
from probes.latency.session import ProbeOutcome
from probes.latency.targets import LatencyPeer

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="raw sockets need root")]
HERE = "127.0.0.1"
TESTS = LatencyTests(interval_s=0.01, report_interval_s=1e9)
# What the tests in a namespace run there: the row of ten echo requests to argv[1], or the operator's error.
PROBE = """
import asyncio, sys
from linkweather.errors import OperatorError
from linkweather.mesh import LatencyTests
from probes.latency.engine import LatencyEngine
from probes.latency.prober import load
from probes.latency.targets import LatencyPeer
tests = LatencyTests(interval_s=0.01, timeout_s=0.2, report_interval_s=1e9)
async def main():
    show = lambda at, rows: print(rows[0].model_dump_json())
    engine = LatencyEngine("a", load("icmp"), tests, on_window=show, count=10)
    engine.set_peers([LatencyPeer("b", sys.argv[1], 0)], tests)
    await engine.run()
try:
    asyncio.run(main())
except OperatorError as error:
    print(error)
"""


async def measure(*addresses: str) -> tuple[list[LatencyRow], list[ProbeOutcome]]:
    rows: list[LatencyRow] = []
    samples: list[ProbeOutcome] = []

    def window(at: datetime, those: list[LatencyRow]) -> None:
        del at
        rows.extend(those)

    engine = LatencyEngine("a", load("icmp"), TESTS, on_window=window, on_sample=samples.append, count=10)
    engine.set_peers([LatencyPeer(f"b{n}", address, 0) for n, address in enumerate(addresses)], TESTS)
    await engine.run()
    return rows, samples


def in_namespace(address: str, *prepared: str, unprivileged: bool = False) -> str:
    """The output of PROBE in a network namespace of its own."""
    # Without the capability, and still able to read a checkout below a folder that is root's alone.
    without = "setpriv --bounding-set=-net_raw --inh-caps=-net_raw " if unprivileged else ""
    script = " && ".join([*prepared, f'exec {without}"$0" -c "$1" "$2"'])
    command = ["unshare", "--net", "sh", "-ec", script, sys.executable, PROBE, address]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize("address", [HERE, "::1"])
async def test_echo_replies_are_timed_by_the_kernel(address: str) -> None:
    (row,), samples = await measure(address)
    assert (row.method, row.sent, row.received, row.failure, row.timestamp) == ("icmp", 10, 10, None, "kernel")
    assert (row.duplicated, row.reordered, row.late) == (0, 0, 0)
    assert row.owd_forward_p50_s is None
    assert [sample.outcome for sample in samples] == ["received"] * 10


async def test_peers_do_not_take_each_others_replies() -> None:
    rows, _ = await measure(HERE, "127.0.0.2", "::1")
    assert [(row.dst, row.received, row.duplicated) for row in rows] == [("b0", 10, 0), ("b1", 10, 0), ("b2", 10, 0)]


async def test_an_authenticated_mesh_needs_no_key_for_echo() -> None:
    tests = TESTS.model_copy(update={"authenticated": True})
    engine = LatencyEngine("a", load("icmp"), tests, on_window=lambda *_: None)
    engine.set_peers([], tests)
    engine.close()


def test_unprivileged_where_the_ping_group_range_allows_it() -> None:
    allow = ("ip link set lo up", 'echo "0 2147483647" > /proc/sys/net/ipv4/ping_group_range')
    for address in (HERE, "::1"):
        row = LatencyRow.model_validate_json(in_namespace(address, *allow, unprivileged=True))
        assert (row.sent, row.received, row.timestamp) == (10, 10, "kernel")


def test_neither_privileges_nor_the_group_is_the_operators_to_change() -> None:
    said = in_namespace(HERE, 'echo "1 0" > /proc/sys/net/ipv4/ping_group_range', unprivileged=True)
    assert said == "ICMP needs our group in `sysctl net.ipv4.ping_group_range`, or the capability CAP_NET_RAW\n"


def test_a_host_without_a_route_is_unreachable() -> None:
    row = LatencyRow.model_validate_json(in_namespace("192.0.2.1"))
    assert (row.sent, row.received, row.failure) == (10, 0, "unreachable")


@pytest.mark.parametrize("ping_group_range", ["1 0", "0 2147483647"], ids=["raw", "unprivileged kind"])
def test_a_routers_refusal_is_the_reason_of_the_failure(ping_group_range: str) -> None:
    # No neighbour answers on the far side of the cable: our own kernel sends "host unreachable".
    cable = (
        f'echo "{ping_group_range}" > /proc/sys/net/ipv4/ping_group_range',
        "ip link set lo up",
        "ip link add cable type veth peer name far",
        "ip address add 192.0.2.2/24 dev cable",
        "ip link set cable up",
        "ip link set far up",
        "echo 50 > /proc/sys/net/ipv4/neigh/cable/retrans_time_ms",
    )
    row = LatencyRow.model_validate_json(in_namespace("192.0.2.9", *cable))
    assert (row.sent, row.received, row.failure) == (10, 0, "unreachable")


async def test_an_address_that_is_not_ours_cannot_be_bound() -> None:
    with pytest.raises(OperatorError, match=r"bind = '203\.0\.113\.1': is no address of this machine"):
        LatencyEngine("a", load("icmp"), TESTS, on_window=lambda *_: None, bind=["203.0.113.1"])


@pytest.mark.parametrize("method", ["icmp", "stamp"])
def test_a_lack_of_descriptors_is_one_sentence_and_no_wrong_address(method: str) -> None:
    code = (
        "import resource, socket\n"
        "from linkweather.errors import OperatorError\n"
        "from linkweather.mesh import LatencyTests\n"
        "from probes.latency.engine import LatencyEngine\n"
        "from probes.latency.prober import load\n"
        f"method = load({method!r})\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "try:\n"
        "    LatencyEngine('a', method, LatencyTests(), on_window=print, bind=['127.0.0.1'])\n"
        "except OperatorError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip().endswith("Too many open files"), done
