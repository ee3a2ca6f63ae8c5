"""Whole commits are found in logs put together by hand; `test_journal_repair` has logs that DuckDB wrote."""

from __future__ import annotations

import struct

import pytest

from collector.store.wal import LogScan, checksum, scan_log

HEADER = b"\x64\x00\x62\xff\xff"
FLUSH = b"\x64\x00\x64\xff\xff"


def entry(content: bytes, *, damaged: bool = False) -> bytes:
    return struct.pack("<QQ", len(content), checksum(content) ^ damaged) + content


COMMIT = entry(b"0123456789") + entry(b"01234567") + entry(FLUSH)


def test_a_log_of_whole_commits_is_whole() -> None:
    log = HEADER + 3 * COMMIT
    assert scan_log(log) == LogScan(3, len(log), 0, torn=True)


@pytest.mark.parametrize("kept", [1, 16, 20, len(COMMIT) - 1])
def test_the_last_commit_may_be_torn_anywhere(kept: int) -> None:
    assert scan_log(HEADER + COMMIT + COMMIT[:kept]) == LogScan(1, len(HEADER + COMMIT), 0, torn=True)


def test_zeros_behind_the_commits_are_no_commit() -> None:
    assert scan_log(HEADER + COMMIT + bytes(4096)) == LogScan(1, len(HEADER + COMMIT), 0, torn=True)


def test_commits_behind_damage_are_counted_and_not_kept() -> None:
    bad = entry(b"abc", damaged=True) + entry(FLUSH)
    assert scan_log(HEADER + COMMIT + bad + COMMIT) == LogScan(1, len(HEADER + COMMIT), 2, torn=False)


@pytest.mark.parametrize("log", [b"", HEADER, b"no log" * 100, bytes(300)])
def test_a_log_without_an_entry_is_not_known(log: bytes) -> None:
    assert scan_log(log) is None


def test_checksums_are_duckdbs() -> None:
    """Of the end of a commit, in a log that DuckDB 2.0.0 wrote."""
    assert checksum(FLUSH) == 0x5E3DED2F727DFEE7
