from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from pathlib import Path

import pytest

from linkweather.mesh import UNLIMITED_BYTES, Link, Mesh, Site, ThroughputTests
from linkweather.mesh.tournament import block_slots
from linkweather.wire import Invite, LatencyRow, PathRow, ThroughputRow
from probes.throughput.attention import Attention
from probes.throughput.budget import BudgetStore
from probes.throughput.history_store import HistoryStore
from probes.throughput.invitation import Declined
from probes.throughput.limiting import SenderEvidence
from probes.throughput.past_tests import LinkHistory
from probes.throughput.scheduler import ThroughputScheduler
from tests import servers
from tests.probes.throughput.test_negotiation import ADDRESS, TESTS, Wire, holder, serving, site
from tests.waiting import until

GB = 10**9
BUDGET = 1000 * GB  # loopback is fast, and a peer gets half of it


def mesh_of(budget_bytes: int, *, every_s: float = 0.0) -> Mesh:
    tests = ThroughputTests(
        every_s=every_s, slot_s=1.5, max_duration_s=1.0, until_converged=False, budget_bytes_per_day=budget_bytes
    )
    sites = {name: Site(address=ADDRESS[name]) for name in "ab"}
    return Mesh(sites=sites, throughput=tests, links=(Link(src="a", dst="b"),))


def left_bytes(ledger: BudgetStore) -> int:
    state = ledger.state(time.time())
    assert state is not None
    return state[1]


async def test_tests_say_why_they_ran_and_are_charged_to_both_ends(tmp_path: Path) -> None:
    servers.require("iperf3")
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
    ledgers = {name: BudgetStore(tmp_path / name / "ledger.sqlite", name) for name in "ab"}

    async def afford(dst: str, count: int | None) -> bool:
        return ledgers["a"].reserve(time.time(), "a", dst, count) is not None

    a._afford = afford
    rows: asyncio.Queue[ThroughputRow] = asyncio.Queue()
    mesh = mesh_of(BUDGET)
    ledgers["a"].apply_mesh(mesh)
    a.apply_mesh(mesh)
    turns = ThroughputScheduler(
        "b", b, lambda _, row: rows.put_nowait(row), budgets=ledgers["b"], attention=Attention(random.Random(1))
    )
    async with serving(a), asyncio.TaskGroup() as group:
        running = group.create_task(turns.run(), name="turns")
        await asyncio.sleep(0)  # it waits for a mesh
        turns.apply_mesh(mesh)
        found = [await rows.get() for _ in range(2)]
        running.cancel()
    assert [(row.failure, row.reason) for row in found] == [(None, "first"), (None, "scheduled")]
    assert turns.ran == {"first": 1, "scheduled": 1}
    full_bytes = BUDGET // 8
    moved_bytes = sum(row.bytes or 0 for row in found)
    # What came back in the meantime is little: 1 MB in a second.
    assert 0 < moved_bytes <= full_bytes - left_bytes(ledgers["b"]) + GB // 10
    assert left_bytes(ledgers["a"]) < full_bytes
    for ledger in ledgers.values():
        ledger.close()


async def test_a_fault_in_one_test_is_a_failure_of_its_link_and_the_turns_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = site(Wire(), "b", tmp_path)
    ledger = BudgetStore(tmp_path / "ledger.sqlite", "b")
    rows: asyncio.Queue[ThroughputRow] = asyncio.Queue()

    async def measure(*_: object, **_more: object) -> ThroughputRow:
        raise ValueError("embedded null byte")

    monkeypatch.setattr(b, "measure", measure)
    turns = ThroughputScheduler(
        "b", b, lambda _, row: rows.put_nowait(row), budgets=ledger, attention=Attention(random.Random(1))
    )
    turns.apply_mesh(mesh_of(UNLIMITED_BYTES))
    running = asyncio.create_task(turns.run(), name="turns")
    async with asyncio.timeout(90):
        found = [await rows.get() for _ in range(2)]
    running.cancel()
    await asyncio.wait([running])
    ledger.close()
    assert [(row.src, row.failure, row.detail) for row in found] == 2 * [("a", "fault", "ValueError")]


async def test_a_fault_of_the_invited_end_is_a_declined_test_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers.require("iperf3")
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
    send, faulty = a._send, iter([True, False])

    async def fail_once(by: str, invite: Invite) -> SenderEvidence | None:
        if next(faulty):
            raise UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range")
        return await send(by, invite)

    monkeypatch.setattr(a, "_send", fail_once)
    async with serving(a):
        first = await b.measure("a", ADDRESS["a"], TESTS)
        second = await b.measure("a", ADDRESS["a"], TESTS)
    assert isinstance(first, ThroughputRow)
    assert (first.failure, first.detail) == ("fault", "a declined")
    assert isinstance(second, ThroughputRow)
    assert second.failure is None


async def test_a_source_whose_budget_is_spent_declines_and_is_free_at_once(tmp_path: Path) -> None:
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)

    async def afford(_dst: str, _count: int | None) -> bool:
        return False

    a._afford = afford
    async with serving(a):
        found = await b.measure("a", ADDRESS["a"], TESTS, max_bytes=GB)
    assert isinstance(found, Declined)
    assert found.reason == "budget"
    assert (holder(wire, "a"), holder(wire, "b")) == (None, None)


async def test_a_destination_whose_budget_is_spent_asks_nobody_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    wire = Wire()
    b = site(wire, "b", tmp_path)
    ledger = BudgetStore(tmp_path / "ledger.sqlite", "b")
    mesh = mesh_of(BUDGET)
    ledger.apply_mesh(mesh)
    assert ledger.reserve(time.time(), "a", "b", BUDGET // 8)
    turns = ThroughputScheduler("b", b, lambda *_: None, budgets=ledger, attention=Attention(random.Random(1)))
    turns.apply_mesh(mesh)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(turns.run(), name="turns")
        await until(lambda: caplog.text.count("a → b is postponed: budget") == 1)
        (due,) = turns.next_tests()
        running.cancel()
    assert wire.sent == []
    assert not turns.ran
    assert (due.src, due.reason, due.waits_for) == ("a", "first", "budget")
    assert 0 < due.at.timestamp() - time.time() < 10
    ledger.close()


def reasons(attention: Attention) -> list[str]:
    return [wanted.reason for wanted in attention.wanted(time.time(), "a")]


async def test_what_is_noticed_is_asked_of_attention(tmp_path: Path) -> None:
    wire = Wire()
    ledger = BudgetStore(tmp_path / "ledger.sqlite", "b")
    attention = Attention(random.Random(1))
    turns = ThroughputScheduler("b", site(wire, "b", tmp_path), lambda *_: None, budgets=ledger, attention=attention)
    turns.apply_mesh(mesh_of(UNLIMITED_BYTES, every_s=600.0))
    attention.tested(time.time(), ThroughputRow(src="a", dst="b", method="iperf3", goodput_bps=1e8))
    turns.notice_path(PathRow(src="b", dst="a", method="udp", fingerprint="f"))
    assert reasons(attention) == ["expired", "scheduled"]
    for rtt_s in [0.02] * 24 + [0.03] * 3:
        row = LatencyRow(src="b", dst="a", method="stamp", sent=50, received=50, rtt_p50_s=rtt_s)
        turns.notice_latency(row)
    assert reasons(attention) == ["expired", "scheduled", "latency_shift"]
    ledger.close()


async def test_link_whose_tests_take_longer_than_a_slot_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = BudgetStore(tmp_path / "ledger.sqlite", "b")
    made = site(Wire(), "b", tmp_path)
    turns = ThroughputScheduler("b", made, lambda *_: None, budgets=ledger, attention=Attention(random.Random(1)))
    for took_s in (3.9, 9.0, 9.5):
        turns._note_block("a", block_slots(took_s, 4.0), 4.0)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == ("a throughput test of a → b takes longer than its slot of 4 s: from now on it gets 4 slots")
    ledger.close()


async def test_what_a_test_found_is_kept_for_the_next_run(tmp_path: Path) -> None:
    ledger = BudgetStore(tmp_path / "ledger.sqlite", "b")
    store = HistoryStore(tmp_path / "tests.sqlite")
    assert store.load() == {}
    attention = Attention(random.Random(1), store.load())
    made = site(Wire(), "b", tmp_path, None)  # without iperf3 its tests fail at once
    rows: asyncio.Queue[ThroughputRow] = asyncio.Queue()
    turns = ThroughputScheduler(
        "b", made, lambda _, row: rows.put_nowait(row), budgets=ledger, attention=attention, keep=store.keep
    )
    assert turns.next_tests() == ()
    turns.apply_mesh(mesh_of(UNLIMITED_BYTES))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(turns.run(), name="turns")
        assert (await rows.get()).failure == "missing"
        await until(lambda: store.load() == {"a": attention.history("a")})
        running.cancel()
    assert store.load()["a"].failures == 1
    store.close()
    ledger.close()


async def test_the_loop_does_not_wait_for_what_a_test_found_to_be_written(tmp_path: Path) -> None:
    ledger = BudgetStore(tmp_path / "ledger.sqlite", "b")
    writing, written = threading.Event(), threading.Event()

    def slow(_src: str, _: LinkHistory) -> None:
        writing.set()
        written.wait(30)

    made = site(Wire(), "b", tmp_path, None)  # without iperf3 its tests fail at once
    turns = ThroughputScheduler(
        "b", made, lambda *_: None, budgets=ledger, attention=Attention(random.Random(1)), keep=slow
    )
    turns.apply_mesh(mesh_of(UNLIMITED_BYTES))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(turns.run(), name="turns")
        try:
            await until(writing.is_set)  # which this loop sees while it is written
            assert not written.is_set()
        finally:
            written.set()
            running.cancel()
    ledger.close()


async def test_rtt_of_a_window_sets_the_limits_unless_our_own_test_loaded_the_link(tmp_path: Path) -> None:
    ledger = BudgetStore(tmp_path / "ledger.sqlite", "b")
    made = site(Wire(), "b", tmp_path)
    turns = ThroughputScheduler("b", made, lambda *_: None, budgets=ledger, attention=Attention(random.Random(1)))
    row = LatencyRow(src="b", dst="a", method="stamp", sent=50, received=50, rtt_p50_s=0.6, rtt_p95_s=0.7)
    turns.notice_latency(row)
    assert made._rtts_s == {"a": 0.7}
    turns.notice_latency(row.model_copy(update={"rtt_p95_s": 2.0, "during_throughput": True}))
    assert made._rtts_s == {"a": 0.7}
    ledger.close()
