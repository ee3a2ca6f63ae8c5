"""What an operator does with a journal's files: check, copy while the collector writes, restore, and give space back.

A copy of a running journal. DuckDB changes the blocks that its header names only by writing others and then, at a
checkpoint, another header; what was committed since is in the log, which only grows. So a copy of the file and then of
its log is consistent if the header is the same before and after, and the log's last, half copied commit is left out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from collector.store.journal_repair import (
    copy_readable,
    is_damage,
    is_held,
    log_of,
    move_in_place,
    repair_log,
)
from collector.store.log_sums import read_sums, sums_of
from collector.store.packed_delays import VIEW, stored_in
from collector.store.wal import scan_log
from linkweather.atomicfile import DurableNumber, damaged_name
from linkweather.errors import OperatorError

_HEADER_BYTES: Final = 3 * 4096
_ATTEMPTS: Final = 20
_AGAIN_S: Final = 0.5
_REMOVE_AT_END: Final = ("/bin/sh", "-c", 'trap "" HUP INT TERM; exec >/dev/null 2>&1; read _; rm -rf -- "$0"')


@dataclass(frozen=True, slots=True)
class JournalCheck:
    """Rows by table that could be read, reports that were acknowledged and are there, and what is wrong."""

    rows: Mapping[str, int]
    reports: int
    acknowledged: int
    problems: tuple[str, ...]


def check(path: Path) -> JournalCheck:
    """Read all of a journal, or of a copy of it while it is in use. Raises OperatorError where there is none."""
    check_there(path)
    acknowledged = _acknowledged(path)  # before a copy, which has these and later ones
    if not is_held(path):
        return _checked(path, acknowledged, path)
    with scratch_folder(path, "is in use, and cannot be copied to be read") as folder:
        copy = folder / path.name
        _copy(path, copy)
        return _checked(copy, acknowledged, path)


@contextlib.contextmanager
def scratch_folder(beside: Path, failed: str) -> Iterator[Path]:
    """A folder for copies, which goes with this process however it ends, be it by SIGKILL.

    Raises OperatorError: `beside`, and `failed`, where the block or the folder meets an error of the disk or of DuckDB.
    """
    folder = ""
    try:
        folder = tempfile.mkdtemp(dir=beside.parent, prefix=f".{beside.name}-")
        # What waits for the end of our pipe has a session of its own: no terminal and no group ends it with us.
        with subprocess.Popen([*_REMOVE_AT_END, folder], stdin=subprocess.PIPE, start_new_session=True):
            yield Path(folder)
    except (OSError, duckdb.Error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise OperatorError(f"{beside}: {failed}: {why.replace(f'{folder}/', '')}") from None


def backup(path: Path, to: Path) -> None:
    """Copy a journal, in use or not, to a file that there is not yet; it gets its name once it is whole.

    Raises OperatorError.
    """
    check_there(path)
    if to.exists():
        raise OperatorError(f"{to}: is there already: name another file")
    with scratch_folder(to, "the journal cannot be copied there") as folder:
        move_in_place(copy_whole(path, folder), to)


def copy_whole(path: Path, folder: Path) -> Path:
    """Copy a journal, in use or not, with what its log has: the copy in `folder`. Raises OSError and duckdb.Error."""
    copy = folder / path.name
    _copy(path, copy)
    with duckdb.connect(str(copy)) as db:
        db.execute("CHECKPOINT")
    return copy


def restore(path: Path, backed_up: Path) -> tuple[JournalCheck, Path | None]:
    """Put a backup in the place of a stopped journal: what is in it, and where the journal before is kept.

    Raises OperatorError for a journal in use, and for a backup that is not there or damaged.
    """
    found = check(backed_up)
    if found.problems:
        raise OperatorError(f"{backed_up}: is damaged ({found.problems[0]}): take another backup")
    if path.exists() and is_held(path):
        raise OperatorError(f"journal {path}: is in use: stop the collector first")
    with scratch_folder(path, "the backup cannot take its place") as folder:
        copy, owner = copy_whole(backed_up, folder), path.parent.stat()
        copy.chmod(0o600)
        os.chown(copy, owner.st_uid, owner.st_gid)  # root restores, the collector's user opens
        kept = _set_aside(path)
        move_in_place(copy, path)
    return found, kept


def compact(path: Path) -> tuple[int, int]:
    """Write a stopped journal anew, without the space of deleted rows; its bytes before and after.

    Raises OperatorError for one that is in use or damaged.
    """
    check_there(path)
    if is_held(path):
        raise OperatorError(f"journal {path}: is in use: stop the collector first")
    before = path.stat().st_size
    try:
        repair_log(path)
        with duckdb.connect(str(path)) as db:
            db.execute("CHECKPOINT")
        copy_readable(path, path, whole=True)
    except (OSError, duckdb.Error) as error:
        raise OperatorError(f"journal {path}: cannot be written anew, and stays as it is: {error}") from None
    return before, path.stat().st_size


def _set_aside(path: Path) -> Path | None:
    """Rename a journal with its log, as DuckDB opens them together: the journal's new name."""
    aside = damaged_name(path, "replaced")
    found = path.exists()
    for old, new in ((path, aside), (log_of(path), log_of(aside)), (sums_of(log_of(path)), sums_of(log_of(aside)))):
        with contextlib.suppress(FileNotFoundError):
            old.rename(new)
    return aside if found else None


def _checked(path: Path, acknowledged: int, of: Path) -> JournalCheck:
    problems: list[str] = []
    rows: dict[str, int] = {}
    reports = 0
    log = log_of(path).read_bytes() if log_of(path).exists() else b""
    found = scan_log(log, read_sums(log_of(path)))
    if found is not None and found.whole_bytes < len(log):
        problems.append(f"the log is whole for its first {found.commits} commits only")
    try:
        with duckdb.connect(str(path), read_only=True) as db:
            for (name,) in db.execute("SELECT table_name FROM duckdb_tables() ORDER BY ALL").fetchall():
                _read(db, VIEW if name == stored_in(VIEW) else name, rows, problems)
            if "received" in rows:
                ((reports,),) = db.execute("SELECT coalesce(sum(last - first + 1), 0) FROM received").fetchall()
    except duckdb.Error as error:
        if not is_damage(error):
            raise OperatorError(f"journal {of}: cannot be read: {error}") from None
        problems.append(str(error).splitlines()[0])
    if reports < acknowledged:
        problems.append(f"{acknowledged - reports} of {acknowledged} reports that were acknowledged are lost")
    return JournalCheck(rows, int(reports), acknowledged, tuple(problems))


def _read(db: duckdb.DuckDBPyConnection, name: str, rows: dict[str, int], problems: list[str]) -> None:
    try:
        everything = f'SELECT count(*), bit_xor(hash(t)) FROM "{name}" t'  # noqa: S608 - a table of ours
        ((rows[name], _),) = db.execute(everything).fetchall()
    except duckdb.Error as error:
        problems.append(f"table {name}: {str(error).splitlines()[0]}")


def _copy(path: Path, to: Path) -> None:
    for _ in range(_ATTEMPTS):
        before = _state(path)
        shutil.copyfile(path, to)
        log = log_of(path).read_bytes() if log_of(path).exists() else b""
        if _state(path) == before:
            found = scan_log(log)
            log_of(to).write_bytes(log[: found.whole_bytes] if found else b"")
            return
        time.sleep(_AGAIN_S)
    to.unlink(missing_ok=True)
    raise OSError("the collector writes checkpoints faster than its journal is copied")


def _state(path: Path) -> tuple[bytes, list[str]]:
    """The header, and the logs: there are two while a checkpoint is written."""
    with path.open("rb", buffering=0) as file:
        header = os.pread(file.fileno(), _HEADER_BYTES, 0)
    return header, sorted(name.name for name in path.parent.glob(f"{path.name}*wal") if name != log_of(path))


def _acknowledged(path: Path) -> int:
    file = path.with_name(f"{path.name}.acknowledged")
    if not file.exists():
        return 0
    number = DurableNumber(file)
    try:
        return number.read() or 0
    finally:
        number.close()


def check_there(path: Path) -> None:
    """Raises OperatorError where there is no journal."""
    if not path.is_file():
        raise OperatorError(f"{path}: there is no journal: name its folder with --data-dir")
