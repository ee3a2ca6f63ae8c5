"""CRCs of our own beside DuckDB's log, whose checksum overlooks pairs of equal words: one a commit, see `wal`.

They are written behind each commit without a sync. After a power cut the last ones may be missing: those commits then
stand by DuckDB's checksum alone. A file that cannot be written costs only this: a commit never fails for it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

from collector.store.wal import HEADER_BYTES, SUM_BYTES, packed_sum


def sums_of(wal: Path) -> Path:
    """The file with the CRCs of a log."""
    return wal.with_name(f"{wal.name}.sums")


def read_sums(wal: Path) -> bytes:
    """What is known of a log's commits; nothing where there is no file that can be read."""
    try:
        return sums_of(wal).read_bytes()
    except OSError:
        return b""


class LogSums:
    """Follows the log of an open journal. Whoever commits calls `note` before anybody else commits."""

    def __init__(self, wal: Path) -> None:
        self._wal = wal
        self._header = b""
        self._end = self._count = 0

    def note(self) -> None:
        """Keep the CRC of what the log gained. A log that a checkpoint or a repair made shorter begins anew."""
        with contextlib.suppress(OSError), self._wal.open("rb", buffering=0) as log:
            header = log.read(HEADER_BYTES)
            if header != self._header or os.fstat(log.fileno()).st_size < self._end:
                self._begin(header)
            self._append(log)

    def _begin(self, header: bytes) -> None:
        self._header, self._end, self._count = b"", 0, 0
        sums_of(self._wal).write_bytes(header)
        self._header = header

    def _append(self, log: BinaryIO) -> None:
        log.seek(self._end)
        gained = log.read()
        if not gained:
            return
        end = self._end + len(gained)
        with sums_of(self._wal).open("r+b", buffering=0) as sums:
            sums.seek(HEADER_BYTES + self._count * SUM_BYTES)
            sums.write(packed_sum(end, gained))
        self._end, self._count = end, self._count + 1
