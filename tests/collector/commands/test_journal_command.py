"""`linkweather journal`: one in use is copied whole, damage is named, deleted rows give space back."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result

from collector.commands.journal_command import journal
from collector.store.columns import Entry
from collector.store.journal import Journal
from collector.store.journal_repair import log_of
from linkweather.errors import OperatorError
from linkweather.wire import LatencyReport, LatencyRow
from tests.servers import wait_until

NOW = datetime(2026, 5, 4, tzinfo=UTC)
# A collector that commits a report, says so, and goes on until its input ends.
_COLLECTOR = """
import sys, threading
from pathlib import Path
from tests.collector.commands.test_journal_command import Journal, entry
journal, ended = Journal(Path(sys.argv[1])), threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set())).start()
seq = 0
while not ended.is_set():
    journal.commit([entry(seq)])
    seq += 1
    if seq % 20 == 0:
        journal.database._connection.execute("CHECKPOINT")
    print(seq, flush=True)
"""


def entry(seq: int) -> Entry:
    row = LatencyRow(src="a", dst="b", method="stamp", sent=1, received=1)
    return Entry("a", LatencyReport(boot="x", seq=seq, at=NOW, links=(row,)), NOW)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(journal, arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kept = Journal(tmp_path / "journal.duckdb")
    kept.commit([entry(seq) for seq in range(5)])
    kept.close()
    return tmp_path


def test_a_whole_journal_is_said_to_be_whole(folder: Path) -> None:
    result = run("check", "--data-dir", str(folder))
    assert result.exit_code == 0
    assert result.output.splitlines()[0].startswith("5 reports, ")
    assert result.output.splitlines()[1:] == ["all of it can be read"]
    assert json.loads(run("check", "--json", "--data-dir", str(folder)).output)["rows"]["latency"] == 5


def test_what_is_damaged_or_lost_is_named_and_left_as_it_is(folder: Path) -> None:
    with duckdb.connect(str(folder / "journal.duckdb")) as db:
        db.execute("DELETE FROM received")
    result = run("check", "--data-dir", str(folder))
    assert result.exit_code == 1
    assert "5 of 5 reports that were acknowledged are lost" in result.output
    with (folder / "journal.duckdb").open("r+b") as file:
        file.seek(3 * 4096 + 1000)
        file.write(b"damaged!" * 8)
    before = (folder / "journal.duckdb").read_bytes()
    result = run("check", "--data-dir", str(folder))
    assert result.exit_code == 1
    assert "Corrupt database file" in result.output
    assert (folder / "journal.duckdb").read_bytes() == before
    assert not list(folder.glob("*damaged*"))


def test_a_folder_without_a_journal_is_named(tmp_path: Path) -> None:
    for command in (["check"], ["backup", str(tmp_path / "to")], ["compact"]):
        found = run(*command, "--data-dir", str(tmp_path)).exception
        assert isinstance(found, OperatorError)
        assert "there is no journal" in str(found)


def test_a_copy_of_a_journal_in_use_has_every_commit_that_was_acknowledged_before(tmp_path: Path) -> None:
    """Checkpoints come between, every twenty commits."""
    path = tmp_path / "journal.duckdb"
    with subprocess.Popen(
        [sys.executable, "-c", _COLLECTOR, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as collector:
        assert collector.stdout is not None
        assert collector.stdin is not None
        for number in range(3):
            for _ in range(15):
                acknowledged = int(collector.stdout.readline())
            copy = tmp_path / f"copy-{number}.duckdb"
            assert run("backup", str(copy), "--data-dir", str(tmp_path)).exit_code == 0
            with duckdb.connect(str(copy), read_only=True) as db:
                ((rows, last),) = db.execute("SELECT count(*), max(seq) FROM latency").fetchall()
            assert rows == last + 1 >= acknowledged
            assert run("check", "--data-dir", str(tmp_path)).exit_code == 0
        for command in (["compact"], ["restore", str(copy)]):
            refused = run(*command, "--data-dir", str(tmp_path)).exception
            assert isinstance(refused, OperatorError)
            assert "is in use: stop the collector first" in str(refused)
        assert isinstance(run("backup", str(copy), "--data-dir", str(tmp_path)).exception, OperatorError)
        collector.stdin.close()
        collector.stdout.read()


def test_compacting_gives_space_back_and_keeps_the_rest(folder: Path) -> None:
    path = folder / "journal.duckdb"
    with duckdb.connect(str(path)) as db:
        db.execute("CREATE TABLE filler AS SELECT hash(i) AS h, hash(i + 1) AS g FROM range(400000) r(i)")
        db.execute("CHECKPOINT")
        db.execute("CREATE TABLE behind AS SELECT hash(i) AS h FROM range(100000) r(i)")
        db.execute("CHECKPOINT")
        db.execute("DROP TABLE filler")
    before = path.stat().st_size
    assert run("compact", "--data-dir", str(folder)).exit_code == 0
    assert path.stat().st_size < before / 2
    again = Journal(path)
    assert again.commit([entry(4), entry(5)]) == [entry(5)]
    again.close()


def test_a_backup_takes_the_place_of_a_journal_that_stays_beside_it_with_its_log(folder: Path, tmp_path: Path) -> None:
    copy, path = tmp_path / "copy.duckdb", folder / "journal.duckdb"
    assert run("backup", str(copy), "--data-dir", str(folder)).exit_code == 0
    assert copy.stat().st_mode & 0o077 == 0
    later = Journal(path)
    later.commit([entry(seq) for seq in range(5, 8)])
    later.close()
    log_of(path).write_bytes(b"what a kill left")

    result = run("restore", str(copy), "--data-dir", str(folder))
    assert result.exit_code == 0, result.exception
    (aside, log) = sorted(folder.glob("journal.duckdb.replaced-*"))[:2]
    assert result.output == f"{path}: 5 reports; the journal before is {aside}\n"
    assert log == log_of(aside)
    assert log.read_bytes() == b"what a kill left"
    log.unlink()
    with duckdb.connect(str(aside), read_only=True) as db:
        assert db.execute("SELECT count(*) FROM latency").fetchone() == (8,)
    restored = Journal(path)
    assert restored.database.rows("SELECT count(*) FROM latency") == [(5,)]
    assert restored.database.rows("SELECT reason, lost_reports FROM journal_damage") == [("missing", 3)]
    restored.close()


def test_a_backup_begins_a_journal_where_there_is_none(folder: Path, tmp_path: Path) -> None:
    (new := tmp_path / "new").mkdir()
    result = run("restore", str(folder / "journal.duckdb"), "--data-dir", str(new))
    assert result.output == f"{new / 'journal.duckdb'}: 5 reports; new\n"
    assert (new / "journal.duckdb").stat().st_mode & 0o777 == 0o600


def test_a_damaged_backup_takes_no_journals_place(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.duckdb"
    assert run("backup", str(copy), "--data-dir", str(folder)).exit_code == 0
    with copy.open("r+b") as file:
        file.seek(3 * 4096 + 1000)
        file.write(b"damaged!" * 8)
    before = (folder / "journal.duckdb").read_bytes()
    assert "is damaged" in str(run("restore", str(copy), "--data-dir", str(folder)).exception)
    assert (folder / "journal.duckdb").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_command_that_is_killed_leaves_no_copy(folder: Path, number: signal.Signals) -> None:
    before = sorted(folder.iterdir())
    block = """
import sys
from pathlib import Path
from collector.store.journal_files import copy_whole, scratch_folder
with scratch_folder(Path(sys.argv[1]), "fails") as folder:
    print(copy_whole(Path(sys.argv[1]), folder), flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", block, str(folder / "journal.duckdb")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as one:
        assert one.stdout is not None
        assert Path(one.stdout.readline().strip()).is_file()
        os.killpg(one.pid, number)
    wait_until(lambda: sorted(folder.iterdir()) == before, "the copy is gone", 60.0)


def test_on_a_full_disk_nothing_stays_of_a_copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy, path, source = tmp_path / "copy.duckdb", folder / "journal.duckdb", tmp_path / "source.duckdb"
    assert run("backup", str(source), "--data-dir", str(folder)).exit_code == 0
    before = sorted(tmp_path.iterdir()), path.read_bytes()

    def fill(_: Path, to: Path) -> None:
        assert to not in {copy, path}  # a kill at this moment leaves no file that looks like a whole one
        to.write_bytes(b"the first half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", fill)
    assert "No space left" in str(run("backup", str(copy), "--data-dir", str(folder)).exception)
    assert "No space left" in str(run("restore", str(source), "--data-dir", str(folder)).exception)
    assert (sorted(tmp_path.iterdir()), path.read_bytes()) == before
