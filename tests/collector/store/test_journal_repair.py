"""A damaged journal: what is readable stays, the damaged file is kept aside, and what is lost is named."""

from __future__ import annotations

import errno
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import pytest

from collector.store import journal_damage
from collector.store.journal import Journal
from collector.store.journal_damage import JournalDamage
from collector.store.journal_repair import is_damage, is_held, log_of
from collector.store.log_sums import read_sums, sums_of
from collector.store.wal import HEADER_BYTES, LogScan, altered_from, scan_log
from linkweather.errors import OperatorError

# A collector that is killed: COUNT commits of a report of ROWS each; the journal is closed once after CLOSED of them.
_KILLED = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from collector.store.columns import Entry
from collector.store import journal_damage
from collector.store.journal import Journal
from collector.store.journal_damage import JournalDamage
from linkweather.wire import LatencyReport, LatencyRow
path, count, closed, rows = Path(sys.argv[1]), *map(int, sys.argv[2:])
now = datetime.now(UTC)
journal = Journal(path)
for seq in range(count):
    if seq == closed:
        journal.close()
        journal = Journal(path)
    links = tuple(LatencyRow(src="a", dst=f"b{n}", method="stamp", sent=1, received=1) for n in range(rows))
    journal.commit([Entry("a", LatencyReport(boot="x", seq=seq, at=now, links=links), now)])
os._exit(0)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.duckdb"


def killed(path: Path, count: int = 20, closed: int = -1, rows: int = 1) -> None:
    numbers = [str(number) for number in (count, closed, rows)]
    subprocess.run([sys.executable, "-c", _KILLED, str(path), *numbers], check=True)


def seqs(path: Path) -> list[int]:
    journal = Journal(path)
    try:
        return [seq for (seq,) in journal.database.rows("SELECT DISTINCT seq FROM latency ORDER BY seq")]
    finally:
        journal.close()


def asides(path: Path) -> list[str]:
    return sorted(name.name.partition(".damaged-")[0] for name in path.parent.glob("*.damaged-*"))


def rewrite(path: Path, at: int, new: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(new)


def test_a_whole_log_is_left_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed(path)
    found = scan_log(log_of(path).read_bytes())
    assert found == LogScan(found.commits if found else 0, log_of(path).stat().st_size, 0, torn=True)
    assert seqs(path) == list(range(20))
    assert not caplog.records
    assert not asides(path)


@pytest.mark.parametrize("cut", [1, 7, 100])
def test_a_log_that_is_cut_costs_its_last_commit_and_the_loss_is_named(
    path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    killed(path)
    wal = log_of(path)
    rewritten = wal.read_bytes()[:-cut]
    wal.write_bytes(rewritten)
    assert seqs(path) == list(range(19))
    assert "has 19 of 20 reports that it acknowledged: 1 are lost" in caplog.text
    assert "ends in the middle of a commit" in caplog.text
    (aside,) = path.parent.glob("*.damaged-*")
    assert aside.read_bytes() == rewritten


@pytest.mark.parametrize("zeros", [64, 400])
def test_a_last_commit_that_is_torn_stops_no_collector(path: Path, zeros: int) -> None:
    killed(path)
    size = log_of(path).stat().st_size
    rewrite(log_of(path), size - zeros, bytes(zeros))
    assert seqs(path) == list(range(19))
    assert asides(path) == ["journal.duckdb.wal"]


def test_a_flipped_bit_in_the_log_costs_what_follows_it_which_is_counted(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed(path)
    wal = log_of(path).read_bytes()
    at = len(wal) // 2
    rewrite(log_of(path), at, bytes([wal[at] ^ 0x10]))
    left = seqs(path)
    assert left == list(range(len(left)))
    assert 0 < len(left) < 20
    assert f"has {len(left)} of 20 reports that it acknowledged: {20 - len(left)} are lost" in caplog.text
    assert f"at least {20 - len(left)} behind them are lost" in caplog.text


def test_words_that_duckdbs_checksum_overlooks_are_damage_all_the_same(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed(path, rows=8)
    wal = log_of(path).read_bytes()
    altered = next(found for found in map(partial(without_twins, wal), range(len(wal) // 2, len(wal) - 16)) if found)
    log_of(path).write_bytes(altered)
    left = seqs(path)
    assert left == list(range(len(left)))
    assert 0 < len(left) < 20
    assert f"at least {20 - len(left)} behind them are lost" in caplog.text
    assert asides(path) == ["journal.duckdb.wal"]


def without_twins(wal: bytes, at: int) -> bytes | None:
    """The log without two equal words at `at`; None where there are none, or where DuckDB's checksum sees it."""
    altered = wal[:at] + bytes(16) + wal[at + 16 :]
    twins = wal[at : at + 8] == wal[at + 8 : at + 16] != bytes(8)
    return altered if twins and scan_log(altered) == scan_log(wal) else None


def test_a_checkpoint_begins_the_sums_of_the_log_anew(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed(path, 20, closed=12)
    wal = log_of(path).read_bytes()
    known = read_sums(log_of(path))
    assert known.startswith(wal[:HEADER_BYTES])
    assert altered_from(wal[:-1] + b"!", known) is not None
    assert seqs(path) == list(range(20))
    assert not caplog.records


def test_a_journal_whose_sums_cannot_be_written_commits_all_the_same(path: Path) -> None:
    sums_of(log_of(path)).mkdir()
    killed(path)
    assert seqs(path) == list(range(20))


def test_the_loss_is_named_once_and_the_journal_goes_on(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed(path)
    log_of(path).write_bytes(log_of(path).read_bytes()[:-1])
    seqs(path)
    caplog.clear()
    killed(path, 20)  # the lost one comes again
    assert seqs(path) == list(range(20))
    assert not caplog.records


def test_a_log_that_is_gone_is_noticed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed(path, 20, closed=12)
    log_of(path).unlink()
    assert seqs(path) == list(range(12))
    assert "has 12 of 20 reports that it acknowledged: 8 are lost" in caplog.text


def test_a_log_without_its_journal_is_set_aside_and_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed(path, 20, closed=12)
    path.unlink()
    assert seqs(path) == []
    assert asides(path) == ["journal.duckdb.wal"]
    assert "is gone, its log stays with 8 commits" in caplog.text
    assert "has 0 of 20 reports that it acknowledged: 20 are lost" in caplog.text


def test_a_log_that_is_none_at_all_is_set_aside(path: Path) -> None:
    killed(path, 20, closed=12)
    log_of(path).write_bytes(b"no log" * 100)
    assert seqs(path) == list(range(12))
    assert asides(path) == ["journal.duckdb.wal"]


def blocks_of(path: Path, table: str) -> list[int]:
    with duckdb.connect(str(path), read_only=True) as db:
        found = db.execute(
            "SELECT DISTINCT block_id FROM pragma_storage_info(?) WHERE persistent AND block_id >= 0", [table]
        ).fetchall()
    return sorted(block for (block,) in found)


def test_a_damaged_block_of_the_keys_costs_none_of_the_rows_nor_their_keys(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The keys are found again in the rows, which lie in other blocks once a table is large enough."""
    killed(path, 20, closed=19)
    seqs(path)
    with duckdb.connect(str(path)) as db:
        db.execute(
            "CREATE OR REPLACE TABLE received AS "
            "SELECT 'z' AS site, hash(i)::VARCHAR AS boot, i AS first, i AS last FROM range(300000) r(i)"
        )
    (block, *_) = set(blocks_of(path, "received")) - set(blocks_of(path, "latency_rows"))
    rewrite(path, 3 * 4096 + block * 262_144 + 1000, b"damaged!" * 8)
    assert seqs(path) == list(range(20))
    assert asides(path) == ["journal.duckdb"]
    assert "rows are kept" in caplog.text
    journal = Journal(path)
    assert ("a", "x", 7) in journal._seen
    journal.close()


def test_a_file_that_is_no_database_is_set_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed(path, 3, closed=2)
    rewrite(path, 0, b"damaged!" * 2000)
    assert seqs(path) == []
    assert asides(path) == ["journal.duckdb", "journal.duckdb"]  # and its log
    assert "has 0 of 3 reports that it acknowledged: 3 are lost" in caplog.text


def test_a_journal_that_is_lost_and_begun_anew_keeps_its_id_and_with_it_its_sites(path: Path) -> None:
    first = Journal(path)
    first.close()
    path.unlink()
    again = Journal(path)
    assert again.id == first.id
    again.close()


def test_what_the_disk_or_another_process_does_is_no_damage() -> None:
    assert not is_damage(duckdb.IOException("Could not write file: No space left on device"))
    assert not is_damage(duckdb.IOException("Could not set lock on file: Conflicting lock is held in python (PID 7)"))
    assert is_damage(
        duckdb.Error("Corrupt database file: computed checksum 1 does not match stored checksum 2 in block")
    )


def test_a_journal_that_is_open_elsewhere_keeps_its_log(path: Path) -> None:
    """Whatever its log looks like: another process is writing it."""
    holder = _KILLED.replace("os._exit(0)", "print('open', flush=True); sys.stdin.read()")
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(path), "5", "-1", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        with log_of(path).open("ab") as log:
            log.write(b"half a commit")
        size = log_of(path).stat().st_size
        with pytest.raises(OperatorError, match="is in use by another process"):
            Journal(path)
        assert log_of(path).stat().st_size == size
        child.kill()
    assert not asides(path)


def test_a_lock_that_cannot_be_asked_for_is_not_taken_for_another_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Journal(path).close()

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("collector.store.journal_repair.fcntl.lockf", no_locks)
    with pytest.raises(OSError, match="No locks available"):
        is_held(path)


def found(path: Path) -> dict[str, int]:
    journal = Journal(path)
    try:
        return journal.damage.found
    finally:
        journal.close()


def test_damage_that_a_start_found_is_known_at_the_next_ones_by_its_reason(path: Path) -> None:
    killed(path, closed=10)
    wal = log_of(path)
    wal.write_bytes(wal.read_bytes()[:-5])
    assert found(path) == {"torn_log": 2}  # the cut, and the report that was in it
    assert found(path) == {"torn_log": 2}
    content = bytearray(path.read_bytes())
    content[0:4096] = bytes(4096)
    path.write_bytes(content)
    assert found(path) == {"damaged_journal": 2}  # in a new journal, as nothing of the old one can be read


def test_a_count_of_acknowledged_reports_that_is_damaged_is_said_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed(path)
    count = path.with_name(f"{path.name}.acknowledged")
    count.write_bytes(b"\xff" + count.read_bytes()[1:])
    assert found(path) == {"damaged_count": 1}
    assert found(path) == {"damaged_count": 1}
    assert caplog.text.count("acknowledged is unknown") == 1


def test_a_mistake_in_our_own_sql_is_no_damage_of_the_file() -> None:
    with duckdb.connect() as db, pytest.raises(duckdb.ParserException) as caught:
        db.execute("CREATE TABLE at at")
    assert not is_damage(caught.value)


def test_of_damage_the_newest_entries_are_kept_and_all_are_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_damage, "KEPT_ENTRIES", 3)
    journal = Journal(path)
    now = datetime(2026, 11, 1, 12, tzinfo=UTC)
    some = [JournalDamage(now + timedelta(days=day), "torn_log", f"{day}", lost_reports=day) for day in range(5)]
    with journal.database.transaction() as connection:
        journal_damage.note(connection, some)
    journal.close()
    journal = Journal(path)
    assert journal.damage.newest == some[:1:-1]
    assert (journal.damage.found, journal.damage.lost) == ({"torn_log": 5}, {"torn_log": 10})
    journal.close()
