"""Takes the steps of a plan on this machine, keeps a list of what it made, and takes all of it back by that list.

The list is written before each step, so that a machine that dies in the middle of it can still be cleaned.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from linkweather import atomicfile
from linkweather.errors import OperatorError
from linkweather.installation.steps import OURS, Folder, Program, Step, TextFile, User

MADE_FILE: Final = Path("/var/lib/linkweather/installed.json")
Entry = dict[str, Any]


class Installation:
    """What was made here, by the list in `made_file`."""

    def __init__(self, made_file: Path = MADE_FILE) -> None:
        self._made_file = made_file
        self._made: list[Entry] = _read(made_file)

    @property
    def empty(self) -> bool:
        """Whether nothing was made."""
        return not self._made

    def has_made(self, path: Path) -> bool:
        """Whether a file or folder is there, and one of ours."""
        return path.exists() and any(entry.get("path") == str(path) for entry in self._made)

    def perform(self, steps: Sequence[Step]) -> None:
        """Take the steps in order. Raises OperatorError at the first one that cannot be taken; those before it stay."""
        steps = [step for step in steps if not (isinstance(step, TextFile) and self._stays(step))]
        for step in steps:
            try:
                self._note(step)
                _TAKE[type(step)](step)
            except (OSError, KeyError, subprocess.SubprocessError) as error:
                raise OperatorError(f"{step}: {_why(error)}") from None

    def undo(self, *, data: bool) -> Iterator[str]:
        """Take everything back, the newest first; a line for each, also for what stays and why.

        Folders with data go with `data` alone.
        """
        for entry in reversed(self._made):
            with contextlib.suppress(FileNotFoundError):
                yield from _UNDO[entry["kind"]](entry, data=data)
        self._made = []
        self._made_file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._made_file.parent.rmdir()

    def _stays(self, step: TextFile) -> bool:
        """Whether a file stays as it is. Raises OperatorError for one that is there, and is none of ours."""
        if not step.path.exists():
            return False
        digest = _digest(step.path)
        made = next((entry["digest"] for entry in self._made if entry.get("path") == str(step.path)), None)
        if made is None and digest != step.digest and not _as_packaged(step.path):
            raise OperatorError(
                f"{step.path}: is there already, and not made by `linkweather init`: move it away first"
            )
        return step.settings and made is not None and digest != made

    def _note(self, step: Step) -> None:
        entry = _entry(step)
        if entry is None:
            return
        self._made_file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with atomicfile.changing(self._made_file.parent):
            self._made = _read(self._made_file)
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        same = [made for made in self._made if (made["kind"], made.get("path")) == (entry["kind"], entry.get("path"))]
        if entry in self._made:
            return
        if "path" in entry and same:
            same[0].update(entry)
        else:
            self._made.append(entry)
        atomicfile.replace(self._made_file, json.dumps(self._made, indent=1), mode=0o600)


def _entry(step: Step) -> Entry | None:
    """What must be known to take a step back; None where it is none of ours to take back."""
    match step:
        case User(name):
            return None if _user(name) else {"kind": "user", "name": name}
        case Folder(path):  # data is named even where a package, or an earlier installation, has made its folder
            return None if path.is_dir() and not step.data else {"kind": "folder", "path": str(path), "data": step.data}
        case TextFile(path):
            return {"kind": "file", "path": str(path), "digest": step.digest}
        case Program(_, undo):
            return {"kind": "program", "undo": list(undo)} if undo else None


def _take_user(step: User) -> None:
    if not _user(step.name):
        home = ("--home-dir", "/var/lib/linkweather", "--shell", "/usr/sbin/nologin")
        _run(("useradd", "--system", "--user-group", *home, step.name))


def _take_folder(step: Folder) -> None:
    step.path.mkdir(mode=step.mode, parents=True, exist_ok=True)
    step.path.chmod(step.mode)
    shutil.chown(step.path, step.user, step.group)


def _take_file(step: TextFile) -> None:
    atomicfile.replace(step.path, step.text, mode=step.mode)
    shutil.chown(step.path, step.user, step.group)


def _take_program(step: Program) -> None:
    _run(step.argv)


_TAKE: Final[dict[type, Callable[[Any], None]]] = {
    User: _take_user,
    Folder: _take_folder,
    TextFile: _take_file,
    Program: _take_program,
}


def _undo_user(entry: Entry, *, data: bool) -> Iterator[str]:
    if data and _user(entry["name"]):
        _run(("userdel", entry["name"]))
        yield f"removed system user {entry['name']}"
    elif _user(entry["name"]):
        yield f"kept    system user {entry['name']}, who has the data"


def _undo_folder(entry: Entry, *, data: bool) -> Iterator[str]:
    path = Path(entry["path"])
    if entry["data"]:
        if data:
            shutil.rmtree(path, ignore_errors=True)
        yield f"{'removed' if data else 'kept   '} {path}"
        return
    with contextlib.suppress(OSError):  # what somebody put there stays
        path.rmdir()
    yield f"kept    {path}: it has other files" if path.exists() else f"removed {path}"


def _undo_file(entry: Entry, *, data: bool) -> Iterator[str]:
    path = Path(entry["path"])
    changed = _digest(path) != entry["digest"]
    if changed and not data:
        yield f"kept    {path}: it was changed since"
        return
    path.unlink()
    yield f"removed {path}"


def _undo_program(entry: Entry, *, data: bool) -> Iterator[str]:
    del data
    with contextlib.suppress(OSError, subprocess.SubprocessError):  # what is no longer there needs no undoing
        _run(entry["undo"])
    yield f"ran     {' '.join(entry['undo'])}"


_UNDO: Final[dict[str, Callable[..., Iterator[str]]]] = {
    "user": _undo_user,
    "folder": _undo_folder,
    "file": _undo_file,
    "program": _undo_program,
}


def _run(argv: Sequence[str]) -> None:
    subprocess.run(argv, check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) and error.filename and not str(error.filename).startswith("/"):
        return f"the program {error.filename} is not installed"
    if isinstance(error, subprocess.CalledProcessError):
        return (error.stderr or f"exit status {error.returncode}").strip().splitlines()[-1]
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _as_packaged(path: Path) -> bool:
    """Whether it is a settings file of a Debian package that nobody changed: a template."""
    try:
        said = subprocess.run(
            ["dpkg-query", "--show", "--showformat=${Conffiles}\n", OURS], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return False
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return f"{path} {digest}" in (line.strip() for line in said.splitlines())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _read(path: Path) -> list[Entry]:
    try:
        found: list[Entry] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise OperatorError(f"{path}: cannot be read, so what is installed here is unknown: {error}") from None
    return found
