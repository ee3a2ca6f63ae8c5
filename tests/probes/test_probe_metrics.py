"""A probe's own metrics: read by promtool, scraped by a real Prometheus, asked for by halves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from linkweather.broker import BrokerSettings
from linkweather.errors import OperatorError
from linkweather.wire import Status
from probes import probe_metrics
from probes.daemon import ProbeDaemon
from probes.probe_metrics import ProbeReadings, exposition, serving
from probes.settings import ProbeMetricsSettings, ProbeSettings
from tests import servers

READINGS = ProbeReadings(
    status=Status(
        state="online",
        version="1.2.3",
        outbox_reports=7,
        dropped_reports=3,
        throughput_tests={"scheduled": 4},
        budget_bytes_per_day=50_000_000_000,
        budget_left_bytes=1_000_000,
        overflows={"receipts": 2},
        unpublished={"oversized": 1},
        damaged_files={"mesh.json": 1},
    ),
    broker_connected=True,
    reports={"latency": 9},
    ignored={"malformed": 1},
    dropped_datagrams={"rate": 5},
    faults={"status": 1},
)


@contextlib.asynccontextmanager
async def scraped() -> AsyncIterator[int]:
    port = servers.free_port()
    async with serving(ProbeMetricsSettings(port=port), lambda: READINGS):
        yield port


async def raw(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer), contextlib.suppress(OSError):
        writer.write(request)
        return await reader.read()
    return b""


def test_every_count_is_there_and_promtool_finds_nothing_to_improve() -> None:
    text = exposition(READINGS).decode()
    for line in (
        'linkweather_probe_build_info{version="1.2.3"} 1.0',
        "linkweather_probe_broker_connected 1.0",
        "linkweather_probe_outbox_reports 7.0",
        "linkweather_probe_dropped_reports_total 3.0",
        'linkweather_probe_reports_total{kind="latency"} 9.0',
        'linkweather_probe_throughput_tests_total{reason="scheduled"} 4.0',
        "linkweather_probe_budget_left_bytes 1e+06",
        'linkweather_probe_damaged_files{file="mesh.json"} 1.0',
        'linkweather_probe_dropped_datagrams_total{reason="rate"} 5.0',
    ):
        assert line in text
    assert "process_cpu_seconds_total" in text
    command = [servers.require("promtool"), "check", "metrics"]
    found = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


async def test_a_prometheus_scrapes_it(tmp_path: Path) -> None:
    async with scraped() as own:
        # It is started in a thread: meanwhile the loop answers it.
        with contextlib.ExitStack() as stack:
            port = await asyncio.to_thread(stack.enter_context, servers.prometheus(tmp_path, [own]))
            query = {"query": 'linkweather_probe_reports_total{kind="latency"}'}
            async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(servers.START_LIMIT_S):
                url = f"http://127.0.0.1:{port}/api/v1/query"
                while not (found := (await http.get(url, params=query)).json()["data"]["result"]):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    assert found[0]["value"][1] == "9"


async def test_only_get_of_metrics_is_answered() -> None:
    async with scraped() as port:
        assert b" 200 OK" in await raw(port, b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        headed = await raw(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")
        assert headed.endswith(b"\r\n\r\n")
        for request in (b"GET / HTTP/1.1\r\n\r\n", b"POST /metrics HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n"):
            assert b" 404 " in await raw(port, request)


async def test_who_asks_too_much_too_slowly_or_too_often_gets_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_metrics, "REQUEST_LIMIT_S", 0.2)
    async with scraped() as port:
        assert await raw(port, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000) == b""
        assert await raw(port, b"GET /metrics HTTP/1.1\r\n") == b""
        monkeypatch.setattr(probe_metrics, "MAX_CONNECTIONS", 0)
        assert await raw(port, b"GET /metrics HTTP/1.1\r\n\r\n") == b""


async def test_a_port_that_is_taken_ends_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OperatorError, match=rf"metrics\.port = {port}: cannot listen on 127\.0\.0\.1"):
            async with serving(ProbeMetricsSettings(port=port), lambda: READINGS):
                pass


async def test_a_daemon_with_a_port_serves_its_own(tmp_path: Path, broker_port: int) -> None:
    port, stop = servers.free_port(), asyncio.Event()
    settings = ProbeSettings(
        site="a",
        broker=BrokerSettings(url=f"mqtt://127.0.0.1:{broker_port}"),
        data_dir=tmp_path / "a",
        metrics=ProbeMetricsSettings(port=port),
    )
    daemon = ProbeDaemon(settings, iperf3=None)
    async with asyncio.TaskGroup() as group:
        group.create_task(daemon.run(stop), name="daemon")
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(servers.START_LIMIT_S):
            text = ""
            while "linkweather_probe_broker_connected 1.0" not in text:
                with contextlib.suppress(httpx.ConnectError):
                    text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
                await asyncio.sleep(0.02)
        stop.set()
    assert "linkweather_probe_outbox_reports 0.0" in text
