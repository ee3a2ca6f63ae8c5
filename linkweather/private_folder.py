"""A folder for data that no other user can put a file, or a symbolic link, into.

A room of its own because daemons, demo and lab all write into a folder that an operator names, often as root: what
another user prepared there would be written through.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from linkweather.errors import OperatorError

_ANYONE = stat.S_IWOTH
_GROUP = stat.S_IWGRP
_ALONE = "LINKWEATHER_ALONE"
_TODO = "name a folder that only you can write"


def make_private(folder: Path, key: str = "") -> None:
    """Make the folder with mode 700, and those above it; or see that what is there is ours. Raises OperatorError.

    `key` is the setting that names it.

    As sshd does for its keys, it looks at every folder above as well: who can write one of these can exchange what is
    below. As for git, a folder of the user who called sudo is root's own.
    One of ours that others can write, as a new disk's is, gets mode 700, unless another user has put something there.
    Where LINKWEATHER_ALONE=1 says that no other user is there, as in our container, nothing is looked at.
    """
    whole, name = folder.absolute(), f"{key} = '{folder}'" if key else str(folder)
    try:
        _close(whole)
        _check(whole, name)
        for each in (*reversed(whole.parents), whole):
            if not os.path.lexists(each):
                each.mkdir(mode=0o700, exist_ok=True)
        _check(whole, name)  # also what another process made just now
    except OSError as error:
        raise OperatorError(f"{name}: cannot be made: {error.strerror}") from None


@contextlib.contextmanager
def private_umask() -> Iterator[None]:
    """Files that are made while the block runs, by databases too, are for us alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _close(folder: Path) -> None:
    """Let nobody else write a folder of ours, where all that is in it is ours, too."""
    if not os.path.lexists(folder) or os.environ.get(_ALONE) == "1":
        return
    found = folder.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not ours or not found.st_mode & _ANYONE:
        return
    with contextlib.suppress(OSError):  # a disk that is read only
        folder.chmod(0o700)  # first: from now on nobody puts anything there
        with os.scandir(folder) as entries:
            ours = all(_is_ours(each) for each in entries)
        if not ours:
            folder.chmod(stat.S_IMODE(found.st_mode))


def _is_ours(entry: os.DirEntry[str]) -> bool:
    return not entry.is_symlink() and entry.stat(follow_symlinks=False).st_uid == os.geteuid()


def _check(whole: Path, name: str) -> None:
    if os.environ.get(_ALONE) == "1":
        return
    trusted, groups = _trusted(), {os.getegid(), *os.getgroups()}
    for each in _chain(whole):
        found = each.lstat()
        wrong = why_not_ours(found, trusted, groups, last=each == whole)
        if wrong:
            which = "" if each == whole else f"{each} "
            raise OperatorError(f"{name}: {which}{wrong}: {_TODO}")


def _chain(whole: Path) -> Iterator[Path]:
    """The folder and those above it as they are named and as they are, so far as they exist."""
    for each in dict.fromkeys((whole, *whole.parents, *whole.resolve().parents)):
        if os.path.lexists(each):
            yield each


def _trusted() -> Collection[int]:
    sudo = os.environ.get("SUDO_UID", "") if os.geteuid() == 0 else ""
    return {0, os.geteuid(), *([int(sudo)] if sudo.isdecimal() else ())}


def why_not_ours(found: os.stat_result, trusted: Collection[int], groups: Collection[int], *, last: bool) -> str | None:
    """What is wrong with the folder (`last`), or with one above it, by its lstat; None where it is ours."""
    mode = found.st_mode
    if found.st_uid not in trusted:
        return f"belongs to another user, {found.st_uid}"
    if not stat.S_ISDIR(mode):  # a link's own mode says nothing, and in a file no folder can be made
        return ("is a symbolic link" if stat.S_ISLNK(mode) else "is no folder") if last else None
    shared = mode & _ANYONE or (mode & _GROUP and found.st_gid not in groups)
    sticky = mode & stat.S_ISVTX and not last  # as /tmp: others cannot exchange what is ours
    return "can be written by others" if shared and not sticky else None
