"""Whether a DuckDB file is a journal of ours, of which format, and why one cannot be opened."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import duckdb

from linkweather.errors import OperatorError

SCHEMA_VERSION = 2  # from which on a table may have its rows in another form than what a view shows
_PID = re.compile(r"PID (\d+)")


def mark(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Mark a new file as a journal; refuse another program's file, or one newer than this program."""
    names = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if not names:
        connection.execute(f"CREATE TABLE journal_format AS SELECT {SCHEMA_VERSION} AS version")
        return
    found = connection.execute("SELECT version FROM journal_format").fetchone() if "journal_format" in names else None
    if found is None:
        raise OperatorError(f"journal {path}: is a DuckDB database, but not a journal: name another file")
    if found[0] > SCHEMA_VERSION:
        raise OperatorError(
            f"journal {path}: has format {found[0]}, this program knows up to {SCHEMA_VERSION}: "
            "update linkweather, or name another file"
        )


def is_open(path: Path) -> bool:
    """Whether this process has the file open: a file that is replaced meanwhile would be written on, and lost."""
    file = path.stat()
    for opened in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.path.samestat(opened.stat(), file):
                return True
    return False


def sentence_of(error: Exception) -> str:
    """Why DuckDB does not open a file, as an operator can use it."""
    text = str(error)
    if "Could not set lock" in text:
        holder = _PID.search(text)
        return f"is in use by another process{f' ({holder[1]})' if holder else ''}: stop it first"
    if "version number" in text:
        return "was written by a newer DuckDB: update the package duckdb, or name another file"
    return f"cannot be opened: {text.splitlines()[0]}"
