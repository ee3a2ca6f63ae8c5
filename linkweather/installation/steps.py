"""What an installation is made of: users, folders, files and commands, each with what it says of itself. Pure."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RELOAD = ("systemctl", "daemon-reload")
OURS = "linkweather"  # the system user that the daemons run as


@dataclass(frozen=True, slots=True)
class User:
    """A system user without a shell."""

    name: str = OURS

    def __str__(self) -> str:
        return f"system user {self.name}"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, with its mode and the user and group that have it."""

    path: Path
    mode: int
    user: str = "root"
    group: str = "root"
    data: bool = False  # what the daemons write: an uninstall asks before it goes

    def __str__(self) -> str:
        return f"folder  {self.path}  {self.mode:o} {self.user}:{self.group}"


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file with its text. One that is there with another text, which no installation of ours wrote, is refused.

    With `settings`, what an operator changed in it since stays.
    """

    path: Path
    text: str
    mode: int = 0o644
    user: str = "root"
    group: str = "root"
    settings: bool = False

    @property
    def digest(self) -> str:
        """Of its text, by which an uninstall sees whether somebody changed it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def __str__(self) -> str:
        return f"file    {self.path}  {self.mode:o} {self.user}:{self.group}"


@dataclass(frozen=True, slots=True)
class Program:
    """A command that is run, and the one that takes it back."""

    argv: tuple[str, ...]
    undo: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"run     {shlex.join(self.argv)}"


Step = User | Folder | TextFile | Program


def services(*names: str, start: bool = True) -> Sequence[Step]:
    """The steps that let systemd start units at every boot, and now; one that runs reads its files again."""
    enabled = [Program(("systemctl", "enable", name), ("systemctl", "disable", "--now", name)) for name in names]
    started = [Program(("systemctl", "reload-or-restart", name)) for name in names if start]
    return [Program(RELOAD), *enabled, *started]
