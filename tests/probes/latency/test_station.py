"""A site's latency as its mesh says: a sender per method, and the reflector with its port and key."""

from __future__ import annotations

import asyncio
import os
import socket
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
from tests.probes.latency.test_http import site

LIMIT_S = 90.0
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
    station = Station(site, on_window=rows.add, keys=(KEY,), bind=(bind,))
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


async def test_a_key_is_changed_in_three_steps_without_a_probe_lost() -> None:
    sites: dict[str, Any] = {
        "a": {"address": "127.0.42.1", "port": servers.free_port(socket.SOCK_DGRAM)},
        "b": {"address": "127.0.42.2", "port": servers.free_port(socket.SOCK_DGRAM)},
    }
    tests = {"interval_s": 0.01, "report_interval_s": 0.2, "timeout_s": 5.0, "authenticated": True}
    both = Mesh.model_validate({"sites": sites, "latency": tests})
    new = bytes(range(32))
    async with measuring("a", "127.0.42.1") as (a, from_a), measuring("b", "127.0.42.2") as (b, from_b):
        for station in (b, a):
            station.apply_mesh(both)
        for rows in (from_a, from_b):  # whoever began first had no reflector to ask
            await rows.until(lambda row: row.sent == row.received > 0)
            rows.clear()
        for keys in ((KEY, new), (new, KEY), (new,)):
            for station, rows in ((a, from_a), (b, from_b)):  # a has each step before b
                station.set_keys(keys)
                seen = len(rows)
                await rows.until(lambda _, rows=rows, seen=seen: len(rows) > seen + 1)  # type: ignore[misc]
        assert [row for row in (*from_a, *from_b) if row.failure or row.sent != row.received] == []
        assert (a.dropped["bad_hmac"], b.dropped["bad_hmac"]) == (0, 0)
        a.set_keys((KEY,))  # one that has missed the steps
        await from_a.until(lambda row: row.failure == "no_reply")
        assert b.dropped["bad_hmac"] > 0
        assert b.dropped.unauthenticated()["127.0.42.1"] > 0


async def test_no_port_is_opened_before_a_mesh_says_which() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.41.1", 8620))  # another program's
        async with measuring("a", "127.0.41.1") as (station, _), measuring("b", "127.0.41.2") as (peer, rows):
            ports = {"a": servers.free_port(socket.SOCK_DGRAM), "b": servers.free_port(socket.SOCK_DGRAM)}
            sites = mesh(
                a={"address": "127.0.41.1", "port": ports["a"]}, b={"address": "127.0.41.2", "port": ports["b"]}
            )
            peer.apply_mesh(sites)
            await rows.until(lambda row: row.failure is not None)
            station.apply_mesh(sites)
            await rows.until(lambda row: row.rtt_p50_s is not None)


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


async def test_a_method_that_is_not_installed_is_a_failure_of_its_links_that_names_the_package() -> None:
    a = {"address": "127.0.36.1", "port": servers.free_port()}
    asked = mesh(
        a=a, b={"address": "127.0.36.2", "method": "quic"}, c={"address": "127.0.36.3", "port": servers.free_port()}
    ).model_copy(update={"packages": {"quic": "linkweather-quic"}})
    async with measuring("a", "127.0.36.1") as (station, rows), measuring("c", "127.0.36.3") as (answering, _):
        answering.apply_mesh(asked)
        station.apply_mesh(asked)
        await rows.until(lambda row: row.method == "quic")
        await rows.until(lambda row: row.dst == "c" and row.received > 0)
    missing = [row for row in rows if row.method == "quic"]
    assert {(row.dst, row.failure, row.sent) for row in missing} == {("b", "method_missing", 0)}
    sentence = "no prober is called 'quic'; installed are http, icmp, stamp, tcp"
    assert {row.detail for row in missing} == {f"{sentence}; install the package linkweather-quic at this site"}


async def test_options_that_a_site_s_prober_refuses_are_a_failure_of_its_link() -> None:
    a = {"address": "127.0.37.1", "port": servers.free_port()}
    async with measuring("a", "127.0.37.1") as (station, rows):
        station.apply_mesh(mesh(a=a, b={"address": "127.0.37.2", "method": "tcp", "options": {"speed": 9}}))
        await rows.until(lambda row: row.failure is not None)
    assert {(row.method, row.failure, row.detail) for row in rows} == {
        ("tcp", "bad_options", "sites.b.options.speed = 9: no such key")
    }


async def test_a_site_without_a_probe_is_measured_by_http_once_a_second() -> None:
    with site() as (port, asked):
        async with measuring("a", "127.0.38.1") as (station, rows):
            station.apply_mesh(
                mesh(
                    a={"address": "127.0.38.1", "port": servers.free_port()},
                    b={"address": "127.0.0.1", "method": "http", "options": {"url": f"http://127.0.0.1:{port}/up"}},
                )
            )
            await rows.until(lambda row: row.figures is not None)
            await rows.until(lambda _: sum(each.sent for each in rows) >= 2)
        windows = sum(row.window_s or 0 for row in rows)
    assert {(row.dst, row.method, row.failure) for row in rows} == {("b", "http", None)}
    assert {path for _, path, _ in asked} == {"/up"}
    assert len(asked) <= windows + 2  # the mesh asks for twenty a second, and such a number is not a server's to bear


async def test_each_group_has_its_own_pace_and_a_change_of_it_needs_no_restart() -> None:
    sites = {name: {"address": f"127.0.39.{number}"} for number, name in enumerate("abc", 1)}
    slow = {"name": "slow", "sites": ["a", "c"], "latency": {"interval_s": 0.5, "report_interval_s": 1.0}}

    def grouped(*groups: dict[str, Any]) -> Mesh:
        tests = {"interval_s": 0.05, "report_interval_s": 0.3}
        return Mesh.model_validate({"sites": sites, "latency": tests, "groups": [*groups, {"name": "all"}]})

    async with measuring("a", "127.0.39.1") as (station, rows):
        station.apply_mesh(grouped(slow))
        await rows.until(lambda row: row.dst == "c" and row.window_s == pytest.approx(1.0, abs=0.3))
        await rows.until(lambda row: row.dst == "b" and row.window_s == pytest.approx(0.3, abs=0.1))
        assert max(row.sent for row in rows if row.dst == "c") <= 3
        assert len(station._engines) == 2
        station.apply_mesh(grouped())
        rows.clear()
        await rows.until(lambda row: row.dst == "c" and row.window_s == pytest.approx(0.3, abs=0.1))
        assert len(station._engines) == 1  # the group's is gone
        station.apply_mesh(grouped(slow | {"latency": {"interval_s": 0.25}}))
        rows.clear()
        await rows.until(lambda row: row.dst == "c" and row.sent in (1, 2))
