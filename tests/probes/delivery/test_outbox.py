"""The outbox: what is added stays until it is committed, through crashes, and losses are counted."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from linkweather.errors import OperatorError
from linkweather.wire import MAX_BOOTS, BootCount, LatencyReport, LatencyRow, SplitFrom, decode, encode
from probes.delivery.outbox import Outbox, OutboxDepth, StoredReport

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def opened(path: Path, boot: str = "boot-1", max_bytes: int = 1000) -> Outbox:
    return Outbox(path, new_boot=lambda: boot, max_bytes=max_bytes)


def payload(boot: str, seq: int) -> bytes:
    return f"{boot}:{seq}".encode()


def waiting(box: Outbox) -> list[StoredReport]:
    return box.reports(box.oldest(10**6))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "site" / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    box = opened(path)
    yield box
    box.close()


def test_reports_come_back_oldest_first_with_their_number_inside(outbox: Outbox) -> None:
    assert [outbox.add("latency", payload), outbox.add("path", payload)] == [0, 1]
    assert waiting(outbox) == [StoredReport(0, "latency", b"boot-1:0"), StoredReport(1, "path", b"boot-1:1")]
    assert outbox.oldest(1) == [0]
    assert outbox.newest(1) == [1]
    assert outbox.newest(10) == [0, 1]
    assert outbox.reports([1, 77]) == [StoredReport(1, "path", b"boot-1:1")]


def test_committed_reports_are_gone_and_those_of_another_boot_stay(outbox: Outbox) -> None:
    outbox.add("latency", payload)
    outbox.add("latency", payload)
    assert outbox.committed("another", [0, 1]) == 0
    assert outbox.committed("boot-1", [0, 77]) == 1
    assert outbox.oldest(10) == [1]


def test_refused_reports_are_gone_and_counted(outbox: Outbox) -> None:
    outbox.add("latency", payload)
    assert outbox.refused("another", [0]) == 0
    assert outbox.refused("boot-1", [0]) == 1
    assert outbox.depth() == OutboxDepth(reports=0, dropped_reports=0, refused_reports=1)


def test_every_opening_is_a_boot_of_its_own_and_numbers_go_on(path: Path) -> None:
    first = opened(path)
    first.add("latency", payload)
    first.add("latency", payload)
    first.committed("boot-1", [0])
    first.close()
    second = opened(path, boot="boot-2")
    assert second.add("latency", payload) == 2
    assert [stored.payload for stored in waiting(second)] == [b"boot-1:1", b"boot-2:2"]
    assert second.committed("boot-2", [1]) == 0
    assert second.committed("boot-1", [1]) == 1
    assert second.committed("boot-2", [2]) == 1
    second.close()


def test_an_outbox_that_goes_back_in_time_gives_no_key_twice(path: Path) -> None:
    box = opened(path)
    box.add("latency", payload)
    box.close()
    backup = path.read_bytes()
    box = opened(path, boot="boot-2")
    box.add("latency", payload)
    box.close()
    path.write_bytes(backup)
    box = opened(path, boot="boot-3")
    box.add("latency", payload)
    assert [stored.payload for stored in waiting(box)] == [b"boot-1:0", b"boot-3:1"]
    box.close()


def rows_of(*peers: str) -> Callable[[str, int], bytes]:
    rows = tuple(LatencyRow(src="a", dst=peer, method="stamp", sent=50, received=50) for peer in peers)
    return lambda boot, seq: encode(LatencyReport(boot=boot, seq=seq, at=NOON, links=rows))


def report_of(stored: StoredReport) -> LatencyReport:
    return decode(LatencyReport, stored.payload)


def peers_of(stored: StoredReport) -> list[str]:
    return [row.dst for row in report_of(stored).links]


PEERS = tuple(f"site-{number}" for number in range(11))
TWO_ROWS = len(rows_of(*PEERS[:2])("boot-1", 2**53))


def test_a_report_that_is_too_long_for_the_broker_is_written_as_several(path: Path) -> None:
    box = opened(path, max_bytes=10**6)
    box.limit(TWO_ROWS)
    assert box.add("latency", rows_of(*PEERS[:5])) == 0
    assert box.add("latency", rows_of("b")) == 3
    assert [peers_of(stored) for stored in waiting(box)] == [
        ["site-0", "site-1"],
        ["site-2", "site-3"],
        ["site-4"],
        ["b"],
    ]
    assert [report_of(stored).seq for stored in waiting(box)] == [0, 1, 2, 3]
    assert all(report_of(stored).split_from is None for stored in waiting(box))
    assert box.depth() == OutboxDepth(reports=4, dropped_reports=0, refused_reports=0)
    box.close()


def test_what_waits_and_may_have_been_sent_is_split_into_rows_that_name_it(path: Path) -> None:
    box = opened(path, max_bytes=10**6)
    box.add("latency", rows_of(*PEERS[:3]))
    box.close()
    box = opened(path, boot="boot-2", max_bytes=10**6)
    box.limit(TWO_ROWS)
    whole = SplitFrom(boot="boot-1", seq=0, parts_boot="boot-2", first=1, last=3)
    found = [report_of(stored) for stored in waiting(box)]
    assert [(report.boot, report.seq, report.split_from) for report in found] == [
        ("boot-2", seq, whole) for seq in (1, 2, 3)
    ]
    assert [row.dst for report in found for row in report.links] == list(PEERS[:3])
    assert {report.at for report in found} == {NOON}
    box.close()


def test_a_row_that_alone_is_too_long_waits_is_counted_and_returns_with_the_limit(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    box = opened(path, max_bytes=10**6)
    box.add("latency", rows_of("b"))
    box.limit(50)
    box.add("latency", lambda _boot, _seq: b"short")
    assert box.oldest(10) == [1]
    assert box.newest(10) == [1]
    assert box.depth() == OutboxDepth(reports=2, dropped_reports=0, refused_reports=0, oversized_reports=1)
    assert "the broker takes reports of 50 bytes at most: 1, each of a single row, are longer, and wait" in caplog.text
    box.limit(None)
    assert box.oldest(10) == [0, 1]
    box.close()


def test_reports_whose_numbers_are_taken_get_new_ones_and_the_next_ones_too(path: Path) -> None:
    boots = iter(["boot-1", "boot-2"])
    box = Outbox(path, new_boot=lambda: next(boots))
    for peer in ("b", "c", "d"):
        box.add("latency", rows_of(peer))
    assert box.refile("boot-1", [1, 77]) == 1
    box.add("latency", rows_of("e"))
    found = [report_of(stored) for stored in waiting(box)]
    assert [(report.boot, report.seq, report.links[0].dst) for report in found] == [
        ("boot-1", 0, "b"),
        ("boot-1", 2, "d"),
        ("boot-2", 3, "c"),
        ("boot-2", 4, "e"),
    ]
    assert box.refile("boot-1", [2]) == 1  # under the boot that is present by now
    assert report_of(waiting(box)[-1]).boot == "boot-2"
    box.close()


def test_overflow_drops_the_oldest_and_counts_them_across_restarts(path: Path) -> None:
    """Three payloads of 8 bytes do not fit 20: the first goes."""
    first = opened(path, max_bytes=20)
    for _ in range(3):
        first.add("latency", payload)
    first.close()
    second = opened(path, max_bytes=20)
    assert second.oldest(10) == [1, 2]
    assert second.depth() == OutboxDepth(reports=2, dropped_reports=1, refused_reports=0)
    second.close()


def test_a_report_larger_than_the_bound_is_kept_alone(path: Path) -> None:
    box = opened(path, max_bytes=4)
    box.add("latency", payload)
    box.add("latency", payload)
    assert box.oldest(10) == [1]
    box.close()


def test_a_report_that_cannot_be_encoded_leaves_no_gap(outbox: Outbox) -> None:
    def broken(boot: str, seq: int) -> bytes:
        raise ValueError(f"{boot} {seq}")

    with pytest.raises(ValueError, match="boot-1 0"):
        outbox.add("latency", broken)
    assert outbox.add("latency", payload) == 0


def test_a_file_that_is_no_outbox_is_set_aside_and_not_overwritten(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, but somebody's data" * 100)
    box = opened(path)
    assert box.add("latency", payload) == 0
    (aside,) = path.parent.glob("outbox.sqlite.damaged-*")
    assert aside.read_bytes().startswith(b"not a database")
    box.close()


def test_a_second_process_is_refused_with_a_sentence(outbox: Outbox, path: Path) -> None:
    outbox.add("latency", payload)
    with pytest.raises(OperatorError, match="cannot be used: database is locked"):
        opened(path)


def test_a_folder_that_cannot_be_made_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match=r"the outbox .*file/outbox.sqlite cannot be used"):
        opened(tmp_path / "file" / "outbox.sqlite")


_WRITER = """
import sys
from pathlib import Path
from probes.delivery.outbox import Outbox
box = Outbox(Path(sys.argv[1]), new_boot=lambda: "b")
while True:
    print(box.add("latency", lambda boot, seq: f"{boot}:{seq}".encode()), flush=True)
"""


def test_every_report_that_was_acknowledged_survives_a_kill(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(25)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
    box = opened(path, max_bytes=10**6)
    stored = {stored.seq: stored.payload for stored in waiting(box)}
    assert acknowledged == list(range(len(acknowledged)))
    assert all(stored[seq] == b"b:%d" % seq for seq in acknowledged)
    box.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def fill(box: Outbox) -> None:
    """Let the file grow no further, as on a full disk."""
    (pages,) = box._db.execute("PRAGMA page_count").fetchone()
    box._db.execute(f"PRAGMA max_page_count = {pages}")


def test_what_a_full_disk_does_not_take_is_dropped_and_counted_and_numbers_have_no_gap(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    box = opened(path, max_bytes=10**9)
    fill(box)
    assert box.add("latency", lambda _boot, _seq: b"x" * 100_000) is None
    assert "database or disk is full" in caplog.text
    assert box.depth() == OutboxDepth(reports=0, dropped_reports=1, refused_reports=0)
    box._db.execute("PRAGMA max_page_count = 1000000")
    assert box.add("latency", payload) == 0
    assert box.depth() == OutboxDepth(reports=1, dropped_reports=1, refused_reports=0)
    box.close()
    again = opened(path)
    assert again.depth().dropped_reports == 1
    again.close()


def test_what_a_full_disk_did_not_take_is_remembered_without_a_later_write_and_said_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    box = opened(path, max_bytes=10**9)
    fill(box)
    for _ in range(40):
        assert box.add("latency", lambda _boot, _seq: b"x" * 100_000) is None
    assert len(caplog.records) == 1
    box.close()  # what a kill leaves: nothing is written at an end
    again = opened(path, max_bytes=10**9)
    assert again.depth().dropped_reports == 40
    fill(again)
    again.add("latency", lambda _boot, _seq: b"x" * 100_000)
    again._db.execute("PRAGMA max_page_count = 1000000")
    again.add("latency", payload)
    assert [record.message.rpartition("; ")[2] for record in caplog.records[2:]] == ["41 were dropped so far"]
    again.close()
    third = opened(path)
    assert third.depth() == OutboxDepth(reports=1, dropped_reports=41, refused_reports=0)
    third.close()


def full_of(path: Path, count: int) -> None:
    """An outbox with so many reports of 1,000 bytes, closed."""
    box = opened(path, max_bytes=10**9)
    for _ in range(count):
        box.add("latency", lambda boot, seq: f"{boot}:{seq}".encode().ljust(1000))
    box.close()


def page_of(path: Path, table: str) -> int:
    """The number of the page that a table begins on, from 0."""
    with sqlite3.connect(path) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    db.close()
    return int(page) - 1


def overwrite(path: Path, page: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(page * 4096)
        file.write(content.ljust(4096, b"\xa5"))


@pytest.mark.parametrize("table", ["report", "state", "damaged", "schema"])
def test_a_damaged_page_above_the_reports_costs_none_of_them(
    path: Path, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The tables' roots, and the first page: reports lie in the pages below the root of theirs."""
    full_of(path, 80)
    overwrite(path, 0 if table == "schema" else page_of(path, table), b"")
    box = opened(path, "boot-2", max_bytes=10**9)
    stored = waiting(box)
    assert [(one.seq, one.payload.strip()) for one in stored] == [(seq, b"boot-1:%d" % seq) for seq in range(80)]
    assert box.depth() == OutboxDepth(reports=80, dropped_reports=0, refused_reports=0)
    assert "is damaged" in caplog.text
    assert "80 of" in caplog.text
    (aside,) = path.parent.glob("outbox.sqlite.damaged-*")
    assert aside.name in caplog.text
    assert box.boot == "boot-2"
    assert box.committed("boot-2", range(80)) == 0
    assert box.committed("boot-1", range(80)) == 80
    assert box.add("latency", payload) == 80
    box.close()


def test_a_damaged_page_of_reports_costs_those_and_they_are_counted(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Page 20 holds three reports of 1,000 bytes."""
    full_of(path, 80)
    overwrite(path, 19, b"\x0d")
    box = opened(path, "boot-2", max_bytes=10**9)
    assert box.depth() == OutboxDepth(reports=77, dropped_reports=0, refused_reports=0, damaged_reports=3)
    assert len(waiting(box)) == 77
    assert "77 of 80 waiting reports are kept, 3 are lost and counted as damaged" in caplog.text
    assert box.boots()[0] == BootCount(boot="boot-1", first=0, next=80, waiting=77, damaged=3)
    box.close()


def test_a_kill_while_a_damaged_file_is_read_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full_of(path, 80)
    overwrite(path, page_of(path, "state"), b"")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("probes.site_database._read_leaves", killed)
        with pytest.raises(KeyboardInterrupt):
            opened(path)
    box = opened(path, max_bytes=10**9)
    assert len(box.oldest(1000)) == 80
    box.close()


def test_damage_that_a_start_did_not_see_is_noticed_where_it_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.site_database.CHECK_MAX_BYTES", 0)
    full_of(path, 80)
    overwrite(path, 19, b"")
    box = opened(path, "boot-2", max_bytes=10**9)
    assert box.depth().reports == 80
    assert len(waiting(box)) == 77
    assert box.add("latency", payload) == 80
    assert box.depth() == OutboxDepth(reports=78, dropped_reports=0, refused_reports=0, damaged_reports=3)
    box.close()


@pytest.mark.parametrize("what", ["payload", "kind", "boot"])
def test_damaged_reports_are_put_aside_and_counted_and_hold_no_other_up(
    path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    full_of(path, 100)
    with sqlite3.connect(path) as db:
        sql_type = "BLOB" if what == "payload" else "TEXT"
        db.execute(f"UPDATE report SET {what} = CAST(x'ff' || {what} AS {sql_type}) WHERE seq < 64")  # noqa: S608
    db.close()
    box = opened(path, max_bytes=10**9)
    assert box.reports(box.oldest(64)) == []
    assert [stored.seq for stored in waiting(box)] == list(range(64, 100))
    assert box.depth() == OutboxDepth(reports=36, dropped_reports=0, refused_reports=0, damaged_reports=64)
    (counted,) = [count for count in box.boots() if count.next == 100]
    assert (counted.waiting, counted.damaged, counted.dropped) == (36, 64, 0)
    assert "64 waiting reports of the outbox" in caplog.text
    assert box._db.execute("SELECT count(*) FROM damaged").fetchone() == (64,)
    box.close()


def test_of_damaged_reports_the_newest_thousand_stay(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probes.delivery.outbox_reports.KEPT_DAMAGED_REPORTS", 3)
    full_of(path, 8)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE report SET crc = crc + 1 WHERE seq < 5")
    db.close()
    box = opened(path, max_bytes=10**9)
    assert [stored.seq for stored in waiting(box)] == [5, 6, 7]
    assert box._db.execute("SELECT seq FROM damaged ORDER BY seq").fetchall() == [(2,), (3,), (4,)]
    box.close()


def test_an_outbox_of_an_earlier_version_is_taken_over(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.executescript("""
            CREATE TABLE report (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, payload BLOB NOT NULL);
            CREATE TABLE state (only INTEGER PRIMARY KEY CHECK (only = 1), boot TEXT NOT NULL,
                next_seq INTEGER NOT NULL, stored_bytes INTEGER NOT NULL DEFAULT 0,
                dropped INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0);
            INSERT INTO state VALUES (1, 'old', 8, 4, 2, 1);
            INSERT INTO report VALUES (6, 'latency', CAST('abcd' AS BLOB));
        """)
    db.close()
    box = opened(path)
    assert box.depth() == OutboxDepth(reports=1, dropped_reports=2, refused_reports=1)
    assert waiting(box) == [StoredReport(6, "latency", b"abcd")]
    assert box.committed("old", [6]) == 1
    box.close()


def add(box: Outbox, reports: int) -> None:
    for _ in range(reports):
        box.add("latency", lambda boot, seq: f'{{"boot":"{boot}","seq":{seq}}}'.encode())


def test_each_boot_says_what_became_of_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    box = Outbox(path, new_boot=lambda: "first")
    add(box, 5)
    box.committed("first", [0])
    box.refused("first", [1])
    box.close()
    names = iter(("second", "third"))
    box = Outbox(path, new_boot=lambda: next(names))
    add(box, 2)
    box.refile("second", [5])
    assert box.boots() == (
        BootCount(boot="first", first=0, next=5, waiting=3, refused=1),
        BootCount(boot="second", first=5, next=7, waiting=1, refiled=1),
        BootCount(boot="third", first=7, next=8, waiting=1),
    )
    box.close()


def test_what_overflows_is_dropped_of_the_boot_that_wrote_it(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.sqlite", new_boot=lambda: "only", max_bytes=1)
    add(box, 3)
    assert box.boots() == (BootCount(boot="only", first=0, next=3, waiting=1, dropped=2),)
    box.close()


def test_of_many_boots_the_newest_are_said_and_older_ones_that_wait(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    for number in range(MAX_BOOTS + 5):
        box = opened(path, f"boot-{number}")
        add(box, 1)
        if number != 2:
            box.committed(f"boot-{number}", [number])
        box.close()
    box = Outbox(path, new_boot=lambda: "last")
    said = [count.boot for count in box.boots()]
    assert said == ["boot-2", *(f"boot-{number}" for number in range(6, MAX_BOOTS + 5))]
    box.close()
