"""DuckDB's write-ahead log, read to find where it is damaged: which commits in it are whole. Pure.

The log is a short header and then entries: a size and a checksum of 8 bytes each, and so many bytes. An entry that says
"flush" ends a commit. DuckDB reads up to the first flush that is missing and drops the rest in silence, and refuses a
log whose entry does not fit its checksum; so whoever opens a journal looks first. (`src/storage/write_ahead_log.cpp`,
`src/storage/wal_replay.cpp` and `src/common/checksum.cpp` of DuckDB; the test writes logs by the installed one.)

Its checksum is the exclusive or of an entry's words, so two equal words count as none: where a column says the same in
two rows of a report, as `seq` does, and a stretch of whole pairs is zeroed, DuckDB does not notice. A chaos run had it:
64 rows with the number 0. So the journal keeps CRCs of its own beside the log, see `log_sums`: a `SumRecord` a commit.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np

_HEAD: Final = struct.Struct("<QQ")  # the size of an entry, its checksum
_SUM: Final = struct.Struct("<QI")  # where a commit ends in the log, the CRC of its bytes
_CHECK: Final = struct.Struct("<I")  # the CRC of a sum itself
SUM_BYTES: Final = _SUM.size + _CHECK.size
HEADER_BYTES: Final = 48  # of the log, which name the file and the checkpoint that it follows
_FLUSH: Final = bytes.fromhex("640064ffff")  # field 100, the entry's type, is 100; end
LOG_BEGINS: Final = b"\x64\x00\x62"  # field 100 is 98: the header
_MAX_HEADER_BYTES: Final = 256
_MASK: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class LogScan:
    """What a log holds: whole commits and the bytes up to their end; commits that begin after damage, at least."""

    commits: int
    whole_bytes: int
    lost_commits: int
    torn: bool  # what follows the whole commits ends in the middle, as after a power cut


def packed_sum(end: int, commit: bytes) -> bytes:
    """What is kept of a commit that ends at `end` in the log: `SUM_BYTES` bytes."""
    packed = _SUM.pack(end, zlib.crc32(commit))
    return packed + _CHECK.pack(zlib.crc32(packed))


def altered_from(log: bytes, sums: bytes) -> int | None:
    """Where the first commit begins whose bytes are others than those that were written; None where none is known.

    `sums` is the log's first `HEADER_BYTES`, then a `packed_sum` a commit. Sums of another log say nothing of this one,
    and those behind one that is damaged, or behind the end of the log, say nothing either.
    """
    if sums[:HEADER_BYTES] != log[:HEADER_BYTES]:
        return None
    begin = 0
    for at in range(HEADER_BYTES, len(sums) - SUM_BYTES + 1, SUM_BYTES):
        end, _ = _SUM.unpack_from(sums, at)
        if end > len(log):
            return None
        if packed_sum(end, log[begin:end]) != sums[at : at + SUM_BYTES]:
            itself = _CHECK.unpack_from(sums, at + _SUM.size) == (zlib.crc32(sums[at : at + _SUM.size]),)
            return begin if itself else None
        begin = end
    return None


def scan_log(log: bytes, sums: bytes = b"") -> LogScan | None:
    """The commits of a log; None where its format is not the one that is known here. For `sums` see `altered_from`."""
    at = _first_entry(log)
    altered = altered_from(log, sums)
    if at is None:
        return None
    commits, whole, damaged, lost = 0, at, False, 0
    while at + _HEAD.size <= len(log):
        size, expected = _HEAD.unpack_from(log, at)
        end = at + _HEAD.size + size
        if size == 0 or end > len(log):
            break
        entry = log[at + _HEAD.size : end]
        damaged = damaged or checksum(entry) != expected or (altered is not None and end > altered)
        if entry == _FLUSH:
            commits, whole, lost = (commits, whole, lost + 1) if damaged else (commits + 1, end, 0)
        at = end
    return LogScan(commits, whole, lost, torn=not damaged)


def checksum(data: bytes) -> int:
    """DuckDB's checksum of an entry."""
    words = np.frombuffer(data, dtype="<u8", count=len(data) // 8)
    result = 5381 ^ int(np.bitwise_xor.reduce(words * np.uint64(0xBF58476D1CE4E5B9))) if len(words) else 5381
    rest = data[len(words) * 8 :]
    return result ^ _rest_hash(rest) if rest else result


def _rest_hash(rest: bytes) -> int:
    # MurmurHash64A of fewer than 8 bytes.
    factor, shift = 0xC6A4A7935BD1E995, 47
    value = (0xE17A1465 ^ (len(rest) * factor)) & _MASK
    value = (value ^ int.from_bytes(rest, "little")) * factor & _MASK
    value = (value ^ value >> shift) * factor & _MASK
    return value ^ value >> shift


def _first_entry(log: bytes) -> int | None:
    """Where the header, whose length varies, ends: where a whole entry begins."""
    for at in range(min(_MAX_HEADER_BYTES, len(log) - _HEAD.size)):
        size, expected = _HEAD.unpack_from(log, at)
        end = at + _HEAD.size + size
        if 0 < size <= len(log) - at - _HEAD.size and checksum(log[at + _HEAD.size : end]) == expected:
            return at
    return None
