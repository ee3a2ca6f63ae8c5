from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from collector.sinks.backlog import Backlog
from collector.store import journal_tables
from collector.store.columns import TABLES, Entry
from collector.store.database import Database
from collector.store.journal import Journal
from collector.store.journal_format import sentence_of
from collector.store.quarantine import Quarantine, QuarantinedMessage
from linkweather.errors import OperatorError
from linkweather.wire import REPORTS, AnyReport, LatencyReport, Outage, SplitFrom
from tests.collector.report_samples import NOON, entry, latency, path, pruned, recorded_rows, throughput


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.duckdb"


def count(journal: Journal) -> int:
    number: int = journal.database.rows("SELECT count(*) FROM latency")[0][0]
    return number


def test_a_report_is_recorded_with_every_field_as_it_came(file: Path) -> None:
    journal = Journal(file)
    reports: list[AnyReport] = [
        latency(1, lost_back=1, owd_forward_p50_s=-0.001, outages=(Outage(start=NOON, lost=7),)),
        path(2, "f1"),
        throughput(3, congestion="cubic"),
    ]
    journal.commit([entry(report) for report in reports])
    journal.close()
    rows = recorded_rows(Journal(file).database)
    by_kind = [reports[0], reports[2], reports[1]]
    assert [row.row for row in rows] == [report.rows[0] for report in by_kind]
    assert [row.at for row in rows] == [report.at for report in by_kind]
    assert [row.site for row in rows] == ["a", "a", "a"]


def test_a_count_beyond_a_floats_precision_stays_exact_beside_a_missing_one(file: Path) -> None:
    journal = Journal(file)
    big = 2**53 + 1
    journal.commit([entry(throughput(1, bytes=big, duration_s=1e4)), entry(throughput(2, bytes=None))])
    assert journal.database.rows("SELECT bytes FROM throughput ORDER BY number") == [(big,), (None,)]


def test_a_text_that_only_the_last_of_many_rows_has_is_kept(file: Path) -> None:
    journal = Journal(file)
    peers = tuple(f"p{number}" for number in range(3000))
    journal.commit([entry(latency(1, peers=peers)), entry(latency(2, failure="timeout", detail="no reply"))])
    assert journal.database.rows("SELECT failure, detail FROM latency WHERE failure IS NOT NULL") == [
        ("timeout", "no reply")
    ]


def test_a_report_that_is_there_already_is_dropped_with_its_rows(file: Path) -> None:
    journal = Journal(file)
    first, second = entry(latency(1)), entry(latency(2))
    assert journal.commit([first, second, first]) == [first, second]
    assert journal.commit([second]) == []
    assert count(journal) == 2
    journal.close()
    reopened = Journal(file)
    assert reopened.commit([first, second]) == []
    assert count(reopened) == 2


def test_the_same_number_of_another_site_or_outbox_is_another_report(file: Path) -> None:
    journal = Journal(file)
    report = latency(1)
    other = report.model_copy(update={"boot": "boot-2"})
    assert len(journal.commit([entry(report), entry(report, site="b"), entry(other)])) == 3


def test_an_empty_report_is_remembered_without_rows(file: Path) -> None:
    journal = Journal(file)
    empty = entry(LatencyReport(boot="boot-1", seq=9, at=NOON, links=()))
    assert journal.commit([empty]) == [empty]
    assert journal.commit([empty]) == []
    assert count(journal) == 0


def test_rows_are_numbered_without_gap_across_a_restart(file: Path) -> None:
    journal = Journal(file)
    journal.commit([entry(latency(1, peers=("b", "c")))])
    journal.close()
    journal = Journal(file)
    journal.commit([entry(latency(2))])
    assert journal.database.rows("SELECT number FROM latency ORDER BY number") == [(1,), (2,), (3,)]


def test_throughput_is_joined_with_the_latest_known_path_of_its_link(file: Path) -> None:
    journal = Journal(file)
    journal.commit([entry(throughput(1)), entry(path(2, "f1", dst="c"))])
    journal.commit([entry(path(3, "f2")), entry(throughput(4)), entry(path(5, None))])
    journal.close()
    journal = Journal(file)
    journal.commit([entry(throughput(6))])
    joined = journal.database.rows("SELECT seq, path_fingerprint FROM throughput ORDER BY seq")
    assert joined == [(1, None), (4, "f2"), (6, "f2")]


def test_a_journal_from_before_a_field_gains_its_column(file: Path) -> None:
    journal = Journal(file)
    journal.commit([entry(latency(1))])
    with journal.database.transaction() as connection:
        connection.execute("ALTER TABLE latency_rows DROP COLUMN figures")
    journal.close()
    journal = Journal(file)
    journal.commit([entry(latency(2, figures={"connect_s": 0.5}))])
    assert journal.database.rows("SELECT figures FROM latency ORDER BY seq") == [(None,), ({"connect_s": 0.5},)]


def test_retention_deletes_old_rows_but_a_report_that_comes_again_is_still_a_duplicate(file: Path) -> None:
    journal = Journal(file, keep_days=1)
    old, young = entry(latency(1)), entry(latency(2), after_s=86_400)
    journal.commit([old, young])
    assert pruned(journal, NOON + timedelta(days=1, seconds=60)) == 1
    assert journal.database.rows("SELECT seq FROM latency") == [(2,)]
    assert journal.commit([old]) == []


def test_retention_keeps_what_an_exporter_has_still_to_write(file: Path) -> None:
    journal = Journal(file, keep_days=1)
    journal.commit([entry(latency(seq)) for seq in (1, 2, 3)])
    backlog = Backlog(journal.database, "archive")
    taken = backlog.next("latency", 2)
    assert taken is not None
    backlog.advance(taken, (), NOON)
    assert pruned(journal, NOON + timedelta(days=9)) == 2
    assert journal.database.rows("SELECT seq FROM latency") == [(3,)]


def test_without_keep_days_nothing_is_deleted(file: Path) -> None:
    journal = Journal(file)
    journal.commit([entry(latency(1))])
    assert pruned(journal, NOON + timedelta(days=9999)) == 0
    assert count(journal) == 1


def test_numbers_are_not_given_twice_after_retention_has_emptied_a_table(file: Path) -> None:
    journal = Journal(file, keep_days=1)
    backlog = Backlog(journal.database, "archive")
    journal.commit([entry(latency(1))])
    taken = backlog.next("latency", 1)
    assert taken is not None
    backlog.advance(taken, (), NOON)
    pruned(journal, NOON + timedelta(days=9))
    journal.close()
    journal = Journal(file, keep_days=1)
    journal.commit([entry(latency(2))])
    batch = Backlog(journal.database, "archive").next("latency", 10)
    assert batch is not None
    assert (batch.first, batch.last, len(batch)) == (2, 2, 1)


def test_the_keys_of_an_outbox_are_one_row_while_the_journal_runs(file: Path) -> None:
    journal = Journal(file)
    for first in range(0, 3000, 100):
        journal.commit([entry(latency(seq)) for seq in range(first, first + 100)])
        assert journal.database.rows("FROM received") == [("a", "boot-1", 0, first + 99)]


def test_a_range_is_begun_extended_both_ways_and_joined_in_the_file_as_in_memory(file: Path) -> None:
    journal = Journal(file)
    for seqs, expected in (
        ([5, 9], [(5, 5), (9, 9)]),
        ([6, 8], [(5, 6), (8, 9)]),
        ([4, 7, 20], [(4, 9), (20, 20)]),
    ):
        journal.commit([entry(latency(seq)) for seq in seqs])
        assert journal.database.rows("SELECT first, last FROM received ORDER BY first") == expected
    journal.close()
    assert Journal(file).commit([entry(latency(seq)) for seq in (4, 7, 9, 10, 20)]) == [entry(latency(10))]


def test_a_journal_of_before_with_a_row_a_report_is_opened_as_ranges(file: Path) -> None:
    journal = Journal(file)
    journal.database.rows("INSERT INTO received SELECT 'a', 'boot-1', seq, seq FROM range(3000) t(seq) WHERE seq <> 7")
    journal.close()
    journal = Journal(file)
    ranges = [("a", "boot-1", 0, 6), ("a", "boot-1", 8, 2999)]
    assert journal.database.rows("FROM received ORDER BY first") == ranges
    assert journal.commit([entry(latency(2999)), entry(latency(7))]) == [entry(latency(7))]


def test_a_field_that_the_messages_have_gained_becomes_a_column_of_an_old_file(file: Path) -> None:
    journal = Journal(file)
    journal.commit([entry(latency(1))])
    with journal.database.transaction() as connection:
        connection.execute("ALTER TABLE latency_rows DROP COLUMN received")
    journal.close()
    journal = Journal(file)
    journal.commit([entry(latency(2))])
    assert journal.database.rows("SELECT received FROM latency ORDER BY seq") == [(None,), (49,)]


def test_a_failed_commit_leaves_nothing_and_can_be_repeated(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(file)
    monkeypatch.setattr(
        "collector.store.journal_tables.write_ranges", lambda *_: (_ for _ in ()).throw(duckdb.IOException("full"))
    )
    with pytest.raises(duckdb.IOException):
        journal.commit([entry(latency(1)), entry(path(2, "f"))])
    assert count(journal) == 0
    monkeypatch.undo()
    assert len(journal.commit([entry(latency(1)), entry(path(2, "f"))])) == 2
    assert journal.database.rows("SELECT number, seq FROM latency") == [(1, 1)]


def test_a_database_that_failed_beyond_repair_is_opened_again_by_the_next_commit(file: Path) -> None:
    journal = Journal(file)
    journal.commit([entry(latency(1))])
    journal.database._connection.close()  # what DuckDB's fatal errors come down to
    assert len(journal.commit([entry(latency(1)), entry(latency(2))])) == 1
    assert count(journal) == 2


def test_a_database_of_a_newer_duckdb_is_refused_in_one_sentence() -> None:
    text = "IO Error: Trying to read a database file with version number 99, but we can only read versions up to 68."
    assert (
        sentence_of(duckdb.Error(text))
        == "was written by a newer DuckDB: update the package duckdb, or name another file"
    )


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_full_disk_loses_nothing_that_was_committed_and_is_survived(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
    try:
        journal = Journal(disk / "journal.duckdb")
        ballast = disk / "ballast"
        peers = tuple(f"p{number}" for number in range(500))
        ballast.write_bytes(bytes(4_000_000))
        batches = ([entry(latency(seq, peers=peers))] for seq in range(1, 1000))
        with pytest.raises(duckdb.Error):
            deque(map(journal.commit, batches), maxlen=0)
        committed = count(journal) // 500
        assert committed > 0
        ballast.unlink()
        assert len(journal.commit([entry(latency(committed + 1, peers=peers))])) == 1
        assert count(journal) == 500 * (committed + 1)
        journal.close()
        reopened = Journal(disk / "journal.duckdb")
        assert count(reopened) == 500 * (committed + 1)
        assert reopened.commit([entry(latency(seq, peers=peers)) for seq in range(1, committed + 2)]) == []
        reopened.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


_COMMITTER = """
import sys
import threading
from pathlib import Path
from typing import Any
from collector.store.journal import Journal
from tests.collector.report_samples import entry, latency
journal = Journal(Path(sys.argv[1]))
for number in range(10_000):
    batch = [entry(latency(seq, peers=("b", "c"))) for seq in range(10 * number, 10 * number + 10)]
    new = journal.commit(batch)
    print(number, len(new), flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
def test_everything_acknowledged_before_sigkill_is_there_exactly_once(file: Path, acknowledged: int) -> None:
    command = [sys.executable, "-c", _COMMITTER, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(acknowledged):
            line = child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        last = [line, *child.stdout.read().splitlines()][-1]
    batches = int(last.split()[0]) + 1
    journal = Journal(file)
    stored = journal.database.rows("SELECT seq, count(*) FROM latency GROUP BY seq ORDER BY seq")
    # The batch in the making may be there or not, but whole.
    assert len(stored) in {10 * batches, 10 * batches + 10}
    assert stored == [(seq, 2) for seq in range(len(stored))]
    again = [entry(latency(seq, peers=("b", "c"))) for seq in range(10 * batches)]
    assert journal.commit(again) == []


def test_a_file_that_is_no_database_is_set_aside_and_left_as_it_is(file: Path) -> None:
    file.write_text("dear diary, " * 1000)
    Journal(file).close()
    (aside,) = file.parent.glob(f"{file.name}.damaged-*")
    assert aside.read_text() == "dear diary, " * 1000


def test_somebody_elses_database_is_refused(file: Path) -> None:
    with duckdb.connect(str(file)) as other:
        other.execute("CREATE TABLE mine (x INTEGER)")
    with pytest.raises(OperatorError) as refused:
        Journal(file)
    assert str(refused.value) == f"journal {file}: is a DuckDB database, but not a journal: name another file"


def test_a_journal_of_a_newer_program_is_refused(file: Path) -> None:
    Journal(file).close()
    with duckdb.connect(str(file)) as other:
        other.execute("UPDATE journal_format SET version = 3")
    with pytest.raises(OperatorError) as refused:
        Journal(file)
    assert str(refused.value) == (
        f"journal {file}: has format 3, this program knows up to 2: update linkweather, or name another file"
    )


def test_a_journal_that_another_process_has_open_is_refused(file: Path) -> None:
    Journal(file).close()
    holder = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", holder, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(OperatorError) as refused:
            Journal(file)
        child.kill()
    assert str(refused.value) == f"journal {file}: is in use by another process ({child.pid}): stop it first"


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"^journal .*absent/j\.duckdb: cannot be opened: "):
        Journal(tmp_path / "absent" / "j.duckdb")


def test_every_kind_of_report_has_a_table() -> None:
    assert list(TABLES) == list(REPORTS) == ["latency", "throughput", "path", "capacity"]


class Unsynced:
    """A connection whose commit is in the log of the disk, and fails all the same: sync and truncation failed."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        self._connection.commit()
        self._connection.close()
        raise duckdb.FatalException("could not sync, and could not truncate")


def fail_the_next_commit(journal: Journal) -> None:
    journal.database._connection = Unsynced(journal.database._connection)  # type: ignore[assignment]


def test_a_commit_that_failed_but_is_on_the_disk_is_not_written_again(file: Path) -> None:
    journal = Journal(file)
    batch = [entry(latency(1)), entry(latency(2))]
    fail_the_next_commit(journal)
    with pytest.raises(duckdb.FatalException):
        journal.commit(batch)
    third = entry(latency(3))
    assert journal.commit([*batch, third]) == [third]
    assert journal.database.rows("SELECT seq, number FROM latency ORDER BY number") == [(1, 1), (2, 2), (3, 3)]
    assert journal.database.rows("SELECT first, last FROM received") == [(1, 3)]


def test_between_a_failed_commit_and_the_next_one_the_journal_can_be_read(file: Path) -> None:
    journal = Journal(file)
    fail_the_next_commit(journal)
    with pytest.raises(duckdb.FatalException):
        journal.commit([entry(latency(1))])
    assert count(journal) == 1
    assert journal.commit([entry(latency(1))]) == []


def test_a_journal_that_was_closed_is_opened_by_no_one(file: Path) -> None:
    journal = Journal(file)
    journal.close()
    with pytest.raises(duckdb.Error):
        count(journal)
    with pytest.raises(duckdb.Error):
        journal.commit([entry(latency(1))])
    Journal(file).close()


def test_what_cannot_be_read_again_is_read_before_the_next_write(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(file)
    load = journal_tables.read_numbers
    failures = iter([duckdb.IOException("the disk is away")])

    def failing(database: Database) -> dict[str, int]:
        for error in failures:
            raise error
        return load(database)

    monkeypatch.setattr(journal_tables, "read_numbers", failing)
    fail_the_next_commit(journal)
    for error in (duckdb.FatalException, duckdb.IOException):
        with pytest.raises(error):
            journal.commit([entry(latency(1))])
    assert journal.commit([entry(latency(1)), entry(latency(2))]) == [entry(latency(2))]
    assert count(journal) == 2


def test_quarantined_messages_are_numbered_once_after_such_a_failure(file: Path) -> None:
    journal = Journal(file)
    quarantine = Quarantine(journal.database)
    message = QuarantinedMessage("t", b"x", "malformed", "", NOON)
    fail_the_next_commit(journal)
    with pytest.raises(duckdb.FatalException):
        quarantine.add([message])
    quarantine.add([message])
    assert journal.database.rows("SELECT number FROM quarantine ORDER BY number") == [(1,), (2,)]
    assert quarantine.counts == {"malformed": 2}


WHOLE = latency(1, peers=("b", "c"))


def parts(*seqs: int) -> list[Entry]:
    """The rows of WHOLE as reports 11 and 12 of the next boot."""
    whole = SplitFrom(boot="boot-1", seq=1, parts_boot="boot-2", first=11, last=12)
    found = {seq: (row,) for seq, row in zip((11, 12), WHOLE.links, strict=True)}
    return [
        entry(WHOLE.model_copy(update={"boot": "boot-2", "seq": seq, "links": found[seq], "split_from": whole}))
        for seq in seqs
    ]


@pytest.mark.parametrize(
    "batches",
    [
        [[entry(WHOLE)], parts(11), parts(12)],
        [[entry(WHOLE)], parts(11, 12, 11)],
        [[entry(WHOLE), *parts(12, 11)]],
        [parts(11), [entry(WHOLE)], parts(12)],
        [[*parts(12), entry(WHOLE), *parts(11)]],
        [parts(11, 12), parts(11), [entry(WHOLE)]],
    ],
)
def test_a_report_that_comes_whole_and_in_parts_is_there_once(file: Path, batches: list[list[Entry]]) -> None:
    journal = Journal(file)
    for batch in batches:
        journal.commit(batch)
        journal.close()
        journal = Journal(file)
    assert journal.database.rows("SELECT dst FROM latency ORDER BY dst") == [("b",), ("c",)]
    keys = [
        (boot, seq)
        for boot, first, last in journal.database.rows("SELECT boot, first, last FROM received")
        for seq in range(first, last + 1)
    ]
    assert len(set(keys)) == len(keys)
    journal.close()


def refiled(part: Entry, seq: int) -> Entry:
    """A part whose number belonged to another report, under a new one."""
    return entry(part.report.model_copy(update={"boot": "boot-3", "seq": seq}))


def other(seq: int, boot: str) -> Entry:
    """A report of another time, as the machine wrote it before it went back to a snapshot."""
    return entry(latency(seq, peers=("x",)).model_copy(update={"boot": boot, "at": NOON - timedelta(hours=1)}))


@pytest.mark.parametrize(
    "batches",
    [
        [[other(11, "boot-2")], [entry(WHOLE)], [refiled(parts(11)[0], 20)], parts(12)],
        [[other(11, "boot-2")], [entry(WHOLE), refiled(parts(11)[0], 20), *parts(12)]],
        [[other(11, "boot-2")], [refiled(parts(11)[0], 20)], parts(12), [entry(WHOLE)]],
        [[other(11, "boot-2")], parts(12), [refiled(parts(11)[0], 20)]],
        [[other(1, "boot-1")], parts(11), parts(12)],
        [[other(1, "boot-1"), *parts(11, 12)]],
        [[other(1, "boot-1")], [other(11, "boot-2")], [refiled(parts(11)[0], 20)], parts(12)],
    ],
)
def test_parts_are_taken_once_where_other_reports_have_their_numbers_or_the_wholes(
    file: Path, batches: list[list[Entry]]
) -> None:
    journal = Journal(file)
    for batch in batches:
        journal.commit(batch)
        journal.close()
        journal = Journal(file)
    assert journal.database.rows("SELECT dst FROM latency WHERE dst != 'x' ORDER BY dst") == [("b",), ("c",)]
    journal.close()


def test_what_is_recorded_under_a_key_is_its_kinds_and_times(file: Path) -> None:
    journal = Journal(file)
    journal.commit([entry(latency(1)), entry(path(2, "f")), entry(latency(3, peers=()))])
    keys = [("a", "boot-1", seq) for seq in (1, 2, 3, 4)]
    found = {keys[0]: {("latency", latency(1).at)}, keys[1]: {("path", path(2, "f").at)}, keys[2]: set()}
    for expected in (("latency", latency(1).at), ("path", NOON + timedelta(hours=1)), ("other", NOON)):
        assert journal.recorded(dict.fromkeys(keys, expected)) == found
    assert journal.recorded({}) == {}


def test_a_database_closes_while_another_thread_reads(tmp_path: Path) -> None:
    database = Database(tmp_path / "some.duckdb", memory_limit_mb=128)
    reading, ended = threading.Event(), threading.Event()

    def read() -> None:
        with contextlib.suppress(duckdb.Error):  # it is closed in the end
            while not ended.is_set():
                database.rows("SELECT sum(range) FROM range(3_000_000)")
                reading.set()

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        assert reading.wait(60)
        try:
            database.close()
        finally:
            ended.set()
        reader.result(60)
    with pytest.raises(duckdb.Error):
        database.rows("SELECT 1")
