"""Disks of a few megabytes for a daemon's files, which fill up and become read-only: a tmpfs, which root mounts.

A room of its own because mounting is the one thing here that an ordinary user cannot do.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_BALLAST = "ballast"
_PIECE = bytes(65536)


class SmallDisk:
    """A tmpfs at `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._full = False

    def fill(self) -> None:
        """Leave no room at all."""
        self._full = True
        with contextlib.suppress(OSError), (self._folder / _BALLAST).open("ab", buffering=0) as ballast:
            while ballast.write(_PIECE):
                pass

    def empty(self) -> None:
        """Give the room back; on a read-only disk, once it is writable."""
        self._full = False
        with contextlib.suppress(OSError):
            (self._folder / _BALLAST).unlink()

    def make_read_only(self) -> None:
        """No file of it may be open for writing."""
        _run("mount", "-o", "remount,ro", str(self._folder))

    def make_writable(self) -> None:
        """The reverse."""
        _run("mount", "-o", "remount,rw", str(self._folder))
        if not self._full:
            self.empty()


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk | None]:
    """A disk mounted at `folder` while the block lasts; None where we may not mount."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0 or not _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "chaos", str(folder)):
        yield None
        return
    try:
        yield SmallDisk(folder)
    finally:
        # What is on it stays, for who looks at it afterwards.
        kept = shutil.copytree(folder, folder.with_name(f"{folder.name}-kept"))
        _run("umount", "--lazy", str(folder))
        folder.rmdir()
        kept.rename(folder)


def _run(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
