"""Notes wait on the disk until their target has taken them: also over a restart, and while it fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import duckdb
import pytest

from collector import notifier
from collector.named_tables import AlertmanagerTable, CommandTable, NotifyTable
from collector.notifier import Notifier, NotifyCounts
from collector.store.incident_log import NoteLog
from collector.store.journal import Journal
from linkweather.models.incidents import IncidentAnswer
from tests.collector.notify.receivers import web_server
from tests.collector.notify.test_digest import LATER, incident
from tests.waiting import running_task, until


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[NoteLog]:
    journal = Journal(tmp_path / "journal.duckdb")
    yield NoteLog(journal.database)
    journal.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "LOOK_S", 0.01)


def _pager(tmp_path: Path, *, works: bool = True) -> Mapping[str, NotifyTable]:
    """A command that appends each message to a file, or fails."""
    program = f"cat >> {tmp_path / 'out'}; echo >> {tmp_path / 'out'}" if works else "exit 1"
    return {"pager": CommandTable(kind="command", command=("sh", "-c", program), gather_s=0.0, pause_s=0.0)}


def _subjects(tmp_path: Path) -> list[str]:
    out = tmp_path / "out"
    return [json.loads(line)["subject"] for line in out.read_text().splitlines()] if out.exists() else []


@contextlib.asynccontextmanager
async def _running(
    tables: Mapping[str, NotifyTable], notes: NoteLog, *lasting: IncidentAnswer
) -> AsyncIterator[Notifier]:
    found = Notifier(tables, notes, lambda: lasting)
    found.restore()
    async with running_task(found.run()):
        yield found


async def test_a_target_is_told_once(tmp_path: Path, notes: NoteLog) -> None:
    async with _running(_pager(tmp_path), notes) as found:
        found.add(incident())
        await until(lambda: found.counts["pager"].sent == 1)
        await until(lambda: notes.waiting("pager") == [])
    async with _running(_pager(tmp_path), notes) as found:
        await asyncio.sleep(0.1)
        assert found.counts["pager"] == NotifyCounts(sent=0, failed=0, waiting=0, dropped=0)
    assert _subjects(tmp_path) == ["linkweather: i1 is down"]


async def test_what_a_failing_target_did_not_take_it_gets_after_a_restart(tmp_path: Path, notes: NoteLog) -> None:
    async with _running(_pager(tmp_path, works=False), notes) as found:
        found.add(incident())
        await until(lambda: found.counts["pager"].failed == 1)
        assert list(found.failing()) == ["notify pager: sh ended with status 1"]
        await until(lambda: notes.waiting("pager") == [incident()])
    async with _running(_pager(tmp_path), notes) as found:
        await until(lambda: found.counts["pager"].sent == 1)
        assert list(found.failing()) == []
    assert _subjects(tmp_path) == ["linkweather: i1 is down"]


async def test_a_failing_disk_delays_no_message(
    tmp_path: Path, notes: NoteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise duckdb.IOException("no space left on device")

    monkeypatch.setattr(notes, "replace", fail)
    async with _running(_pager(tmp_path), notes) as found:
        found.add(incident())
        await until(lambda: found.counts["pager"].sent == 1)


async def test_alertmanager_is_reminded_of_what_lasts(notes: NoteLog) -> None:
    with web_server() as server:
        tables: Mapping[str, NotifyTable] = {
            "am": AlertmanagerTable(kind="alertmanager", url=server.url, repeat_s=0.05)
        }
        async with _running(tables, notes, incident()):
            await until(lambda: len(server.requests) >= 3)
    assert {json.loads(body)[0]["labels"]["incident"] for _, body in server.requests} == {"i1"}


def test_a_note_of_another_version_is_left_out(notes: NoteLog) -> None:
    notes.replace("pager", [incident(until=LATER)])
    with notes._database.transaction() as connection:
        connection.execute("INSERT INTO notes VALUES ('pager', 'x', '{}')")
    assert notes.waiting("pager") == [incident(until=LATER)]
