"""The DuckDB file under the journal: checked when it is opened, written by one transaction at a time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import duckdb
from numpy.typing import NDArray

from collector.store.journal_format import is_open, mark, sentence_of
from collector.store.journal_readers import ReaderGate, TimeLimit
from collector.store.journal_repair import (
    Finding,
    copy_of,
    is_damage,
    log_of,
    move_in_place,
    rebuild,
    remove_copy,
    repair_log,
)
from collector.store.log_sums import LogSums
from linkweather.errors import OperatorError, RecordError

STREAM_ROWS = 10_000
CLOSE_WAIT_S = 30.0
EXCHANGE_WAIT_S = 0.2  # for readers to end, while none begins and nothing is written


class Query(Protocol):
    """Gives the rows that a query answers."""

    def __call__(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ...) -> list[tuple[Any, ...]]: ...  # noqa: D102


class Database:
    """One open file. Any thread may call any method; writers wait for each other, readers never wait.

    A failed write leaves the file as it was. One that DuckDB cannot undo (the disk is full) closes the file; whoever
    uses it next opens it again and replays its log. That log may hold the failed write after all, where neither its
    sync nor its removal succeeded: what was read from the file and kept in memory is then read again, see `remember`.
    """

    def __init__(self, path: Path, *, memory_limit_mb: int) -> None:
        self.path = path
        self._memory_limit_mb = memory_limit_mb
        self._writing = threading.RLock()
        self._gate = ReaderGate()
        self._sums = LogSums(log_of(path))
        self._time_limit = TimeLimit()
        self._readers: list[Callable[[], None]] = []
        self._reopened = False
        self._doubtful = False  # something failed: the file may be of no use any more
        self._closed = False
        self.rebuilt = False  # rows of the file may be missing
        self.findings: list[Finding] = []  # damage that was found at this start
        self._connection = self._open()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction. Raises duckdb.Error when the disk or the file fails; then nothing was written."""
        with self._writing:
            connection = self._usable()
            with self._doubting(), transaction_of(connection):
                yield connection
            self._sums.note()

    @contextlib.contextmanager
    def prepared(self, queries: Mapping[str, str], parameters: Sequence[Any]) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction that has what queries answer as temporary tables, by their names.

        The queries run before it, while others commit: only who alone writes what they read may use it. Raises like
        `transaction`.
        """
        with self._reading() as cursor:
            for name, query in queries.items():
                cursor.execute(f"CREATE TEMP TABLE {name} AS {query}", parameters)
            with self._writing:
                with transaction_of(cursor):
                    yield cursor
                self._sums.note()

    def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query, as last committed; waits for no writer. Raises duckdb.Error when the disk fails."""
        with self._reading() as cursor:
            return cursor.execute(sql, parameters).fetchall()

    def time_limit(self, seconds: float) -> contextlib.AbstractContextManager[None]:
        """The block's queries, of this thread, may take so long together. Raises QueryTimeError at that time."""
        return self._time_limit.of(seconds)

    def columns(self, sql: str, parameters: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """The same as numpy columns, those with NULLs masked."""
        with self._reading() as cursor:
            return cursor.execute(sql, parameters).fetchnumpy()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A further connection, for who makes temporary tables of its own: to be closed."""
        self._doubtful = True
        return self._connection.cursor()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Query]:
        """Several queries of one moment: what is committed meanwhile they do not see. Waits for no writer."""
        with self._reading() as cursor:
            cursor.begin()
            try:
                yield lambda sql, parameters=(): cursor.execute(sql, parameters).fetchall()
            finally:
                cursor.rollback()

    def stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """The same, a slice at a time: of a million rows few are in memory at once."""
        with self._reading() as cursor:
            cursor.execute(sql)
            while found := cursor.fetchmany(STREAM_ROWS):
                yield from found

    def remember(self, read: Callable[[], None]) -> None:
        """Call `read`, which keeps in memory what the file says, now and after each reopening, before any write."""
        read()
        self._readers.append(read)

    def reopen(self) -> None:
        """Open the file again where a failed write has closed it. Raises duckdb.Error."""
        with self._writing:
            self._usable()

    def exchange(self, finish: Callable[[duckdb.DuckDBPyConnection], None]) -> bool:
        """Go on in the file `copy_of(path)`, of which `finish` makes a whole copy while nothing is read or written.

        False where a reader does not end in time. Raises duckdb.Error, OSError and RecordError. But for True, and at a
        crash at any moment, the file stays as it was: the copy is moved in its place in one step, after a close that
        left nothing in its log.
        """
        with self._writing:
            connection = self._usable()
            with self._gate.shut(EXCHANGE_WAIT_S) as empty:
                if not empty:
                    return False
                finish(connection)
                self._close()
                try:
                    if log_of(self.path).exists() or is_open(self.path):
                        raise RecordError(f"journal {self.path}: is not given back by DuckDB, and stays as it is")
                    move_in_place(copy_of(self.path), self.path)
                finally:
                    self._connection = self._connect()
        return True

    def close(self) -> None:
        """Checkpoint the file and close it for good."""
        with self._writing:
            self._closed = True
            self._close()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor; a file that a failed write has closed is opened again, for which it waits for writers."""
        with self._gate.inside():
            try:
                cursor = self._working()
            except duckdb.Error:
                with self._writing:
                    cursor = self._usable().cursor()
            with self._doubting(), cursor, self._time_limit.interrupting(cursor):
                yield cursor

    @contextlib.contextmanager
    def _doubting(self) -> Iterator[None]:
        """Ask whether the file can be used, the next time, if the block fails."""
        try:
            yield
        except BaseException:
            self._doubtful = True
            raise

    def _working(self) -> duckdb.DuckDBPyConnection:
        """A cursor. Raises duckdb.Error where the file is closed, or a failed write has made it useless."""
        cursor = self._connection.cursor()
        if self._doubtful:  # only then: to ask takes as long as a short query
            self._doubtful = False
            with self._doubting():
                cursor.execute("SELECT 1")
        return cursor

    def _usable(self) -> duckdb.DuckDBPyConnection:
        try:
            self._working().close()
        except duckdb.Error:
            if self._closed:
                raise
            self._close()
            self._reopened = True
            self._connection = self._connect()
        if self._reopened:
            self._read_again()
        return self._connection

    def _read_again(self) -> None:
        self._reopened = False  # a reader may write, too
        try:
            for read in self._readers:
                read()
        except BaseException:
            self._reopened = True
            raise

    def _close(self) -> None:
        """Close the connection between the queries of other threads: DuckDB refuses while one is under way."""
        last = time.monotonic() + CLOSE_WAIT_S
        while True:
            try:
                return self._connection.close()
            except duckdb.ResourceInUseException:
                if time.monotonic() > last:
                    raise
                time.sleep(0.001)

    def rebuild(self, reason: str) -> None:
        """Set the file aside, which cannot be read, and go on with a new one that has what is readable of it.

        Raises OperatorError where that cannot be done either.
        """
        with self._writing:
            self._close()
            self._connection = self._rebuilt(reason)

    def _open(self) -> duckdb.DuckDBPyConnection:
        try:
            self._note(repair_log(self.path))
            return self._prepared()
        except OSError as error:
            raise OperatorError(f"journal {self.path}: cannot be opened: {error}") from None
        except duckdb.Error as error:
            if not is_damage(error):
                raise OperatorError(f"journal {self.path}: {sentence_of(error)}") from None
            return self._rebuilt(str(error))

    def _rebuilt(self, reason: str) -> duckdb.DuckDBPyConnection:
        try:
            self._note(rebuild(self.path, reason))
            self.rebuilt = True
            return self._prepared()
        except (OSError, duckdb.Error) as error:
            raise OperatorError(f"journal {self.path}: is damaged ({reason}); {sentence_of(error)}") from None

    def _note(self, finding: Finding | None) -> None:
        if finding is not None:
            self.findings.append(finding)

    def _prepared(self) -> duckdb.DuckDBPyConnection:
        connection = self._connect()
        try:
            remove_copy(self.path)  # which a crash left: now that no other process can be at work on it
            mark(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(str(self.path))
        connection.execute("SET threads = 1")
        connection.execute(f"SET memory_limit = '{self._memory_limit_mb}MB'")
        # A checkpoint rewrites the last, partial row group: rare ones cost less; a start replays this much in a second.
        connection.execute("SET checkpoint_threshold = '64MB'")
        return connection


@contextlib.contextmanager
def transaction_of(connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """A transaction of a connection that no other thread uses meanwhile."""
    try:
        connection.begin()
        yield connection
        connection.commit()
    except BaseException:
        # A fatal error has already ended the transaction, and rolling back says so.
        with contextlib.suppress(duckdb.Error):
            connection.rollback()
        raise
