"""Decisions wait for the disk in a bounded queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from collector.store import decision_writer
from collector.store.decision_log import DecisionLog, LoggedDecision, RouteDecision
from collector.store.decision_writer import DecisionWriter
from collector.store.journal import Journal
from tests.collector.report_samples import NOON


def decision(number: int) -> RouteDecision:
    return RouteDecision(NOON + timedelta(seconds=number), "asked", "a", "b", "latency", ("a", "b"))


class _Disk:
    """A log that fails while it is told to, and may be held while it writes."""

    def __init__(self) -> None:
        self.written: list[LoggedDecision] = []
        self.full = False
        self.gate = threading.Event()
        self.gate.set()
        self.writing = threading.Event()

    def add(self, decisions: Sequence[LoggedDecision]) -> None:
        batch = list(decisions)
        self.writing.set()
        assert self.gate.wait(10)
        if self.full:
            raise duckdb.IOException("the disk is full\nreally")
        self.written += batch


async def test_what_a_full_disk_refused_is_written_later_in_its_order(caplog: pytest.LogCaptureFixture) -> None:
    disk = _Disk()
    writer = DecisionWriter(disk)
    disk.full = True
    writer.put(decision(1))
    await writer.write()
    await writer.write()
    writer.put(decision(2))
    disk.full = False
    await writer.write()
    assert disk.written == [decision(1), decision(2)]
    assert [record.message for record in caplog.records] == [
        "decisions cannot be logged (the disk is full); trying again"
    ]


async def test_at_the_bound_the_oldest_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_writer, "UNWRITTEN_MAX", 20)
    disk = _Disk()
    writer = DecisionWriter(disk)
    for number in (1, 2, 3):
        writer.put(decision(number))
    disk.full = True
    await writer.write()
    writer.put(decision(4))
    disk.full = False
    await writer.write()
    assert (disk.written, writer.dropped) == ([decision(3), decision(4)], 2)


@pytest.mark.parametrize("full", [False, True])
async def test_a_cancelled_write_is_neither_lost_nor_doubled(*, full: bool) -> None:
    disk = _Disk()
    writer = DecisionWriter(disk)
    writer.put(decision(1))
    disk.full = full
    disk.gate.clear()
    writing = asyncio.create_task(writer.write())
    await asyncio.to_thread(disk.writing.wait)
    writing.cancel()
    await asyncio.sleep(0)
    disk.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    disk.full = False
    await writer.write()
    assert disk.written == [decision(1)]


async def test_decisions_reach_a_real_log(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.duckdb")
    log = DecisionLog(journal.database)
    writer = DecisionWriter(log)
    writer.put(decision(1))
    await writer.write()
    assert log.since(NOON, NOON + timedelta(minutes=1)) == [decision(1)]
    journal.close()
