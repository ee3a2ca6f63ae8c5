"""A site's latency as its mesh says: a sender per method, and the reflector with its port and key."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from linkweather.errors import OperatorError
from linkweather.mesh import Mesh
from linkweather.wire import LatencyRow
from probes.latency.icmp import IcmpProber
from probes.latency.station import Station
from tests import servers

LIMIT_S = 30.0
KEY = bytes(32)

needs_icmp = pytest.mark.skipif(os.geteuid() != 0, reason="raw sockets need root")


class Rows(list[LatencyRow]):
    """What a station measured, with a way to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self._came = asyncio.Event()

    def add(self, _: datetime, rows: list[LatencyRow]) -> None:
        self.extend(rows)
        self._came.set()

    async def until(self, condition: Callable[[LatencyRow], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not any(map(condition, self)):
                self._came.clear()
                await self._came.wait()


def mesh(*, authenticated: bool = False, **sites: dict[str, Any]) -> Mesh:
    tests = {"interval_s": 0.05, "report_interval_s": 0.3, "authenticated": authenticated}
    return Mesh.model_validate({"sites": sites, "latency": tests})


@asynccontextmanager
async def measuring(site: str, bind: str) -> AsyncIterator[tuple[Station, Rows]]:
    rows, stop = Rows(), asyncio.Event()
    station = Station(site, on_window=rows.add, key=KEY, bind=(bind,))
    async with asyncio.TaskGroup() as group:
        group.create_task(station.run(stop), name=site)
        try:
            yield station, rows
        finally:
            stop.set()


@needs_icmp
async def test_each_peer_is_measured_by_its_own_method() -> None:
    async with measuring("a", "127.0.31.1") as (station, rows):
        station.apply_mesh(
            mesh(
                a={"address": "127.0.31.1", "port": servers.free_port()},
                b={"address": "127.0.31.2", "method": "icmp"},
                c={"address": "127.0.31.3", "method": "tcp", "tcp_port": servers.free_port()},
            )
        )
        await rows.until(lambda row: row.method == "icmp" and row.rtt_p50_s is not None)
        # Nobody listens there, but a refusal comes from the host all the same.
        await rows.until(lambda row: row.method == "tcp" and row.rtt_p50_s is not None)
    assert {(row.dst, row.method) for row in rows} == {("b", "icmp"), ("c", "tcp")}


async def test_without_the_right_to_icmp_tcp_connect_time_is_measured_and_the_row_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def forbidden(*_: object) -> None:
        raise OperatorError("ICMP echo needs CAP_NET_RAW")

    monkeypatch.setattr(IcmpProber, "open", forbidden)
    async with measuring("a", "127.0.32.1") as (station, rows):
        station.apply_mesh(
            mesh(
                a={"address": "127.0.32.1", "port": servers.free_port()},
                b={"address": "127.0.32.2", "method": "icmp", "tcp_port": servers.free_port()},
            )
        )
        await rows.until(lambda row: row.method == "tcp" and row.rtt_p50_s is not None)
    assert "it is by tcp instead: ICMP echo needs CAP_NET_RAW" in caplog.text


async def test_the_reflector_takes_the_key_when_the_mesh_asks_for_it_and_the_port_stays() -> None:
    sites: dict[str, Any] = {
        "a": {"address": "127.0.33.1", "port": servers.free_port()},
        "b": {"address": "127.0.33.2", "port": servers.free_port()},
    }
    async with measuring("a", "127.0.33.1") as (first, rows), measuring("b", "127.0.33.2") as (second, _):
        for station in (first, second):
            station.apply_mesh(mesh(**sites))
        await rows.until(lambda row: row.failure is None)
        second.apply_mesh(mesh(authenticated=True, **sites))
        await rows.until(lambda row: row.failure == "no_reply")
        assert second.dropped.total() > 0
        rows.clear()
        first.apply_mesh(mesh(authenticated=True, **sites))
        await rows.until(lambda row: row.failure is None)


async def test_a_site_behind_nat_is_not_probed_and_its_row_says_why() -> None:
    a = {"address": "127.0.35.1", "port": servers.free_port()}
    there = {"address": "127.0.35.2", "port": servers.free_port()}
    behind = {**there, "nat": True}
    # Somebody would answer at the NAT's address and port.
    async with measuring("a", "127.0.35.1") as (station, rows), measuring("b", "127.0.35.2") as (answering, _):
        answering.apply_mesh(mesh(b=there))
        station.apply_mesh(mesh(a=a, b=behind))
        await rows.until(lambda row: row.failure is not None)
        assert {(row.failure, row.sent, row.rtt_p50_s) for row in rows} == {("behind_nat", 0, None)}
        station.apply_mesh(mesh(a=a, b=there))
        await rows.until(lambda row: row.received > 0)


@needs_icmp
async def test_a_peer_that_changes_its_method_moves_to_the_other_sender() -> None:
    a = {"address": "127.0.34.1", "port": servers.free_port()}
    async with measuring("a", "127.0.34.1") as (station, rows):
        station.apply_mesh(mesh(a=a, b={"address": "127.0.34.2", "port": servers.free_port()}))
        await rows.until(lambda row: row.method == "stamp")
        station.apply_mesh(mesh(a=a, b={"address": "127.0.34.2", "method": "icmp"}))
        await rows.until(lambda row: row.method == "icmp")
        rows.clear()
        await rows.until(lambda row: row.method == "icmp")
        assert not [row for row in rows if row.method == "stamp"]
