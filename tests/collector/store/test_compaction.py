"""A journal that is written anew beside commits: nothing is lost, at a crash of any step either."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from collector.store import compaction
from collector.store.compaction import Compaction
from collector.store.database import Database
from collector.store.decision_log import DecisionLog, RouteDecision
from collector.store.journal import Journal
from collector.store.journal_repair import copy_of
from collector.store.roll_ups import RollUps
from linkweather.errors import RecordError
from tests.collector.report_samples import NOON, entry, latency, path, throughput

LATER = NOON + timedelta(hours=6)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """With rows of all kinds, roll-ups and decisions, in a file of which most is free."""
    monkeypatch.setattr(compaction, "SLICE_ROWS", 10)
    return filled(tmp_path)


def filled(folder: Path) -> Journal:
    journal = Journal(folder / "journal.duckdb", keep_days=1)
    for seq in range(30):
        journal.commit([entry(latency(seq)), entry(throughput(seq + 100)), entry(path(seq + 200, f"{seq}"))])
    log = DecisionLog(journal.database)
    log.add([decision(second) for second in range(6)])
    list(RollUps(journal.database, 90).roll(LATER))
    journal.database.rows("CREATE TABLE filler AS SELECT hash(i) AS h, hash(i + 1) AS g FROM range(400000) r(i)")
    journal.database.rows("CHECKPOINT")
    journal.database.rows("DROP TABLE filler")
    journal.database.rows("CHECKPOINT")
    return journal


def decision(second: float) -> RouteDecision:
    return RouteDecision(NOON + timedelta(seconds=second), "changed", "a", "b", "latency", ("a", "b"))


def steps(database: Database) -> Iterator[int]:
    return Compaction(database, least_bytes=2**20).steps(LATER)


def content(database: Database) -> dict[str, Counter[str]]:
    """The rows of every table."""
    tables = [name for (name,) in database.rows("SELECT table_name FROM duckdb_tables() ORDER BY ALL")]
    return {name: Counter(map(repr, database.rows(f'FROM "{name}"'))) for name in tables}


def test_the_file_is_small_again_and_has_what_was_committed_meanwhile(journal: Journal) -> None:
    before = journal.database.path.stat().st_size
    numbers = count(1000)
    for _ in steps(journal.database):
        assert journal.commit([entry(latency(next(numbers)))])
    last = next(numbers)
    assert last > 1010
    assert journal.database.path.stat().st_size < before / 2
    assert not copy_of(journal.database.path).exists()
    assert journal.commit([entry(latency(last)), entry(latency(last - 1)), entry(latency(0))]) == [entry(latency(last))]
    ((rows, different, newest),) = journal.database.rows(
        "SELECT count(*), count(DISTINCT number), max(number) FROM latency"
    )
    assert rows == different == newest
    assert journal.database.rows("SELECT count(DISTINCT seq) FROM latency") == [(30 + last - 999,)]
    before_closing = content(journal.database)
    journal.close()
    again = Journal(journal.database.path)
    assert content(again.database) == before_closing
    again.close()


def test_every_table_has_the_same_rows_in_the_same_order(journal: Journal) -> None:
    before = content(journal.database)
    ordered = journal.database.rows("FROM latency_minutes"), journal.database.rows("FROM decisions")
    assert len(before) > 20
    assert list(steps(journal.database))
    assert content(journal.database) == before
    assert (journal.database.rows("FROM latency_minutes"), journal.database.rows("FROM decisions")) == ordered
    assert list(steps(journal.database)) == []  # nothing is free now
    journal.close()


def test_a_file_of_which_little_is_free_stays(journal: Journal) -> None:
    assert list(Compaction(journal.database).steps(LATER)) == []
    journal.close()


def test_without_room_for_a_copy_the_log_says_so(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    assert list(steps(journal.database)) == []
    assert "its disk cannot hold a copy" in caplog.text
    journal.close()


def test_a_reader_is_not_cut_off_and_a_commit_does_not_wait_for_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compaction, "TRIES", 2)
    before = content(journal.database)
    with journal.database.snapshot() as query:
        assert list(steps(journal.database))
        assert query("SELECT count(*) FROM latency") == [(before["latency_rows"].total(),)]
        assert journal.commit([entry(latency(1000))])
    assert "is read all the time" in caplog.text
    assert not copy_of(journal.database.path).exists()
    assert list(steps(journal.database))
    assert content(journal.database)["path"] == before["path"]
    assert journal.commit([entry(latency(1000))]) == []
    journal.close()


def test_readers_in_other_threads_see_all_rows_before_and_after(journal: Journal) -> None:
    seen: set[int] = set()
    failed: list[BaseException] = []
    before = journal.database.path.stat().st_size
    over = threading.Event()

    def read() -> None:
        try:
            while not over.is_set() or not seen:
                seen.add(journal.database.rows("SELECT count(*) FROM latency")[0][0])
        except BaseException as error:  # noqa: BLE001 - the test's thread says it
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    list(steps(journal.database))
    over.set()
    for thread in threads:
        thread.join()
    assert (failed, seen) == ([], {30})
    assert journal.database.path.stat().st_size < before / 2
    journal.close()


def test_a_copy_without_a_row_takes_no_place(journal: Journal) -> None:
    """A decision that comes an hour late is not among those that were copied beside commits."""
    slices = steps(journal.database)
    for _ in range(8):
        next(slices)
    DecisionLog(journal.database).add([decision(7)])
    before = content(journal.database)
    with pytest.raises(RecordError, match="the copy of decisions has 6 of 7 rows: it stays as it is"):
        list(slices)
    assert content(journal.database) == before
    assert not copy_of(journal.database.path).exists()
    assert journal.commit([entry(latency(1000))])
    assert list(steps(journal.database))  # the next time it is
    assert content(journal.database)["decisions"] == before["decisions"]
    journal.close()


CRASH = """
import os, sys
from pathlib import Path
from collector.store import compaction, database
from collector.store.journal import Journal
from tests.collector.report_samples import entry, latency
from tests.collector.store.test_compaction import steps

step, path = sys.argv[1], Path(sys.argv[2])
compaction.SLICE_ROWS = 10
journal = Journal(path, keep_days=1)

def dies_after(module, name):
    real = getattr(module, name)
    def dying(*values):
        real(*values)
        os._exit(9)
    setattr(module, name, dying)

if step == "finished":
    dies_after(compaction, "_finish")
if step == "closed":
    database.move_in_place = lambda *_: os._exit(9)
if step == "moved":
    dies_after(database, "move_in_place")
for number, _ in enumerate(steps(journal.database)):
    journal.commit([entry(latency(1000 + number))])
    print(1000 + number, flush=True)
    if step == "copying" and number == 5:
        os._exit(9)
"""


@pytest.mark.parametrize("step", ["copying", "finished", "closed", "moved"])
def test_a_crash_at_any_step_loses_nothing(step: str, journal: Journal) -> None:
    before = content(journal.database)
    journal.close()
    file = journal.database.path
    run = subprocess.run([sys.executable, "-c", CRASH, step, str(file)], capture_output=True, text=True, check=False)
    assert run.returncode == 9, run.stderr
    acknowledged = [int(line) for line in run.stdout.split()]
    assert len(acknowledged) > 4
    assert copy_of(file).exists() == (step != "moved")
    again = Journal(file, keep_days=1)
    assert not copy_of(file).exists()
    assert again.database.findings == []
    assert again.commit([entry(latency(seq)) for seq in (*acknowledged, *range(30))]) == []
    after = content(again.database)
    assert {name: rows for name, rows in before.items() if rows - after[name]}.keys() <= {"received", "outbox_rows"}
    assert after["latency_rows"].total() == before["latency_rows"].total() + len(acknowledged) * len(latency(1).links)
    list(steps(again.database))
    again.close()
