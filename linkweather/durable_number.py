"""A number in a small file of fixed size, which stands in a place of its own, so that other files can be held to it.

The file is written in place: it needs no room on a full disk (where the file system copies on each write, as btrfs and
ZFS do, it may), and one write of 12 bytes is whole or absent. A room of its own, because the outbox counts by it what
a full disk did not take, and the journal how many reports it has acknowledged.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Final

_NUMBER: Final = struct.Struct("<Q")
_CHECK: Final = struct.Struct("<I")


class DurableNumber:
    """The number in `path`. Raises OSError where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def read(self) -> int | None:
        """The number; None in a file that is new or damaged."""
        found = os.pread(self._file, _NUMBER.size + _CHECK.size, 0)
        packed = found[: _NUMBER.size]
        if len(found) < _NUMBER.size + _CHECK.size or found[_NUMBER.size :] != _CHECK.pack(zlib.crc32(packed)):
            return None
        return int(_NUMBER.unpack(packed)[0])

    @property
    def damaged(self) -> bool:
        """Whether the file holds something, and no number."""
        return os.fstat(self._file).st_size > 0 and self.read() is None

    def write(self, number: int, *, sync: bool) -> None:
        """Write the number; without `sync` it survives a kill of the process at once, a power cut after seconds."""
        packed = _NUMBER.pack(number)
        os.pwrite(self._file, packed + _CHECK.pack(zlib.crc32(packed)), 0)
        if sync:
            os.fdatasync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
