"""Whole commits are found in logs put together by hand; `test_journal_repair` has logs that DuckDB wrote."""

from __future__ import annotations

import struct

import pytest

from collector.store.wal import HEADER_BYTES, LogScan, altered_from, checksum, packed_sum, scan_log

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


def sums(log: bytes, *ends: int) -> bytes:
    begins = [0, *ends[:-1]]
    return log[:HEADER_BYTES] + b"".join(
        packed_sum(end, log[begin:end]) for begin, end in zip(begins, ends, strict=True)
    )


def overlooked(log: bytes, at: int) -> bytes:
    """The log with two equal words of an entry gone, which is the same by DuckDB's checksum."""
    assert log[at : at + 8] == log[at + 8 : at + 16] != bytes(8)
    return log[:at] + bytes(16) + log[at + 16 :]


TWINS = entry(b"01234567" * 2) + entry(FLUSH)
TWIN_LOG = HEADER + COMMIT + TWINS + TWINS
ENDS = [len(HEADER + COMMIT), len(HEADER + COMMIT + TWINS), len(TWIN_LOG)]
ALTERED = overlooked(TWIN_LOG, ENDS[0] + 16)


def test_what_duckdbs_checksum_overlooks_is_seen_by_ours() -> None:
    assert scan_log(ALTERED) == LogScan(3, len(ALTERED), 0, torn=True)
    assert scan_log(ALTERED, sums(TWIN_LOG, *ENDS)) == LogScan(1, ENDS[0], 2, torn=False)
    assert scan_log(TWIN_LOG, sums(TWIN_LOG, *ENDS)) == LogScan(3, ENDS[2], 0, torn=True)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (b"", "there is no file"),
        (b"x" + sums(TWIN_LOG, *ENDS)[1:], "of another log"),
        (sums(TWIN_LOG, ENDS[0]), "up to the first commit"),
        (sums(TWIN_LOG, *ENDS[:2])[:-1], "torn"),
        (sums(TWIN_LOG, *ENDS[:2])[:-1] + b"!", "damaged itself"),
        (sums(TWIN_LOG + COMMIT, ENDS[0], len(TWIN_LOG + COMMIT)), "of a longer log"),
    ],
)
def test_sums_that_say_nothing_of_a_commit_leave_it_to_duckdb(known: bytes, why: str) -> None:
    assert altered_from(ALTERED, known) is None, why
