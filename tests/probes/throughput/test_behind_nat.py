"""Tests in which the source calls: each end on its own address of loopback, where nothing keeps anybody out."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkweather.mesh import Mesh, Site, ThroughputTests
from linkweather.wire import Answer, ThroughputRow
from probes.throughput import time_limits
from probes.throughput.attention import Attention
from probes.throughput.budget import BudgetStore
from probes.throughput.invitation import Declined
from probes.throughput.iperf3_output import Build
from probes.throughput.iperf3_server import serve_once
from probes.throughput.negotiation import Negotiator
from probes.throughput.scheduler import ThroughputScheduler
from probes.throughput.time_limits import Limit
from tests import servers
from tests.probes.throughput import programs
from tests.probes.throughput.test_negotiation import (
    ADDRESS,
    BUILD,
    DEFAULT_CONGESTION,
    TESTS,
    Wire,
    failure,
    holder,
    serving,
    site,
    until_free,
)
from tests.waiting import until


def behind_nat(*names: str) -> Mesh:
    sites = {name: Site(address=address, nat=name in names) for name, address in ADDRESS.items()}
    return Mesh(sites=sites, throughput=TESTS)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    servers.require("iperf3")
    yield
    assert programs.children() == []


def ends(wire: Wire, folder: Path, *, nat: str = "a", build: Build = BUILD) -> Negotiator:
    """a, which cannot be called, or whoever is in `nat`; and b, which is returned."""
    both = site(wire, "a", folder, build), site(wire, "b", folder)
    for each in both:
        each.apply_mesh(behind_nat(*nat))
    return both[1]


async def test_the_source_calls_and_the_servers_own_intervals_are_the_result(tmp_path: Path) -> None:
    wire = Wire()
    b = ends(wire, tmp_path)
    async with serving(*wire.sites.values()):
        row = await b.measure("a", ADDRESS["a"], TESTS)
        await until_free(wire, "a")
    assert isinstance(row, ThroughputRow)
    assert (row.src, row.dst, row.failure, row.stopped_by) == ("a", "b", None, "time")
    assert row.duration_s == pytest.approx(1.0, abs=0.15)
    assert row.goodput_low_bps is not None
    assert row.goodput_bps is not None
    assert row.goodput_high_bps is not None
    assert 0 < row.goodput_low_bps < row.goodput_bps < row.goodput_high_bps
    # What only the calling end could see.
    assert row.congestion == DEFAULT_CONGESTION
    assert row.retransmits is not None
    accepted, offered, told = wire.answers()
    assert (accepted.port, accepted.authentication) == (None, True)
    assert offered.port is not None
    assert offered.secret is not None
    assert told.served is not None
    assert sorted(wire.tests) == [("a", "end", "b"), ("a", "start", "b"), ("b", "end", "a"), ("b", "start", "a")]


async def test_the_receiving_end_stops_the_test_when_it_has_seen_enough(tmp_path: Path) -> None:
    wire = Wire()
    b = ends(wire, tmp_path)
    short = TESTS.model_copy(update={"max_duration_s": 0.7})
    for each in wire.sites.values():
        each.apply_mesh(behind_nat("a").model_copy(update={"throughput": short}))
    async with serving(*wire.sites.values()):
        row = await b.measure("a", ADDRESS["a"], short)  # a calls for a whole second
        await until_free(wire, "a")
    assert isinstance(row, ThroughputRow)
    assert (row.failure, row.stopped_by) == (None, "time")
    assert row.duration_s == pytest.approx(0.7, abs=0.15)
    assert row.congestion == DEFAULT_CONGESTION


async def test_a_limit_in_bytes_is_kept_by_the_end_that_calls(tmp_path: Path) -> None:
    wire = Wire()
    b = ends(wire, tmp_path)
    async with serving(*wire.sites.values()):
        row = await b.measure("a", ADDRESS["a"], TESTS, max_bytes=400_000_000)
    assert isinstance(row, ThroughputRow)
    assert (row.failure, row.stopped_by, row.bytes) == (None, "bytes", 3051 * 131_072)


async def test_the_other_way_round_nothing_is_different(tmp_path: Path) -> None:
    wire = Wire()
    b = ends(wire, tmp_path, nat="b")
    async with serving(*wire.sites.values()):
        assert failure(await b.measure("a", ADDRESS["a"], TESTS)) is None
    assert wire.answers()[0].port is not None


async def test_a_caller_whose_iperf3_cannot_show_a_secret_is_not_asked_for_one(tmp_path: Path) -> None:
    wire = Wire()
    b = ends(wire, tmp_path, build=Build((3, 12), authentication=False))
    async with serving(*wire.sites.values()):
        assert failure(await b.measure("a", ADDRESS["a"], TESTS)) is None
    assert wire.answers()[1].secret is None


async def test_a_caller_with_a_wrong_secret_is_an_auth_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    b = ends(wire, tmp_path)
    a = wire.sites["a"]
    handle = a.handle_answer
    monkeypatch.setattr(
        a, "handle_answer", lambda by, answer: handle(by, answer.model_copy(update={"secret": "another"}))
    )
    async with serving(*wire.sites.values()):
        assert failure(await b.measure("a", ADDRESS["a"], TESTS)) == "auth"
        await until_free(wire, "a")


async def test_a_caller_that_accepts_and_does_not_come_is_a_named_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(time_limits.LIMITS, "accept", Limit(0.2, 0))
    wire = Wire()
    b = ends(wire, tmp_path)
    async with asyncio.TaskGroup() as group:
        test = group.create_task(b.measure("a", ADDRESS["a"], TESTS), name="a→b")
        await until(lambda: wire.sent)
        test_id = next(iter(b._signalling._pending))
        b.handle_answer("a", Answer(id=test_id, accepted=True))
    assert failure(test.result()) == "no_connection"
    assert holder(wire, "b") is None


async def test_a_source_that_is_not_told_where_to_call_is_free_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(time_limits.LIMITS, "answer", Limit(0.2, 0))
    wire = Wire()
    b = ends(wire, tmp_path)
    monkeypatch.setattr(b._signalling, "answer", _unsent)
    async with serving(*wire.sites.values()):
        # b's broker went away in between: nobody measured anything.
        assert await b.measure("a", ADDRESS["a"], TESTS) == Declined("no_broker", 5.0)
        await until_free(wire, "a")
    # Which of both gives up first is a matter of how soon an iperf3 starts.
    assert sorted(site for site, what, _ in wire.tests if what == "end") == ["a", "b"]


async def _unsent(_to: str, _answer: Answer) -> bool:
    return False


async def test_when_every_port_of_the_receiving_end_is_taken_the_test_is_postponed(tmp_path: Path) -> None:
    wire = Wire()
    b = ends(wire, tmp_path)
    assert b._iperf3
    async with (
        serving(*wire.sites.values()),
        serve_once(b._iperf3.place, BUILD, guard=None, seconds=10),
    ):
        assert await b.measure("a", ADDRESS["a"], TESTS) == Declined("ports_taken", 5.0)


async def test_a_source_behind_nat_declines_another_one(tmp_path: Path) -> None:
    wire = Wire()
    b = ends(wire, tmp_path, nat="ab")
    async with serving(*wire.sites.values()):
        assert failure(await b.measure("a", ADDRESS["a"], TESTS)) == "no_reachable_end"


async def test_between_two_sites_behind_nat_each_turn_is_a_failure_and_nobody_is_asked(tmp_path: Path) -> None:
    wire = Wire()
    b = ends(wire, tmp_path, nat="ab")
    mesh = behind_nat("a", "b")
    tests = ThroughputTests(every_s=0.0, slot_s=0.5 + 0.5, max_duration_s=0.5, budget_bytes_per_day=10**9)
    mesh = mesh.model_copy(update={"throughput": tests, "sites": {name: mesh.sites[name] for name in "ab"}})
    ledger = BudgetStore(tmp_path / "ledger.sqlite", "b")
    rows: asyncio.Queue[ThroughputRow] = asyncio.Queue()
    turns = ThroughputScheduler(
        "b", b, lambda _, row: rows.put_nowait(row), budgets=ledger, attention=Attention(random.Random(1))
    )
    turns.apply_mesh(mesh)
    began_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(turns.run(), name="turns")
        found = [await rows.get() for _ in range(2)]
        running.cancel()
    # A cycle is two slots of 1 s, and has one turn of a → b.
    assert time.monotonic() - began_s > 1.9
    assert [(row.src, row.dst, row.failure) for row in found] == [("a", "b", "no_reachable_end")] * 2
    assert wire.sent == []
    assert not turns.ran
    state = ledger.state(time.time())
    assert state == (10**9, 10**9 // 8)
    ledger.close()
