"""Ad hoc throughput that does not run to its end."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from linkweather.errors import OperatorError
from probes.adhoc import adhoc_throughput as throughput
from probes.adhoc.adhoc_job import AdhocDisplay, AdhocJob, AdhocOptions, LoadOptions, StopRequest
from probes.adhoc.findings import MeasuredHost, ThroughputFindings
from probes.throughput.iperf3_output import Build, Interval
from probes.throughput.result import Result
from tests import servers


def options(*, wanted: bool | None, port: int = 5201) -> AdhocOptions:
    return AdhocOptions("h", False, wanted, None, 1, 0.1, 1.0, None, None, LoadOptions(port), None, 0)  # noqa: FBT003


def test_an_interrupted_test_says_what_its_intervals_say() -> None:
    # 0.1 s at 80 Mbit/s are 10^6 octets; from the second interval on the pipe is full.
    intervals = [Interval(n / 10, (n + 1) / 10, rate) for n, rate in enumerate([40e6, 80e6, 80e6, 80e6, 80e6])]
    row = throughput.cut_short(intervals, None, reverse=True)
    assert (row.src, row.dst, row.stopped_by, row.failure) == ("there", "here", "interrupt", None)
    assert (row.bytes, row.duration_s) == (4_500_000, 0.5)
    assert row.goodput_bps == 80e6


def test_a_test_interrupted_at_once_is_no_measurement() -> None:
    row = throughput.cut_short([], None, reverse=False)
    assert (row.src, row.goodput_bps, row.failure) == ("here", None, "interrupted")


async def test_the_user_ends_a_test_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0.0)
        port: int = silent.getsockname()[1]
        stop = StopRequest()
        job = AdhocJob(options(wanted=True, port=port), MeasuredHost("h", "127.0.0.1"), AdhocDisplay(), stop)
        async with asyncio.timeout(servers.START_LIMIT_S), asyncio.TaskGroup() as group:
            running = group.create_task(throughput.measure(job, reverse=True), name="throughput")
            accepted, _ = await asyncio.get_running_loop().sock_accept(silent)
            stop.ask()
        accepted.close()
    found: ThroughputFindings = running.result()
    assert stop.asked
    assert found.row.failure == "interrupted"


async def test_without_the_program_only_an_asked_for_test_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    casual = AdhocJob(options(wanted=None), MeasuredHost("h", "127.0.0.1"), AdhocDisplay(), StopRequest())
    found = await throughput.measure(casual, reverse=True)
    assert (found.row.failure, found.failed) == ("no_program", False)
    assert "iperf3" in (found.row.detail or "")
    asked = AdhocJob(options(wanted=True), MeasuredHost("h", "127.0.0.1"), AdhocDisplay(), StopRequest())
    with pytest.raises(OperatorError, match="iperf3"):
        await throughput.measure(asked, reverse=True)


async def test_udp_needs_an_iperf3_whose_summaries_say_whose_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "iperf3"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    asked = replace(options(wanted=True), load=LoadOptions(udp_rate_bps=1e6))
    job = AdhocJob(asked, MeasuredHost("h", "127.0.0.1"), AdhocDisplay(), StopRequest())
    program.write_text("#!/bin/sh\necho iperf 3.1.3\n")
    program.chmod(0o755)
    with pytest.raises(OperatorError, match=r"^iperf3 3\.1\.3 cannot say .* UDP .*: install iperf3 3\.2 or later$"):
        await throughput.measure(job, reverse=True)
    tcp = replace(asked, load=LoadOptions())
    assert await throughput._build(AdhocJob(tcp, job.target, job.watch, job.stop)) == Build((3, 1, 3), False)  # noqa: FBT003


def test_only_a_receiver_of_tcp_sees_when_it_knows_enough() -> None:
    assert (LoadOptions().converges(reverse=True), LoadOptions().limit_s(reverse=True)) == (True, 10.0)
    assert (LoadOptions().converges(reverse=False), LoadOptions().limit_s(reverse=False)) == (False, 3.0)
    assert LoadOptions(udp_rate_bps=1e6).limit_s(reverse=True) == 3.0
    assert LoadOptions(until_converged=False).limit_s(reverse=True) == 3.0
    assert LoadOptions(duration_s=7.0).limit_s(reverse=False) == 7.0


def test_a_server_that_says_nothing_is_not_said_to_be_absent() -> None:
    silent = Result((), "receiver", 1, failure="timeout", detail="the test was not over after 15 s")
    assert throughput._explained(silent, "::1", 5201) == (
        "no answer from an iperf3 server at [::1]:5201 (the test was not over after 15 s): "
        "is it `iperf3 -s`, and not filtered?"
    )
    refused = replace(silent, failure="refused", detail="Connection refused")
    assert throughput._explained(refused, "h", 5201) == "no iperf3 server at h:5201: run `iperf3 -s` there"
    assert throughput._explained(replace(silent, failure="busy", detail="in use"), "h", 5201) == "in use"


def test_a_server_that_had_answered_is_not_said_to_be_silent() -> None:
    late = Result((), "receiver", 1, connected=True, failure="timeout", detail="the test was not over after 15 s")
    assert throughput._explained(late, "192.0.2.1", 5201) == (
        "the iperf3 server at 192.0.2.1:5201 answered, but the test was not finished: the test was not over after 15 s"
    )
