"""What is done about a damaged journal before it is opened: the damaged file is kept aside, what is readable stays.

Three things can be wrong. The log (`journal.duckdb.wal`) has damage or a torn end: it is cut after its last whole
commit. The log is there without its journal: it is set aside. The journal itself cannot be read: it is set aside, and
a new one gets every table of it, by groups of rows where a block of a table is damaged.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

import duckdb

from collector.store.log_sums import read_sums
from collector.store.wal import LOG_BEGINS, LogScan, scan_log
from linkweather import atomicfile
from linkweather.atomicfile import damaged_name

log = logging.getLogger(__name__)

_GROUP_ROWS: Final = 122_880  # DuckDB's row group: what one damaged block costs at most
# The disk's own faults, and what another process or version does: no damage of the file.
_NO_DAMAGE: Final = (
    "No space left",
    "Cannot open file",
    "Read-only file system",
    "Permission denied",
    "Input/output error",
    "Disk quota",
    "Too many open files",
    "Could not set lock",
    "version number",
    "Out of Memory",
)


def log_of(path: Path) -> Path:
    """DuckDB's write-ahead log of a file."""
    return path.with_name(f"{path.name}.wal")


def is_damage(error: Exception) -> bool:
    """Whether an error of DuckDB says that the file itself cannot be read."""
    ours = isinstance(error, duckdb.ParserException)  # a mistake in our SQL
    return not ours and not any(text in str(error) for text in _NO_DAMAGE)


def copy_of(path: Path) -> Path:
    """Where a file is written anew, which then takes its place."""
    return path.with_name(f".{path.name}.new")


def remove_copy(path: Path) -> None:
    """Remove a copy that took no place. Raises OSError."""
    for left in (copy_of(path), log_of(copy_of(path))):
        left.unlink(missing_ok=True)


def move_in_place(copy: Path, path: Path) -> None:
    """Rename a copy over the file, so that after a power cut, too, it is the one or the other. Raises OSError."""
    with copy.open("rb") as file:
        os.fsync(file.fileno())
    copy.rename(path)
    atomicfile.sync_folder(path.parent)


class Finding(NamedTuple):
    """Damage that was found: one of a few reasons, and a sentence."""

    reason: Literal["no_journal", "torn_log", "damaged_log", "damaged_journal"]
    sentence: str


def repair_log(path: Path) -> Finding | None:
    """Cut a damaged log after its last whole commit; set one aside that has no journal. Raises OSError."""
    wal = log_of(path)
    if not wal.exists() or not wal.stat().st_size:
        return None
    if not path.exists():
        aside = damaged_name(wal)
        found = scan_log(wal.read_bytes())
        wal.rename(aside)
        commits = found.commits if found else "an unknown number of"
        return _said(
            "no_journal",
            f"the journal {path} is gone, its log stays with {commits} commits: it is set aside as {aside.name}, and a "
            "new journal begins",
        )
    with _held(path) as held:
        content = wal.read_bytes() if held else LOG_BEGINS
        found = scan_log(content, read_sums(wal))
        if not content.startswith(LOG_BEGINS):
            aside = damaged_name(wal)
            wal.rename(aside)
            return _said("damaged_log", f"the log of the journal {path} is none: it is set aside as {aside.name}")
        if found is not None and found.whole_bytes < wal.stat().st_size:
            return _cut(path, wal, found)
    return None


def _said(reason: Literal["no_journal", "torn_log", "damaged_log", "damaged_journal"], sentence: str) -> Finding:
    log.error("%s", sentence)
    return Finding(reason, sentence)


def _cut(path: Path, wal: Path, found: LogScan) -> Finding:
    aside = damaged_name(wal)
    shutil.copy2(wal, aside)
    with wal.open("r+b") as file:
        file.truncate(found.whole_bytes)
        os.fsync(file.fileno())
    why = (
        "ends in the middle of a commit, as after a power cut; reports in it are sent again, unless it was acknowledged"
        if found.torn
        else f"is damaged after its first {found.commits} commits; at least {found.lost_commits} behind them are lost"
    )
    return _said(
        "torn_log" if found.torn else "damaged_log",
        f"the log of the journal {path} {why}: it is kept as {aside.name}, and cut after its last whole commit",
    )


def rebuild(path: Path, reason: str) -> Finding:
    """Set a journal aside that cannot be read, and copy what can be into a new one. Raises OSError and duckdb.Error."""
    aside = damaged_name(path)
    if not _opens(path) and log_of(path).exists():
        # Perhaps the log alone is what cannot be read.
        log_aside = log_of(aside)
        log_of(path).rename(log_aside)
        if _opens(path):
            sentence = f"the log of the journal {path} cannot be read ({reason}): it is set aside as {log_aside.name}"
            return _said("damaged_log", sentence)
        log_aside.rename(log_of(path))
    path.rename(aside)
    with contextlib.suppress(FileNotFoundError):
        log_of(path).rename(log_of(aside))
    kept, of = copy_readable(aside, path) if _opens(aside) else (0, None)
    rows = "an unknown number of" if of is None else of
    return _said(
        "damaged_journal",
        f"the journal {path} is damaged ({reason.splitlines()[0]}): it is set aside as {aside.name}; {kept} of {rows} "
        "rows are kept",
    )


def copy_readable(old: Path, new: Path, *, whole: bool = False) -> tuple[int, int]:
    """Copy all tables of a file that opens into a new one: rows copied, rows that there were.

    With `whole`, nothing is replaced where a row cannot be read. Raises duckdb.Error.
    """
    copy = copy_of(new)
    remove_copy(new)
    with duckdb.connect(str(copy)) as db:
        db.execute("SET threads = 1")
        db.execute(f"ATTACH '{quoted(old)}' AS old (READ_ONLY)")
        tables = db.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = 'old' ORDER BY ALL"
        ).fetchall()
        counts = [_copy_table(db, name, whole=whole) for (name,) in tables]
        copy_views(db, "old", str(db.execute("SELECT current_database()").fetchall()[0][0]))
        db.execute("DETACH old")
    move_in_place(copy, new)
    return sum(kept for kept, _ in counts), sum(of for _, of in counts)


def copy_views(db: duckdb.DuckDBPyConnection, old: str, new: str) -> None:
    """Make the views of one database in another that has the same tables."""
    found = db.execute("SELECT sql FROM duckdb_views() WHERE database_name = ? AND NOT internal", [old]).fetchall()
    for (sql,) in found:
        db.execute(sql.replace("CREATE VIEW ", f'CREATE VIEW "{new}".', 1))


def _copy_table(db: duckdb.DuckDBPyConnection, name: str, *, whole: bool) -> tuple[int, int]:
    db.execute(f'CREATE TABLE "{name}" AS FROM old."{name}" LIMIT 0')
    (of,) = _one(db, "SELECT estimated_size FROM duckdb_tables() WHERE database_name = 'old' AND table_name = ?", name)
    try:
        (kept,) = _one(db, f'INSERT INTO "{name}" FROM old."{name}"')
    except duckdb.Error as error:
        if whole or not is_damage(error):
            raise
        return _copy_groups(db, name, of), of
    return kept, kept


def _copy_groups(db: duckdb.DuckDBPyConnection, name: str, of: int) -> int:
    kept, first, more = 0, 0, True
    while more or first < of:  # the numbers of deleted rows count, too
        more = False
        with contextlib.suppress(duckdb.Error):
            rows = f'FROM old."{name}" WHERE rowid >= {first} AND rowid < {first + _GROUP_ROWS}'
            (some,) = _one(db, f'INSERT INTO "{name}" {rows}')
            kept, more = kept + some, some > 0
        first += _GROUP_ROWS
    return kept


def _one(db: duckdb.DuckDBPyConnection, sql: str, *parameters: str) -> tuple[int, ...]:
    found: tuple[int, ...] | None = db.execute(sql, parameters).fetchone()
    assert found is not None  # noqa: S101 - each of these answers one row
    return found


def _opens(path: Path) -> bool:
    try:
        duckdb.connect(str(path), read_only=True).close()
    except duckdb.Error as error:
        if not is_damage(error):
            raise
        return False
    return True


def is_held(path: Path) -> bool:
    """Whether another process has the journal open."""
    with _held(path) as ours:
        return not ours


@contextlib.contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Whether no other process has the journal open, and none opens it during the block."""
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # fcntl(2): EAGAIN or EACCES; any other is no answer
            yield False
            return
        yield True


def quoted(path: Path) -> str:
    """A path as it stands between quotes in SQL."""
    return str(path).replace("'", "''")
