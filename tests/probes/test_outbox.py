"""The outbox: what is added stays until it is committed, through crashes, and losses are counted."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkweather.errors import OperatorError
from probes.outbox import Depth, Outbox, Stored


def opened(path: Path, boot: str = "boot-1", max_bytes: int = 1000) -> Outbox:
    return Outbox(path, new_boot=lambda: boot, max_bytes=max_bytes)


def payload(boot: str, seq: int) -> bytes:
    return f"{boot}:{seq}".encode()


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
    assert outbox.oldest(10) == [Stored(0, "latency", b"boot-1:0"), Stored(1, "path", b"boot-1:1")]
    assert outbox.oldest(1) == [Stored(0, "latency", b"boot-1:0")]


def test_committed_reports_are_gone_and_those_of_another_boot_stay(outbox: Outbox) -> None:
    outbox.add("latency", payload)
    outbox.add("latency", payload)
    assert outbox.committed("another", [0, 1]) == 0
    assert outbox.committed("boot-1", [0, 77]) == 1
    assert [stored.seq for stored in outbox.oldest(10)] == [1]


def test_refused_reports_are_gone_and_counted(outbox: Outbox) -> None:
    outbox.add("latency", payload)
    assert outbox.refused("another", [0]) == 0
    assert outbox.refused("boot-1", [0]) == 1
    assert outbox.depth() == Depth(reports=0, dropped_reports=0, refused_reports=1)


def test_numbers_and_boot_go_on_after_a_restart_also_when_all_was_committed(path: Path) -> None:
    first = opened(path)
    first.add("latency", payload)
    first.committed("boot-1", [0])
    first.close()
    second = opened(path, boot="never used")
    assert second.boot == "boot-1"
    assert second.add("latency", payload) == 1
    second.close()


def test_overflow_drops_the_oldest_and_counts_them_across_restarts(path: Path) -> None:
    """Three payloads of 8 bytes do not fit 20: the first goes."""
    first = opened(path, max_bytes=20)
    for _ in range(3):
        first.add("latency", payload)
    first.close()
    second = opened(path, max_bytes=20)
    assert [stored.seq for stored in second.oldest(10)] == [1, 2]
    assert second.depth() == Depth(reports=2, dropped_reports=1, refused_reports=0)
    second.close()


def test_a_report_larger_than_the_bound_is_kept_alone(path: Path) -> None:
    box = opened(path, max_bytes=4)
    box.add("latency", payload)
    box.add("latency", payload)
    assert [stored.seq for stored in box.oldest(10)] == [1]
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
    assert path.with_name("outbox.sqlite.unreadable-1").read_bytes().startswith(b"not a database")
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
from probes.outbox import Outbox
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
    stored = {stored.seq: stored.payload for stored in box.oldest(10**6)}
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
    assert box.depth() == Depth(reports=0, dropped_reports=1, refused_reports=0)
    box._db.execute("PRAGMA max_page_count = 1000000")
    assert box.add("latency", payload) == 0
    assert box.depth() == Depth(reports=1, dropped_reports=1, refused_reports=0)
    box.close()
    again = opened(path)
    assert again.depth().dropped_reports == 1
    again.close()
