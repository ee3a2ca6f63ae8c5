from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from linkweather.atomicfile import damaged_files
from probes.throughput import history_store
from probes.throughput.history_store import HistoryStore
from probes.throughput.past_tests import LinkHistory

FOUND = LinkHistory(tested_s=7.0, measured_s=7.0, found_bps=(50e6,), spans_bps=((49e6, 51e6),))


def reopened(path: Path) -> dict[str, LinkHistory]:
    store = HistoryStore(path)
    found = store.load()
    store.close()
    return found


def test_what_tests_found_outlives_the_process(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path / "tests.sqlite")
    assert store.load() == {}
    store.keep("a", LinkHistory())
    store.keep("b", LinkHistory(failures=2))
    store.keep("a", FOUND)
    store.close()
    assert reopened(tmp_path / "tests.sqlite") == {"a": FOUND, "b": LinkHistory(failures=2)}


def test_of_links_that_are_tested_no_more_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_store, "MOST_LINKS", 2)
    store = HistoryStore(tmp_path / "tests.sqlite")
    for src in ("gone", "a", "b", "a"):
        store.keep(src, FOUND)
    assert sorted(store.load()) == ["a", "b"]
    store.close()


def test_a_damaged_file_is_set_aside_and_named_and_what_is_readable_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tests.sqlite"
    store = HistoryStore(path)
    store.keep("a", FOUND)
    store.close()
    with path.open("r+b") as file:
        file.write(b"no database, this")
    assert reopened(path) == {"a": FOUND}
    assert damaged_files(tmp_path) == {"tests.sqlite": 1}
    assert f"what earlier throughput tests found, in {path}, is damaged" in caplog.text


def test_a_row_that_says_the_impossible_costs_that_link(tmp_path: Path) -> None:
    path = tmp_path / "tests.sqlite"
    store = HistoryStore(path)
    store.keep("a", FOUND)
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO link_history VALUES ('b', '{\"block\": 1e9}')")
    db.close()
    assert reopened(path) == {"a": FOUND}


def test_a_file_that_cannot_be_opened_costs_its_memory_and_is_not_overwritten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tests.sqlite"
    path.symlink_to(path)
    store = HistoryStore(path)
    store.keep("a", FOUND)
    assert store.load() == {}
    store.close()
    assert path.is_symlink()
    assert f"what earlier throughput tests found cannot be read from {path}" in caplog.text


def test_a_disk_that_takes_nothing_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "tests.sqlite"
    store = HistoryStore(path)
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        store.keep("a", FOUND)
        store.keep("a", FOUND)
        holder.execute("ROLLBACK")
    holder.close()
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"what throughput tests found cannot be kept in {path}"
    ]
    store.keep("a", FOUND)
    assert store.load() == {"a": FOUND}
    store.close()
