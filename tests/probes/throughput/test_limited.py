"""What limits a test, made true and told: emulated links with set windows, processors that others keep busy."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from linkweather.lab.lab import Lab
from linkweather.lab.labfile import LabFile, LabLink, LabSite
from probes.throughput.iperf3_program import installed
from probes.throughput.result import Result
from tests import servers
from tests.lab.labs import as_root, run
from tests.probes.throughput import ends

PORT = 5201
HERE = "127.0.0.5"
SMALL = "4096 16384 65536"


@pytest.fixture(autouse=True)
def _needs_iperf3() -> None:
    servers.require("iperf3")


@contextlib.asynccontextmanager
async def link(folder: Path, rate_bps: float, delay_s: float) -> AsyncIterator[Lab]:
    link = LabLink(src="a", dst="b", delay_s=delay_s, rate_bps=rate_bps, both=True)
    async with Lab(LabFile(sites={"a": LabSite(), "b": LabSite()}, links=(link,)), data_dir=folder, seed=1) as lab:
        if not lab.emulated:
            pytest.skip(f"no emulation here: {lab.note}")
        yield lab


async def limit_window(lab: Lab, site: str, name: str) -> None:
    status, said = await run(lab.command(site, ["sysctl", "-w", f"net.ipv4.{name}={SMALL}"]))
    assert status == 0, said


async def over(lab: Lab, **options: object) -> tuple[Result, dict[str, object]]:
    """A test from a to b: what its client found, and what its server saw."""
    here, there = functools.partial(lab.command, "b"), functools.partial(lab.command, "a")
    async with ends.server(there, bind=lab.addresses["a"], port=PORT) as server:
        found = await ends.client(here, host=lab.addresses["a"], port=PORT, **{"duration_s": 3, **options})
        return found, await ends.seen(server)


@pytest.mark.root
class TestInALab:
    pytestmark = as_root

    async def test_a_slow_steady_link_converges_early_and_its_limit_is_the_network(self, tmp_path: Path) -> None:
        async with link(tmp_path, 20e6, 0.005) as lab:
            found, seen = await over(lab, until_converged=True, duration_s=6)
        assert (found.failure, found.stopped_by) == (None, "converged")
        assert found.duration_s is not None
        assert found.duration_s < 5
        # An MTU of 9000 carries 8948 octets of TCP payload.
        assert found.goodput_bps == pytest.approx(20e6 * 8948 / 9000, rel=0.05)
        assert found.limited_by is None
        assert (seen["limited_by"], found.retransmits) == ("network", None)
        assert seen["retransmits"] is not None

    async def test_a_small_receive_window_is_a_limit_of_the_receiver(self, tmp_path: Path) -> None:
        async with link(tmp_path, 100e6, 0.02) as lab:
            await limit_window(lab, "b", "tcp_rmem")
            _, seen = await over(lab)
        assert seen["limited_by"] == "receiver host"

    async def test_a_small_send_buffer_is_a_limit_of_the_sender(self, tmp_path: Path) -> None:
        async with link(tmp_path, 100e6, 0.02) as lab:
            await limit_window(lab, "a", "tcp_wmem")
            _, seen = await over(lab)
        assert seen["limited_by"] == "sender host"

    async def test_a_cap_in_bytes_that_ends_slow_start_is_a_limit_of_the_application(self, tmp_path: Path) -> None:
        async with link(tmp_path, 500e6, 0.045) as lab:
            found, _ = await over(lab, max_bytes=1_500_000)
        assert (found.failure, found.stopped_by, found.limited_by) == (None, "bytes", "application")


@contextlib.asynccontextmanager
async def busy(core: str) -> AsyncIterator[None]:
    """A processor that somebody else wants as well."""
    spinning = await asyncio.create_subprocess_exec("taskset", "-c", core, sys.executable, "-c", "while True: pass")
    try:
        yield
    finally:
        spinning.kill()
        await spinning.wait()


def on(core: str, argv: Sequence[str], path: Path | None = None) -> list[str]:
    """Run on one processor; with a path, an iperf3 from there."""
    first = f"{path}:" if path else ""
    return ["env", f"PATH={first}{os.environ['PATH']}", "taskset", "-c", core, *argv]


@pytest.fixture
def cores() -> tuple[str, str]:
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        pytest.skip("needs two processors")
    return str(available[0]), str(available[1])


@pytest.fixture
def laborious(tmp_path: Path) -> Path:
    """A folder with an iperf3 that moves 128 octets a call: a processor is the limit long before anything else."""
    program = tmp_path / "iperf3"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("iperf3")} "$@" -l 128\n')
    program.chmod(0o755)
    return tmp_path


async def test_a_receiver_that_shares_its_core_is_limited_by_its_host(cores: tuple[str, str], laborious: Path) -> None:
    shared, free = cores
    port = servers.free_port()
    # With less of its core than any sender has of another one, however busy both are.
    there = functools.partial(on, free)

    def here(argv: Sequence[str]) -> list[str]:
        return ["nice", "-n", "10", *on(shared, argv, path=laborious)]

    async with busy(shared), ends.server(there, bind=HERE, port=port):
        found = await ends.client(here, host=HERE, port=port, duration_s=2)
    # From 3.16 on threads carry the streams, and one that reads may sleep a quarter of the time: the evidence is short.
    build = await installed()
    assert build is not None
    says = ("receiver host",) if build.version < (3, 16) else ("receiver host", None)
    assert found.failure is None
    assert found.limited_by in says
