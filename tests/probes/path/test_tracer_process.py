"""The tracer's process as the daemon sees it: the real one on loopback, and programs that misbehave."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from linkweather.errors import MeasurementError
from linkweather.lab.namespaces import created, run_in
from linkweather.mesh import PathMethod
from probes.path.traced_route import reached, steps
from probes.path.tracer_lines import HopSample, TraceRequest
from probes.path.tracer_process import TRACER, Traced, run
from tests import servers

as_root = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for raw sockets")]
PORT = 33434


def program(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


async def failure(request: TraceRequest, command: tuple[str, ...] = TRACER, limit_s: float = 30.0) -> MeasurementError:
    with pytest.raises(MeasurementError) as caught:
        await run(request, command=command, limit_s=limit_s)
    return caught.value


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give up what only root has")
@pytest.mark.parametrize(("through", "said"), [((), "True"), (("setpriv", "--bounding-set=-net_raw"), "False")])
def test_whether_paths_can_be_traced_is_known_before(through: tuple[str, ...], said: str) -> None:
    code = "from probes.path.tracer_process import can_trace; print(can_trace())"
    done = subprocess.run(
        [*through, sys.executable, "-c", code], capture_output=True, text=True, timeout=90, check=True
    )
    assert done.stdout.strip() == said


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for raw sockets")
def test_a_lack_of_descriptors_is_no_lack_of_rights() -> None:
    code = (
        "import resource, socket\n"
        "from probes.path.tracer_process import can_trace\n"
        "first = can_trace()\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "print(first, can_trace())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "True True"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for raw sockets")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("method", ["udp", "icmp", "tcp"])
async def test_own_machine_is_one_hop_away(method: PathMethod, host: str) -> None:
    heard: list[HopSample] = []
    traced = await run(TraceRequest(host=host, method=method, port=PORT, flows=2), heard.append)
    assert traced.address == host
    assert traced.samples == tuple(heard)
    assert [(step.ttl, step.sent, step.lost) for step in steps(traced.samples)] == [(1, 4, 0)]
    assert reached(traced.samples)
    assert traced.path_mtu_bytes == 65535  # loopback's is one more, which no packet can have


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for raw sockets")
async def test_packets_have_the_address_that_is_bound_to() -> None:
    traced = await run(TraceRequest(host="127.0.0.9", port=PORT, flows=1, bind=("127.0.0.8", "::1")))
    assert reached(traced.samples)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a capability up")
async def test_without_privileges_the_failure_says_so() -> None:
    other = ("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", *TRACER)
    error = await failure(TraceRequest(host="127.0.0.1", port=PORT), other)
    assert error.reason == "no_privileges"
    assert error.detail == "tracing a path needs root, or the capability CAP_NET_RAW"


async def test_missing_scapy_is_a_named_result() -> None:
    code = "import sys; sys.modules['scapy'] = None\nfrom probes.path.tracer import main; sys.exit(main())"
    error = await failure(TraceRequest(host="127.0.0.1", port=PORT), program(code))
    assert error.reason == "missing"
    assert error.detail.startswith("the library scapy cannot be used: ")


async def test_name_without_an_address_is_unresolved() -> None:
    error = await failure(TraceRequest(host="no-such-host.invalid", port=PORT))
    assert error.reason == "unresolved"
    assert error.detail.startswith("no-such-host.invalid has no address: ")


async def test_address_that_is_not_ours_cannot_be_bound_to() -> None:
    error = await failure(TraceRequest(host="127.0.0.1", port=PORT, bind=("192.0.2.1",)))
    assert (error.reason, error.detail) == ("unreachable", "127.0.0.1: Cannot assign requested address")


async def test_tracer_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    hang = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '300'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(300)"
    )
    error = await failure(TraceRequest(host="127.0.0.1", port=PORT), program(hang), limit_s=2.0)
    assert (error.reason, error.detail) == ("timeout", "the trace was not over after 2 s")
    parent, child = map(int, pids.read_text().split())
    assert gone(parent)
    servers.wait_until(lambda: gone(child) or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text(), "both end")


MISBEHAVED = {
    "raise SystemExit('Traceback: the last words')": (
        "died",
        "the tracer ended without a result: Traceback: the last words",
    ),
    "pass": ("died", "the tracer ended without a result: "),
    "print('x' * 100_000)": ("garbage", "the tracer printed a line without end"),
    "print('x\\n' * 2000)": ("garbage", "the tracer printed more than 1000 lines"),
    'print(\'{"line":"done"}\')': ("garbage", "the tracer ended a trace that it had not begun"),
    'print(\'{"line":"failed","failure":"odd","detail":"why"}\')': ("odd", "why"),
}


@pytest.mark.parametrize("code", MISBEHAVED)
async def test_tracer_that_misbehaves_is_a_named_result(code: str) -> None:
    error = await failure(TraceRequest(host="127.0.0.1", port=PORT), program(code))
    assert (error.reason, error.detail) == MISBEHAVED[code]


async def test_warnings_between_the_lines_are_passed_over() -> None:
    code = 'print(\'WARNING: odd\\n{"line":"begun","address":"192.0.2.1"}\\n\\n{"line":"done","path_mtu_bytes":1500}\')'
    traced = await run(TraceRequest(host="192.0.2.1", port=PORT), command=program(code))
    assert traced == Traced("192.0.2.1", (), 1500)


async def test_cancelled_trace_leaves_no_process(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(300)"
    task = asyncio.create_task(run(TraceRequest(host="127.0.0.1", port=PORT), command=program(code)))
    await asyncio.to_thread(servers.wait_until, lambda: mark.exists() and mark.read_text() != "", "it runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone(int(mark.read_text()))


def test_daemon_does_not_import_scapy() -> None:
    code = "import probes.daemon, sys; print('scapy' in sys.modules)"
    assert subprocess.check_output(program(code)) == b"False\n"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for network namespaces")
@pytest.mark.parametrize("method", ["udp", "icmp", "tcp"])
async def test_link_local_address_is_traced_through_the_interface_that_its_zone_names(method: PathMethod) -> None:
    with created() as here, created() as there:
        # Both interfaces have the subnet fe80::/64: only the zone says which one leads to fe80::2.
        wrong = ["link add wrong type veth peer name idle", "link set wrong up", "addr add fe80::9/64 dev wrong nodad"]
        run_in(here, "ip", [*wrong, f"link add right type veth peer name far netns {there.path}"])
        run_in(here, "ip", ["addr add fe80::1/64 dev right nodad", "link set right up"])
        run_in(there, "ip", ["addr add fe80::2/64 dev far nodad", "link set far up"])
        request = TraceRequest(host="fe80::2%right", method=method, port=PORT, flows=2)
        traced = await run(request, command=("nsenter", f"--net={here.path}", *TRACER))
    assert (traced.address, traced.path_mtu_bytes) == ("fe80::2%right", 1500)
    assert reached(traced.samples)
    assert {sample.address for sample in traced.samples} == {"fe80::2"}


async def test_zone_that_is_no_interface_is_unresolved() -> None:
    error = await failure(TraceRequest(host="fe80::2%absent", port=PORT))
    assert error.reason == "unresolved"
