"""An SQLite file of a site: checked when it is opened, set aside when it is damaged, and what is readable of it kept.

A damaged file is renamed `NAME.damaged-<time>`, its log with it, and a new one takes its place. Rows are then read out
of the old one page by page: a new database of the same shape gets the old pages, and each page that looks like a leaf
of a table is made the root of each table in turn. So rows are found also where the pages above them are lost; whether a
row is one, and is whole, its table says.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from linkweather.atomicfile import damaged_name

log = logging.getLogger(__name__)

# A larger file is not read through at a start; its damage is noticed where it is read.
CHECK_MAX_BYTES: Final = 256 * 2**20
# The disk is full or fails: the transaction did not take place.
DiskError = sqlite3.OperationalError
DamageError = sqlite3.DatabaseError  # beside DiskError, which is one of them

_HEADER_BYTES: Final = 100
_LEAF: Final = 0x0D
_ENDINGS: Final = ("", "-wal", "-journal")

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a file holds: its tables, the pragmas to open it by, and per table whether a row that was read is one."""

    tables: str  # CREATE TABLE IF NOT EXISTS …;
    pragmas: str
    is_row: Mapping[str, Callable[[Row], bool]]


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that was set aside: why, under which name, and the rows of each table that could be read."""

    reason: str
    aside: Path
    rows: Mapping[str, list[Row]]


def open_database(path: Path, shape: Shape) -> tuple[sqlite3.Connection, Damage | None]:
    """The file, made where there is none; a damaged one is set aside, and a new one begins.

    Raises OSError for the folder, and DiskError for a disk that fails or a file that another process holds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _opened(path, shape), None
    except DamageError as error:
        if not is_damage(error):
            raise
        reason = str(error)
    damage = set_aside(path, shape, reason)
    return _opened(path, shape), damage


def set_aside(path: Path, shape: Shape, reason: str) -> Damage:
    """Read what is left in a damaged file that is closed, and rename it: a kill before that loses nothing."""
    rows: dict[str, list[Row]] = {name: [] for name in shape.is_row}
    try:
        rows = _salvaged(path, shape)
    except (OSError, sqlite3.Error) as error:
        log.warning("nothing can be read out of %s: %s", path, error)
    aside = damaged_name(path)
    for ending in _ENDINGS:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{ending}").rename(f"{aside}{ending}")
    return Damage(reason, aside, rows)


def _opened(path: Path, shape: Shape) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
    try:
        db.executescript(shape.pragmas)
        db.executescript(shape.tables)
        _check(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size > CHECK_MAX_BYTES:
        return
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise DamageError(found.replace("\n", " "))


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is damaged: not the disk's, nor that it is closed or in use."""
    # A file whose schema is not ours, or cannot be parsed, is an "SQL logic error".
    logic = isinstance(error, DiskError) and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    return logic or type(error) is DamageError


def _salvaged(path: Path, shape: Shape) -> dict[str, list[Row]]:
    for left in path.parent.glob(f".salvage-{path.name}-*"):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".salvage-{path.name}-") as folder:
        copy = Path(folder) / "copy"
        for ending in _ENDINGS:
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(f"{path}{ending}", f"{copy}{ending}")
        _take_log_in(copy)
        return _read_leaves(copy, Path(folder) / "new", shape)


def _take_log_in(copy: Path) -> None:
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(copy)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _read_leaves(copy: Path, new: Path, shape: Shape) -> dict[str, list[Row]]:
    old = copy.read_bytes()
    page_bytes = int.from_bytes(old[16:18], "big")
    if page_bytes not in {2**power for power in range(9, 16)}:
        page_bytes = 4096
    with contextlib.closing(sqlite3.connect(new)) as db:
        db.executescript(f"PRAGMA page_size = {page_bytes}; {shape.tables}")
    ours = new.read_bytes()
    old_pages = len(old) // page_bytes
    header = bytearray(ours[:page_bytes])
    header[28:32] = max(old_pages, len(ours) // page_bytes).to_bytes(4, "big")  # the size in pages; none is free
    new.write_bytes(bytes(header) + old[page_bytes : old_pages * page_bytes] + ours[old_pages * page_bytes :])
    leaves = [number + 1 for number in range(1, old_pages) if old[number * page_bytes] == _LEAF]
    with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as db:
        db.text_factory = lambda raw: raw.decode(errors="replace")
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA writable_schema = ON;")
        return {name: list(_rows(db, name, leaves, is_row)) for name, is_row in shape.is_row.items()}


def _rows(db: sqlite3.Connection, table: str, leaves: list[int], is_row: Callable[[Row], bool]) -> Iterator[Row]:
    for page in leaves:
        db.execute("UPDATE sqlite_master SET rootpage = ? WHERE type = 'table' AND name = ?", (page, table))
        db.execute("PRAGMA writable_schema = RESET")
        db.execute("PRAGMA writable_schema = ON")
        with contextlib.suppress(sqlite3.Error):
            # NOT INDEXED: the table's own order, whatever its indices have become.
            yield from filter(is_row, db.execute(f"SELECT * FROM {table} NOT INDEXED"))  # noqa: S608 - names of ours
