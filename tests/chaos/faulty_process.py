"""A command of ours under faults that cannot be done to a process from outside: another clock, commits that fail.

    python -P faulty_process.py FILE collector --config …

`FILE.clock` says how many seconds ahead the wall clock is, at any moment. Each `FILE.fail-commit` that appears lets one
commit of the journal reach the disk and fail all the same, as when neither its sync nor its truncation succeeds. A room
of its own because it runs by itself, without the tests.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import duckdb

from collector.store.database import Database
from linkweather.cli.root import main

_OURS = ("collector", "linkweather", "probes")


class _FailingConnection:
    """A connection whose commit is on the disk, and fails all the same when it is asked to."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, asked: Path) -> None:
        self._connection = connection
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        self._connection.commit()
        with contextlib.suppress(FileNotFoundError):
            self._asked.unlink()
            self._connection.close()
            raise duckdb.FatalException("could not sync, and could not truncate")


def fail_commits(asked: Path) -> None:
    """Fail a commit when the file is there."""
    connect = Database._connect
    Database._connect = lambda self: _FailingConnection(connect(self), asked)  # type: ignore[assignment,method-assign,return-value]


def shift_clock(offset: Path) -> None:
    """Read the wall clock by the offset in a file, in all of ours that is loaded."""
    wall = time.time_ns

    def shifted_ns() -> int:
        with contextlib.suppress(OSError, ValueError):
            return wall() + int(float(offset.read_text(encoding="ascii")) * 1e9)
        return wall()

    class ShiftedDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(shifted_ns() / 1e9, tz)

    time.time_ns = shifted_ns
    time.time = lambda: shifted_ns() / 1e9
    for name, module in list(sys.modules.items()):
        # Only where the clock is read: elsewhere the name is a type of messages.
        if name.partition(".")[0] in _OURS and "datetime.now(" in inspect.getsource(module):
            vars(module)["datetime"] = ShiftedDatetime


if __name__ == "__main__":
    file, command = sys.argv[1:3]
    importlib.import_module({"probe": "probes.daemon", "collector": "collector.daemon"}[command])
    fail_commits(Path(f"{file}.fail-commit"))
    shift_clock(Path(f"{file}.clock"))
    main(sys.argv[2:])
