"""Writes a whole file in one step: after a crash, and for every reader, it is the old one or the new one.

Whoever reads a file, changes it and writes it back does so within `changing`, so that no other's change is lost. A
number that other files are held to, such as how many reports were acknowledged, is a `DurableNumber`, written in place.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import struct
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from linkweather.errors import OperatorError

_SET_ASIDE: Final = re.compile(r"(.+)\.damaged-\d{8}T\d{6}Z(?:-\d+)?")
LOCK_WAIT_S: Final = 10.0
_LOCK_POLL_S: Final = 0.02
# Of a network file system, which locks no folder: there, commands are not to be run at once.
_NO_LOCKS: Final = frozenset({errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP})


def replace(path: Path, content: str | bytes, *, mode: int | None = None) -> None:
    """Write a copy beside the file, sync it to disk, rename it over the file and sync the folder. Raises OSError.

    A symbolic link stays, and what it points at is replaced. The new file has `mode`; without it the old one's
    permissions, or what the umask leaves of 0o666.
    """
    target = Path(os.path.realpath(path))
    old = target.stat().st_mode & 0o777 if target.exists() else None
    if old is not None and not (target.is_file() or target.is_dir()):  # a folder refuses the rename itself
        raise OSError(errno.EINVAL, "is no regular file")
    copy = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")
    try:
        number = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
        with os.fdopen(number, "wb") as file:
            if mode is None and old is not None:
                os.fchmod(number, old)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(number)
        copy.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


@contextlib.contextmanager
def changing(folder: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """A block in which this caller alone changes the files of a folder; it may not be entered twice. Blocks.

    The lock is on the folder itself, so that no file is left, and ends with the process. Raises OperatorError where the
    folder cannot be opened, or another holds it for longer than `wait_s`.
    """
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise OperatorError(f"{folder}: cannot be opened: {error.strerror}") from None
    try:
        _lock(number, folder, time.monotonic() + wait_s)
        yield
    finally:
        os.close(number)


def _lock(number: int, folder: Path, until: float) -> None:
    while True:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise OperatorError(f"{folder}: another command is changing it: try again when it is done") from None
            time.sleep(_LOCK_POLL_S)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise OperatorError(f"{folder}: cannot be locked: {error.strerror}") from None
            return
        else:
            return


def set_aside(path: Path) -> Path:
    """Rename a damaged file to `NAME.damaged-<time>`, a name that is free, which is returned. Raises OSError."""
    aside = damaged_name(path)
    path.rename(aside)
    return aside


def damaged_name(path: Path, why: str = "damaged") -> Path:
    """`NAME.damaged-<time>`, or another word why it is kept, with a number where that is taken."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (path.with_name(f"{path.name}.{why}-{stamp}{suffix}") for suffix in ("", *(f"-{n}" for n in range(99))))
    return next(name for name in names if not name.exists())


def damaged_files(folder: Path) -> dict[str, int]:
    """The files in a folder that were set aside as damaged, by the name that they had. Raises OSError."""
    found = (_SET_ASIDE.fullmatch(path.name) for path in folder.iterdir())
    return dict(Counter(match[1] for match in found if match))


def sync_folder(folder: Path) -> None:
    """Sync a folder, where its file system can: without it a rename itself may be lost with the power."""
    number = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(number)
    finally:
        os.close(number)


_NUMBER: Final = struct.Struct("<Q")
_CHECK: Final = struct.Struct("<I")


class DurableNumber:
    """The number in `path`, a file of its own. Raises OSError where the file cannot be used.

    The file is written in place: it needs no room on a full disk (where the file system copies on each write, as btrfs
    and ZFS do, it may), and one write of 12 bytes is whole or absent.
    """

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
